//! The route table (RFC 8966, section 3.2.6): per destination, what each neighbour announces.

use super::hops::HopId;
use crate::types::{Instant, LinkId};
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

/// An announcement of the destination itself, whose signature was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    pub(super) seqno: Seqno,
    pub(super) signature: [u8; SIGNATURE_LEN],
}

/// What this node has announced of a destination.
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

    /// Whether the neighbours should hear of the new state at once. Metrics tremble: an eighth is no news.
    pub(super) fn is_news(&self, new: &Self) -> bool {
        let finite = (self.metric < INFINITE, new.metric < INFINITE);
        let change = self.metric.abs_diff(new.metric);
        match finite {
            (false, false) => false,
            (true, true) => {
                new.seqno != self.seqno
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

    /// Takes over what a neighbour announces. Whether that is news.
    pub(super) fn update(&mut self, new: Route, signature: [u8; SIGNATURE_LEN]) -> bool {
        match self.routes.iter_mut().find(|route| route.via == new.via) {
            Some(route) if *route == new => return false,
            Some(route) => *route = new,
            None => self.routes.push(new),
        }
        if self.proof(new.seqno).is_none() {
            self.proofs.push(Proof { seqno: new.seqno, signature });
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
