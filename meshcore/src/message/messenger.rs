//! Text messages between nodes: the outbox, receipts, and the hand-over to the application.

use std::collections::{BTreeMap, VecDeque};

use super::framing::{RecordReader, WriteBuffer};
use super::inbound::{HandOver, Inbound};
use super::outbound::Outbox;
pub use super::store::IncomingMessage;
use super::store::{OutgoingMessage, PageLimit, ReceivedMessage, StoreError, StoreOp, StoreReply};
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::Malformed;
use crate::wire::record::{MAX_TEXT, Record};

/// An encrypted connection with a peer. Numbers are given by the composer and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Which of the two message streams of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The stream that this node opened: it writes messages and reads receipts.
    Outgoing,
    /// The stream that the peer opened: this node reads messages and writes receipts.
    Incoming,
}

/// Limits of the messenger's memory.
#[derive(Debug, Clone)]
pub struct MessengerConfig {
    /// Undelivered messages in memory for each peer with a sending session. Default: 256, 4 MiB. It also limits what
    /// is on its way to a peer, so a small window makes long paths slow.
    pub outbox_window: PageLimit,
    /// Messages that the application has and has not confirmed. Default: 1024, 16 MiB.
    pub hand_over_window: PageLimit,
    /// Messages of one session that wait for their commit; beyond, the session is not read. Default: 1024, 4 MiB.
    pub commit_window: PageLimit,
    /// Messages of the application that wait for their commit; beyond, it is refused. Default: 65,536, 64 MiB.
    pub send_queue: PageLimit,
    /// Messages on disk that the application has not confirmed; beyond, no session is read. Default: 16,384.
    pub max_unconfirmed: u64,
}

impl Default for MessengerConfig {
    fn default() -> Self {
        let limit = |messages, mebibytes: usize| PageLimit { messages, bytes: mebibytes << 20 };
        Self {
            outbox_window: limit(256, 4),
            hand_over_window: limit(1024, 16),
            commit_window: limit(1024, 4),
            send_queue: limit(65_536, 64),
            max_unconfirmed: 16_384,
        }
    }
}

/// Why a message is not taken. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No text.
    #[error("a message needs at least one character")]
    Empty,
    /// Too much text.
    #[error("a message has at most {limit} bytes of UTF-8; send the text in parts")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The disk does not keep up with the application.
    #[error("too many messages wait for the disk; wait until some are accepted, then send again")]
    Busy,
}

/// Whether a text can be a message.
pub fn check_text(text: &str) -> Result<(), SendError> {
    match text.len() {
        0 => Err(SendError::Empty),
        1..=MAX_TEXT => Ok(()),
        _ => Err(SendError::TooLong { limit: MAX_TEXT }),
    }
}

/// What a peer must not do. The session is finished by it: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolViolation {
    /// Bytes that are no record.
    #[error("malformed record: {0}")]
    Malformed(#[from] Malformed),
    /// A message where receipts belong, or a receipt where messages belong.
    #[error("a record of this kind does not belong on this stream")]
    WrongStream,
}

/// What the application should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessengerEvent {
    /// A message of the application is on disk; followed by the status `Queued`.
    Accepted {
        /// Its id.
        id: MessageId,
    },
    /// A message of the application could not be stored.
    Refused {
        /// Its id.
        id: MessageId,
        /// Why.
        error: StoreError,
    },
    /// A message has come further, and the disk knows it.
    Status {
        /// Its id.
        id: MessageId,
        /// Its recipient.
        to: NodeId,
        /// How far it has come.
        status: Status,
    },
    /// A message for the application, in order of arrival. Those not confirmed come again after a restart.
    Received(IncomingMessage),
    /// Messages that came by this session could not be stored, or those to be sent on it could not be loaded: close it.
    /// Their sender keeps them; another session is another attempt.
    StorageFailed {
        /// The session.
        session: SessionId,
        /// Why.
        error: StoreError,
    },
}

#[derive(Debug)]
struct Session {
    peer: NodeId,
    /// To be closed; nothing is read any more.
    failed: bool,
    receipts: RecordReader,
    buffer: WriteBuffer,
    /// Where messages end in the buffer.
    ends: VecDeque<(usize, MessageId)>,
    inbound: Inbound,
}

/// Messages between this node and its peers.
///
/// # Driving it
/// Give it everything that happens through `handle_*`, `session_*`, [`Messenger::set_sending_session`] and
/// [`Messenger::on_written`]; the first reply of the store must be [`StoreReply::Opened`]. After any of these calls
/// 1. take [`Messenger::poll_store`] until `None` and execute the operations in that order,
/// 2. take [`Messenger::poll_event`] until `None`,
/// 3. offer [`Messenger::pending_write`] of both channels of each open session to its streams and report what they took,
/// 4. read a stream only while [`Messenger::wants_data`] says so, at most 64 KiB for each call; any call can change it.
///
/// There are no timers.
#[derive(Debug, Default)]
pub struct Messenger {
    config: MessengerConfig,
    sessions: BTreeMap<SessionId, Session>,
    outboxes: BTreeMap<NodeId, Outbox>,
    hand_over: HandOver,
    /// Messages and bytes of the application that wait for their commit.
    sending: (usize, usize),
    any_unsaved: bool,
    last_token: u64,
    ops: VecDeque<StoreOp>,
    events: VecDeque<MessengerEvent>,
}

impl Messenger {
    /// A messenger that knows nothing yet.
    pub fn new(config: MessengerConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Takes a message; [`MessengerEvent::Accepted`] or [`MessengerEvent::Refused`] follows.
    pub fn send(&mut self, now: UnixTime, id: MessageId, to: NodeId, text: String) -> Result<(), SendError> {
        check_text(&text)?;
        let (messages, bytes) = (self.sending.0 + 1, self.sending.1 + text.len());
        if messages > self.config.send_queue.messages || bytes > self.config.send_queue.bytes {
            return Err(SendError::Busy);
        }
        self.sending = (messages, bytes);
        self.ops.push_back(StoreOp::Enqueue { id, to, created: now, text });
        Ok(())
    }

    /// A session with an authenticated peer has begun.
    pub fn session_opened(&mut self, session: SessionId, peer: NodeId) {
        self.sessions.entry(session).or_insert_with(|| Session {
            peer,
            failed: false,
            receipts: RecordReader::default(),
            buffer: WriteBuffer::default(),
            ends: VecDeque::new(),
            inbound: Inbound::default(),
        });
    }

    /// A session has ended, whoever ended it.
    pub fn session_closed(&mut self, session: SessionId) {
        let Some(Session { peer, .. }) = self.sessions.remove(&session) else { return };
        if self.outboxes.get(&peer).is_some_and(|outbox| outbox.session() == Some(session)) {
            self.set_sending_session(peer, None);
        }
    }

    /// Chooses the session by which messages to `peer` go. A change rewinds to the first undelivered message. A session
    /// that is not open with this peer counts as none.
    pub fn set_sending_session(&mut self, peer: NodeId, session: Option<SessionId>) {
        let session = session.filter(|id| self.sessions.get(id).is_some_and(|open| open.peer == peer));
        let outbox = self.outboxes.entry(peer).or_default();
        if outbox.session() != session {
            outbox.set_session(session);
            // What is known to be delivered shall not be loaded and sent again.
            self.ops.extend(outbox.retry(peer));
        }
        self.refill(peer);
    }

    /// Bytes from a stream, cut anywhere. An error finishes the session: what comes later is ignored, close it.
    pub fn handle_data(
        &mut self,
        now: UnixTime,
        session: SessionId,
        channel: Channel,
        data: &[u8],
    ) -> Result<(), ProtocolViolation> {
        let Some(state) = self.sessions.get_mut(&session).filter(|state| !state.failed) else {
            return Ok(());
        };
        let result = match channel {
            Channel::Incoming => state.read_messages(now, data).map(|()| Vec::new()),
            Channel::Outgoing => state.read_receipts(data),
        };
        state.failed = result.is_err();
        let peer = state.peer;
        self.ops.extend(state.inbound.store(session, peer));
        self.delivered(peer, result?);
        Ok(())
    }

    /// Whether a stream should be read now.
    pub fn wants_data(&self, session: SessionId, channel: Channel) -> bool {
        let Some(state) = self.sessions.get(&session).filter(|state| !state.failed) else { return false };
        match channel {
            Channel::Outgoing => true,
            Channel::Incoming => {
                state.inbound.has_room(self.config.commit_window)
                    && self.hand_over.unconfirmed() <= self.config.max_unconfirmed
            }
        }
    }

    /// What a stream should be given next; empty when there is nothing.
    pub fn pending_write(&mut self, session: SessionId, channel: Channel) -> &[u8] {
        let Some(state) = self.sessions.get_mut(&session) else { return &[] };
        match channel {
            Channel::Incoming => state.inbound.pending_write(),
            Channel::Outgoing => {
                // A record that was begun is finished, even when the messages go elsewhere by now.
                if state.buffer.pending().is_empty()
                    && let Some(outbox) = self.outboxes.get_mut(&state.peer)
                    && outbox.session() == Some(session)
                {
                    outbox.fill(&mut state.buffer, &mut state.ends);
                }
                state.buffer.pending()
            }
        }
    }

    /// The stream took the first `n` bytes of [`Messenger::pending_write`].
    pub fn on_written(&mut self, session: SessionId, channel: Channel, n: usize) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if channel == Channel::Incoming {
            return state.inbound.on_written(n);
        }
        let written = state.buffer.on_written(n);
        let complete = state.ends.iter().take_while(|(end, _)| *end <= written).count();
        let ids: Vec<_> = state.ends.drain(..complete).map(|(_, id)| id).collect();
        let to = state.peer;
        let Some(outbox) = self.outboxes.get_mut(&to).filter(|outbox| outbox.session() == Some(session))
        else {
            return;
        };
        let ids: Vec<_> = ids.into_iter().filter(|id| outbox.sent(*id)).collect();
        if !ids.is_empty() {
            self.ops.push_back(StoreOp::SetStatus { to, ids, status: Status::Sent });
        }
    }

    /// Whether undelivered messages for this peer exist.
    pub fn has_backlog(&self, peer: NodeId) -> bool {
        self.outboxes.get(&peer).is_some_and(Outbox::has_backlog)
    }

    /// The peers with undelivered messages.
    pub fn peers_with_backlog(&self) -> impl Iterator<Item = NodeId> {
        self.outboxes.iter().filter(|(_, outbox)| outbox.has_backlog()).map(|(peer, _)| *peer)
    }

    /// The application has confirmed all messages up to this arrival number.
    pub fn handle_confirmed(&mut self, arrival: u64) {
        if let Some(arrival) = self.hand_over.confirm(arrival) {
            match self.ops.back_mut() {
                Some(StoreOp::Confirmed { arrival: waiting }) => *waiting = arrival,
                _ => self.ops.push_back(StoreOp::Confirmed { arrival }),
            }
        }
        self.ops.extend(self.hand_over.load(&self.config));
    }

    /// An answer of the store. `now` is not used yet by any of them.
    pub fn handle_store(&mut self, _now: UnixTime, reply: StoreReply) {
        match reply {
            StoreReply::Opened(opened) => {
                self.hand_over.opened(opened.confirmed, opened.last_arrival);
                for peer in opened.backlog {
                    self.outboxes.entry(peer).or_insert_with(Outbox::on_disk);
                }
                self.ops.extend(self.hand_over.load(&self.config));
            }
            StoreReply::Enqueued { to, message } => self.enqueued(to, message),
            StoreReply::NotEnqueued { id, len, error } => {
                self.release_sending(len);
                self.events.push_back(MessengerEvent::Refused { id, error });
            }
            StoreReply::StatusSaved { to, ids, status } => {
                self.events.extend(ids.into_iter().map(|id| MessengerEvent::Status { id, to, status }));
                self.retry_unsaved();
                self.forget_if_idle(to);
            }
            StoreReply::StatusNotSaved { to, ids, status: Status::Delivered, .. } => {
                self.outboxes.entry(to).or_default().keep_unsaved(ids);
                self.any_unsaved = true;
            }
            // `Sent` is not tried again: it could overtake `Delivered`.
            StoreReply::StatusNotSaved { .. } | StoreReply::NotSaved { .. } => {}
            StoreReply::OutboxPage { peer, token, messages, complete } => {
                if let Some(outbox) = self.outboxes.get_mut(&peer) {
                    outbox.loaded(token, messages, complete);
                    self.refill(peer);
                }
            }
            StoreReply::OutboxPageFailed { peer, token, error } => {
                if let Some(outbox) = self.outboxes.get_mut(&peer)
                    && outbox.load_failed(token)
                    && let Some(session) = outbox.session()
                {
                    self.events.push_back(MessengerEvent::StorageFailed { session, error });
                }
            }
            StoreReply::Stored { session, ids, new } => self.stored(session, ids, new),
            StoreReply::NotStored { session, error } => {
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.failed = true;
                    state.inbound.give_up();
                    self.events.push_back(MessengerEvent::StorageFailed { session, error });
                }
            }
            StoreReply::IncomingPage { messages, complete } => {
                let messages = self.hand_over.loaded(messages, complete);
                self.events.extend(messages.into_iter().map(MessengerEvent::Received));
                self.ops.extend(self.hand_over.load(&self.config));
            }
            StoreReply::IncomingPageFailed { .. } => self.hand_over.load_failed(),
        }
    }

    /// The next operation for the store.
    pub fn poll_store(&mut self) -> Option<StoreOp> {
        self.ops.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MessengerEvent> {
        self.events.pop_front()
    }

    fn enqueued(&mut self, to: NodeId, message: OutgoingMessage) {
        self.release_sending(message.text.len());
        let (id, status) = (message.id, message.status);
        self.events.extend([MessengerEvent::Accepted { id }, MessengerEvent::Status { id, to, status }]);
        self.outboxes.entry(to).or_default().enqueued(message, self.config.outbox_window);
        self.refill(to);
        self.retry_unsaved();
    }

    fn stored(&mut self, session: SessionId, ids: Vec<MessageId>, new: Vec<IncomingMessage>) {
        for message in new {
            let message = self.hand_over.stored(message, self.config.hand_over_window);
            self.events.extend(message.map(MessengerEvent::Received));
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            state.inbound.stored(ids);
            if !state.failed {
                self.ops.extend(state.inbound.store(session, state.peer));
            }
        }
        self.ops.extend(self.hand_over.load(&self.config));
        self.retry_unsaved();
    }

    fn delivered(&mut self, peer: NodeId, receipts: Vec<MessageId>) {
        let Some(outbox) = self.outboxes.get_mut(&peer) else { return };
        let ids: Vec<_> = receipts.into_iter().filter(|id| outbox.delivered(*id)).collect();
        if !ids.is_empty() {
            self.ops.push_back(StoreOp::SetStatus { to: peer, ids, status: Status::Delivered });
            self.refill(peer);
        }
    }

    fn release_sending(&mut self, len: usize) {
        self.sending = (self.sending.0.saturating_sub(1), self.sending.1.saturating_sub(len));
    }

    /// Loads more of a peer's outbox when there is room, and forgets the peer when there is nothing to remember.
    fn refill(&mut self, peer: NodeId) {
        let Some(outbox) = self.outboxes.get_mut(&peer) else { return };
        if let Some(op) = outbox.load(peer, self.config.outbox_window, self.last_token + 1) {
            self.last_token += 1;
            self.ops.push_back(op);
        }
        self.forget_if_idle(peer);
    }

    fn forget_if_idle(&mut self, peer: NodeId) {
        if self.outboxes.get(&peer).is_some_and(Outbox::is_idle) {
            self.outboxes.remove(&peer);
        }
    }

    /// The disk takes writes: what failed is tried again.
    fn retry_unsaved(&mut self) {
        if std::mem::take(&mut self.any_unsaved) {
            self.ops.extend(self.outboxes.iter_mut().filter_map(|(peer, outbox)| outbox.retry(*peer)));
        }
    }
}

impl Session {
    fn read_messages(&mut self, received_at: UnixTime, mut data: &[u8]) -> Result<(), ProtocolViolation> {
        while let Some(record) = self.inbound.reader.next(&mut data)? {
            match record {
                Record::Message { id, sent_at, text } => {
                    self.inbound.received(ReceivedMessage { id, text, sent_at, received_at });
                }
                Record::Receipt(_) => return Err(ProtocolViolation::WrongStream),
                Record::Unknown(_) => {}
            }
        }
        Ok(())
    }

    fn read_receipts(&mut self, mut data: &[u8]) -> Result<Vec<MessageId>, ProtocolViolation> {
        let mut receipts = Vec::new();
        while let Some(record) = self.receipts.next(&mut data)? {
            match record {
                Record::Receipt(ids) => receipts.extend(ids),
                Record::Message { .. } => return Err(ProtocolViolation::WrongStream),
                Record::Unknown(_) => {}
            }
        }
        Ok(receipts)
    }
}

#[cfg(test)]
mod tests;
