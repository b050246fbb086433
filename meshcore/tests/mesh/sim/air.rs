//! The media: who hears a frame, when, and whether at all.

use std::time::Duration;

use meshcore::types::{Destination, Instant, LinkAddr, LinkId};
use rand::RngExt;
use rand::rngs::StdRng;

use super::scenario::{Kind, Medium, Quality, Scenario};

/// Losses per million up to which a link has to be usable, each way.
pub(crate) const USABLE_LOSS: u32 = 300_000;

/// Losses per million from which nothing passes.
const EVERYTHING: u32 = 1_000_000;

/// What a port sends reaches another one.
#[derive(Debug, Clone)]
struct Arc {
    to: usize,
    quality: Quality,
    cut: bool,
}

/// Where a node is attached to a medium.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub node: usize,
    pub medium: usize,
    pub wired: bool,
    pub mtu: usize,
    /// Whether the interface is up.
    pub plugged: bool,
    bandwidth: Option<u64>,
    queue: usize,
    /// How often it was plugged in.
    generation: u32,
    busy_until: Instant,
    /// By the port that they lead to.
    arcs: Vec<Arc>,
}

impl Port {
    /// The number that its node knows it by, another one whenever it comes up.
    fn link(&self, index: usize) -> LinkId {
        LinkId((index as u32) << 8 | self.generation & 0xff)
    }
}

/// All media.
#[derive(Debug, Default)]
pub(crate) struct Air {
    pub ports: Vec<Port>,
    /// Ports of each node.
    of_node: Vec<Vec<usize>>,
}

pub(crate) fn station(port: usize) -> LinkAddr {
    LinkAddr::new(&(port as u64).to_be_bytes()).expect("eight bytes fit")
}

/// The port with this station address.
pub(crate) fn port_at(address: LinkAddr) -> Option<usize> {
    address.as_bytes().try_into().ok().map(|bytes| u64::from_be_bytes(bytes) as usize)
}

/// The port of a link, whatever its generation.
pub(crate) fn port_of(link: LinkId) -> usize {
    (link.0 >> 8) as usize
}

impl Air {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut air = Self { ports: Vec::new(), of_node: vec![Vec::new(); scenario.names.len()] };
        for (number, medium) in scenario.media.iter().enumerate() {
            air.add(number, medium);
        }
        air
    }

    fn add(&mut self, number: usize, medium: &Medium) {
        let first = self.ports.len();
        for node in &medium.members {
            self.of_node[*node].push(self.ports.len());
            self.ports.push(Port {
                node: *node,
                medium: number,
                wired: medium.kind != Kind::Radio,
                mtu: medium.mtu,
                plugged: true,
                bandwidth: medium.bandwidth,
                queue: medium.queue,
                generation: 0,
                busy_until: Instant::default(),
                arcs: Vec::new(),
            });
        }
        let of = |node: usize| medium.members.binary_search(&node).ok().map(|place| first + place);
        if medium.kind == Kind::Segment {
            for from in first..self.ports.len() {
                let others = (first..self.ports.len()).filter(|to| *to != from);
                self.ports[from].arcs =
                    others.map(|to| Arc { to, quality: medium.quality, cut: false }).collect();
            }
        }
        for hearing in &medium.hearings {
            let (Some(from), Some(to)) = (of(hearing.from), of(hearing.to)) else { continue };
            self.connect(from, to, hearing.quality);
            if hearing.both_ways {
                self.connect(to, from, hearing.quality);
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize, quality: Quality) {
        let arcs = &mut self.ports[from].arcs;
        let arc = Arc { to, quality, cut: false };
        match arcs.binary_search_by_key(&to, |arc| arc.to) {
            Ok(place) => arcs[place] = arc,
            Err(place) => arcs.insert(place, arc),
        }
    }

    pub(crate) fn ports_of(&self, node: usize) -> &[usize] {
        &self.of_node[node]
    }

    pub(crate) fn link(&self, port: usize) -> LinkId {
        self.ports[port].link(port)
    }

    /// The port that is known by this number now.
    pub(crate) fn port(&self, link: LinkId) -> Option<usize> {
        let index = port_of(link);
        let port = self.ports.get(index)?;
        (port.plugged && port.link(index) == link).then_some(index)
    }

    pub(crate) fn set_plugged(&mut self, port: usize, plugged: bool) {
        let port = &mut self.ports[port];
        if plugged && !port.plugged {
            port.generation += 1;
        }
        port.plugged = plugged;
    }

    /// Changes all arcs from one node to another.
    pub(crate) fn set_quality(&mut self, from: usize, to: usize, quality: Quality) {
        self.each_arc(from, to, |arc| arc.quality = quality);
    }

    pub(crate) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.each_arc(from, to, |arc| arc.cut = cut);
    }

    fn each_arc(&mut self, from: usize, to: usize, change: impl Fn(&mut Arc)) {
        for port in &self.of_node[from] {
            let targets = &self.of_node[to];
            self.ports[*port].arcs.iter_mut().filter(|arc| targets.contains(&arc.to)).for_each(&change);
        }
    }

    /// Cuts what leads from one group to another, or mends everything with no groups.
    pub(crate) fn set_groups(&mut self, group_of: impl Fn(usize) -> usize, cut: bool) {
        let nodes: Vec<usize> = self.ports.iter().map(|port| port.node).collect();
        for (port, node) in self.ports.iter_mut().zip(&nodes) {
            for arc in &mut port.arcs {
                if !cut {
                    arc.cut = false;
                } else if group_of(*node) != group_of(nodes[arc.to]) {
                    arc.cut = true;
                }
            }
        }
    }

    fn arc(&self, from: usize, to: usize) -> Option<&Arc> {
        let arcs = &self.ports.get(from)?.arcs;
        arcs.binary_search_by_key(&to, |arc| arc.to).ok().map(|place| &arcs[place])
    }

    /// Losses per million from one port to another; `None`: nothing passes.
    pub(crate) fn loss(&self, from: usize, to: usize) -> Option<u32> {
        let arc = self.arc(from, to)?;
        let up = self.ports[from].plugged && self.ports[to].plugged && !arc.cut;
        (up && arc.quality.loss < EVERYTHING).then_some(arc.quality.loss)
    }

    /// Ports that hear this one, whether or not the way back works.
    pub(crate) fn hearers(&self, port: usize) -> impl Iterator<Item = usize> {
        self.ports[port].arcs.iter().map(|arc| arc.to).filter(move |to| self.loss(port, *to).is_some())
    }

    /// Ports with which frames are exchanged in both directions, more often than not, with the losses on the way there.
    pub(crate) fn partners(&self, port: usize) -> impl Iterator<Item = (usize, u32)> {
        let open = self.ports[port].arcs.iter().filter(|arc| !arc.cut && arc.quality.loss <= USABLE_LOSS);
        let back = move |to: usize| self.loss(to, port).is_some_and(|loss| loss <= USABLE_LOSS);
        open.filter(move |arc| back(arc.to)).map(|arc| (arc.to, arc.quality.loss))
    }

    /// Whether frames pass in both directions, more often than not.
    pub(crate) fn is_usable(&self, from: usize, to: usize) -> bool {
        let fine = |loss: Option<u32>| loss.is_some_and(|loss| loss <= USABLE_LOSS);
        fine(self.loss(from, to)) && fine(self.loss(to, from))
    }

    /// The port of `node` on the medium of `port`.
    pub(crate) fn across(&self, port: usize, node: usize) -> Option<usize> {
        let medium = self.ports[port].medium;
        self.of_node[node].iter().copied().find(|other| self.ports[*other].medium == medium)
    }

    /// Sends a frame: calls `arrive` with every port that it reaches and the time.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        (port, to): (usize, Destination),
        len: usize,
        mut arrive: impl FnMut(Instant, usize),
    ) {
        let Some(sent) = self.serialise(now, port, len) else { return };
        let arcs = &self.ports[port].arcs;
        let meant = match to {
            Destination::Group => &arcs[..],
            Destination::Station(address) => {
                let place = port_at(address).and_then(|to| arcs.binary_search_by_key(&to, |arc| arc.to).ok());
                place.map_or(&[][..], |place| &arcs[place..=place])
            }
        };
        for arc in meant.iter().filter(|arc| !arc.cut && self.ports[arc.to].plugged) {
            let copies = 1 + u32::from(happens(rng, arc.quality.duplicate));
            for _ in 0..copies {
                if !happens(rng, arc.quality.loss) {
                    arrive(sent + arc.quality.delay + some_of(rng, arc.quality.jitter), arc.to);
                }
            }
        }
    }

    /// When the last bit has left the port; `None`: there was no room to wait.
    fn serialise(&mut self, now: Instant, port: usize, len: usize) -> Option<Instant> {
        let port = &mut self.ports[port];
        if !port.plugged {
            return None;
        }
        let Some(bandwidth) = port.bandwidth else { return Some(now) };
        let start = port.busy_until.max(now);
        let waiting = (start - now).as_micros() as u64 * bandwidth / 8_000_000;
        if waiting + len as u64 > port.queue as u64 {
            return None;
        }
        port.busy_until = start + Duration::from_micros(len as u64 * 8_000_000 / bandwidth);
        Some(port.busy_until)
    }
}

fn happens(rng: &mut StdRng, per_million: u32) -> bool {
    per_million > 0 && rng.random_range(0..1_000_000) < per_million
}

fn some_of(rng: &mut StdRng, most: Duration) -> Duration {
    if most.is_zero() { most } else { Duration::from_micros(rng.random_range(0..=most.as_micros() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::format::parse;
    use rand::SeedableRng;

    const MS: Duration = Duration::from_millis(1);

    fn air(text: &str) -> Air {
        Air::new(&parse(&format!("node a b c d\n{text}")).unwrap())
    }

    /// Nodes that a frame reaches, with the time that it took.
    fn send(air: &mut Air, from: usize, to: Destination, len: usize) -> Vec<(usize, Duration)> {
        let mut got = Vec::new();
        let now = Instant::from_micros(1_000_000);
        air.send(now, &mut StdRng::seed_from_u64(1), (from, to), len, |at, port| got.push((port, at - now)));
        got.into_iter().map(|(port, time)| (air.ports[port].node, time)).collect()
    }

    fn hearers(air: &mut Air, from: usize) -> Vec<usize> {
        send(air, from, Destination::Group, 100).into_iter().map(|(node, _)| node).collect()
    }

    #[test]
    fn media_carry_frames_to_those_who_hear() {
        let mut wire = air("segment a b c");
        assert_eq!(hearers(&mut wire, 1), [0, 2]);
        assert_eq!(send(&mut wire, 0, Destination::Station(station(2)), 100).len(), 1);
        let mut radio = air("radio a-b b-c c>d");
        assert_eq!((hearers(&mut radio, 0), hearers(&mut radio, 2)), (vec![1], vec![1, 3]));
        assert!(hearers(&mut radio, 3).is_empty());
        assert!(radio.is_usable(0, 1) && !radio.is_usable(2, 3));
        assert!(send(&mut radio, 0, Destination::Station(station(2)), 100).is_empty(), "out of range");
    }

    #[test]
    fn what_is_cut_or_unplugged_carries_nothing() {
        let mut wire = air("segment a b c");
        wire.set_cut(0, 1, true);
        assert_eq!((hearers(&mut wire, 0), hearers(&mut wire, 1)), (vec![2], vec![0, 2]));
        wire.set_groups(|node| node / 2, true);
        assert!(hearers(&mut wire, 2).is_empty());
        wire.set_groups(|_| 0, false);
        assert_eq!(hearers(&mut wire, 0), [1, 2]);
        let before = wire.link(1);
        wire.set_plugged(1, false);
        assert_eq!((hearers(&mut wire, 0), wire.port(before)), (vec![2], None));
        wire.set_plugged(1, true);
        assert!(wire.port(before).is_none() && wire.port(wire.link(1)) == Some(1));
    }

    #[test]
    fn frames_wait_for_the_bandwidth_and_are_lost_when_too_many_wait() {
        let mut slow = air("link a b bandwidth=80k queue=2k delay=1ms");
        let times: Vec<_> = (0..3).flat_map(|_| send(&mut slow, 0, Destination::Group, 1000)).collect();
        assert_eq!(times, [(1, 101 * MS), (1, 201 * MS)]);
    }

    #[test]
    fn shares_are_kept() {
        let mut bad = air("link a b loss=20% duplicate=10% jitter=5ms");
        let mut rng = StdRng::seed_from_u64(1);
        let mut times = Vec::new();
        for _ in 0..10_000 {
            bad.send(Instant::default(), &mut rng, (0, Destination::Group), 100, |at, _| times.push(at));
        }
        assert!((8_600..9_000).contains(&times.len()), "{} of 10,000", times.len());
        assert!(!times.is_sorted());
    }
}
