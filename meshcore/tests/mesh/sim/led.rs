//! Do the next hops lead everybody where the oracle says that there is a way?

use std::time::Duration;

use super::reach::Reach;
use super::router::Router;
use super::world::World;

impl<R: Router> World<R> {
    /// The node to which a frame for `to` goes from `from`, if the link carries frames both ways and the node runs.
    fn step(&self, from: usize, to: usize) -> Option<usize> {
        let (next, port) = self.hop(from, self.stations[to].address)?;
        let passes = |other| self.air.loss(port, other).is_some() && self.air.loss(other, port).is_some();
        (self.air.across(port, next).is_some_and(passes) && self.is_up(next)).then_some(next)
    }

    /// From which nodes the next hops lead to `to`. Every node is asked once.
    pub(crate) fn led(&self, to: usize) -> Vec<bool> {
        let mut led = vec![None; self.stations.len()];
        led[to] = Some(true);
        for from in 0..led.len() {
            let mut way = Vec::new();
            let mut at = Some(from);
            let arrives = loop {
                let Some(node) = at else { break false };
                if let Some(known) = led[node] {
                    break known;
                }
                // Until it turns out that the way arrives: whoever comes back here goes round in a circle.
                led[node] = Some(false);
                way.push(node);
                at = self.step(node, to);
            };
            way.into_iter().for_each(|node| led[node] = Some(arrives));
        }
        led.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// A node that has a path to `to` and is not led along one, or has a next hop without any path.
    fn find_wrong(&self, reach: &Reach, to: usize) -> Option<usize> {
        let led = self.led(to);
        let hop = |from| self.hop(from, self.stations[to].address);
        let is_wrong = |from: &usize| {
            (reach.must(*from, to) && !led[*from])
                || (!reach.may(*from, to) && *from != to && hop(*from).is_some())
        };
        (0..led.len()).find(is_wrong)
    }

    /// A pair that has a path and is not led along one, or is led although it has none.
    pub(crate) fn find_unreached(&self, reach: &Reach) -> Option<(usize, usize)> {
        (0..self.stations.len()).find_map(|to| Some((self.find_wrong(reach, to)?, to)))
    }

    /// Runs until everybody who has a path is led along one, and nobody else; `None`: not within `limit`.
    pub(crate) fn run_until_reached(&mut self, limit: Duration, step: Duration) -> Option<Duration> {
        // Most often what was in order before still is: what comes behind is looked at first.
        let nodes = self.stations.len();
        let mut at = 0;
        self.run_until(limit, step, |world| {
            let reach = world.reach();
            let is_right = |to: &usize| world.find_wrong(&reach, *to).is_none();
            at += (at..nodes).take_while(is_right).count();
            if at == nodes {
                at = (0..nodes).take_while(is_right).count();
            }
            at == nodes
        })
    }
}
