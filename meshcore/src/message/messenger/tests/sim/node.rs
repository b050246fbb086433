//! One node: what survives a crash, what does not, and what must always hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::rooms::Act;
use crate::message::messenger::*;
use crate::message::post::MailboxConfig;
use crate::message::store::testing::{execute_failing, full};
use crate::message::store::{Content, MemoryStore, OutgoingMessage, PageLimit, StoreOp, StoreReply};
use crate::types::{Instant, MessageId, NodeId, Now, Status, UnixTime};

pub(super) const WINDOW: PageLimit = PageLimit { messages: 6, bytes: 300 };
pub(super) const LONGEST: usize = 120;
const UNCONFIRMED: PageLimit = PageLimit { messages: 15, bytes: 1500 };
const UNCONFIRMED_OF_SENDER: PageLimit = PageLimit { messages: 9, bytes: 800 };

/// What the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Whatever writes.
    Full,
    /// Every second write.
    Flaky,
    /// Everything.
    Broken,
}

/// A message as its sender's application knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) to: usize,
    pub(super) may_expire: bool,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) mailbox: Option<MailboxConfig>,
    /// How far its wall clock is from that of the world.
    pub(super) skew: Duration,
    pub(super) disk: MemoryStore,
    pub(super) fault: Fault,
    /// Writes that a flaky disk was asked for.
    writes: u32,
    /// The application's own note of what it has dealt with.
    cursor: u64,
    /// Messages that the application has dealt with.
    pub(super) shown: BTreeSet<(NodeId, MessageId)>,
    /// The latest of each sender that its sender may not give up.
    latest: BTreeMap<NodeId, MessageId>,
    /// What the application has marked as read, and what it has not.
    read: BTreeSet<(NodeId, MessageId)>,
    unread: BTreeMap<NodeId, Vec<MessageId>>,
    pub(super) sent: BTreeMap<MessageId, Sent>,
    /// What the application was told to be accepted.
    pub(super) accepted: Vec<MessageId>,
    pub(super) statuses: BTreeMap<(MessageId, NodeId), Status>,
    /// What the application has asked of rooms, until that is carried out.
    pub(super) acts: BTreeMap<MessageId, Act>,
    /// Acts that were carried out, and of which the world does not know yet.
    pub(super) done: Vec<Act>,
    /// The recipients of what it wrote to a room.
    pub(super) readers: BTreeMap<MessageId, BTreeSet<NodeId>>,
    /// What it was shown of a room, and the latest of each author.
    pub(super) shown_in_room: BTreeSet<(NodeId, MessageId)>,
    latest_in_room: BTreeMap<NodeId, MessageId>,
    pub(super) last_number: u32,
    /// Counts the starts.
    pub(super) life: u32,
    pub(super) running: Option<Running>,
}

/// Gone with a crash.
pub(super) struct Running {
    pub(super) messenger: Messenger,
    /// Not executed yet, or executed and not answered: that shows only in a crash.
    pub(super) ops: VecDeque<StoreOp>,
    /// How many of them the disk is busy with.
    pub(super) committing: usize,
    pub(super) screen: VecDeque<IncomingMessage>,
    handed: u64,
    pub(super) reach: BTreeSet<usize>,
    pub(super) sessions: BTreeMap<SessionId, usize>,
    /// Attempts to connect: under way, and pauses.
    pub(super) connecting: BTreeSet<usize>,
    pub(super) pauses: BTreeMap<usize, (Duration, Instant)>,
    pub(super) jobs_done: Instant,
    pub(super) timer: Option<Instant>,
    pub(super) showing: bool,
}

impl Node {
    pub(super) fn new(index: usize, mailbox: Option<MailboxConfig>, skew: Duration) -> Self {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Self {
            id: NodeId(id),
            mailbox,
            skew,
            disk: MemoryStore::default(),
            fault: Fault::None,
            writes: 0,
            cursor: 0,
            shown: BTreeSet::new(),
            latest: BTreeMap::new(),
            read: BTreeSet::new(),
            unread: BTreeMap::new(),
            sent: BTreeMap::new(),
            accepted: Vec::new(),
            statuses: BTreeMap::new(),
            acts: BTreeMap::new(),
            done: Vec::new(),
            readers: BTreeMap::new(),
            shown_in_room: BTreeSet::new(),
            latest_in_room: BTreeMap::new(),
            last_number: 0,
            life: 0,
            running: None,
        }
    }

    pub(super) fn now(&self, monotonic: Instant) -> Now {
        let wall = UnixTime::from_millis(1_700_000_000_000) + self.skew + (monotonic - Instant::default());
        Now { monotonic, wall }
    }

    pub(super) fn start(&mut self, now: Instant, seed: [u8; 32]) {
        let config = MessengerConfig {
            outbox_window: WINDOW,
            hand_over_window: WINDOW,
            commit_window: WINDOW,
            send_queue: PageLimit { messages: 40, bytes: 4000 },
            unconfirmed: UNCONFIRMED,
            unconfirmed_of_sender: UNCONFIRMED_OF_SENDER,
            mailbox: self.mailbox,
        };
        let mut messenger = Messenger::new(self.id, config, seed);
        let mut opened = self.disk.opened();
        opened.confirmed = opened.confirmed.max(self.cursor);
        messenger.handle_store(self.now(now), StoreReply::Opened(opened));
        self.life += 1;
        self.running = Some(Running {
            messenger,
            ops: VecDeque::new(),
            committing: 0,
            screen: VecDeque::new(),
            handed: self.cursor,
            reach: BTreeSet::new(),
            sessions: BTreeMap::new(),
            connecting: BTreeSet::new(),
            pauses: BTreeMap::new(),
            jobs_done: now,
            timer: None,
            showing: false,
        });
    }

    /// Of what the disk was told and has not answered, so much is there after a crash.
    pub(super) fn crash(&mut self, survive: usize) {
        let Some(running) = self.running.take() else { return };
        if self.fault == Fault::None {
            running.ops.into_iter().take(survive).for_each(|op| drop(self.disk.execute(op)));
        }
    }

    /// The disk may say what it has written, and is about to sync.
    pub(super) fn write(&mut self, now: Instant) {
        let (now, fault) = (self.now(now), self.fault);
        let Some(running) = &mut self.running else { return };
        if matches!(fault, Fault::None | Fault::Flaky) {
            let written = self.disk.written(running.ops.iter().take(running.committing));
            written.into_iter().for_each(|reply| running.messenger.handle_store(now, reply));
        }
    }

    /// What the disk was busy with is done, or not.
    pub(super) fn commit(&mut self, now: Instant) {
        let (now, fault) = (self.now(now), self.fault);
        let Some(running) = &mut self.running else { return };
        let batch: Vec<_> = running.ops.drain(..running.committing).collect();
        running.committing = 0;
        let replies: Vec<_> = match fault {
            Fault::None => batch.into_iter().filter_map(|op| self.disk.execute(op)).collect(),
            Fault::Flaky => batch.into_iter().filter_map(|op| self.execute_or_fail(op)).collect(),
            Fault::Full => execute_failing(&mut self.disk, batch),
            Fault::Broken => batch.into_iter().map(|op| op.failed(full())).collect(),
        };
        if let Some(running) = &mut self.running {
            replies.into_iter().for_each(|reply| running.messenger.handle_store(now, reply));
        }
    }

    fn execute_or_fail(&mut self, op: StoreOp) -> Option<StoreReply> {
        self.writes += u32::from(!op.is_read());
        if op.is_read() || self.writes.is_multiple_of(2) {
            self.disk.execute(op)
        } else {
            Some(op.failed(full()))
        }
    }

    /// The message that the application deals with next, if it is one to this node alone.
    pub(super) fn next_to_show(&self) -> Option<(NodeId, MessageId)> {
        let message = self.running.as_ref()?.screen.front()?;
        message.room.is_none().then_some((message.from, message.id))
    }

    /// The application deals with the next message, and may tell its sender that it was read. One that was given up may have
    /// arrived all the same, out of order.
    pub(super) fn show(&mut self, now: Instant, reads: bool, in_order: bool) {
        let now = self.now(now);
        let Some(running) = &mut self.running else { return };
        let Some(message) = running.screen.pop_front() else { return };
        assert!(message.arrival > self.cursor, "shown again after its confirmation: {message:?}");
        let shown = if message.room.is_some() { &mut self.shown_in_room } else { &mut self.shown };
        assert!(shown.insert((message.from, message.id)), "shown twice: {message:?}");
        if message.room.is_some() {
            let before = self.latest_in_room.insert(message.from, message.id);
            assert!(before < Some(message.id), "{message:?} comes after {before:?}");
        } else if in_order {
            let before = self.latest.insert(message.from, message.id);
            assert!(before < Some(message.id), "{message:?} comes after {before:?}");
        }
        self.cursor = message.arrival;
        running.messenger.handle_confirmed(self.cursor);
        if message.room.is_some() {
            return;
        }
        let unread = self.unread.entry(message.from).or_default();
        unread.push(message.id);
        if reads {
            running.messenger.mark_read(now.wall, message.from, message.arrival);
            self.read.extend(unread.drain(..).map(|id| (message.from, id)));
        }
    }

    /// Whether the application has dealt with a message, and marked it as read.
    pub(super) fn has_read(&self, from: NodeId, id: MessageId) -> bool {
        self.read.contains(&(from, id))
    }

    /// Takes what the messenger gives; statuses are for the world to check, and sessions for it to close.
    pub(super) fn collect(&mut self) -> (Vec<(MessageId, NodeId, Status)>, Vec<SessionId>) {
        let (mut raised, mut failed) = (Vec::new(), Vec::new());
        let Some(running) = &mut self.running else { return (raised, failed) };
        running.ops.extend(std::iter::from_fn(|| running.messenger.poll_store()));
        while let Some(event) = running.messenger.poll_event() {
            match event {
                MessengerEvent::Accepted { id } => match self.acts.remove(&id) {
                    Some(act) => self.done.push(act),
                    None => self.accepted.push(id),
                },
                MessengerEvent::Status { id, to, status } => {
                    let before = self.statuses.insert((id, to), status);
                    assert!(before < Some(status), "{id:?}: {before:?} became {status:?}");
                    if self.sent.contains_key(&id) {
                        raised.push((id, to, status));
                    } else {
                        self.readers.entry(id).or_default().insert(to);
                    }
                }
                MessengerEvent::Room { .. } => {}
                MessengerEvent::Received(message) => {
                    assert!(message.arrival > running.handed, "handed over twice: {message:?}");
                    running.handed = message.arrival;
                    running.screen.push_back(message);
                }
                MessengerEvent::StorageFailed { session, .. } => failed.push(session),
                MessengerEvent::Refused { .. } | MessengerEvent::MailboxRefused { .. } => {}
            }
        }
        running.check_memory();
        (raised, failed)
    }

    /// Nothing waits for anything.
    pub(super) fn is_quiet(&self) -> bool {
        let idle = |running: &Running| running.ops.is_empty() && running.screen.is_empty();
        self.running.as_ref().is_some_and(idle) && self.disk.opened().backlog.is_empty()
    }

    /// The texts in the outbox, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &(NodeId, OutgoingMessage)> {
        self.disk.outgoing.values().filter(|(_, message)| matches!(message.content, Content::Text(_)))
    }
}

impl Running {
    fn check_memory(&self) {
        let within = |(messages, bytes): (usize, usize)| messages <= 6 && bytes <= WINDOW.bytes + LONGEST;
        assert!(within(self.messenger.hand_over.in_memory()));
        // A message of receipts can be longer than the window, which holds one of them all the same.
        assert!(self.messenger.outboxes.values().all(|outbox| outbox.in_memory().0 <= 6));
        assert!(self.screen.len() <= 6);
        let (letters, deposits) = self.messenger.post.in_memory();
        assert!(letters <= 2048, "{letters} letters are under way");
        assert!(deposits <= 64 * (self.sessions.len() + 1), "{deposits} envelopes wait");
        assert!(self.ops.len() <= 4096, "{} operations wait", self.ops.len());
    }
}

/// The id of a node's message with this number; ids of one node grow with it.
pub(super) fn id_of(node: usize, number: u32) -> MessageId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id[8..].copy_from_slice(&(node as u64).to_be_bytes());
    MessageId(id)
}
