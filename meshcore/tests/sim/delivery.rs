//! Messages among whole nodes in a mesh that loses every fifth frame on each of its wires, while nodes crash, wires break and disks fill:
//! whatever was accepted arrives once and in order, and no status steps back.

use std::collections::BTreeMap;

use meshcore::MailboxConfig;
use meshcore::node::Event;
use meshcore::types::{Instant, MessageId, NodeId, Status};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::Fault;
use crate::net::{Faults, Segment, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds};

const KEYS: [&str; 8] = [
    ALICE,
    BOB,
    CAROL,
    include_str!("../keys/message/rsa2048d.pem"),
    include_str!("../keys/message/rsa2048e.pem"),
    include_str!("../keys/message/rsa2048f.pem"),
    include_str!("../keys/message/rsa2048g.pem"),
    include_str!("../keys/message/rsa2048h.pem"),
];

/// Each wire meets the next at a node that is on both: a ring, up to four hops wide.
const WIRES: [[usize; 3]; 4] = [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 0]];

const MAILBOXES: [usize; 2] = [3, 5];

/// Attempts to send, each followed by up to a second of pause.
const MESSAGES: usize = 200;

/// What was broken is whole again after this time at the latest.
const LONGEST_TROUBLE: u32 = 25;

enum Repair {
    Node(usize),
    Wire(usize),
    Disk(usize),
}

#[derive(Debug)]
struct Message {
    from: usize,
    to: usize,
    number: usize,
    status: Option<Status>,
}

struct Run {
    world: World,
    random: StdRng,
    messages: BTreeMap<MessageId, Message>,
    /// What each node was shown, over all its lives.
    shown: Vec<Vec<MessageId>>,
    /// By time, then in the order of the troubles.
    repairs: BTreeMap<(Instant, usize), Repair>,
    troubles: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, &KEYS, Faults::HARSH);
        let wire = |members: &[usize; 3]| Segment { members: Some(members.to_vec()), mtu: 1500, up: true };
        world.segments = WIRES.iter().map(wire).collect();
        for at in MAILBOXES {
            world.stations[at].mailbox = Some(MailboxConfig::default());
        }
        (0..KEYS.len()).for_each(|at| world.start(at));
        Self {
            world,
            random: StdRng::seed_from_u64(seed),
            messages: BTreeMap::new(),
            shown: vec![Vec::new(); KEYS.len()],
            repairs: BTreeMap::new(),
            troubles: 0,
        }
    }

    fn is_running(&self, at: usize) -> bool {
        self.world.stations[at].stack.is_some()
    }

    /// Takes what the nodes tell, and confirms as an application does.
    fn take(&mut self) {
        for at in 0..KEYS.len() {
            let events: Vec<_> = self.world.stations[at].seen.drain(..).collect();
            for event in events {
                match event {
                    Event::Message(message) => {
                        self.shown[at].push(message.id);
                        self.world.stations[at].disk.confirm(message.arrival);
                        if self.is_running(at) {
                            self.world.with(at, |stack, now| stack.handle_confirmed(now, message.arrival));
                        }
                    }
                    Event::Status { id, status, .. } => {
                        let message = self.messages.get_mut(&id).expect("a message that was sent");
                        assert!(message.status < Some(status), "{message:?} steps back to {status:?}");
                        message.status = Some(status);
                    }
                    _ => {}
                }
            }
        }
    }

    fn run_for(&mut self, tenths: u32) {
        for _ in 0..tenths {
            self.world.run_until(SECOND / 10, |_| false);
            self.take();
        }
    }

    fn send(&mut self, number: usize) {
        let (from, to) = (self.random.random_range(0..KEYS.len()), self.random.random_range(0..KEYS.len()));
        let node: NodeId = self.world.stations[to].id;
        if from == to || !self.is_running(from) {
            return;
        }
        // Somebody whom it has never met it does not know.
        let text = format!("{number}");
        if let Ok(id) = self.world.with(from, |stack, now| stack.send(now, node, text, None)) {
            self.messages.insert(id, Message { from, to, number, status: None });
        }
    }

    fn break_something(&mut self) {
        let due = self.world.now + SECOND * self.random.random_range(0..LONGEST_TROUBLE);
        let at = self.random.random_range(0..KEYS.len());
        let repair = match self.random.random_range(0..5) {
            0..3 if self.is_running(at) => {
                self.take();
                self.world.crash(at);
                Repair::Node(at)
            }
            3 => {
                let wire = at % WIRES.len();
                self.world.segments[wire].up = false;
                Repair::Wire(wire)
            }
            _ => {
                self.world.stations[at].disk.fault = Fault::Full;
                Repair::Disk(at)
            }
        };
        self.repairs.insert((due, self.troubles), repair);
        self.troubles += 1;
    }

    fn repair(&mut self, until: Instant) {
        while let Some(entry) = self.repairs.first_entry().filter(|entry| entry.key().0 <= until) {
            match entry.remove() {
                Repair::Node(at) => self.world.start(at),
                Repair::Wire(wire) => self.world.segments[wire].up = true,
                Repair::Disk(at) => self.world.stations[at].disk.fault = Fault::None,
            }
        }
    }

    /// Those that their sender's application knows to be on disk.
    fn accepted(&self) -> impl Iterator<Item = (&MessageId, &Message)> {
        self.messages.iter().filter(|(_, message)| message.status.is_some())
    }

    fn check(&self) {
        for (at, shown) in self.shown.iter().enumerate() {
            let mut last = [None; KEYS.len()];
            for id in shown {
                let Message { from, to, number, .. } = self.messages[id];
                assert_eq!(to, at, "{id} is for somebody else");
                assert!(last[from] < Some(number), "{from} to {to}: {number} comes after {:?}", last[from]);
                last[from] = Some(number);
            }
        }
        for (id, message) in self.accepted() {
            assert!(self.shown[message.to].contains(id), "{message:?} was lost");
        }
    }
}

#[test]
fn what_was_accepted_arrives_once_and_in_order() {
    for_seeds(3, |seed| {
        let mut run = Run::new(seed);
        run.run_for(300);
        for number in 0..MESSAGES {
            run.send(number);
            if run.random.random_bool(0.2) {
                run.break_something();
            }
            let tenths = run.random.random_range(1..10);
            run.run_for(tenths);
            run.repair(run.world.now);
        }
        run.repair(run.world.now + SECOND * LONGEST_TROUBLE);
        for _ in 0..600 {
            if run.accepted().all(|(_, message)| message.status >= Some(Status::Delivered)) {
                break;
            }
            run.run_for(10);
        }
        let waiting: Vec<_> = run.accepted().filter(|(_, m)| m.status < Some(Status::Delivered)).collect();
        assert!(waiting.is_empty(), "not delivered: {waiting:?}");
        run.check();
        assert!(run.accepted().count() > MESSAGES / 4, "{} accepted", run.accepted().count());
    });
}
