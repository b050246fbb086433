//! Distance-vector routing after Babel (RFC 8966): loop-free at every moment, whatever is lost, late or repeated.
//!
//! What is taken over: the feasibility condition, source seqnos, triggered updates, retractions, seqno requests, split
//! horizon. What differs: destinations are node addresses and announce themselves, so source and destination are one; a
//! seqno is signed by its destination and does not wrap; updates are numbered and made good when they are lost
//! (see [`journal`]) instead of being repeated every few seconds.
//!
//! This module knows no frame, no timer and no identity: [`super::updates`] feeds it.

mod avoid;
mod emit;
mod feasibility;
mod hops;
mod journal;
mod requests;
mod select;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::{Address, AddressMap, HashKey, Instant};
use crate::wire::update::{Advert, INFINITE, SIGNATURE_LEN, Seqno};
use avoid::Avoided;
use feasibility::FeasibilityTable;
use hops::Hops;
use journal::Journal;
use requests::Requests;
use select::{Candidate, select};
use table::{Destination, Proof, Route};

pub(super) use emit::{Round, Scope, Told};
pub(super) use hops::{Hop, HopId};
pub(super) use requests::Due;

/// Destinations in the table. When it is full, those without a route make room; live ones never do.
pub(super) const MAX_DESTINATIONS: usize = 4096;

/// How long a destination without a route is remembered, so that its retraction reaches the neighbours.
const IDLE_LIFE: Duration = Duration::from_secs(60);

/// Neighbours that are asked for a seqno at a time.
const MAX_ASKED: usize = 4;

/// The next hop of a destination has changed, or the destination has started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) destination: Address,
    /// Whether there was one before.
    pub(super) was_reachable: bool,
    /// Whether there is one now.
    pub(super) reachable: bool,
}

/// A route in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected {
    pub(super) hop: Hop,
    pub(super) seqno: Seqno,
    pub(super) metric: u16,
    pub(super) mtu: u16,
    pub(super) hops: u8,
}

/// Why an announcement was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The table is full of destinations that are in reach.
    Full,
    /// It is not signed by its destination.
    BadSignature,
}

/// The routing table of one node.
#[derive(Debug)]
pub(super) struct Router {
    own: Address,
    own_proof: Proof,
    own_version: u64,
    hops: Hops,
    table: AddressMap<Destination>,
    feasibility: FeasibilityTable,
    journal: Journal,
    requests: Requests,
    avoided: Avoided,
    changes: VecDeque<Change>,
}

impl Router {
    pub(super) fn new(own: Address, key: HashKey) -> Self {
        Self {
            own,
            own_proof: Proof { seqno: Seqno::default(), signature: [0; SIGNATURE_LEN] },
            own_version: 0,
            hops: Hops::default(),
            table: key.map(),
            feasibility: FeasibilityTable::new(key),
            journal: Journal::default(),
            requests: Requests::default(),
            avoided: Avoided::default(),
            changes: VecDeque::new(),
        }
    }

    // -- this node as a destination --------------------------------------------------------------------------------

    pub(super) fn own_seqno(&self) -> Seqno {
        self.own_proof.seqno
    }

    /// This node announces itself under a new seqno.
    pub(super) fn announce_own(&mut self, seqno: Seqno, signature: [u8; SIGNATURE_LEN]) {
        self.own_proof = Proof { seqno, signature };
        self.own_version = self.journal.note(self.own, self.own_version);
    }

    // -- neighbours ------------------------------------------------------------------------------------------------

    pub(super) fn add_hop(&mut self, hop: Hop) -> HopId {
        self.hops.add(hop)
    }

    pub(super) fn hop(&self, id: HopId) -> Option<&Hop> {
        self.hops.get(id)
    }

    /// The cost of the link to a neighbour has changed.
    pub(super) fn set_cost(&mut self, now: Instant, id: HopId, cost: u16) {
        let Some(hop) = self.hops.get_mut(id) else { return };
        if std::mem::replace(&mut hop.cost, cost) != cost {
            for destination in self.destinations_via(id) {
                self.reselect(now, destination);
            }
        }
    }

    /// The payload that the link to a neighbour carries has changed.
    pub(super) fn set_mtu(&mut self, now: Instant, id: HopId, mtu: u16) {
        let Some(hop) = self.hops.get_mut(id) else { return };
        if std::mem::replace(&mut hop.mtu, mtu) != mtu {
            for destination in self.destinations_via(id) {
                self.reselect(now, destination);
            }
        }
    }

    /// All that a neighbour has announced is void: it has restarted.
    pub(super) fn clear_hop(&mut self, now: Instant, id: HopId) {
        for destination in self.destinations_via(id) {
            self.retract(now, id, destination);
        }
    }

    /// A neighbour is gone.
    pub(super) fn remove_hop(&mut self, now: Instant, id: HopId) {
        self.clear_hop(now, id);
        self.avoided.remove_hop(id);
        self.hops.remove(id);
    }

    /// A link takes the number of one that is gone: nobody on it was told anything.
    pub(super) fn free_slot(&mut self, slot: u8) {
        self.table.values_mut().for_each(|destination| destination.told &= !(1 << slot));
    }

    fn destinations_via(&self, id: HopId) -> Vec<Address> {
        let via = self.table.iter().filter(|(_, destination)| destination.route(id).is_some());
        via.map(|(address, _)| *address).collect()
    }

    // -- announcements of neighbours -------------------------------------------------------------------------------

    /// Takes in a route that a neighbour announces (RFC 8966, section 3.5.3). `is_signed` is asked unless the same
    /// announcement was checked before.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        via: HopId,
        advert: &Advert,
        is_signed: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let Advert { destination, seqno, metric, mtu, hops, signature } = *advert;
        let proof = Proof { seqno, signature };
        let route = Route { via, seqno, metric, mtu, hops };
        let entry = self.table.get_mut(&destination);
        let is_proven = entry.as_ref().is_some_and(|entry| entry.proof(seqno).is_some());
        if !is_proven && !is_signed() {
            return Err(Refusal::BadSignature);
        }
        let changed = match entry {
            Some(entry) => entry.update(route, proof),
            None => {
                self.make_room()?;
                self.table.entry(destination).or_insert(Destination::new(now)).update(route, proof)
            }
        };
        // What is avoided may be so no longer.
        if changed || !self.avoided.is_empty() {
            self.reselect(now, destination);
        }
        Ok(())
    }

    /// Takes back what a neighbour announced.
    pub(super) fn retract(&mut self, now: Instant, via: HopId, destination: Address) {
        if self.table.get_mut(&destination).is_some_and(|entry| entry.remove(via)) {
            self.reselect(now, destination);
        }
    }

    fn make_room(&mut self) -> Result<(), Refusal> {
        if self.table.len() < MAX_DESTINATIONS {
            return Ok(());
        }
        let idle = self.table.iter().filter(|(_, destination)| destination.routes.is_empty());
        let oldest = idle.min_by_key(|(_, destination)| destination.idle_since).map(|(node, _)| *node);
        self.forget(oldest.ok_or(Refusal::Full)?);
        Ok(())
    }

    fn forget(&mut self, node: Address) {
        if let Some(destination) = self.table.remove(&node) {
            self.journal.remove(destination.version);
            self.requests.end(node);
        }
    }

    /// Forgets what has had no route for long.
    pub(super) fn collect(&mut self, now: Instant) {
        let is_old = |d: &Destination| d.routes.is_empty() && now - d.idle_since >= IDLE_LIFE;
        let old: Vec<Address> = self.table.iter().filter(|(_, d)| is_old(d)).map(|(node, _)| *node).collect();
        old.iter().for_each(|node| self.forget(*node));
        let table = &self.table;
        self.feasibility.forget(now, |node| table.get(node).is_some_and(|d| !d.routes.is_empty()));
        for node in self.avoided.expire(now) {
            self.reselect(now, node);
        }
    }

    // -- selection -------------------------------------------------------------------------------------------------

    /// Everything that may follow from a change of a route. It runs once for every entry of every update: the table is
    /// searched once.
    fn reselect(&mut self, now: Instant, address: Address) {
        let Some(destination) = self.table.get_mut(&address) else { return };
        let distance = self.feasibility.distance(address).copied();
        let (hops, avoided) = (&self.hops, &self.avoided);
        let candidates = destination.routes.iter().map(|route| Candidate {
            via: route.via,
            metric: route.metric.saturating_add(hops.cost(route.via)),
            feasible: route.is_feasible(distance.as_ref()),
            avoided: avoided.contains(now, address, route.via),
        });
        let selected = select(candidates, destination.selected);
        if let Some(change) = destination.on_selected(now, address, selected) {
            self.changes.push_back(change);
        }
        let withheld = avoided.withholds(now, address, destination, hops);
        if destination.has_news(hops, withheld, |seqno| self.requests.is_asked(address, seqno)) {
            destination.version = self.journal.note(address, destination.version);
        }
        // Asks for a new announcement when nothing else helps.
        let Some(newest) = destination.newest() else { return self.requests.end(address) };
        self.requests.on_seqno(address, newest);
        if let Some(distance) = distance
            && (withheld || destination.starves(Some(&distance), hops))
        {
            self.requests.start(now, address, distance.next_seqno(), crate::wire::frame::DEFAULT_HOP_LIMIT);
        }
    }

    /// Whether only a new announcement would help.
    fn starves(&self, now: Instant, address: Address) -> bool {
        self.table.get(&address).is_some_and(|destination| {
            self.avoided.withholds(now, address, destination, &self.hops)
                || destination.starves(self.feasibility.distance(address), &self.hops)
        })
    }

    // -- seqno requests --------------------------------------------------------------------------------------------

    /// A neighbour asks for a new announcement of a destination (RFC 8966, section 3.8.1.2). Whether this node is to announce
    /// itself anew; what concerns others is passed on when it is due.
    pub(super) fn on_seqno_request(
        &mut self,
        now: Instant,
        address: Address,
        seqno: Seqno,
        hop_limit: u8,
    ) -> bool {
        if address == self.own {
            let own = self.own_seqno();
            return self.own_version > 0 && seqno.record == own.record && seqno.count > own.count;
        }
        let Some(destination) = self.table.get_mut(&address) else { return false };
        // The update that satisfies the request has been sent, or is now: it is made good if it is lost.
        let satisfied = destination.selected_route().is_some_and(|route| route.seqno >= seqno);
        let withheld = self.avoided.withholds(now, address, destination, &self.hops);
        if destination.has_news(&self.hops, withheld, |newest| newest >= seqno) {
            destination.version = self.journal.note(address, destination.version);
        }
        if let Some(Seqno { record, count }) = destination.newest().filter(|_| !satisfied && hop_limit > 1) {
            // Only the next announcement can be asked for: who demands more is not believed.
            let next = Seqno { record, count: count.saturating_add(1) };
            self.requests.start(now, address, seqno.min(next), hop_limit - 1);
        }
        false
    }

    pub(super) fn next_request(&self) -> Option<Instant> {
        self.requests.next()
    }

    pub(super) fn pop_request(&mut self, now: Instant) -> Option<Due> {
        let mut requests = std::mem::take(&mut self.requests);
        let due = requests.pop(now, |node| self.starves(now, node));
        self.requests = requests;
        // What was withheld is said when the other way has not come up.
        if let Some(due) = due
            && let Some(destination) = self.table.get_mut(&due.destination)
        {
            let withheld = self.avoided.withholds(now, due.destination, destination, &self.hops);
            let is_asked = |seqno| self.requests.is_asked(due.destination, seqno);
            if destination.has_news(&self.hops, withheld, is_asked) {
                destination.version = self.journal.note(due.destination, destination.version);
            }
        }
        due
    }

    /// Whom to ask: the next hop; when there is none, or it is avoided, or it has not helped, the neighbours that are
    /// nearest.
    pub(super) fn whom_to_ask(&self, now: Instant, due: &Due) -> Vec<HopId> {
        let Some(destination) = self.table.get(&due.destination) else { return Vec::new() };
        let selected = destination.selected.filter(|via| !self.avoided.contains(now, due.destination, *via));
        if let (Some(selected), ..2) = (selected, due.tries) {
            return vec![selected];
        }
        let works = |route: &&Route| self.hops.cost(route.via) < INFINITE;
        let mut routes: Vec<&Route> = destination.routes.iter().filter(works).collect();
        routes.sort_by_key(|route| route.metric);
        routes.iter().take(MAX_ASKED).map(|route| route.via).collect()
    }

    // -- what is asked of the table --------------------------------------------------------------------------------

    pub(super) fn selected(&self, destination: Address) -> Option<Selected> {
        self.selected_of(self.table.get(&destination)?)
    }

    fn selected_of(&self, destination: &Destination) -> Option<Selected> {
        let route = destination.selected_route()?;
        let hop = *self.hops.get(route.via)?;
        Some(Selected {
            hop,
            seqno: route.seqno,
            metric: route.metric.saturating_add(hop.cost),
            mtu: route.mtu.min(hop.mtu),
            hops: route.hops.saturating_add(1),
        })
    }

    pub(super) fn reachable(&self) -> impl Iterator<Item = Address> {
        let reachable = self.table.iter().filter(|(_, destination)| destination.selected.is_some());
        reachable.map(|(address, _)| *address)
    }

    pub(super) fn knows(&self, destination: Address) -> bool {
        self.table.contains_key(&destination)
    }

    /// Frames to the destination vanish behind its next hop: another one is tried, if there is any. When all of them
    /// have been tried, they begin anew.
    pub(super) fn avoid_next_hop(&mut self, now: Instant, destination: Address) {
        let Some(entry) = self.table.get(&destination) else { return };
        let Some(via) = entry.selected else { return };
        let mut working = entry.routes.iter().filter(|route| self.hops.cost(route.via) < INFINITE);
        let others =
            working.any(|other| other.via != via && !self.avoided.contains(now, destination, other.via));
        if !others {
            self.avoided.remove_node(destination);
        }
        if self.avoided.add(now, destination, via) {
            self.reselect(now, destination);
        }
    }

    pub(super) fn pop_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Version of the latest change.
    pub(super) fn version(&self) -> u64 {
        self.journal.latest()
    }

    /// Latest version of a destination that was forgotten: its retraction cannot be told any more.
    pub(super) fn floor(&self) -> u64 {
        self.journal.floor()
    }

    /// Destinations, routes to them, feasible distances, requests.
    pub(super) fn sizes(&self) -> [usize; 4] {
        let routes = self.table.values().map(|destination| destination.routes.len()).sum();
        [self.table.len(), routes, self.feasibility.len(), self.requests.len()]
    }
}
