//! The route table (RFC 8966, section 3.2.6): per destination, what each neighbour announces.

use super::Change;
use super::feasibility::Distance;
use super::hops::{HopId, Hops};
use crate::types::{Address, Instant, LinkId};
use crate::wire::update::{INFINITE, SIGNATURE_LEN, Seqno};

/// A neighbour's way to a destination, as it announced it. Retracted routes are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) via: HopId,
    pub(super) seqno: Seqno,
    /// Metric that the neighbour announces.
    pub(super) metric: u16,
    pub(super) mtu: u16,
    pub(super) hops: u8,
}

impl Route {
    /// Whether it may be used; without a distance, this node has not announced the destination.
    pub(super) fn is_feasible(&self, distance: Option<&Distance>) -> bool {
        distance.is_none_or(|distance| distance.allows(self.seqno, self.metric))
    }
}

/// An announcement of the destination itself, whose signature was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    pub(super) seqno: Seqno,
    pub(super) signature: [u8; SIGNATURE_LEN],
}

/// What all neighbours were told of a destination, or soon will be; single ones may know more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) seqno: Seqno,
    pub(super) metric: u16,
    pub(super) mtu: u16,
    /// Link of the next hop if everybody hears everybody there: its stations are told of no such route.
    pub(super) withheld_on: Option<LinkId>,
}

impl Announced {
    pub(super) const NOTHING: Self =
        Self { seqno: Seqno { record: 0, count: 0 }, metric: INFINITE, mtu: 0, withheld_on: None };

    /// Whether the neighbours should hear of the new state at once. Metrics tremble: an eighth is no news. A new seqno is
    /// of use to those alone who were `asked` for it: routes rest on the old one as well, and a mesh in which every
    /// request made all nodes repeat a route would drown in that.
    fn is_news(&self, new: &Self, asked: bool) -> bool {
        let finite = (self.metric < INFINITE, new.metric < INFINITE);
        let change = self.metric.abs_diff(new.metric);
        match finite {
            (false, false) => false,
            (true, true) => {
                new.seqno.record != self.seqno.record
                    || (asked && new.seqno != self.seqno)
                    || new.mtu != self.mtu
                    || new.withheld_on != self.withheld_on
                    || change > (self.metric / 8).max(super::select::HYSTERESIS)
            }
            _ => true,
        }
    }
}

#[derive(Debug)]
pub(super) struct Destination {
    pub(super) routes: Vec<Route>,
    pub(super) selected: Option<HopId>,
    /// Identity record that the route in use rests on, or the last one did.
    record: u64,
    /// For every seqno that a route rests on.
    pub(super) proofs: Vec<Proof>,
    pub(super) announced: Announced,
    /// Nothing is said of it now, as its route is avoided and another one is hoped for.
    pub(super) withheld: bool,
    /// Version of the latest change, as in the journal; 0: it never was announced.
    pub(super) version: u64,
    /// Links on which it was announced once: only there it needs to be retracted. One bit a link.
    pub(super) told: u64,
    /// Since when no route is selected.
    pub(super) idle_since: Instant,
}

impl Destination {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            routes: Vec::new(),
            selected: None,
            record: 0,
            proofs: Vec::new(),
            announced: Announced::NOTHING,
            withheld: false,
            version: 0,
            told: 0,
            idle_since: now,
        }
    }

    pub(super) fn route(&self, via: HopId) -> Option<&Route> {
        self.routes.iter().find(|route| route.via == via)
    }

    pub(super) fn selected_route(&self) -> Option<&Route> {
        self.route(self.selected?)
    }

    /// The newest announcement that a route rests on.
    pub(super) fn newest(&self) -> Option<Seqno> {
        self.routes.iter().map(|route| route.seqno).max()
    }

    /// Uses a route, or none. Whether something changes for those who send there.
    pub(super) fn on_selected(
        &mut self,
        now: Instant,
        address: Address,
        selected: Option<HopId>,
    ) -> Option<Change> {
        let before = std::mem::replace(&mut self.selected, selected);
        if selected.is_none() && before.is_some() {
            self.idle_since = now;
        }
        let record = self.selected_route().map_or(self.record, |route| route.seqno.record);
        let restarted = std::mem::replace(&mut self.record, record) < record;
        let change =
            Change { destination: address, was_reachable: before.is_some(), reachable: selected.is_some() };
        (selected != before || restarted).then_some(change)
    }

    /// Whether only infeasible routes are left of those that work, or one is in use (RFC 8966, section 3.8.2.1): then a
    /// new announcement would help.
    pub(super) fn starves(&self, distance: Option<&Distance>, hops: &Hops) -> bool {
        let served = self.selected_route().is_some_and(|route| route.is_feasible(distance));
        !served && self.routes.iter().any(|route| hops.cost(route.via) < INFINITE)
    }

    /// What is to be said about the destination now.
    fn announceable(&self, hops: &Hops) -> Option<Announced> {
        let Some(route) = self.selected_route() else {
            return Some(Announced::NOTHING);
        };
        let hop = hops.get(route.via)?;
        Some(Announced {
            seqno: route.seqno,
            metric: route.metric.saturating_add(hop.cost),
            mtu: route.mtu.min(hop.mtu),
            withheld_on: hop.wired.then_some(hop.link),
        })
    }

    /// Takes over what is to be announced, unless it is withheld. Whether it is news; `is_asked` tells whether somebody
    /// waits for this seqno.
    pub(super) fn has_news(
        &mut self,
        hops: &Hops,
        withheld: bool,
        is_asked: impl FnOnce(Seqno) -> bool,
    ) -> bool {
        let Some(new) = self.announceable(hops) else { return false };
        // What was passed over while nothing was said is told afterwards.
        let missed = std::mem::replace(&mut self.withheld, withheld);
        let asked = new.seqno != self.announced.seqno && is_asked(new.seqno);
        let is_news = !withheld && (missed || self.announced.is_news(&new, asked));
        if is_news {
            self.announced = new;
        }
        is_news
    }

    /// Takes over what a neighbour announces. Whether that is news.
    pub(super) fn update(&mut self, new: Route, proof: Proof) -> bool {
        match self.routes.iter_mut().find(|route| route.via == new.via) {
            Some(route) if *route == new => return false,
            Some(route) => *route = new,
            None => self.routes.push(new),
        }
        if self.proof(new.seqno).is_none() {
            self.proofs.push(proof);
        }
        if self.proofs.len() > 1 {
            self.drop_unused_proofs();
        }
        true
    }

    pub(super) fn remove(&mut self, via: HopId) -> bool {
        let before = self.routes.len();
        self.routes.retain(|route| route.via != via);
        self.drop_unused_proofs();
        self.routes.len() < before
    }

    fn drop_unused_proofs(&mut self) {
        let routes = &self.routes;
        self.proofs.retain(|proof| routes.iter().any(|route| route.seqno == proof.seqno));
    }

    pub(super) fn proof(&self, seqno: Seqno) -> Option<&Proof> {
        self.proofs.iter().find(|proof| proof.seqno == seqno)
    }
}
