//! Messages from others: from the stream to the disk, and from the disk to the application.

use std::collections::VecDeque;

use super::framing::{RecordReader, WriteBuffer};
use super::messenger::{MessengerConfig, SessionId};
use super::store::{IncomingMessage, Origin, PageLimit, ReceivedMessage, StoreOp};
use crate::types::{MessageId, NodeId};
use crate::wire::content::MAX_RECEIPT_IDS;
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
        self.held.waiting.0 += 1;
        self.held.waiting.1 += message.content.weight();
        self.waiting.push(message);
    }

    pub(super) fn has_room(&self, limit: PageLimit) -> bool {
        let Held { waiting, in_flight } = self.held;
        waiting.0 + in_flight.0 < limit.messages
            && waiting.1 + in_flight.1 < limit.bytes
            && self.receipts.len() < MAX_RECEIPTS
    }

    /// The next operation, when none is in flight.
    pub(super) fn store(&mut self, session: SessionId, from: NodeId) -> Option<StoreOp> {
        if self.in_flight || self.waiting.is_empty() {
            return None;
        }
        self.in_flight = true;
        self.held = Held { waiting: (0, 0), in_flight: self.held.waiting };
        let (origin, messages) = (Origin::Session(session), std::mem::take(&mut self.waiting));
        Some(StoreOp::StoreIncoming { origin, from, messages, receipt: None })
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

/// The window of messages that the application has and has not confirmed. What does not fit stays on disk.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    /// Arrival number and length of those handed over and not confirmed.
    window: VecDeque<(u64, usize)>,
    bytes: usize,
    handed: u64,
    confirmed: u64,
    last: u64,
    /// The disk holds messages behind the window.
    more: bool,
    loading: bool,
}

impl HandOver {
    pub(super) fn opened(&mut self, confirmed: u64, last: u64) {
        let confirmed = confirmed.min(last);
        *self = Self { handed: confirmed, confirmed, last, more: confirmed < last, ..Self::default() };
    }

    /// Messages that have not been confirmed, counted by their numbers: gaps count too.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.last - self.confirmed
    }

    /// A message has been committed; it comes back when it is to be handed over now.
    pub(super) fn stored(&mut self, message: IncomingMessage, limit: PageLimit) -> Option<IncomingMessage> {
        self.last = self.last.max(message.arrival);
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
        self.handed = message.arrival;
        self.bytes += message.text.len();
        self.window.push_back((message.arrival, message.text.len()));
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
        while let Some(&(front, len)) = self.window.front() {
            if front > arrival {
                break;
            }
            self.window.pop_front();
            self.bytes -= len;
        }
        Some(arrival)
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> (usize, usize) {
        (self.window.len(), self.bytes)
    }
}
