//! Nodes in virtual time: who reaches whom, what breaks, and what happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::node::{Fault, LONGEST, Node, Sent, id_of};
use super::wire::{CHANNELS, Wire, work};
use crate::message::messenger::*;
use crate::message::post::{JobOutcome, MailboxConfig};
use crate::types::{Instant, Status};

mod checks;
mod net;

/// Pauses between attempts to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Share of attempts to connect, and of other things, that fail for no reason.
const LOSS: f64 = 0.2;

/// What a world is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) mailboxes: usize,
    pub(super) messages: u32,
    /// Seconds between troubles on average, and between bursts of messages of one node.
    pub(super) trouble: f64,
    pub(super) pace: f64,
    pub(super) seed: u64,
}

pub(super) enum Happening {
    Send {
        node: usize,
    },
    Write {
        node: usize,
        life: u32,
    },
    Commit {
        node: usize,
        life: u32,
    },
    Job {
        node: usize,
        life: u32,
        outcome: JobOutcome,
    },
    Timer {
        node: usize,
        life: u32,
    },
    Show {
        node: usize,
        life: u32,
    },
    Reach {
        node: usize,
        life: u32,
    },
    Connect {
        ends: [usize; 2],
        lives: [u32; 2],
    },
    Arrive {
        session: SessionId,
        side: usize,
    },
    /// A side finds out that its session is dead.
    Notice {
        session: SessionId,
        side: usize,
    },
    Start {
        node: usize,
    },
    Mend {
        node: usize,
    },
    /// Somebody does something with the room.
    Room,
    Trouble,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: StdRng,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    /// Nodes with the same number reach each other.
    groups: Vec<u32>,
    /// To whom each writes.
    contacts: Vec<Vec<usize>>,
    wires: BTreeMap<SessionId, Wire>,
    agenda: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
    last_session: u64,
    pub(super) to_send: u32,
    calm: bool,
    pub(super) happenings: u64,
    /// How many messages were seen with each status.
    pub(super) seen: BTreeMap<Status, usize>,
    /// Most messages that waited for others at one node.
    pub(super) held: usize,
    pub(super) room: super::rooms::RoomLog,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let nodes: Vec<_> = (0..plan.nodes)
            .map(|index| {
                let small = MailboxConfig { quota: 60_000, sender_quota: 20_000, ..MailboxConfig::default() };
                let mailbox = [MailboxConfig::default(), small][usize::from(rng.random_bool(0.4))];
                let skew = Duration::from_secs(rng.random_range(0..86_400));
                Node::new(index, (index < plan.mailboxes).then_some(mailbox), skew)
            })
            .collect();
        let mut contacts = vec![BTreeSet::new(); plan.nodes];
        for node in 0..plan.nodes {
            for _ in 0..rng.random_range(1..4) {
                let other = (node + rng.random_range(1..plan.nodes)) % plan.nodes;
                contacts[node].insert(other);
                contacts[other].insert(node);
            }
        }
        let mut world = Self {
            plan,
            rng,
            now: Instant::from_micros(1),
            nodes,
            groups: vec![0; plan.nodes],
            contacts: contacts.into_iter().map(|all| all.into_iter().collect()).collect(),
            wires: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            last_session: 0,
            to_send: plan.messages,
            calm: false,
            happenings: 0,
            seen: BTreeMap::new(),
            held: 0,
            room: super::rooms::RoomLog::default(),
        };
        for node in 0..plan.nodes {
            world.start(node);
            world.plan_sending(node);
        }
        world.later(plan.trouble, Happening::Trouble);
        world
    }

    /// Runs until it holds, which is looked at every few seconds; whether it did before this time has passed.
    pub(super) fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut look = self.now;
        while let Some(((at, _), happening)) = self.agenda.pop_first() {
            if at >= look {
                if holds(self) {
                    self.agenda.insert((at, 0), happening);
                    return true;
                }
                if at >= end {
                    return false;
                }
                look = at + Duration::from_secs(10);
            }
            self.now = at;
            self.happenings += 1;
            self.happen(happening);
        }
        false
    }

    /// From now on all works.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.groups.fill(0);
        for node in 0..self.nodes.len() {
            self.nodes[node].fault = Fault::None;
            self.start(node);
        }
        self.reach_changed();
    }

    /// Every node starts anew, with all that its disk was told.
    pub(super) fn restart_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.crash(node, usize::MAX);
            self.start(node);
        }
        self.reach_changed();
    }

    fn plan_at(&mut self, at: Instant, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), happening);
    }

    pub(super) fn within(&mut self, least: f64, most: f64, happening: Happening) {
        let delay = self.rng.random_range(least..most);
        self.plan_at(self.now + Duration::from_secs_f64(delay), happening);
    }

    /// After this many seconds on average.
    pub(super) fn later(&mut self, mean: f64, happening: Happening) {
        self.within(0.0, 2.0 * mean, happening);
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].running.is_some()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Send { node } => self.send(node),
            Happening::Trouble => self.trouble(),
            Happening::Start { node } => self.start(node),
            Happening::Room => self.act_in_room(),
            Happening::Mend { node } => self.nodes[node].fault = Fault::None,
            Happening::Connect { ends, lives } => self.connect(ends, lives),
            Happening::Arrive { session, side } => self.arrive(session, side),
            Happening::Notice { session, side } => self.close(session, side),
            Happening::Write { node, life } if self.lives(node, life) => {
                self.nodes[node].write(self.now);
                self.touch(node);
            }
            Happening::Commit { node, life } if self.lives(node, life) => {
                self.nodes[node].commit(self.now);
                self.held = self.held.max(self.nodes[node].disk.held());
                self.touch(node);
            }
            Happening::Job { node, life, outcome } if self.lives(node, life) => {
                self.with(node, |messenger, now| messenger.handle_job(now, outcome));
            }
            Happening::Timer { node, life } if self.lives(node, life) => self.on_timer(node),
            Happening::Show { node, life } if self.lives(node, life) => {
                let reads = self.rng.random_bool(0.2);
                let may_expire = self.nodes[node].next_to_show().is_some_and(|(from, id)| {
                    self.nodes.iter().any(|node| node.id == from && node.sent[&id].may_expire)
                });
                self.nodes[node].show(self.now, reads, !may_expire);
                if let Some(running) = &mut self.nodes[node].running {
                    running.showing = false;
                }
                self.touch(node);
            }
            Happening::Reach { node, life } if self.lives(node, life) => self.look_around(node),
            Happening::Write { .. }
            | Happening::Commit { .. }
            | Happening::Job { .. }
            | Happening::Timer { .. }
            | Happening::Show { .. }
            | Happening::Reach { .. } => {}
        }
    }

    pub(super) fn with<R>(&mut self, node: usize, act: impl FnOnce(&mut Messenger, Now) -> R) -> Option<R> {
        let now = self.nodes[node].now(self.now);
        let running = self.nodes[node].running.as_mut()?;
        let result = act(&mut running.messenger, now);
        self.touch(node);
        Some(result)
    }

    fn on_timer(&mut self, node: usize) {
        let now = self.now;
        if let Some(running) = &mut self.nodes[node].running {
            running.timer = None;
            if running.messenger.poll_timeout().is_none_or(|due| now < due) {
                return self.touch(node);
            }
        }
        self.with(node, |messenger, now| {
            messenger.handle_timeout(now);
            let next = messenger.poll_timeout();
            assert!(next.is_none_or(|next| now.monotonic < next), "the timer stands still at {next:?}");
        });
    }

    // -- applications ---------------------------------------------------------------------------------------------

    fn plan_sending(&mut self, node: usize) {
        self.later(self.plan.pace, Happening::Send { node });
    }

    fn send(&mut self, node: usize) {
        if self.to_send == 0 {
            return;
        }
        self.plan_sending(node);
        let to = self.contacts[node][self.rng.random_range(0..self.contacts[node].len())];
        let recipient = self.nodes[to].id;
        for _ in 0..self.rng.random_range(1..=6).min(self.to_send) {
            let text = "x".repeat(self.rng.random_range(1..=LONGEST));
            let lifetime =
                self.rng.random_bool(0.03).then(|| Duration::from_secs(self.rng.random_range(20..120)));
            let number = self.nodes[node].last_number + 1;
            let id = id_of(node, number);
            let sent = self.with(node, |messenger, now| {
                messenger.send(now.wall, id, recipient, text, lifetime.map(|lifetime| now.wall + lifetime))
            });
            if sent == Some(Ok(())) {
                self.nodes[node].last_number = number;
                self.nodes[node].sent.insert(id, Sent { to, may_expire: lifetime.is_some() });
                self.to_send -= 1;
            }
        }
    }

    // -- outputs --------------------------------------------------------------------------------------------------

    /// Takes what a messenger gives after something has happened to it.
    fn touch(&mut self, node: usize) {
        loop {
            let (raised, failed) = self.nodes[node].collect();
            for session in failed {
                let side = self.wires.get(&session).map_or(0, |wire| wire.side(node));
                self.close(session, side);
            }
            raised.into_iter().for_each(|(id, to, status)| self.check_status(node, id, to, status));
            self.note_acts(node);
            self.start_jobs(node);
            if !self.exchange(node) {
                break;
            }
        }
        let (life, rng) = (self.nodes[node].life, &mut self.rng);
        let Some(running) = &mut self.nodes[node].running else { return };
        let mut next = Vec::new();
        if !running.ops.is_empty() && running.committing == 0 {
            running.committing = running.ops.len();
            let slow = if rng.random_bool(0.02) { 1.0 } else { 0.01 };
            let delay = rng.random_range(0.001..0.01 + slow);
            if rng.random_bool(0.5) {
                next.push((rng.random_range(0.0..delay), Happening::Write { node, life }));
            }
            next.push((delay, Happening::Commit { node, life }));
        }
        if !running.screen.is_empty() && !running.showing {
            running.showing = true;
            next.push((rng.random_range(0.0..0.2), Happening::Show { node, life }));
        }
        next.into_iter().for_each(|(delay, happening)| self.within(delay, delay + 1e-6, happening));
        self.try_to_connect(node);
        self.set_timer(node);
    }

    fn set_timer(&mut self, node: usize) {
        let (now, life) = (self.now, self.nodes[node].life);
        let ids: BTreeMap<_, _> = self.contact_ids(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        let wanted =
            running.messenger.wanted_sessions().filter_map(|(peer, from)| Some((*ids.get(&peer)?, from)));
        let attempt = wanted
            .filter(|(peer, _)| running.may_connect(*peer))
            .map(|(peer, from)| from.max(running.pauses.get(&peer).map_or(now, |(_, until)| *until)))
            .filter(|at| now < *at)
            .min();
        let due = running.messenger.poll_timeout().into_iter().chain(attempt).min();
        if let Some(due) = due.filter(|due| running.timer.is_none_or(|timer| *due < timer)) {
            running.timer = Some(due);
            self.plan_at(due, Happening::Timer { node, life });
        }
    }

    fn start_jobs(&mut self, node: usize) {
        let (now, id, life) = (self.now, self.nodes[node].id, self.nodes[node].life);
        let Some(running) = &mut self.nodes[node].running else { return };
        let mut done = Vec::new();
        while let Some(job) = running.messenger.poll_job() {
            running.jobs_done = running.jobs_done.max(now) + Duration::from_millis(2);
            done.push((running.jobs_done, work(id, job)));
        }
        done.into_iter().for_each(|(at, outcome)| self.plan_at(at, Happening::Job { node, life, outcome }));
    }

    /// Moves bytes from the messenger to the wires, and has those looked at that the messenger wants. Whether any moved.
    fn exchange(&mut self, node: usize) -> bool {
        let Some(running) = &self.nodes[node].running else { return false };
        let mut moved = false;
        for session in running.sessions.keys().copied().collect::<Vec<_>>() {
            let Some(wire) = self.wires.get_mut(&session) else { continue };
            let side = wire.side(node);
            let (rng, calm) = (&mut self.rng, self.calm);
            let share = |room: usize| {
                if room == 0 || calm || rng.random_bool(0.8) { room } else { rng.random_range(0..room) }
            };
            moved |= wire.write(self.now, session, side, &mut self.nodes[node], share);
            for side in [side, 1 - side] {
                let reader = &self.nodes[wire.ends[side]];
                let wanted = wire.open[side] && wire.has_data(side) && !wire.arriving[side] && !wire.dead;
                let waits = |running: &super::node::Running| {
                    (0..4).any(|at| {
                        !wire.pipes[1 - side][Wire::counterpart(at)].is_empty()
                            && running.messenger.wants_data(session, CHANNELS[at])
                    })
                };
                if wanted && reader.running.as_ref().is_some_and(waits) {
                    wire.arriving[side] = true;
                    let delay = self.rng.random_range(2_000..50_000);
                    self.planned += 1;
                    let at = self.now + Duration::from_micros(delay);
                    self.agenda.insert((at, self.planned), Happening::Arrive { session, side });
                }
            }
        }
        moved
    }

    fn arrive(&mut self, session: SessionId, side: usize) {
        let Some(wire) = self.wires.get_mut(&session) else { return };
        wire.arriving[side] = false;
        let [node, writer] = [wire.ends[side], wire.ends[1 - side]];
        if wire.dead || !wire.open[side] {
            return;
        }
        let now = self.nodes[node].now(self.now);
        for (at, channel) in CHANNELS.into_iter().enumerate() {
            let Some(wire) = self.wires.get_mut(&session) else { return };
            let pipe = &mut wire.pipes[1 - side][Wire::counterpart(at)];
            let Some(running) = &mut self.nodes[node].running else { return };
            while !pipe.is_empty() && running.messenger.wants_data(session, channel) {
                let most = if self.calm { pipe.len() } else { self.rng.random_range(1..=pipe.len()) };
                let data: Vec<_> = pipe.drain(..most).collect();
                running.messenger.handle_data(now, session, channel, &data).unwrap();
            }
        }
        self.touch(node);
        self.touch(writer);
    }
}
