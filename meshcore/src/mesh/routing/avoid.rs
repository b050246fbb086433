//! Next hops that swallow frames: they are the last choice for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::hops::{HopId, Hops};
use super::table::{Destination, Route};
use crate::types::{Address, Instant};
use crate::wire::update::INFINITE;

/// How long a next hop is avoided.
pub(super) const AVOID: Duration = Duration::from_secs(60);

/// How long nothing is said of a destination whose next hop has just been avoided.
const WITHHOLD: Duration = Duration::from_secs(2);

/// Pairs of destination and next hop that are avoided.
const MAX_AVOIDED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Avoided {
    until: BTreeMap<(Address, HopId), Instant>,
}

impl Avoided {
    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    pub(super) fn contains(&self, now: Instant, node: Address, via: HopId) -> bool {
        !self.is_empty() && self.until.get(&(node, via)).is_some_and(|until| *until > now)
    }

    /// Avoids a next hop from now on. Whether there was room to note that.
    pub(super) fn add(&mut self, now: Instant, node: Address, via: HopId) -> bool {
        let has_room = self.until.len() < MAX_AVOIDED;
        if has_room {
            self.until.insert((node, via), now + AVOID);
        }
        has_room
    }

    /// All ways to a node begin anew.
    pub(super) fn remove_node(&mut self, node: Address) {
        self.until.retain(|(avoided, _), _| *avoided != node);
    }

    /// A neighbour is gone.
    pub(super) fn remove_hop(&mut self, via: HopId) {
        self.until.retain(|(_, avoided), _| *avoided != via);
    }

    /// Forgets what is avoided no longer; gives all nodes that may be concerned.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<Address> {
        let nodes = self.until.keys().map(|(node, _)| *node).collect();
        self.until.retain(|_, until| *until > now);
        nodes
    }

    /// Whether the route in use is avoided since a moment ago, and another one would do as soon as it is feasible. Nothing
    /// is said of the destination then: announcing it under a new seqno by the avoided way would make the other one
    /// infeasible again.
    pub(super) fn withholds(
        &self,
        now: Instant,
        node: Address,
        destination: &Destination,
        hops: &Hops,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_new =
            |via| self.until.get(&(node, via)).is_some_and(|until| *until > now + (AVOID - WITHHOLD));
        let other_way =
            |other: &Route| hops.cost(other.via) < INFINITE && !self.contains(now, node, other.via);
        destination.selected.is_some_and(is_new) && destination.routes.iter().any(other_way)
    }
}
