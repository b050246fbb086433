//! The post: letters to who is not there go to mailboxes, and from a mailbox to their recipient.
//!
//! One protocol serves both: an envelope is handed over with the id of its recipient. A mailbox keeps it, and hands it over in the same
//! way when the recipient comes into reach; the recipient opens it. Whoever has handed an envelope over keeps what it was made from
//! until the answer says that it is on the other's disk.

mod counter;
mod dispatch;
mod job;
mod lane;
mod opening;
mod pauses;
mod ranking;
mod recipients;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;

use self::counter::Counter;
use self::dispatch::{Dispatch, Reach};
pub use self::job::{Job, JobOutcome};
use super::framing::{RecordReader, WriteBuffer};
use super::messenger::{ProtocolViolation, SessionId};
use super::store::{Origin, Quota, StoreOp};
use crate::types::{Instant, NodeId, Now};
use crate::wire::post::{Outcome, PostRecord};

/// What a node offers as a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Bytes of all letters. Default: 1 GiB.
    pub quota: u64,
    /// Bytes of the letters of one sender. Default: 64 MiB.
    pub sender_quota: u64,
    /// How long a letter is kept at most. Default: 30 days.
    pub keep: Duration,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self { quota: 1 << 30, sender_quota: 64 << 20, keep: Duration::from_secs(30 * 24 * 3600) }
    }
}

impl MailboxConfig {
    fn quota(self) -> Quota {
        Quota { total: self.quota, sender: self.sender_quota }
    }
}

/// Both ends of the two streams of one session.
#[derive(Debug)]
struct Session {
    peer: NodeId,
    /// To be closed; nothing is read any more.
    failed: bool,
    /// The stream that this node opened: envelopes go out, answers come in.
    letters: WriteBuffer,
    replies: RecordReader<PostRecord>,
    /// The stream that the peer opened: envelopes come in, answers go out.
    deposits: RecordReader<PostRecord>,
    answers: WriteBuffer,
}

/// The post office of one node.
#[derive(Debug)]
pub(super) struct Post {
    sessions: BTreeMap<SessionId, Session>,
    dispatch: Dispatch,
    counter: Counter,
    last_token: u64,
    /// What this node seals itself.
    jobs: VecDeque<Job>,
    /// What others have sealed: it comes after that.
    openings: VecDeque<Job>,
    ops: VecDeque<StoreOp>,
    refusals: VecDeque<(NodeId, Outcome)>,
}

/// What the parts give out.
struct Out<'a> {
    sessions: &'a mut BTreeMap<SessionId, Session>,
    last_token: &'a mut u64,
    jobs: &'a mut VecDeque<Job>,
    openings: &'a mut VecDeque<Job>,
    ops: &'a mut VecDeque<StoreOp>,
}

impl Out<'_> {
    fn token(&mut self) -> u64 {
        *self.last_token += 1;
        *self.last_token
    }
}

macro_rules! parts {
    ($post:expr) => {{
        let Post { sessions, dispatch, counter, last_token, jobs, openings, ops, refusals } = $post;
        (dispatch, counter, refusals, Out { sessions, last_token, jobs, openings, ops })
    }};
}

impl Post {
    pub(super) fn new(own: NodeId, mailbox: Option<MailboxConfig>) -> Self {
        Self {
            sessions: BTreeMap::new(),
            dispatch: Dispatch::new(),
            counter: Counter::new(own, mailbox),
            last_token: 0,
            jobs: VecDeque::new(),
            openings: VecDeque::new(),
            ops: VecDeque::new(),
            refusals: VecDeque::new(),
        }
    }

    pub(super) fn session_opened(&mut self, session: SessionId, peer: NodeId) {
        self.sessions.entry(session).or_insert_with(|| Session {
            peer,
            failed: false,
            letters: WriteBuffer::default(),
            replies: RecordReader::default(),
            deposits: RecordReader::default(),
            answers: WriteBuffer::default(),
        });
    }

    pub(super) fn session_closed(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.counter.session_closed(session);
        self.dispatch.session_closed(session);
    }

    /// The session by which letters to, or for the mailbox of, `peer` go.
    pub(super) fn set_sending_session(&mut self, peer: NodeId, session: Option<SessionId>) {
        self.dispatch.set_sending_session(peer, session);
    }

    /// Messages for `peer` wait, and it cannot be reached.
    pub(super) fn set_absent(&mut self, peer: NodeId, absent: bool) {
        self.dispatch.set_absent(peer, absent);
    }

    /// Whether the person has blocked a node.
    pub(super) fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        self.counter.set_blocked(node, blocked);
    }

    pub(super) fn is_blocked(&self, node: &NodeId) -> bool {
        self.counter.is_blocked(node)
    }

    /// There is something new for an absent peer.
    pub(super) fn on_enqueued(&mut self, peer: NodeId, seq: u64) {
        self.dispatch.on_enqueued(peer, seq);
    }

    /// There are letters for this node.
    pub(super) fn has_letters(&mut self, recipient: NodeId) {
        self.dispatch.has_letters(recipient);
    }

    /// Does what became possible. `mailboxes` and `reachable` are the nodes that can be reached.
    pub(super) fn settle(
        &mut self,
        now: Now,
        rng: &mut StdRng,
        mailboxes: &BTreeSet<NodeId>,
        reachable: &BTreeSet<NodeId>,
    ) {
        let (dispatch, counter, _, mut out) = parts!(self);
        counter.open(now.monotonic, &mut out);
        counter.store(&mut out, rng);
        dispatch.settle(now, &Reach { mailboxes, reachable }, &mut out);
    }

    /// Whether a node can be reached has changed.
    pub(super) fn on_reach_changed(&mut self, node: NodeId) {
        self.dispatch.on_reach_changed(node);
    }

    /// The mailboxes in reach have changed.
    pub(super) fn on_mailboxes_changed(&mut self) {
        self.dispatch.on_mailboxes_changed();
    }

    pub(super) fn handle_deposits(
        &mut self,
        now: Now,
        session: SessionId,
        mut data: &[u8],
    ) -> Result<(), ProtocolViolation> {
        loop {
            let Some(state) = self.sessions.get_mut(&session).filter(|state| !state.failed) else {
                return Ok(());
            };
            let peer = state.peer;
            let record = match state.deposits.next(&mut data) {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(malformed) => return self.fail(session, malformed.into()),
            };
            match record {
                PostRecord::Deposit { .. } => {
                    let (_, counter, _, mut out) = parts!(self);
                    counter.on_deposit(now, session, peer, record, &mut out);
                }
                PostRecord::Answer { .. } => return self.fail(session, ProtocolViolation::WrongStream),
                PostRecord::Unknown(_) => {}
            }
        }
    }

    pub(super) fn handle_answers(
        &mut self,
        now: Now,
        rng: &mut StdRng,
        session: SessionId,
        mut data: &[u8],
    ) -> Result<(), ProtocolViolation> {
        loop {
            let Some(state) = self.sessions.get_mut(&session).filter(|state| !state.failed) else {
                return Ok(());
            };
            let record = match state.replies.next(&mut data) {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(malformed) => return self.fail(session, malformed.into()),
            };
            match record {
                PostRecord::Answer { number, outcome, keep } => {
                    let (dispatch, _, refusals, mut out) = parts!(self);
                    refusals.extend(dispatch.on_answer(
                        now,
                        rng,
                        (session, number),
                        (outcome, keep),
                        &mut out,
                    ));
                }
                PostRecord::Deposit { .. } => return self.fail(session, ProtocolViolation::WrongStream),
                PostRecord::Unknown(_) => {}
            }
        }
    }

    fn fail(&mut self, session: SessionId, violation: ProtocolViolation) -> Result<(), ProtocolViolation> {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.failed = true;
        }
        Err(violation)
    }

    /// Whether the stream of the peer should be read.
    pub(super) fn wants_deposits(&self, session: SessionId) -> bool {
        let state = self.sessions.get(&session).filter(|state| !state.failed);
        state.is_some_and(|state| self.counter.has_room(&state.peer, &state.answers))
    }

    pub(super) fn pending_letters(&self, session: SessionId) -> &[u8] {
        self.sessions.get(&session).map_or(&[], |state| state.letters.pending())
    }

    pub(super) fn on_letters_written(&mut self, session: SessionId, n: usize) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.letters.on_written(n);
            self.dispatch.on_written();
        }
    }

    pub(super) fn pending_answers(&self, session: SessionId) -> &[u8] {
        self.sessions.get(&session).map_or(&[], |state| state.answers.pending())
    }

    pub(super) fn on_answers_written(&mut self, session: SessionId, n: usize) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.answers.on_written(n);
        }
    }

    pub(super) fn handle_job(&mut self, now: Now, outcome: JobOutcome) {
        let (dispatch, counter, _, mut out) = parts!(self);
        match outcome {
            JobOutcome::Sealed { token, envelope } => dispatch.on_sealed(now, token, envelope, &mut out),
            JobOutcome::Opened { token, letter } => counter.on_opened(now, token, letter, &mut out),
            // Letters have nothing to do with it.
            JobOutcome::Signed { .. } => {}
        }
    }

    /// The letter of this job is not taken now; who brought it keeps it.
    pub(super) fn put_off(&mut self, token: u64) {
        let (_, counter, _, mut out) = parts!(self);
        counter.put_off(token, &mut out);
    }

    /// Letters are on disk, or not; `None`: they are.
    pub(super) fn on_stored(&mut self, origin: &Origin, outcome: Outcome) {
        let Origin::Envelopes { session, numbers } = origin else { return };
        let (_, counter, _, mut out) = parts!(self);
        for number in numbers {
            counter.answer(*session, *number, outcome, &mut out);
        }
    }

    pub(super) fn on_kept(&mut self, session: SessionId, number: u64, outcome: Outcome) {
        let (_, counter, _, mut out) = parts!(self);
        counter.answer(session, number, outcome, &mut out);
    }

    pub(super) fn on_page(&mut self, now: Now, page: dispatch::Page) {
        let (dispatch, _, _, mut out) = parts!(self);
        dispatch.on_page(now, page, &mut out);
    }

    pub(super) fn on_page_failed(&mut self, now: Now, token: u64) {
        self.dispatch.on_page_failed(now, token);
    }

    /// The nodes to which a session is wanted, each from when on.
    pub(super) fn wanted_sessions(&self) -> impl Iterator<Item = (NodeId, Instant)> {
        self.dispatch.wanted_sessions()
    }

    pub(super) fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front().or_else(|| self.openings.pop_front())
    }

    pub(super) fn poll_store(&mut self) -> Option<StoreOp> {
        self.ops.pop_front()
    }

    /// A mailbox that refuses, and why.
    pub(super) fn poll_refusal(&mut self) -> Option<(NodeId, Outcome)> {
        self.refusals.pop_front()
    }

    /// Nodes for which letters are said to be there.
    #[cfg(test)]
    pub(super) fn recipients(&self) -> usize {
        self.dispatch.recipients()
    }

    /// Letters and deposits that are under way.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> (usize, usize) {
        (self.dispatch.under_way(), self.counter.under_way())
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.counter.poll_timeout().into_iter().fold(self.dispatch.poll_timeout(), Instant::min)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        let (dispatch, counter, refusals, mut out) = parts!(self);
        counter.open(now, &mut out);
        let silent = dispatch.handle_timeout(now, rng);
        refusals.extend(silent.into_iter().map(|mailbox| (mailbox, Outcome::Later)));
    }
}

pub(super) use dispatch::Page;

#[cfg(test)]
mod tests;
