//! Messages from others: from the stream to the disk, and from the disk to the application.

use std::collections::{BTreeMap, VecDeque};

use super::framing::{RecordReader, WriteBuffer};
use super::messenger::{MessengerConfig, SessionId};
use super::store::{IncomingMessage, OpenedOutboxes, Origin, PageLimit, ReceivedMessage, StoreOp};
use crate::types::{MessageId, NodeId};
use crate::wire::content::{Content, MAX_RECEIPT_IDS};
use crate::wire::record::Record;

/// More receipts than this wait only when the peer does not read them; then its messages are not read either.
const MAX_RECEIPTS: usize = 4096;

/// One session's way to the disk. One operation is in flight at a time, so that a failure leaves no gap behind which
/// later messages could be stored: order would be lost.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) reader: RecordReader<Record>,
    waiting: Vec<ReceivedMessage>,
    /// Messages and bytes that wait or are in flight.
    held: Held,
    in_flight: bool,
    receipts: VecDeque<MessageId>,
    buffer: WriteBuffer,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    waiting: (usize, usize),
    in_flight: (usize, usize),
}

impl Inbound {
    pub(super) fn received(&mut self, message: ReceivedMessage) {
        add(&mut self.held.waiting, &message);
        self.waiting.push(message);
    }

    pub(super) fn has_room(&self, limit: PageLimit) -> bool {
        let Held { waiting, in_flight } = self.held;
        waiting.0 + in_flight.0 < limit.messages
            && waiting.1 + in_flight.1 < limit.bytes
            && self.receipts.len() < MAX_RECEIPTS
    }

    /// The next operation, when none is in flight.
    pub(super) fn store(
        &mut self,
        session: SessionId,
        from: NodeId,
        own: NodeId,
        takes_texts: bool,
    ) -> Option<StoreOp> {
        if self.in_flight {
            return None;
        }
        let messages = if takes_texts { std::mem::take(&mut self.waiting) } else { self.take_other() };
        if messages.is_empty() {
            return None;
        }
        self.in_flight = true;
        self.held = Held::default();
        messages.iter().for_each(|message| add(&mut self.held.in_flight, message));
        self.waiting.iter().for_each(|message| add(&mut self.held.waiting, message));
        let origin = Origin::Session(session);
        Some(StoreOp::StoreIncoming { origin, from, to: own, messages, receipt: None })
    }

    /// What can be stored while texts of this sender have to wait: all before the first of them, and receipts, which have nothing to do
    /// with the order.
    fn take_other(&mut self) -> Vec<ReceivedMessage> {
        let mut is_behind = false;
        let (taken, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|message| {
            is_behind |= message.content.is_text();
            !is_behind || matches!(message.content, Content::Receipts { .. })
        });
        self.waiting = waiting;
        taken
    }

    /// Whether messages wait although nothing is in flight.
    pub(super) fn is_stopped(&self) -> bool {
        !self.in_flight && !self.waiting.is_empty()
    }

    pub(super) fn stored(&mut self, ids: Vec<MessageId>) {
        self.in_flight = false;
        self.held.in_flight = (0, 0);
        self.receipts.extend(ids);
    }

    /// Forgets what has not been stored; the peer keeps it and sends it again.
    pub(super) fn give_up(&mut self) {
        (self.waiting, self.held, self.reader) = Default::default();
    }

    pub(super) fn pending_write(&mut self) -> &[u8] {
        if self.buffer.pending().is_empty() && !self.receipts.is_empty() {
            let count = self.receipts.len().min(MAX_RECEIPT_IDS);
            self.buffer.push(&Record::Receipt(self.receipts.drain(..count).collect()));
        }
        self.buffer.pending()
    }

    pub(super) fn on_written(&mut self, n: usize) {
        self.buffer.on_written(n);
    }
}

/// Each id of a message of receipts is a message to be looked up.
fn add((messages, bytes): &mut (usize, usize), message: &ReceivedMessage) {
    *messages += match &message.content {
        Content::Receipts { ids, .. } => ids.len(),
        _ => 1,
    };
    *bytes += message.content.weight();
}

/// Messages that the application has not confirmed, on disk or handed over, and their bytes.
#[derive(Debug, Default)]
struct Unconfirmed {
    all: (usize, usize),
    of: BTreeMap<NodeId, (usize, usize)>,
}

impl Unconfirmed {
    fn add(&mut self, from: NodeId, len: usize) {
        for (messages, bytes) in [&mut self.all, self.of.entry(from).or_default()] {
            (*messages, *bytes) = (*messages + 1, *bytes + len);
        }
    }

    fn remove(&mut self, from: NodeId, len: usize) {
        for (messages, bytes) in [&mut self.all, self.of.entry(from).or_default()] {
            (*messages, *bytes) = (messages.saturating_sub(1), bytes.saturating_sub(len));
        }
        if self.of.get(&from).is_some_and(|(messages, _)| *messages == 0) {
            self.of.remove(&from);
        }
    }
}

/// A message that was handed over.
#[derive(Debug)]
struct Handed {
    arrival: u64,
    from: NodeId,
    len: usize,
}

/// The window of messages that the application has and has not confirmed. What does not fit stays on disk.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    /// Those handed over and not confirmed.
    window: VecDeque<Handed>,
    bytes: usize,
    handed: u64,
    confirmed: u64,
    last: u64,
    /// The disk holds messages behind the window.
    more: bool,
    loading: bool,
    unconfirmed: Unconfirmed,
}

impl HandOver {
    pub(super) fn opened(&mut self, opened: &OpenedOutboxes) {
        let (confirmed, last) = (opened.confirmed.min(opened.last_arrival), opened.last_arrival);
        *self = Self { handed: confirmed, confirmed, last, more: confirmed < last, ..Self::default() };
        for message in opened.unconfirmed.iter().filter(|message| message.arrival > confirmed) {
            self.unconfirmed.add(message.from, message.len);
        }
    }

    /// Whether the application is to get more texts of this sender.
    pub(super) fn takes_texts(&self, from: NodeId, config: &MessengerConfig) -> bool {
        let is_below = |(messages, bytes): (usize, usize), limit: PageLimit| {
            messages < limit.messages && bytes < limit.bytes
        };
        let of_sender = self.unconfirmed.of.get(&from).copied().unwrap_or_default();
        is_below(self.unconfirmed.all, config.unconfirmed)
            && is_below(of_sender, config.unconfirmed_of_sender)
    }

    /// A message has been committed; it comes back when it is to be handed over now.
    pub(super) fn stored(&mut self, message: IncomingMessage, limit: PageLimit) -> Option<IncomingMessage> {
        self.last = self.last.max(message.arrival);
        self.unconfirmed.add(message.from, message.text.len());
        let fits = self.window.len() < limit.messages
            && (self.window.is_empty() || self.bytes.saturating_add(message.text.len()) <= limit.bytes);
        if self.more || !fits {
            self.more = true;
            return None;
        }
        self.hand(message)
    }

    fn hand(&mut self, message: IncomingMessage) -> Option<IncomingMessage> {
        if message.arrival <= self.handed {
            return None;
        }
        let handed = Handed { arrival: message.arrival, from: message.from, len: message.text.len() };
        self.handed = handed.arrival;
        self.bytes += handed.len;
        self.window.push_back(handed);
        Some(message)
    }

    /// The next page to load, when half of the window is free.
    pub(super) fn load(&mut self, config: &MessengerConfig) -> Option<StoreOp> {
        let limit = config.hand_over_window;
        let room = PageLimit {
            messages: limit.messages.saturating_sub(self.window.len()),
            bytes: limit.bytes.saturating_sub(self.bytes),
        };
        let half_free = 2 * room.messages >= limit.messages && 2 * room.bytes >= limit.bytes;
        if !self.more || self.loading || !half_free {
            return None;
        }
        self.loading = true;
        Some(StoreOp::LoadIncoming { after: self.handed, limit: room })
    }

    pub(super) fn loaded(&mut self, messages: Vec<IncomingMessage>, complete: bool) -> Vec<IncomingMessage> {
        self.loading = false;
        self.more = !complete;
        messages.into_iter().filter_map(|message| self.hand(message)).collect()
    }

    pub(super) fn load_failed(&mut self) {
        self.loading = false;
    }

    /// Returns the new cursor when it moved. What was not handed over cannot be confirmed.
    pub(super) fn confirm(&mut self, arrival: u64) -> Option<u64> {
        let arrival = arrival.min(self.handed);
        if arrival <= self.confirmed {
            return None;
        }
        self.confirmed = arrival;
        while let Some(Handed { from, len, .. }) = self.window.pop_front_if(|front| front.arrival <= arrival)
        {
            self.bytes -= len;
            self.unconfirmed.remove(from, len);
        }
        Some(arrival)
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> (usize, usize) {
        (self.window.len(), self.bytes)
    }
}
