//! Two messengers whose sessions break, whose disks are slow and fail, and who crash at any instant.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const IDS: [NodeId; 2] = [NodeId([1; 32]), NodeId([2; 32])];
const WINDOW: PageLimit = PageLimit { messages: 6, bytes: 300 };
const LONGEST: usize = 120;

/// One node: what survives a crash, and what does not.
struct Peer {
    id: NodeId,
    disk: MemoryStore,
    cursor: u64,
    shown: Vec<MessageId>,
    statuses: BTreeMap<MessageId, Status>,
    accepted: Vec<MessageId>,
    // Gone with a crash:
    messenger: Messenger,
    ops: Vec<StoreOp>,
    replies: VecDeque<StoreReply>,
    screen: VecDeque<IncomingMessage>,
}

/// Bytes under way: indexed by who opened the stream, then whether they go back to the opener.
struct Connection {
    id: SessionId,
    open: [bool; 2],
    pipes: [[Vec<u8>; 2]; 2],
}

struct World {
    rng: StdRng,
    peers: [Peer; 2],
    connections: Vec<Connection>,
    last_session: u64,
    last_message: u32,
    calm: bool,
}

impl Peer {
    fn new(id: NodeId) -> Self {
        let mut peer = Self {
            id,
            disk: MemoryStore::default(),
            cursor: 0,
            shown: Vec::new(),
            statuses: BTreeMap::new(),
            accepted: Vec::new(),
            messenger: Messenger::new(id, MessengerConfig::default(), [7; 32]),
            ops: Vec::new(),
            replies: VecDeque::new(),
            screen: VecDeque::new(),
        };
        peer.start();
        peer
    }

    fn start(&mut self) {
        let config = MessengerConfig {
            outbox_window: WINDOW,
            hand_over_window: WINDOW,
            commit_window: WINDOW,
            send_queue: PageLimit { messages: 20, bytes: 2000 },
            max_unconfirmed: 15,
            mailbox: None,
        };
        self.messenger = Messenger::new(self.id, config, [7; 32]);
        (self.ops, self.replies, self.screen) = Default::default();
        let mut opened = self.disk.opened();
        opened.confirmed = opened.confirmed.max(self.cursor);
        self.messenger.handle_store(NOW, StoreReply::Opened(opened));
    }

    fn collect(&mut self) {
        self.ops.extend(std::iter::from_fn(|| self.messenger.poll_store()));
        while let Some(event) = self.messenger.poll_event() {
            match event {
                MessengerEvent::Accepted { id } => self.accepted.push(id),
                MessengerEvent::Status { id, status, .. } => {
                    let before = self.statuses.insert(id, status);
                    assert!(before < Some(status), "{id:?}: {before:?} became {status:?}");
                }
                MessengerEvent::Received(message) => self.screen.push_back(message),
                MessengerEvent::Refused { .. }
                | MessengerEvent::StorageFailed { .. }
                | MessengerEvent::MailboxRefused { .. } => {}
            }
        }
        self.check_memory();
    }

    fn check_memory(&self) {
        let within = |(messages, bytes): (usize, usize)| messages <= 6 && bytes <= WINDOW.bytes + LONGEST;
        assert!(within(self.messenger.hand_over.in_memory()));
        assert!(self.messenger.outboxes.values().all(|outbox| within(outbox.in_memory())));
        assert!(self.screen.len() <= 6);
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            peers: IDS.map(Peer::new),
            connections: Vec::new(),
            last_session: 0,
            last_message: 0,
            calm: false,
        }
    }

    fn step(&mut self) {
        let who = self.rng.random_range(0..2);
        match self.rng.random_range(0..if self.calm { 880 } else { 1000 }) {
            0..260 => self.write(who),
            260..480 => self.read(who),
            480..620 => self.work_disk(who),
            620..760 => self.reply(who),
            760..820 => self.show(who),
            820..850 => self.choose_session(who),
            850..870 => self.connect(),
            870..880 => self.notice(who),
            880..980 => self.send(who),
            980..985 => self.crash(who),
            _ => self.break_connection(who),
        }
        self.peers[who].collect();
        self.connections.retain(|connection| connection.open != [false; 2]);
    }

    fn send(&mut self, who: usize) {
        self.last_message += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.last_message.to_be_bytes());
        let text = "x".repeat(self.rng.random_range(1..=LONGEST));
        let _ = self.peers[who].messenger.send(NOW.wall, MessageId(id), IDS[1 - who], text, None);
    }

    fn connect(&mut self) {
        if self.connections.iter().filter(|connection| connection.open == [true; 2]).count() >= 2 {
            return;
        }
        self.last_session += 1;
        let id = SessionId(self.last_session);
        self.connections.push(Connection { id, open: [true; 2], pipes: Default::default() });
        for who in 0..2 {
            self.peers[who].messenger.session_opened(id, IDS[1 - who]);
            self.peers[who].collect();
        }
    }

    fn any_connection(&mut self, who: usize) -> Option<usize> {
        let open: Vec<_> = (0..self.connections.len()).filter(|at| self.connections[*at].open[who]).collect();
        (!open.is_empty()).then(|| open[self.rng.random_range(0..open.len())])
    }

    fn choose_session(&mut self, who: usize) {
        let chosen = self.any_connection(who).map(|at| self.connections[at].id);
        let sending = self.peers[who].messenger.outboxes.get(&IDS[1 - who]).and_then(Outbox::session);
        if sending.is_none() || (!self.calm && self.rng.random_bool(0.3)) {
            self.peers[who].messenger.set_sending_session(NOW, IDS[1 - who], chosen);
            // The usual reason for a switch: the peer is gone from the old session, and what it had not read is lost.
            let old = self.connections.iter().position(|connection| Some(connection.id) == sending);
            if let Some(at) = old.filter(|_| sending != chosen && self.rng.random_bool(0.5)) {
                self.close(at, 1 - who);
            }
        }
    }

    fn write(&mut self, who: usize) {
        let Some(at) = self.any_connection(who) else { return };
        let connection = &mut self.connections[at];
        for (channel, pipe) in [(Channel::Outgoing, (who, 0)), (Channel::Incoming, (1 - who, 1))] {
            let pipe = &mut connection.pipes[pipe.0][pipe.1];
            let messenger = &mut self.peers[who].messenger;
            let pending = messenger.pending_write(connection.id, channel);
            let taken = self.rng.random_range(0..=pending.len());
            pipe.extend_from_slice(&pending[..taken]);
            messenger.on_written(connection.id, channel, taken);
        }
    }

    fn read(&mut self, who: usize) {
        let Some(at) = self.any_connection(who) else { return };
        let connection = &mut self.connections[at];
        for (channel, pipe) in [(Channel::Incoming, (1 - who, 0)), (Channel::Outgoing, (who, 1))] {
            let pipe = &mut connection.pipes[pipe.0][pipe.1];
            let messenger = &mut self.peers[who].messenger;
            if messenger.wants_data(connection.id, channel) {
                let len = self.rng.random_range(0..=pipe.len().min(150));
                let data: Vec<_> = pipe.drain(..len).collect();
                messenger.handle_data(NOW, connection.id, channel, &data).unwrap();
            } else if self.peers[who].messenger.sessions[&connection.id].failed {
                return self.close(at, who);
            }
        }
    }

    fn work_disk(&mut self, who: usize) {
        let fails = !self.calm && self.rng.random_bool(0.08);
        let peer = &mut self.peers[who];
        let count = self.rng.random_range(0..=peer.ops.len());
        let batch: Vec<_> = peer.ops.drain(..count).collect();
        let replies =
            if fails { execute_failing(&mut peer.disk, batch) } else { peer.disk.execute_batch(batch) };
        peer.replies.extend(replies);
    }

    fn reply(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        for _ in 0..self.rng.random_range(0..=peer.replies.len()) {
            if let Some(reply) = peer.replies.pop_front() {
                peer.messenger.handle_store(NOW, reply);
            }
        }
    }

    fn show(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        for _ in 0..self.rng.random_range(0..4) {
            let Some(message) = peer.screen.pop_front() else { break };
            assert_eq!(message.from, IDS[1 - who]);
            peer.shown.push(message.id);
            peer.cursor = message.arrival;
            peer.messenger.handle_confirmed(peer.cursor);
        }
    }

    fn close(&mut self, at: usize, who: usize) {
        let connection = &mut self.connections[at];
        connection.open[who] = false;
        self.peers[who].messenger.session_closed(NOW, connection.id);
        self.peers[who].collect();
    }

    /// One side notices; the other goes on with what is under way until it notices too.
    fn break_connection(&mut self, who: usize) {
        if let Some(at) = self.any_connection(who) {
            self.close(at, who);
        }
    }

    /// A side finds out that the other is gone, with whatever it has not read lost.
    fn notice(&mut self, who: usize) {
        let half = |connection: &Connection| connection.open[who] && !connection.open[1 - who];
        if let Some(at) = self.connections.iter().position(half) {
            self.close(at, who);
        }
    }

    fn crash(&mut self, who: usize) {
        self.connections.iter_mut().for_each(|connection| connection.open[who] = false);
        self.peers[who].start();
    }

    fn is_quiet(&self) -> bool {
        self.peers.iter().all(|peer| {
            peer.ops.is_empty()
                && peer.replies.is_empty()
                && peer.screen.is_empty()
                && peer.disk.opened().backlog.is_empty()
        })
    }

    /// No more trouble: everything must arrive, by the sessions that there are.
    fn calm_down(&mut self) {
        self.calm = true;
        for _ in 0..2_000 {
            if self.is_quiet() {
                return;
            }
            (0..50).for_each(|_| self.step());
        }
        panic!("messages are stuck");
    }

    fn check(&self) {
        for who in 0..2 {
            let sent: Vec<_> =
                self.peers[who].disk.outgoing.values().map(|(_, message)| message.id).collect();
            assert_eq!(self.peers[1 - who].shown, sent, "exactly once and in order");
            assert!(self.peers[who].accepted.iter().all(|id| sent.contains(id)), "accepted and lost");
            assert!(sent.is_sorted());
        }
    }
}

#[test]
fn every_accepted_message_is_shown_exactly_once_in_order() {
    let mut shown = 0;
    for seed in 0..50 {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            (0..3000).for_each(|_| world.step());
            world.calm_down();
            world.check();
            world.peers.iter().map(|peer| peer.shown.len()).sum::<usize>()
        });
        shown += std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("replay with seed {seed}"));
    }
    assert!(shown > 5000, "the simulation exercises something: {shown} messages");
}
