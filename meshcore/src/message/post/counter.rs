//! Envelopes that others hand over: those for this node are opened, the others are kept in its mailbox, if it offers one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::opening::{self, EnvelopeHash, Number, Openings};
use super::{MailboxConfig, Out};
use crate::message::envelope::{self, OpenError};
use crate::message::framing::WriteBuffer;
use crate::message::messenger::SessionId;
use crate::message::store::{Letter, Origin, ReceivedMessage, StoreOp};
use crate::types::{Instant, MessageId, NodeId, Now, UnixTime};
use crate::wire::content::Content;
use crate::wire::post::{Outcome, PostRecord};

/// Envelopes of one node that wait for the disk, or to be opened; beyond, it is not read, whatever number of sessions it has.
const WINDOW: (usize, usize) = (32, 4 << 20);

/// More bytes of answers wait only when the peer does not read them; then nothing of it is read either.
const MAX_ANSWERS: usize = 64 * 1024;

/// Nothing shorter is an envelope: it is padded to more. Quotas count bytes of envelopes, and what a mailbox keeps beside each is
/// small only in comparison with them.
const MIN_ENVELOPE: usize = 1536;

/// An envelope that is not answered yet.
#[derive(Debug)]
struct UnderWay {
    from: NodeId,
    len: usize,
    keep: Duration,
    /// Of one for this node.
    hash: Option<EnvelopeHash>,
}

/// A letter for this node that was opened.
#[derive(Debug)]
struct Opened {
    session: SessionId,
    number: u64,
    sender: NodeId,
    message: ReceivedMessage,
}

#[derive(Debug)]
pub(super) struct Counter {
    own: NodeId,
    mailbox: Option<MailboxConfig>,
    blocked: BTreeSet<NodeId>,
    under_way: BTreeMap<Number, UnderWay>,
    /// How many of each node, and their bytes.
    held: BTreeMap<NodeId, (usize, usize)>,
    openings: Openings,
    opened: Vec<Opened>,
}

impl Counter {
    pub(super) fn new(own: NodeId, mailbox: Option<MailboxConfig>) -> Self {
        Self {
            own,
            mailbox,
            blocked: BTreeSet::new(),
            under_way: BTreeMap::new(),
            held: BTreeMap::new(),
            openings: Openings::new(),
            opened: Vec::new(),
        }
    }

    pub(super) fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        if blocked {
            self.blocked.insert(node);
        } else {
            self.blocked.remove(&node);
        }
    }

    pub(super) fn is_blocked(&self, node: &NodeId) -> bool {
        self.blocked.contains(node)
    }

    /// What waits for the disk, or is being opened, counts until that is done.
    pub(super) fn session_closed(&mut self, session: SessionId) {
        for number in self.openings.session_closed(session) {
            self.end(number);
        }
    }

    pub(super) fn has_room(&self, peer: &NodeId, answers: &WriteBuffer) -> bool {
        let (count, bytes) = self.held.get(peer).copied().unwrap_or_default();
        count < WINDOW.0 && bytes < WINDOW.1 && answers.pending().len() < MAX_ANSWERS
    }

    fn begin(&mut self, number: Number, envelope: UnderWay) {
        let held = self.held.entry(envelope.from).or_default();
        *held = (held.0 + 1, held.1 + envelope.len);
        self.under_way.insert(number, envelope);
    }

    fn end(&mut self, number: Number) -> Option<UnderWay> {
        let envelope = self.under_way.remove(&number)?;
        if let Entry::Occupied(mut held) = self.held.entry(envelope.from) {
            let (count, bytes) = *held.get();
            *held.get_mut() = (count.saturating_sub(1), bytes.saturating_sub(envelope.len));
            if count <= 1 {
                held.remove();
            }
        }
        Some(envelope)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn on_deposit(
        &mut self,
        now: Now,
        session: SessionId,
        sender: NodeId,
        deposit: PostRecord,
        out: &mut Out<'_>,
    ) {
        let PostRecord::Deposit { number, recipient, id, keep, envelope } = deposit else { return };
        let keep = keep.min(self.mailbox.map_or(Duration::ZERO, |mailbox| mailbox.keep));
        if self.under_way.contains_key(&(session, number)) {
            // Its sender cannot tell the answers apart; that is its own loss.
            return push_answer(session, number, (Outcome::Later, Duration::ZERO), out);
        }
        let is_envelope = envelope.len() >= MIN_ENVELOPE && !self.is_blocked(&recipient);
        let hash = (is_envelope && recipient == self.own).then(|| opening::hash(&envelope));
        self.begin((session, number), UnderWay { from: sender, len: envelope.len(), keep, hash });
        if !is_envelope {
            self.answer(session, number, Outcome::Unreadable, out);
        } else if let Some(hash) = hash {
            if let Some(outcome) = self.openings.known(&hash) {
                return self.answer(session, number, outcome, out);
            }
            self.openings.push(sender, (session, number), envelope);
            self.openings.open(now.monotonic, out);
        } else if let Some(mailbox) = self.mailbox {
            let expires = now.wall + keep;
            let letter = Letter { sender, recipient, id, expires, envelope };
            out.ops.push_back(StoreOp::KeepLetter { session, number, letter, quota: mailbox.quota() });
        } else {
            self.answer(session, number, Outcome::NoMailbox, out);
        }
    }

    pub(super) fn on_opened(
        &mut self,
        now: Now,
        token: u64,
        letter: Result<(NodeId, envelope::Letter), OpenError>,
        out: &mut Out<'_>,
    ) {
        let Some((from, (session, number))) = self.openings.on_opened(token) else { return };
        match letter {
            // Nobody learns more than that it has arrived: its sender keeps it, for it gets no receipt. It counts as junk.
            Ok((sender, _)) if self.is_blocked(&sender) => {
                self.answer(session, number, Outcome::Taken, out);
            }
            Ok((sender, letter)) if sender != self.own && is_understood(&letter.content) => {
                self.openings.was_a_letter(from);
                let message = received(letter, now.wall);
                self.opened.push(Opened { session, number, sender, message });
            }
            _ => self.answer(session, number, Outcome::Unreadable, out),
        }
        self.open(now.monotonic, out);
    }

    /// Opens what may be opened by now.
    pub(super) fn open(&mut self, now: Instant, out: &mut Out<'_>) {
        self.openings.open(now, out);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.openings.poll_timeout()
    }

    /// A letter that was opened is not taken now.
    pub(super) fn put_off(&mut self, token: u64, out: &mut Out<'_>) {
        let Some((from, (session, number))) = self.openings.on_opened(token) else { return };
        self.openings.was_a_letter(from);
        self.answer(session, number, Outcome::Later, out);
    }

    /// Stores what was opened: letters of one sender that came one after the other together.
    pub(super) fn store(&mut self, out: &mut Out<'_>, rng: &mut StdRng) {
        let mut opened = std::mem::take(&mut self.opened).into_iter().peekable();
        while let Some(Opened { session, number, sender, message }) = opened.next() {
            let (mut numbers, mut messages) = (vec![number], vec![message]);
            while let Some(next) = opened.next_if(|next| next.session == session && next.sender == sender) {
                numbers.push(next.number);
                messages.push(next.message);
            }
            let origin = Origin::Envelopes { session, numbers };
            let receipt = Some(MessageId(rng.random()));
            let to = self.own;
            out.ops.push_back(StoreOp::StoreIncoming { origin, from: sender, to, messages, receipt });
        }
    }

    pub(super) fn answer(&mut self, session: SessionId, number: u64, outcome: Outcome, out: &mut Out<'_>) {
        let Some(UnderWay { keep, hash, .. }) = self.end((session, number)) else { return };
        // What cannot change is remembered: the same envelope again is not opened again.
        if let Some(hash) = hash.filter(|_| matches!(outcome, Outcome::Taken | Outcome::Unreadable)) {
            self.openings.remember(hash, outcome);
        }
        let keep = if outcome == Outcome::Taken { keep } else { Duration::ZERO };
        push_answer(session, number, (outcome, keep), out);
    }
}

fn push_answer(session: SessionId, number: u64, (outcome, keep): (Outcome, Duration), out: &mut Out<'_>) {
    if let Some(state) = out.sessions.get_mut(&session) {
        state.answers.push(&PostRecord::Answer { number, outcome, keep });
    }
}

fn is_understood(content: &Content) -> bool {
    !matches!(content, Content::Unknown(_))
}

fn received(letter: envelope::Letter, received_at: UnixTime) -> ReceivedMessage {
    let envelope::Letter { id, sent_at, content } = letter;
    ReceivedMessage { id, content, sent_at, received_at }
}
