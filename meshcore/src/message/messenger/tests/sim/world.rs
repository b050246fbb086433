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

enum Happening {
    Send {
        node: usize,
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
    Trouble,
}

pub(super) struct World {
    plan: Plan,
    rng: StdRng,
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

    fn within(&mut self, least: f64, most: f64, happening: Happening) {
        let delay = self.rng.random_range(least..most);
        self.plan_at(self.now + Duration::from_secs_f64(delay), happening);
    }

    /// After this many seconds on average.
    fn later(&mut self, mean: f64, happening: Happening) {
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
            Happening::Mend { node } => self.nodes[node].fault = Fault::None,
            Happening::Connect { ends, lives } => self.connect(ends, lives),
            Happening::Arrive { session, side } => self.arrive(session, side),
            Happening::Notice { session, side } => self.close(session, side),
            Happening::Commit { node, life } if self.lives(node, life) => {
                self.nodes[node].commit(self.now);
                self.touch(node);
            }
            Happening::Job { node, life, outcome } if self.lives(node, life) => {
                self.with(node, |messenger, now| messenger.handle_job(now, outcome));
            }
            Happening::Timer { node, life } if self.lives(node, life) => self.on_timer(node),
            Happening::Show { node, life } if self.lives(node, life) => {
                let reads = self.rng.random_bool(0.2);
                self.nodes[node].show(self.now, reads);
                if let Some(running) = &mut self.nodes[node].running {
                    running.showing = false;
                }
                self.touch(node);
            }
            Happening::Reach { node, life } if self.lives(node, life) => self.look_around(node),
            Happening::Commit { .. }
            | Happening::Job { .. }
            | Happening::Timer { .. }
            | Happening::Show { .. }
            | Happening::Reach { .. } => {}
        }
    }

    fn with<R>(&mut self, node: usize, act: impl FnOnce(&mut Messenger, Now) -> R) -> Option<R> {
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
            next.push((rng.random_range(0.001..0.01 + slow), Happening::Commit { node, life }));
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

    // -- sessions -------------------------------------------------------------------------------------------------

    fn contact_ids(&self, node: usize) -> BTreeMap<NodeId, usize> {
        let Some(running) = &self.nodes[node].running else { return BTreeMap::new() };
        running.reach.iter().map(|other| (self.nodes[*other].id, *other)).collect()
    }

    fn try_to_connect(&mut self, node: usize) {
        let now = self.now;
        let ids = self.contact_ids(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        let wanted: BTreeSet<_> = running
            .messenger
            .wanted_sessions()
            .filter(|(_, from)| *from <= now)
            .filter_map(|(peer, _)| ids.get(&peer).copied())
            .filter(|peer| running.may_connect(*peer))
            .filter(|peer| running.pauses.get(peer).is_none_or(|(_, until)| *until <= now))
            .collect();
        running.connecting.extend(&wanted);
        let life = self.nodes[node].life;
        for peer in wanted {
            let lives = [life, self.nodes[peer].life];
            self.within(0.01, 0.1, Happening::Connect { ends: [node, peer], lives });
        }
    }

    fn connect(&mut self, ends: [usize; 2], lives: [u32; 2]) {
        let [node, peer] = ends;
        if !self.lives(node, lives[0]) {
            return;
        }
        let succeeds = self.lives(peer, lives[1])
            && self.groups[node] == self.groups[peer]
            && (self.calm || !self.rng.random_bool(LOSS));
        let now = self.now;
        if let Some(running) = &mut self.nodes[node].running {
            running.connecting.remove(&peer);
            if !succeeds {
                running.pause(peer, now);
                return self.touch(node);
            }
        }
        self.last_session += 1;
        let session = SessionId(self.last_session);
        self.wires.insert(session, Wire::new(ends, lives));
        for (side, [own, other]) in [[node, peer], [peer, node]].into_iter().enumerate() {
            let other_id = self.nodes[other].id;
            let Some(running) = &mut self.nodes[own].running else { continue };
            running.pauses.remove(&other);
            let before: Vec<_> = running
                .sessions
                .iter()
                .filter(|(_, with)| **with == other)
                .map(|(session, _)| *session)
                .collect();
            running.sessions.insert(session, other);
            self.with(own, |messenger, now| {
                messenger.session_opened(session, other_id);
                messenger.set_sending_session(now, other_id, Some(session));
            });
            // The other one is closed by one side; and the other side goes on with it for a while.
            for old in before {
                let keeps = !self.calm && self.rng.random_bool(0.3);
                let side = self.wires.get(&old).map_or(side, |wire| wire.side(own));
                if keeps {
                    self.within(0.0, 5.0, Happening::Notice { session: old, side });
                } else {
                    self.close(old, side);
                }
            }
        }
    }

    /// One side closes a session, and the other one finds out.
    fn close(&mut self, session: SessionId, side: usize) {
        let Some(wire) = self.wires.get_mut(&session).filter(|wire| wire.open[side]) else { return };
        wire.open[side] = false;
        let (node, peer, life) = (wire.ends[side], wire.ends[1 - side], wire.lives[side]);
        // What was under way to the other side may arrive, or a part of it.
        wire.pipes[1 - side].iter_mut().for_each(Vec::clear);
        for pipe in &mut wire.pipes[side] {
            pipe.truncate(self.rng.random_range(0..=pipe.len()));
        }
        if wire.open[1 - side] {
            self.within(0.05, 5.0, Happening::Notice { session, side: 1 - side });
        } else {
            self.wires.remove(&session);
        }
        if !self.lives(node, life) {
            return;
        }
        let now = self.now;
        if let Some(running) = &mut self.nodes[node].running {
            running.sessions.remove(&session);
            running.pause(peer, now);
            // Another one that is still there serves again.
            let left = running.sessions.iter().rfind(|(_, with)| **with == peer).map(|(session, _)| *session);
            let peer = self.nodes[peer].id;
            self.with(node, |messenger, now| {
                messenger.session_closed(now, session);
                messenger.set_sending_session(now, peer, left);
            });
        }
    }

    /// The session carries nothing any more, and both sides find out.
    fn kill(&mut self, session: SessionId) {
        let Some(wire) = self.wires.get_mut(&session) else { return };
        wire.dead = true;
        for side in 0..2 {
            self.within(0.1, 8.0, Happening::Notice { session, side });
        }
    }

    // -- who is there ---------------------------------------------------------------------------------------------

    fn reach_changed(&mut self) {
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.within(0.05, 3.0, Happening::Reach { node, life });
        }
    }

    fn look_around(&mut self, node: usize) {
        let reaches = |other: &usize| {
            *other != node && self.nodes[*other].running.is_some() && self.groups[*other] == self.groups[node]
        };
        let reach: BTreeSet<_> = (0..self.nodes.len()).filter(reaches).collect();
        let mailboxes = reach.iter().filter(|other| self.nodes[**other].mailbox.is_some());
        let mailboxes: BTreeSet<_> = mailboxes.map(|other| self.nodes[*other].id).collect();
        let Some(running) = &mut self.nodes[node].running else { return };
        let changed: Vec<_> = running.reach.symmetric_difference(&reach).copied().collect();
        running.pauses.retain(|peer, _| !changed.contains(peer));
        let changed: Vec<_> =
            changed.into_iter().map(|other| (self.nodes[other].id, reach.contains(&other))).collect();
        if let Some(running) = &mut self.nodes[node].running {
            running.reach = reach;
        }
        self.with(node, |messenger, now| {
            changed.into_iter().for_each(|(other, is_there)| messenger.set_reachable(now, other, is_there));
            messenger.set_mailboxes(now, mailboxes);
        });
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].running.is_some() {
            return;
        }
        let seed = self.rng.random();
        self.nodes[node].start(self.now, seed);
        self.touch(node);
        self.reach_changed();
    }

    fn crash(&mut self, node: usize, survive: usize) {
        let of_node = |wire: &Wire| wire.ends.contains(&node);
        let sessions: Vec<_> =
            self.wires.iter().filter(|(_, wire)| of_node(wire)).map(|(session, _)| *session).collect();
        self.nodes[node].crash(survive);
        for session in sessions {
            let side = self.wires.get(&session).map_or(0, |wire| wire.side(node));
            self.close(session, side);
        }
        self.reach_changed();
    }

    fn trouble(&mut self) {
        if self.calm {
            return;
        }
        self.later(self.plan.trouble, Happening::Trouble);
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..50 => {
                let at = self.rng.random_range(0..self.wires.len().max(1));
                if let Some((session, wire)) =
                    self.wires.iter().nth(at).map(|(session, wire)| (*session, wire.open))
                {
                    match self.rng.random_range(0..2) {
                        0 if wire == [true; 2] => self.kill(session),
                        side => self.close(session, side),
                    }
                }
            }
            50..75 => {
                let waiting = self.nodes[node].running.as_ref().map_or(0, |running| running.ops.len());
                // All writes that are not answered are lost, none, or the last of them.
                let survive = [0, waiting, self.rng.random_range(0..=waiting)][self.rng.random_range(0..3)];
                self.crash(node, survive);
                self.within(0.1, 90.0, Happening::Start { node });
            }
            75..85 => {
                self.nodes[node].fault = [Fault::Full, Fault::Broken][self.rng.random_range(0..2)];
                self.within(0.1, 20.0, Happening::Mend { node });
            }
            _ => self.part(),
        }
    }

    /// The net falls into other parts than before, or into one.
    fn part(&mut self) {
        let parts = self.rng.random_range(1..=3);
        for group in &mut self.groups {
            *group = self.rng.random_range(0..parts);
        }
        let apart = |wire: &Wire| self.groups[wire.ends[0]] != self.groups[wire.ends[1]];
        let apart: Vec<_> =
            self.wires.iter().filter(|(_, wire)| apart(wire)).map(|(session, _)| *session).collect();
        apart.into_iter().for_each(|session| self.kill(session));
        self.reach_changed();
    }

    // -- checks ---------------------------------------------------------------------------------------------------

    fn check_status(&self, node: usize, id: MessageId, to: NodeId, status: Status) {
        let from = self.nodes[node].id;
        let sent = &self.nodes[node].sent[&id];
        let recipient = &self.nodes[sent.to];
        assert_eq!(recipient.id, to);
        match status {
            Status::Queued | Status::Sent => {}
            Status::Stored => {
                let kept = || self.nodes.iter().any(|other| other.disk.has_letter(to, from, id));
                assert!(
                    sent.may_expire || recipient.disk.knows(from, id) || kept(),
                    "{id:?} is said to be in a mailbox, and is in none"
                );
            }
            Status::Delivered => {
                assert!(recipient.disk.knows(from, id), "{id:?} is said to be delivered, and is not");
            }
            Status::Read => assert!(recipient.has_read(from, id), "{id:?} is said to be read, and is not"),
            Status::Expired => assert!(sent.may_expire),
        }
    }

    /// After the calm: nothing is lost, nothing came twice, and nothing is left over.
    pub(super) fn check_all(&self) {
        for node in &self.nodes {
            let known: BTreeSet<_> = node.texts().map(|(_, message)| message.id).collect();
            assert!(node.accepted.iter().all(|id| known.contains(id)), "accepted and lost");
            for (to, message) in node.texts() {
                let sent = &node.sent[&message.id];
                let recipient = &self.nodes[sent.to];
                assert_eq!(recipient.id, *to);
                let shown =
                    recipient.shown.get(&node.id).is_some_and(|all| all.binary_search(&message.id).is_ok());
                let settled = match message.status {
                    Status::Delivered | Status::Read => shown,
                    Status::Expired => sent.may_expire,
                    _ => false,
                };
                assert!(settled, "{message:?} was shown: {shown}");
            }
            assert_eq!(node.disk.letters(), 0, "letters are left");
            assert_eq!(node.disk.held(), 0, "messages still wait for others");
        }
    }

    /// What still waits for something.
    pub(super) fn describe(&self) -> String {
        let mut lines = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_quiet()) {
            let Some(running) = &node.running else { continue };
            let (ops, screen) = (running.ops.len(), running.screen.len());
            lines.push(format!("{index} {:?}: {ops} operations, {screen} on the screen", node.id));
            for peer in node.disk.opened().backlog {
                let pending = node
                    .disk
                    .outgoing
                    .values()
                    .filter(|(to, message)| *to == peer && message.status.is_pending());
                let pending: Vec<_> = pending
                    .map(|(_, message)| (message.id, message.status, message.content.kind()))
                    .collect();
                let to = self.nodes.iter().position(|other| other.id == peer);
                let outbox = running.messenger.outboxes.get(&peer);
                let session =
                    outbox.map(|outbox| (outbox.session(), outbox.in_memory(), outbox.has_backlog()));
                let sessions: Vec<_> =
                    running.sessions.iter().filter(|(_, with)| Some(**with) == to).collect();
                let pause = to.and_then(|to| running.pauses.get(&to));
                let reach = to.is_some_and(|to| running.reach.contains(&to));
                let connecting = to.is_some_and(|to| running.connecting.contains(&to));
                let wires: Vec<_> = sessions
                    .iter()
                    .map(|(session, _)| {
                        self.wires.get(session).map(|wire| {
                            (
                                wire.open,
                                wire.dead,
                                wire.arriving,
                                wire.pipes
                                    .iter()
                                    .map(|pipes| pipes.iter().map(Vec::len).collect::<Vec<_>>())
                                    .collect::<Vec<_>>(),
                            )
                        })
                    })
                    .collect();
                lines.push(format!("  to {to:?}: {pending:?} outbox {session:?} sessions {sessions:?} pause {pause:?} reach {reach} connecting {connecting} wires {wires:?}"));
            }
        }
        lines.join("\n")
    }

    pub(super) fn shown(&self) -> usize {
        self.nodes.iter().flat_map(|node| node.shown.values()).map(Vec::len).sum()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.nodes.iter().all(Node::is_quiet)
    }

    pub(super) fn letters(&self) -> usize {
        self.nodes.iter().map(|node| node.disk.letters()).sum()
    }
}

impl super::node::Running {
    fn may_connect(&self, peer: usize) -> bool {
        !self.connecting.contains(&peer) && !self.sessions.values().any(|with| *with == peer)
    }

    fn pause(&mut self, peer: usize, now: Instant) {
        let before = self.pauses.get(&peer).map_or(Duration::ZERO, |(length, _)| *length);
        let length = (2 * before).clamp(PAUSES.0, PAUSES.1);
        self.pauses.insert(peer, (length, now + length));
    }
}
