//! Small networks of routers whose announcements are lost, late and out of order, while links come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const COST: u16 = 96;

struct Edge {
    to: usize,
    via: HopId,
    told: Told,
}

struct Net {
    rng: StdRng,
    now: Instant,
    routers: Vec<Router>,
    edges: Vec<Vec<Edge>>,
    /// Announcements under way: from, to, what.
    air: Vec<(usize, usize, Advert)>,
    /// Feasible distance of each node for each destination, as last seen.
    distances: BTreeMap<(usize, usize), (Seqno, u16)>,
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(3..9);
        let mut routers: Vec<Router> = (0..nodes).map(|number| Router::new(node(number), KEY)).collect();
        routers.iter_mut().for_each(|router| router.announce_own(seqno(0), [0; 64]));
        let edges = (0..nodes).map(|_| Vec::new()).collect();
        let (now, air) = (START, Vec::new());
        let mut net = Self { rng, now, routers, edges, air, distances: BTreeMap::new() };
        for a in 0..nodes {
            for b in a + 1..nodes {
                if b == a + 1 || net.rng.random_bool(0.3) {
                    net.join(a, b);
                    net.join(b, a);
                }
            }
        }
        net
    }

    fn join(&mut self, a: usize, b: usize) {
        let via = self.routers[a].add_hop(hop(a as u32, b, false));
        self.edges[a].push(Edge { to: b, via, told: Told::default() });
    }

    /// Queues what a node has to tell one neighbour.
    fn tell(&mut self, from: usize, edge: usize) {
        let Edge { to, told, .. } = self.edges[from][edge];
        let scope = Scope { link: LinkId(from as u32), wired: false, slot: edge as u8 };
        let mut bytes = Vec::new();
        crate::wire::update::Update { instance: 0, floor: 0, from: 0, to: 0 }.emit(&mut bytes);
        let latest = self.routers[from].version();
        let range = self.routers[from].emit_changes(self.now, scope, told, latest, 1300, &mut bytes);
        let (_, adverts) = crate::wire::update::Update::parse(&bytes).unwrap();
        self.air.extend(adverts.map(|advert| (from, to, advert)));
        self.edges[from][edge].told.version = range.to;
    }

    fn deliver(&mut self, (from, to, advert): (usize, usize, Advert)) {
        if advert.destination == node(to) {
            return;
        }
        let via = self.edges[to].iter().find(|edge| edge.to == from).unwrap().via;
        match advert.metric {
            INFINITE => self.routers[to].retract(self.now, via, advert.destination),
            _ => self.routers[to].learn(self.now, via, &advert, || true).unwrap(),
        }
        while self.routers[to].pop_change().is_some() {}
    }

    fn renew(&mut self, number: usize) {
        let Seqno { record, count } = self.routers[number].own_seqno();
        self.routers[number].announce_own(Seqno { record, count: count + 1 }, [0; 64]);
    }

    /// Sends on the seqno requests of a node that are due.
    fn ask(&mut self, from: usize) {
        while let Some(due) = self.routers[from].pop_request(self.now) {
            for via in self.routers[from].whom_to_ask(self.now, &due) {
                let to = self.edges[from].iter().find(|edge| edge.via == via).unwrap().to;
                let Due { destination, seqno, hop_limit, .. } = due;
                if self.routers[to].on_seqno_request(self.now, destination, seqno, hop_limit) {
                    self.renew(to);
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.rng.random_range(0..50));
        let number = self.rng.random_range(0..self.routers.len());
        let edge = self.rng.random_range(0..self.edges[number].len());
        match self.rng.random_range(0..100) {
            0..40 => self.tell(number, edge),
            40..85 if !self.air.is_empty() => {
                let late = self.rng.random_range(0..self.air.len());
                let advert = self.air.swap_remove(late);
                if self.rng.random_bool(0.8) {
                    self.deliver(advert);
                }
            }
            85..93 => {
                let cost =
                    if self.rng.random_bool(0.4) { INFINITE } else { self.rng.random_range(COST..500) };
                let via = self.edges[number][edge].via;
                self.routers[number].set_cost(self.now, via, cost);
            }
            93..95 => self.renew(number),
            95..97 => self.ask(number),
            97 => {
                self.now += Duration::from_secs(61);
                self.routers[number].collect(self.now);
            }
            98 => {
                let via = self.edges[number][edge].via;
                self.routers[number].clear_hop(self.now, via);
            }
            _ => self.routers[number].avoid_next_hop(self.now, node(edge)),
        }
    }

    fn next(&self, from: usize, destination: usize) -> Option<usize> {
        let route = self.routers[from].selected(node(destination))?;
        (0..self.routers.len()).find(|number| node(*number) == route.hop.node)
    }

    fn check(&mut self, context: &str) {
        let nodes = self.routers.len();
        for (from, destination) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
            let mut at = from;
            for hops in 0.. {
                assert!(hops <= nodes, "{context}: a loop towards {destination} at {at}");
                match self.next(at, destination) {
                    Some(next) if at != destination => at = next,
                    _ => break,
                }
            }
            self.check_distance(from, destination, context);
        }
    }

    /// A feasible distance never rises under one seqno, and never goes back to an older one.
    fn check_distance(&mut self, at: usize, destination: usize, context: &str) {
        let table = &self.routers[at].feasibility;
        let Some(seqno) = table.seqno(node(destination)) else { return };
        let (mut low, mut high) = (0, INFINITE);
        while low < high {
            let middle = low + (high - low) / 2;
            match table.distance(node(destination)).is_none_or(|d| d.allows(seqno, middle)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        if let Some((old, metric)) = self.distances.insert((at, destination), (seqno, low)) {
            let falls = seqno > old || (seqno == old && low <= metric);
            assert!(falls, "{context}: {at} to {destination}: {old:?} {metric} -> {seqno:?} {low}");
        }
    }

    /// All links work and nothing is lost: everybody tells everything until there is nothing to tell.
    fn settle(&mut self) {
        for number in 0..self.routers.len() {
            for edge in 0..self.edges[number].len() {
                let via = self.edges[number][edge].via;
                self.routers[number].set_cost(self.now, via, COST);
                // What was lost is told anew.
                self.edges[number][edge].told = Told::default();
            }
        }
        let mut quiet = 0;
        while quiet < 3 {
            self.now += Duration::from_millis(100);
            let before: u64 = self.routers.iter().map(Router::version).sum();
            for number in 0..self.routers.len() {
                self.ask(number);
                (0..self.edges[number].len()).for_each(|edge| self.tell(number, edge));
            }
            let air = std::mem::take(&mut self.air);
            air.into_iter().for_each(|advert| self.deliver(advert));
            quiet =
                if self.routers.iter().map(Router::version).sum::<u64>() == before { quiet + 1 } else { 0 };
        }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        let mut reached = vec![from];
        for hops in 0.. {
            if reached.contains(&to) {
                return hops;
            }
            let next: Vec<usize> =
                reached.iter().flat_map(|at| self.edges[*at].iter().map(|e| e.to)).collect();
            reached.extend(next);
        }
        unreachable!()
    }
}

#[test]
fn no_loop_ever_and_shortest_ways_in_the_end() {
    for seed in 0..150 {
        let mut net = Net::new(seed);
        for step in 0..300 {
            net.step();
            net.check(&format!("seed {seed}, step {step}"));
        }
        // Late announcements do not come any more.
        net.air.clear();
        net.now += AVOID;
        net.settle();
        net.check(&format!("seed {seed}, settled"));
        (0..net.routers.len()).for_each(|number| net.renew(number));
        net.settle();
        net.check(&format!("seed {seed}, after a round of seqnos"));
        for (from, to) in (0..net.routers.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let route = net.routers[from].selected(node(to));
            let metric = route.unwrap_or_else(|| panic!("seed {seed}: {from} does not reach {to}")).metric;
            let best = COST * net.distance(from, to) as u16;
            let nodes = net.routers.len() as u16;
            assert!(
                (best..best + nodes * select::HYSTERESIS).contains(&metric),
                "seed {seed}: {metric}, not {best}"
            );
        }
    }
}
