//! What the tests ask of a simulation.

use super::forge::{address, station};
use super::sim::Sim;
use crate::mesh::{DropReason, MeshEvent};
use crate::types::LinkId;

impl Sim {
    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        self.hosts[from].mesh.is_reachable(address(to))
    }

    pub(super) fn all_reach_all(&self) -> bool {
        let up = || (0..self.hosts.len()).filter(|host| self.hosts[*host].up);
        up().all(|a| up().all(|b| a == b || self.reaches(a, b)))
    }

    /// The hosts that a frame from `from` to `to` would visit; panics when it would go round.
    pub(super) fn path(&self, from: usize, to: usize) -> Vec<usize> {
        let mut path = vec![from];
        while let Some(route) = self.hosts[path[path.len() - 1]].mesh.route(address(to)) {
            let next = (0..self.hosts.len()).find(|host| address(*host) == route.next_hop).unwrap();
            assert!(!path.contains(&next), "a loop towards {to}: {path:?} {next}");
            path.push(next);
        }
        path
    }

    pub(super) fn count(&self, index: usize, event: impl Fn(&MeshEvent) -> bool) -> usize {
        self.hosts[index].events.iter().filter(|(_, e)| event(e)).count()
    }

    pub(super) fn dropped(&self, index: usize, reason: DropReason) -> u64 {
        self.hosts[index].mesh.counters().dropped(reason)
    }

    /// Gives a frame to a host at once.
    pub(super) fn give(&mut self, to: usize, link: u32, from: usize, frame: &[u8]) -> Result<(), DropReason> {
        let mut frame = frame.to_vec();
        let result = self.hosts[to].mesh.handle_frame(self.now, LinkId(link), station(from), &mut frame);
        let result = result.map(drop);
        self.drain(to);
        result
    }
}
