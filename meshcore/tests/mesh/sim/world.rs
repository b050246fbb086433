//! The event loop: one thing happens at one node, then every invariant is checked.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::air::{Air, port_at, port_of, station};
use super::flows::Flows;
use super::loops::{Hop, Loop, NextHops};
use super::queue::{Happening, Queue};
use super::reach::Reach;
use super::router::{Acquaintance, Birth, Notice, Received, Router};
use super::scenario::{Change, Scenario};
use super::signatures::{Registry, Work};
use super::station::{Station, node_at};
use super::tally::Sent;

/// Bytes in front of a frame on Ethernet.
const ETHERNET_HEADER: u64 = 14;

/// Nodes are switched on within this time.
pub(crate) const START: Duration = Duration::from_millis(100);

/// Events between two full checks of all next hops.
const FULL_CHECK: u64 = 5_000;

/// Nodes of a world that counts its tables after every event; larger ones do so every so many events.
const SMALL: usize = 32;
const COUNT_EVERY: u64 = 1_000;

/// When the world begins: clocks do not start at zero.
const BEGIN: Instant = Instant::from_micros(1_000_000);

pub(crate) struct World<R> {
    pub now: Instant,
    pub scenario: Scenario,
    pub air: Air,
    pub stations: Vec<Station<R>>,
    pub hops: NextHops,
    pub flows: Flows,
    pub sent: Vec<Sent>,
    pub work: Arc<Work>,
    /// Destinations whose routes are not followed: nodes that share an address.
    pub ambiguous: Vec<Address>,
    /// Events at nodes so far.
    pub events: u64,
    /// Changes of the world so far: nodes that came or went, and what [`World::apply`] did.
    pub changes: u64,
    /// Next hops that led back to a node that has forgotten them: no loops, see [`World::judge`].
    pub dead_ends: u64,
    pub rng: StdRng,
    pub registry: Registry,
    queue: Queue,
    scratch: Vec<u8>,
    /// Events between two full checks.
    full_check_every: u64,
}

impl<R: Router> World<R> {
    /// All nodes start within [`START`], in random order.
    pub(crate) fn new(scenario: Scenario) -> Self {
        let nodes = scenario.names.len();
        let mut world = Self {
            now: BEGIN,
            air: Air::new(&scenario),
            stations: (0..nodes).map(Station::new).collect(),
            hops: NextHops::new(nodes),
            flows: Flows::default(),
            sent: vec![Sent::default(); nodes],
            work: Arc::default(),
            ambiguous: Vec::new(),
            events: 0,
            changes: 0,
            dead_ends: 0,
            rng: StdRng::seed_from_u64(scenario.seed),
            registry: Registry::default(),
            queue: Queue::default(),
            scratch: Vec::new(),
            full_check_every: FULL_CHECK * (nodes.div_ceil(16) as u64).pow(2),
            scenario,
        };
        for node in 0..nodes {
            let at = BEGIN + Duration::from_micros(world.rng.random_range(0..START.as_micros() as u64));
            world.queue.plan(at, Happening::Start { node, life: 0 });
        }
        for (index, (at, _)) in world.scenario.events.iter().enumerate() {
            world.queue.plan(BEGIN + *at, Happening::Change(index));
        }
        for flow in world.scenario.flows.clone() {
            world.start_flow(flow);
        }
        world
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - BEGIN
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.stations[node].router.is_some()
    }

    /// Runs until `elapsed` has passed since the beginning.
    pub(crate) fn run_to(&mut self, elapsed: Duration) {
        let end = BEGIN + elapsed;
        while let Some((at, what)) = self.queue.next(end) {
            self.now = at;
            self.happen(what);
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_to(self.elapsed() + time);
    }

    /// Looks every `step` whether `done`; `None`: not within `limit`.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        step: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            if self.now - start >= limit {
                return None;
            }
            self.run_for(step);
        }
        Some(self.now - start)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Frame { to, from, frame } => self.arrive(to, from, &frame),
            Happening::Wake(node) => self.wake(node),
            Happening::Start { node, life } if self.stations[node].life == life => self.start(node, true),
            Happening::Start { .. } => {}
            Happening::Change(index) => {
                let change = self.scenario.events[index].1.clone();
                self.apply(&change);
            }
            Happening::Probe(flow) => self.probe(flow),
        }
    }

    /// Lets something happen to the world now.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.changes += 1;
        let both = |from: &usize, to: &usize, both_ways: &bool| {
            let back = both_ways.then_some((*to, *from));
            std::iter::once((*from, *to)).chain(back)
        };
        match change {
            Change::Cut { from, to, both_ways } => {
                both(from, to, both_ways).for_each(|(from, to)| self.air.set_cut(from, to, true));
            }
            Change::Mend { from, to, both_ways } => {
                both(from, to, both_ways).for_each(|(from, to)| self.air.set_cut(from, to, false));
            }
            Change::Set { from, to, both_ways, quality } => {
                both(from, to, both_ways).for_each(|(from, to)| self.air.set_quality(from, to, *quality));
            }
            Change::Partition(groups) => {
                let group = |node| groups.iter().position(|group| group.contains(&node));
                self.air.set_groups(|node| group(node).map_or(0, |place| place + 1), true);
            }
            Change::Heal => self.air.set_groups(|_| 0, false),
            Change::Unplug { node, medium } => self.set_plugged(*node, *medium, false),
            Change::Plug { node, medium } => self.set_plugged(*node, *medium, true),
            Change::Crash(node) => self.stop(*node),
            Change::Leave(node) => {
                self.with(*node, |router, now| router.leave(now));
                self.stop(*node);
            }
            Change::Restart { node, with_disk } => {
                self.stop(*node);
                self.start(*node, *with_disk);
            }
            Change::Clock { node, seconds } => self.stations[*node].clock += seconds,
        }
    }

    fn set_plugged(&mut self, node: usize, medium: usize, plugged: bool) {
        let ports = self.air.ports_of(node);
        let Some(port) = ports.iter().copied().find(|port| self.air.ports[*port].medium == medium) else {
            return;
        };
        if self.air.ports[port].plugged == plugged {
            return;
        }
        let before = self.air.link(port);
        self.air.set_plugged(port, plugged);
        let (link, mtu, wired) = (self.air.link(port), self.air.ports[port].mtu, self.air.ports[port].wired);
        self.with(node, |router, now| {
            if plugged { router.add_link(now, link, mtu, wired) } else { router.remove_link(now, before) }
        });
    }

    fn start(&mut self, node: usize, with_disk: bool) {
        self.changes += 1;
        let now = self.now + self.stations[node].ahead;
        let number = self.stations[node].next_number(self.now, with_disk);
        let identity = self.registry.issue(self.stations[node].address, number);
        let work = Arc::clone(&self.work);
        let birth = Birth { identity, instance: self.rng.random(), seed: self.rng.random(), work };
        self.stations[node].router = Some(R::start(now, birth));
        for port in self.air.ports_of(node).to_vec() {
            let (link, known) = (self.air.link(port), &self.air.ports[port]);
            let (mtu, wired, plugged) = (known.mtu, known.wired, known.plugged);
            if plugged {
                self.with(node, |router, now| router.add_link(now, link, mtu, wired));
            }
        }
    }

    fn stop(&mut self, node: usize) {
        self.stations[node].router = None;
        self.stations[node].life += 1;
        for destination in 0..self.stations.len() {
            self.note_hop(destination, node, None);
        }
    }

    /// Calls a running node, and does what it wants then.
    pub(crate) fn with<T>(&mut self, node: usize, call: impl FnOnce(&mut R, Instant) -> T) -> Option<T> {
        let now = self.now + self.stations[node].ahead;
        let result = call(self.stations[node].router.as_mut()?, now);
        self.settle(node);
        Some(result)
    }

    fn wake(&mut self, node: usize) {
        let station = &mut self.stations[node];
        if station.wake.is_some_and(|wake| wake <= self.now) {
            station.wake = None;
        }
        let now = self.now + station.ahead;
        let Some(router) = &mut station.router else { return };
        if router.poll_timeout().is_some_and(|due| due <= now) {
            router.handle_timeout(now);
            self.settle(node);
        } else {
            self.plan_wake(node);
        }
    }

    fn arrive(&mut self, to: usize, from: usize, frame: &[u8]) {
        let (link, node) = (self.air.link(to), self.air.ports[to].node);
        let ahead = self.stations[node].ahead;
        let station_of = &mut self.stations[node];
        let Some(router) = &mut station_of.router else {
            if let Some(tap) = &mut station_of.tap {
                tap.push((link, from, frame.to_vec()));
            }
            return;
        };
        if !self.air.ports[to].plugged {
            return;
        }
        let mut buffer = std::mem::take(&mut self.scratch);
        buffer.clear();
        buffer.extend_from_slice(frame);
        let swallowed = station_of.swallows.is_some_and(|to| R::is_for(frame, to));
        let mut forward = None;
        let mut delivered = None;
        match router.handle_frame(self.now + ahead, link, station(from), &mut buffer) {
            Received::Taken => {}
            Received::Deliver { source, payload } => delivered = Some((source, payload.to_vec())),
            Received::Forward { link, to, frame } => {
                forward = Some((link, to, frame.len())).filter(|_| !swallowed);
            }
        }
        if let Some((link, to, len)) = forward {
            self.send_data(node, link, to, &buffer[..len]);
        }
        self.scratch = buffer;
        self.settle(node);
        if let Some((source, payload)) = delivered {
            self.deliver(node, source, &payload);
        }
    }

    /// Drains a node and checks what may not be broken by anything.
    fn settle(&mut self, node: usize) {
        self.events += 1;
        let now = self.now + self.stations[node].ahead;
        let mut changed = Vec::new();
        let station = &mut self.stations[node];
        if let Some(router) = &mut station.router {
            let mut known = Acquaintance { disk: &mut station.disk, registry: &mut self.registry };
            while let Some(notice) = router.poll_notice(now, &mut known) {
                match notice {
                    Notice::Route(destination) => changed.push(destination),
                    other => station.notices.note(other),
                }
            }
            // Counting a large table takes longer than most events.
            let counts = self.stations.len() <= SMALL || self.events.is_multiple_of(COUNT_EVERY);
            if let Some(excess) = self.stations[node].router.as_ref().filter(|_| counts).and_then(R::excess) {
                panic!("{}: too much: {excess}", self.name(node));
            }
        }
        for destination in changed {
            self.follow(node, destination);
        }
        self.transmit(node, now);
        self.plan_wake(node);
        if self.events.is_multiple_of(self.full_check_every) {
            self.check_all();
        }
    }

    fn name(&self, node: usize) -> &str {
        &self.scenario.names[node]
    }

    /// Takes over where a node sends frames for a destination now.
    fn follow(&mut self, node: usize, destination: Address) {
        if let Some(index) = node_at(destination).filter(|index| *index < self.stations.len()) {
            let hop = self.hop(node, destination);
            self.note_hop(index, node, hop);
        }
    }

    fn note_hop(&mut self, destination: usize, node: usize, hop: Option<Hop>) {
        if let Err(found) = self.hops.set(destination, node, hop) {
            // Who has lost a route need not have told: what it does now counts.
            for node in &found.nodes {
                let real = self.hop(*node, self.stations[destination].address);
                let _ = self.hops.set(destination, *node, real);
            }
            if let Err(found) = self.hops.walk(destination, node) {
                self.judge(&found);
            }
        }
    }

    /// Next hops that lead back. A node that has started anew forwards nothing for a neighbour that has not noticed, so
    /// that such a way ends there; whether a frame really comes back, a frame shows.
    fn judge(&mut self, found: &Loop) {
        if self.is_ambiguous(found.destination) {
            return;
        }
        assert!(!self.circulates(found), "after {:?}: {found}", self.elapsed());
        self.dead_ends += 1;
    }

    fn circulates(&mut self, found: &Loop) -> bool {
        let (Some(last), Some(first)) = (found.nodes.last(), found.nodes.first()) else { return false };
        let stranger = Address([0x77; 16]);
        let mut frame = R::stray_frame(stranger, self.stations[found.destination].address);
        let mut hop = self.hops.get(found.destination, *last).map(|(_, port)| (port, *first));
        for _ in 0..=found.nodes.len() {
            let Some(to) = hop.and_then(|(port, node)| self.air.across(port, node)) else { return false };
            let from = hop.map_or(to, |(port, _)| port);
            let (link, node) = (self.air.link(to), self.air.ports[to].node);
            let now = self.now + self.stations[node].ahead;
            let Some(router) = &mut self.stations[node].router else { return false };
            let received = router.handle_frame(now, link, station(from), &mut frame);
            let Received::Forward { link, to, .. } = received else { return false };
            let next = port_at(to).and_then(|port| self.air.ports.get(port)).map(|port| port.node);
            hop = next.map(|node| (port_of(link), node));
            self.plan_wake(node);
        }
        true
    }

    /// Takes note of next hops that are gone.
    fn forget_lost_hops(&mut self) {
        for (node, destination) in self.pairs() {
            let known = self.hops.get(destination, node).is_some();
            if known && self.hop(node, self.stations[destination].address).is_none() {
                self.note_hop(destination, node, None);
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<R> {
        let nodes = self.stations.len();
        (0..nodes).flat_map(move |node| {
            (0..nodes).filter(move |other| *other != node).map(move |other| (node, other))
        })
    }

    /// The next hop that the router of a node has now.
    pub(super) fn hop(&self, node: usize, destination: Address) -> Option<Hop> {
        let (link, next) = self.stations[node].router.as_ref()?.next_hop(destination)?;
        node_at(next).filter(|next| *next < self.stations.len()).map(|next| (next, port_of(link)))
    }

    /// Compares what was followed step by step with all next hops of all nodes, and walks all of them.
    pub(crate) fn check_all(&mut self) {
        self.forget_lost_hops();
        for (node, destination) in self.pairs() {
            let real = self.hop(node, self.stations[destination].address);
            let followed = self.hops.get(destination, node);
            assert!(
                real == followed || self.is_ambiguous(destination),
                "{} did not tell that its next hop to {} is {real:?}, not {followed:?}",
                self.name(node),
                self.name(destination)
            );
        }
        for found in self.hops.check_all() {
            self.judge(&found);
        }
    }

    fn is_ambiguous(&self, node: usize) -> bool {
        self.ambiguous.contains(&self.stations[node].address)
    }

    fn transmit(&mut self, node: usize, now: Instant) {
        let mut out = std::mem::take(&mut self.scratch);
        loop {
            out.clear();
            let Some(router) = &mut self.stations[node].router else { break };
            let Some((link, to)) = router.poll_transmit(now, &mut out) else { break };
            let Some(port) = self.air.port(link) else {
                panic!("{} sends on a link that is down", self.name(node))
            };
            assert!(out.len() <= self.air.ports[port].mtu, "{}: {} bytes", self.name(node), out.len());
            self.sent[node].control_frames += 1;
            self.sent[node].control_bytes += out.len() as u64 + ETHERNET_HEADER;
            self.put_on_air(port, to, &out);
        }
        self.scratch = out;
    }

    pub(crate) fn send_data(&mut self, node: usize, link: LinkId, to: LinkAddr, frame: &[u8]) {
        self.sent[node].data_frames += 1;
        if let Some(port) = self.air.port(link) {
            self.put_on_air(port, Destination::Station(to), frame);
        }
    }

    /// Sends a frame as if the station behind `port` had made it: what attackers do.
    pub(crate) fn put_on_air(&mut self, port: usize, to: Destination, frame: &[u8]) {
        let mut shared: Option<Rc<[u8]>> = None;
        let queue = &mut self.queue;
        self.air.send(
            self.now,
            &mut self.rng,
            (port, to),
            frame.len() + ETHERNET_HEADER as usize,
            |at, to| {
                let frame = Rc::clone(shared.get_or_insert_with(|| frame.into()));
                queue.plan(at, Happening::Frame { to, from: port, frame });
            },
        );
    }

    fn plan_wake(&mut self, node: usize) {
        let station = &mut self.stations[node];
        let Some(due) = station.router.as_ref().and_then(R::poll_timeout) else { return };
        let ahead = station.ahead.as_micros() as u64;
        let at = Instant::from_micros(due.as_micros().saturating_sub(ahead)).max(self.now);
        if station.wake.is_none_or(|wake| at < wake) {
            station.wake = Some(at);
            self.queue.plan(at, Happening::Wake(node));
        }
    }

    pub(crate) fn plan_probe(&mut self, at: Instant, flow: usize) {
        self.queue.plan(at, Happening::Probe(flow));
    }

    pub(crate) fn begin(&self) -> Instant {
        BEGIN
    }

    /// The oracle for this moment.
    pub(crate) fn reach(&self) -> Reach {
        Reach::new(&self.air, |node| self.is_up(node), self.stations.len())
    }

    /// Control bytes of all nodes so far.
    pub(crate) fn control_bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.control_bytes).sum()
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
