//! The messages to one peer: a window of the outbox in memory, the rest on disk.

use std::collections::VecDeque;

use super::framing::WriteBuffer;
use super::messenger::SessionId;
use super::store::{OutgoingMessage, PageLimit, StoreOp};
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::content::Content;
use crate::wire::record::Record;

/// A session's buffer is filled up to this many bytes, or by one record that is longer.
const WRITE_CHUNK: usize = 64 * 1024;

/// Most delivered messages per peer whose status could not be written and is kept for another attempt. Beyond that the
/// messages are sent again by a later session, and acknowledged again.
const MAX_UNSAVED: usize = 4096;

/// A message between its loading and its receipt.
#[derive(Debug)]
struct Entry {
    id: MessageId,
    created: UnixTime,
    status: Status,
    /// Gone once it is in a session's buffer.
    content: Option<Content>,
    /// Bytes of content that this entry stands for.
    len: usize,
    /// Somebody wants to know its status.
    is_text: bool,
}

/// A page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loading {
    token: u64,
    after: u64,
}

/// The undelivered messages to one peer. Those in the window are the oldest; they are loaded only while there is a
/// session to send them on, and loaded anew for every session: so a change of session rewinds.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    session: Option<SessionId>,
    window: VecDeque<Entry>,
    bytes: usize,
    /// Index in the window of the next message to write.
    next: usize,
    last_seq: u64,
    /// The disk may hold undelivered messages behind the window.
    more: bool,
    /// Texts were among them; receipts may be all that is left.
    texts: bool,
    loading: Option<Loading>,
    /// Delivered, but the disk does not know.
    unsaved: Vec<MessageId>,
}

impl Outbox {
    /// An outbox whose messages are all on disk.
    pub(super) fn on_disk(texts: bool) -> Self {
        Self { more: true, texts, ..Self::default() }
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        self.session
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.window.is_empty() || self.more || !self.unsaved.is_empty()
    }

    /// Whether texts may be among what is not delivered.
    pub(super) fn has_texts(&self) -> bool {
        self.texts && self.has_backlog()
    }

    /// The disk holds nothing for this peer any more. With a session the pages tell that.
    pub(super) fn emptied(&mut self) {
        self.more &= self.session.is_some();
    }

    /// Whether nothing is to be remembered of this peer.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_none() && !self.has_backlog() && self.loading.is_none()
    }

    pub(super) fn set_session(&mut self, session: Option<SessionId>) {
        self.more = session.is_some() || self.more || !self.window.is_empty();
        self.session = session;
        self.window.clear();
        (self.bytes, self.next, self.last_seq) = (0, 0, 0);
        if session.is_some() {
            self.loading = None;
        }
    }

    /// Begins anew with what is on disk.
    pub(super) fn rewind(&mut self) {
        if self.last_seq > 0 {
            self.set_session(self.session);
        }
    }

    /// A message has been written.
    pub(super) fn enqueued(&mut self, message: OutgoingMessage, limit: PageLimit) {
        self.texts |= message.content.is_text();
        let fits = self.window.len() < limit.messages
            && (self.window.is_empty() || self.bytes.saturating_add(message.content.weight()) <= limit.bytes);
        if self.session.is_some() && !self.more && fits {
            self.push(message);
        } else {
            self.more = true;
        }
    }

    fn push(&mut self, message: OutgoingMessage) {
        let OutgoingMessage { seq, id, created, status, content, .. } = message;
        let (len, is_text) = (content.weight(), content.is_text());
        self.last_seq = seq;
        self.bytes += len;
        self.texts |= is_text;
        self.window.push_back(Entry { id, created, status, content: Some(content), len, is_text });
    }

    /// The next page to load, when half of the window is free.
    pub(super) fn load(&mut self, peer: NodeId, limit: PageLimit, token: u64) -> Option<StoreOp> {
        let room = PageLimit {
            messages: limit.messages.saturating_sub(self.window.len()),
            bytes: limit.bytes.saturating_sub(self.bytes),
        };
        let half_free = 2 * room.messages >= limit.messages && 2 * room.bytes >= limit.bytes;
        if self.session.is_none() || !self.more || self.loading.is_some() || !half_free {
            return None;
        }
        self.loading = Some(Loading { token, after: self.last_seq });
        Some(StoreOp::LoadOutbox { peer, after: self.last_seq, limit: room, token })
    }

    pub(super) fn loaded(&mut self, token: u64, messages: Vec<OutgoingMessage>, complete: bool) {
        let Some(Loading { after, .. }) = self.loading.take_if(|loading| loading.token == token) else {
            return;
        };
        if self.session.is_none() {
            // The session is gone; what is left of its first page is whether there is a backlog at all.
            self.more = after > 0 || !complete || !messages.is_empty();
            return;
        }
        self.more = !complete;
        messages.into_iter().for_each(|message| self.push(message));
    }

    /// Whether that was the page that is waited for.
    pub(super) fn load_failed(&mut self, token: u64) -> bool {
        self.loading.take_if(|loading| loading.token == token).is_some()
    }

    /// Moves messages into the session's buffer; `ends` gets where each ends in it.
    pub(super) fn fill(&mut self, buffer: &mut WriteBuffer, ends: &mut VecDeque<(usize, MessageId)>) {
        while buffer.pending().len() < WRITE_CHUNK {
            let Some(entry) = self.window.get_mut(self.next) else { break };
            self.next += 1;
            if let Some(content) = entry.content.take() {
                let record = Record::Message { id: entry.id, sent_at: entry.created, content };
                ends.push_back((buffer.push(&record), entry.id));
            }
        }
    }

    /// A message was written to the sending session. Whether its status rose by that.
    pub(super) fn sent(&mut self, id: MessageId) -> bool {
        match self.window.iter_mut().find(|entry| entry.id == id) {
            Some(entry) if entry.status < Status::Sent => {
                entry.status = Status::Sent;
                entry.is_text
            }
            _ => false,
        }
    }

    /// The peer acknowledges a message. Whether it is one that was sent and not acknowledged before.
    pub(super) fn delivered(&mut self, id: MessageId) -> bool {
        // Receipts come in order: the search ends at once.
        let at = self.window.iter().position(|entry| entry.id == id && entry.status >= Status::Sent);
        at.map(|at| self.remove(at)).is_some()
    }

    /// A message is pending no more, as the disk knows. One that was given up on its way may arrive all the same: its receipt is
    /// waited for.
    pub(super) fn settled(&mut self, id: MessageId, status: Status) {
        let at = self.window.iter().position(|entry| entry.id == id);
        if let Some(at) = at.filter(|at| status.is_proven() || *at >= self.next) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(entry) = self.window.remove(at) {
            self.bytes -= entry.len;
        }
        if at < self.next {
            self.next -= 1;
        }
    }

    pub(super) fn keep_unsaved(&mut self, ids: Vec<MessageId>) {
        let room = MAX_UNSAVED.saturating_sub(self.unsaved.len());
        self.unsaved.extend(ids.into_iter().take(room));
    }

    /// Another attempt at what [`Outbox::keep_unsaved`] was given.
    pub(super) fn retry(&mut self, to: NodeId) -> Option<StoreOp> {
        let ids = std::mem::take(&mut self.unsaved);
        (!ids.is_empty()).then_some(StoreOp::SetStatus { to, ids, status: Status::Delivered })
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> (usize, usize) {
        (self.window.len(), self.bytes)
    }
}
