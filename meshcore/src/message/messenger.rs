//! The delivery of messages: the outbox, the ways by session and by mailbox, receipts, and the hand-over to the application.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::rooms::Rooms;
use self::session::Session;
use super::absence::Absence;
use super::inbound::HandOver;
use super::outbound::Outbox;
use super::post::{Job, JobOutcome, Post};
use super::sent::Sent;
pub use super::store::IncomingMessage;
use super::store::StoreOp;
use crate::types::{Instant, MessageId, NodeId, Now, Status, UnixTime};

mod interface;
mod replies;
mod rooms;
mod session;

pub use interface::{
    Channel, MessengerConfig, MessengerEvent, ProtocolViolation, SendError, SessionId, check_room_text,
    check_text,
};

/// How often it is looked what is due by the clock: messages to be given up, letters to be dropped.
const SWEEP: Duration = Duration::from_secs(30);

/// Messages between this node and its peers.
///
/// # Driving it
/// Give it everything that happens through `handle_*`, `session_*`, `set_*` and [`Messenger::on_written`]; the first reply of
/// the store must be [`StoreReply::Opened`](super::store::StoreReply::Opened). After any of these calls
/// 1. take [`Messenger::poll_store`] until `None` and execute the operations in that order,
/// 2. take [`Messenger::poll_job`] until `None` and do the jobs in that order, but elsewhere,
/// 3. take [`Messenger::poll_event`] until `None`,
/// 4. open sessions to [`Messenger::wanted_sessions`] as far as they can be reached,
/// 5. offer [`Messenger::pending_write`] of the channels of each open session to its streams and report what they took,
/// 6. read a stream only while [`Messenger::wants_data`] says so, at most 64 KiB for each call; any call can change it.
///
/// At [`Messenger::poll_timeout`] call [`Messenger::handle_timeout`].
#[derive(Debug)]
pub struct Messenger {
    own: NodeId,
    config: MessengerConfig,
    rng: StdRng,
    sessions: BTreeMap<SessionId, Session>,
    outboxes: BTreeMap<NodeId, Outbox>,
    hand_over: HandOver,
    absence: Absence,
    mailboxes: BTreeSet<NodeId>,
    post: Post,
    rooms: Rooms,
    /// Messages and bytes of the application that wait for their commit.
    sending: (usize, usize),
    /// Those of them that are on their way already, and to whom.
    ahead: BTreeMap<MessageId, NodeId>,
    sent: Sent,
    any_unsaved: bool,
    last_token: u64,
    sweep_at: Instant,
    ops: VecDeque<StoreOp>,
    jobs: VecDeque<Job>,
    events: VecDeque<MessengerEvent>,
}

impl Messenger {
    /// A messenger of the node `own` that knows nothing yet.
    pub fn new(own: NodeId, config: MessengerConfig, seed: [u8; 32]) -> Self {
        let post = Post::new(own, config.mailbox);
        Self {
            own,
            config,
            rng: StdRng::from_seed(seed),
            sessions: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            hand_over: HandOver::default(),
            absence: Absence::default(),
            mailboxes: BTreeSet::new(),
            post,
            rooms: Rooms::default(),
            sending: (0, 0),
            ahead: BTreeMap::new(),
            sent: Sent::default(),
            any_unsaved: false,
            last_token: 0,
            sweep_at: Instant::default(),
            ops: VecDeque::new(),
            jobs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes a message; [`MessengerEvent::Accepted`] or [`MessengerEvent::Refused`] follows. It is given up at `expires`.
    pub fn send(
        &mut self,
        now: UnixTime,
        id: MessageId,
        to: NodeId,
        text: String,
        expires: Option<UnixTime>,
    ) -> Result<(), SendError> {
        check_text(&text)?;
        self.reserve_sending(text.len())?;
        self.ops.push_back(StoreOp::Enqueue { id, to, created: now, expires, text });
        Ok(())
    }

    /// The application, or the person, has read the messages from this node up to this arrival number: the sender is told.
    pub fn mark_read(&mut self, now: UnixTime, from: NodeId, arrival: u64) {
        let receipt = MessageId(self.rng.random());
        self.ops.push_back(StoreOp::MarkRead { from, arrival, receipt, now });
    }

    /// A session with an authenticated peer has begun.
    pub fn session_opened(&mut self, session: SessionId, peer: NodeId) {
        self.sessions.entry(session).or_insert_with(|| Session::new(peer));
        self.post.session_opened(session, peer);
    }

    /// A session has ended, whoever ended it.
    pub fn session_closed(&mut self, now: Now, session: SessionId) {
        let Some(Session { peer, .. }) = self.sessions.remove(&session) else { return };
        self.post.session_closed(session);
        if self.outboxes.get(&peer).is_some_and(|outbox| outbox.session() == Some(session)) {
            self.set_sending_session(now, peer, None);
        }
    }

    /// Chooses the session by which messages to `peer` go. A change rewinds to the first undelivered message. A session
    /// that is not open with this peer counts as none.
    pub fn set_sending_session(&mut self, now: Now, peer: NodeId, session: Option<SessionId>) {
        let session = session.filter(|id| self.sessions.get(id).is_some_and(|open| open.peer == peer));
        let outbox = self.outboxes.entry(peer).or_default();
        if outbox.session() != session {
            outbox.set_session(session);
            // What is known to be delivered shall not be loaded and sent again.
            self.ops.extend(outbox.retry(peer));
        }
        self.post.set_sending_session(peer, session);
        self.refill(peer);
        self.review(now, peer);
        self.settle_post(now);
    }

    /// Whether a node can be reached.
    pub fn set_reachable(&mut self, now: Now, node: NodeId, reachable: bool) {
        if self.absence.set_reachable(node, reachable) {
            self.review(now, node);
            self.post.on_reach_changed(node);
            self.settle_post(now);
        }
    }

    /// The nodes in reach that offer a mailbox.
    pub fn set_mailboxes(&mut self, now: Now, mailboxes: BTreeSet<NodeId>) {
        if self.mailboxes != mailboxes {
            self.mailboxes = mailboxes;
            self.post.on_mailboxes_changed();
            self.settle_post(now);
        }
    }

    /// Whether the person has blocked a node: what it wrote is not taken, whatever way it comes, and what waits for it goes
    /// no way. As long as it is blocked it must neither be reachable nor be among the mailboxes.
    pub fn set_blocked(&mut self, now: Now, node: NodeId, blocked: bool) {
        self.post.set_blocked(node, blocked);
        self.review(now, node);
        self.settle_post(now);
    }

    /// Bytes from a stream, cut anywhere. An error finishes the session: what comes later is ignored, close it.
    pub fn handle_data(
        &mut self,
        now: Now,
        session: SessionId,
        channel: Channel,
        data: &[u8],
    ) -> Result<(), ProtocolViolation> {
        let Some(state) = self.sessions.get_mut(&session).filter(|state| !state.failed) else {
            return Ok(());
        };
        let result = match channel {
            Channel::Incoming => state.read_messages(now.wall, data).map(|()| Vec::new()),
            Channel::Outgoing => state.read_receipts(data),
            Channel::Deposits => self.post.handle_deposits(now, session, data).map(|()| Vec::new()),
            Channel::Letters => {
                self.post.handle_answers(now, &mut self.rng, session, data).map(|()| Vec::new())
            }
        };
        state.failed = result.is_err();
        let peer = state.peer;
        self.store_incoming(session);
        self.settle_post(now);
        self.delivered(now, peer, result?);
        Ok(())
    }

    /// Whether a stream should be read now.
    pub fn wants_data(&self, session: SessionId, channel: Channel) -> bool {
        let Some(state) = self.sessions.get(&session).filter(|state| !state.failed) else { return false };
        match channel {
            Channel::Outgoing | Channel::Letters => true,
            Channel::Incoming => state.inbound.has_room(self.config.commit_window),
            Channel::Deposits => self.post.wants_deposits(session),
        }
    }

    /// What a stream should be given next; empty when there is nothing.
    pub fn pending_write(&mut self, session: SessionId, channel: Channel) -> &[u8] {
        let Some(state) = self.sessions.get_mut(&session) else { return &[] };
        match channel {
            Channel::Letters => self.post.pending_letters(session),
            Channel::Deposits => self.post.pending_answers(session),
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
    pub fn on_written(&mut self, now: Instant, session: SessionId, channel: Channel, n: usize) {
        match channel {
            Channel::Letters => self.post.on_letters_written(session, n),
            Channel::Deposits => self.post.on_answers_written(session, n),
            Channel::Outgoing => self.on_messages_written(now, session, n),
            Channel::Incoming => {
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.inbound.on_written(n);
                }
            }
        }
    }

    fn on_messages_written(&mut self, now: Instant, session: SessionId, n: usize) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
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
            self.sent.add(now, to, ids);
        }
    }

    /// Whether undelivered messages for this peer exist.
    pub fn has_backlog(&self, peer: NodeId) -> bool {
        self.outboxes.get(&peer).is_some_and(Outbox::has_backlog)
    }

    /// Whether undelivered texts for this peer exist, and not receipts alone, which whoever writes to this node gets.
    pub fn has_pending_texts(&self, peer: NodeId) -> bool {
        self.outboxes.get(&peer).is_some_and(Outbox::has_texts)
    }

    /// The nodes with which a session is wanted, each from when on, some of them more than once: messages for them wait, or letters
    /// that they shall keep.
    pub fn wanted_sessions(&self) -> impl Iterator<Item = (NodeId, Instant)> {
        let is_wanted =
            |(peer, outbox): &(&NodeId, &Outbox)| outbox.has_backlog() && !self.post.is_blocked(peer);
        let backlog = self.outboxes.iter().filter(is_wanted);
        backlog.map(|(peer, _)| (*peer, Instant::default())).chain(self.post.wanted_sessions())
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
        let stopped = self.sessions.iter().filter(|(_, state)| !state.failed && state.inbound.is_stopped());
        for session in stopped.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.store_incoming(session);
        }
    }

    /// What came of a job.
    pub fn handle_job(&mut self, now: Now, outcome: JobOutcome) {
        match outcome {
            JobOutcome::Signed { room, signed } => self.room_signed(now.wall, room, signed),
            JobOutcome::Opened { token, letter: Ok((sender, letter)) }
                if letter.content.is_text()
                    && !self.hand_over.takes_texts(sender, &self.config)
                    && !self.post.is_blocked(&sender) =>
            {
                self.post.put_off(token);
            }
            outcome => self.post.handle_job(now, outcome),
        }
        self.settle_post(now);
    }

    /// The next operation for the store.
    pub fn poll_store(&mut self) -> Option<StoreOp> {
        let op = self.ops.pop_front().or_else(|| self.post.poll_store())?;
        Some(self.without_blocked_owners(op))
    }

    /// The next letter to be sealed, envelope to be opened, or room to be signed.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front().or_else(|| self.post.poll_job())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MessengerEvent> {
        let refusal = |(mailbox, outcome)| MessengerEvent::MailboxRefused { mailbox, outcome };
        self.events.pop_front().or_else(|| self.post.poll_refusal().map(refusal))
    }

    /// When [`Messenger::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let post = Some(self.post.poll_timeout());
        [Some(self.sweep_at), self.absence.poll_timeout(), self.sent.poll_timeout(), post]
            .into_iter()
            .flatten()
            .min()
    }

    /// The time of [`Messenger::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        for absent in self.absence.handle_timeout(now.monotonic) {
            self.post.set_absent(absent, true);
        }
        self.post.handle_timeout(now.monotonic, &mut self.rng);
        self.ops.extend(self.sent.handle_timeout(now.monotonic));
        if now.monotonic >= self.sweep_at {
            self.sweep_at = now.monotonic + SWEEP;
            self.ops.push_back(StoreOp::Sweep { now: now.wall });
            self.sign_rooms(now.monotonic);
            // Again, what the disk refused.
            self.retry_unsaved();
            self.ops.extend(self.hand_over.load(&self.config));
        }
        self.settle_post(now);
    }

    fn settle_post(&mut self, now: Now) {
        self.post.settle(now, &mut self.rng, &self.mailboxes, self.absence.reachable());
    }

    /// Has what a session brought stored, as far as the application is to get more of its peer.
    fn store_incoming(&mut self, session: SessionId) {
        let Some(Session { peer, inbound, .. }) = self.sessions.get_mut(&session) else { return };
        let takes_texts = self.hand_over.takes_texts(*peer, &self.config);
        self.ops.extend(inbound.store(session, *peer, self.own, takes_texts));
    }

    fn delivered(&mut self, now: Now, peer: NodeId, receipts: Vec<MessageId>) {
        let Some(outbox) = self.outboxes.get_mut(&peer) else { return };
        let ids: Vec<_> = receipts.into_iter().filter(|id| outbox.delivered(*id)).collect();
        ids.iter().for_each(|id| self.sent.remove(peer, *id));
        if !ids.is_empty() {
            self.ops.push_back(StoreOp::SetStatus { to: peer, ids, status: Status::Delivered });
            self.refill(peer);
            self.review(now, peer);
        }
    }

    fn reserve_sending(&mut self, len: usize) -> Result<(), SendError> {
        let (messages, bytes) = (self.sending.0 + 1, self.sending.1 + len);
        if messages > self.config.send_queue.messages || bytes > self.config.send_queue.bytes {
            return Err(SendError::Busy);
        }
        self.sending = (messages, bytes);
        Ok(())
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

    /// Whether messages wait for a peer who cannot be reached may have changed.
    fn review(&mut self, now: Now, peer: NodeId) {
        let outbox = self.outboxes.get(&peer);
        // A session with somebody who is gone lasts until it times out.
        let is_cut_off = |outbox: &Outbox| outbox.session().is_none() || !self.absence.is_reachable(peer);
        let waiting = outbox.is_some_and(|outbox| outbox.has_backlog() && is_cut_off(outbox))
            && !self.post.is_blocked(&peer);
        if let Some(absent) = self.absence.set_waiting(now.monotonic, peer, waiting) {
            self.post.set_absent(peer, absent);
        }
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

#[cfg(test)]
mod tests;
