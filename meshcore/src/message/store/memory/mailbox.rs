//! The letters in memory.

use std::collections::BTreeMap;

use crate::message::store::{Keeping, Letter, Quota};
use crate::types::{MessageId, NodeId, UnixTime};

/// Letters by recipient and number.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox {
    letters: BTreeMap<(NodeId, u64), Letter>,
    /// By recipient, sender and message.
    numbers: BTreeMap<(NodeId, NodeId, MessageId), u64>,
    last: u64,
    /// Bytes of all envelopes, and of those of each sender.
    bytes: u64,
    bytes_of: BTreeMap<NodeId, u64>,
}

impl Mailbox {
    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn recipients(&self) -> Vec<NodeId> {
        let mut recipients: Vec<_> = self.letters.keys().map(|(recipient, _)| *recipient).collect();
        recipients.dedup();
        recipients
    }

    pub(super) fn keep(&mut self, letter: Letter, quota: Quota) -> Keeping {
        let name = (letter.recipient, letter.sender, letter.id);
        if let Some(number) = self.numbers.get(&name) {
            if let Some(kept) = self.letters.get_mut(&(letter.recipient, *number)) {
                kept.expires = kept.expires.max(letter.expires);
            }
            return Keeping::Kept;
        }
        let len = letter.envelope.len() as u64;
        let of_sender = self.bytes_of.get(&letter.sender).copied().unwrap_or(0);
        if self.bytes + len > quota.total {
            return Keeping::Full;
        }
        if of_sender + len > quota.sender {
            return Keeping::SenderFull;
        }
        self.last += 1;
        self.bytes += len;
        self.bytes_of.insert(letter.sender, of_sender + len);
        self.numbers.insert(name, self.last);
        self.letters.insert((letter.recipient, self.last), letter);
        Keeping::Kept
    }

    #[cfg(test)]
    pub(super) fn has(&self, recipient: NodeId, sender: NodeId, id: MessageId) -> bool {
        self.numbers.contains_key(&(recipient, sender, id))
    }

    pub(super) fn letters(&self, recipient: NodeId, after: u64) -> impl Iterator<Item = (u64, Letter)> {
        let letters = self.letters.range((recipient, after.saturating_add(1))..=(recipient, u64::MAX));
        letters.map(|((_, number), letter)| (*number, letter.clone()))
    }

    pub(super) fn remove(&mut self, recipient: NodeId, number: u64) {
        if let Some(letter) = self.letters.remove(&(recipient, number)) {
            self.numbers.remove(&(recipient, letter.sender, letter.id));
            let len = letter.envelope.len() as u64;
            self.bytes -= len;
            if let Some(bytes) = self.bytes_of.get_mut(&letter.sender) {
                *bytes -= len;
            }
        }
    }

    /// Drops those whose time has passed.
    pub(super) fn expire(&mut self, now: UnixTime) {
        let due = self.letters.iter().filter(|(_, letter)| letter.expires <= now).map(|(place, _)| *place);
        for (recipient, number) in due.collect::<Vec<_>>() {
            self.remove(recipient, number);
        }
    }
}
