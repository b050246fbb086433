//! What this node announces to its neighbours (RFC 8966, section 3.7).

use super::Router;
use crate::types::{Address, Instant, LinkId};
use crate::wire::update::{Advert, INFINITE};

/// The link on which something is announced.
#[derive(Debug, Clone, Copy)]
pub(in crate::mesh) struct Scope {
    pub(in crate::mesh) link: LinkId,
    /// Everybody on the link hears everybody.
    pub(in crate::mesh) wired: bool,
    /// Number of the link among this node's links, below 64.
    pub(in crate::mesh) slot: u8,
}

/// How far somebody has been told the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mesh) struct Told {
    /// Version up to which the changes were told.
    pub(in crate::mesh) version: u64,
    /// Nothing was told of what had been forgotten up to this version.
    pub(in crate::mesh) floor: u64,
}

/// The part of the table that an update covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) struct Range {
    pub(in crate::mesh) from: u64,
    pub(in crate::mesh) to: u64,
}

/// A walk through the whole table.
#[derive(Debug, Clone, Copy)]
pub(in crate::mesh) struct Round {
    /// Version up to which it has come.
    at: u64,
    /// The latest version when it began.
    until: u64,
}

impl Router {
    /// Appends up to `room` bytes of entries for what changed after `since`, up to the version `until`; tells the range
    /// that they cover. A range from 0 begins a whole table.
    pub(in crate::mesh) fn emit_changes(
        &mut self,
        now: Instant,
        scope: Scope,
        since: Told,
        until: u64,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Range {
        let from = if since.version.max(since.floor) < self.journal.floor() { 0 } else { since.version };
        let end = out.len() + room;
        let mut to = from;
        // First of a whole table: who does not know this node yet believes nothing else before.
        if from == 0
            && let Some(own) = self.advert(now, scope, self.own, false)
        {
            self.announce(now, scope, &own, out);
        }
        let mut at = from;
        while let Some((version, destination)) = self.journal.next_after(at).filter(|(at, _)| *at <= until) {
            let repeated = from == 0 && destination == self.own;
            if let Some(advert) = self.advert(now, scope, destination, from != 0).filter(|_| !repeated) {
                if out.len() + advert.wire_len() > end {
                    return Range { from, to };
                }
                self.announce(now, scope, &advert, out);
            }
            (to, at) = (version, version);
        }
        Range { from, to: until.max(from) }
    }

    /// Appends entries for what changed least lately, behind where the round stands; gives where it goes on, `None` at
    /// its end.
    pub(in crate::mesh) fn emit_refresh(
        &mut self,
        now: Instant,
        scope: Scope,
        round: Option<Round>,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Option<Round> {
        let end = out.len() + room;
        // What changes during the round is told anyway.
        let Round { mut at, until } = round.unwrap_or(Round { at: 0, until: self.journal.latest() });
        if round.is_none()
            && let Some(own) = self.advert(now, scope, self.own, false)
        {
            self.announce(now, scope, &own, out);
        }
        while let Some((version, address)) = self.journal.next_after(at).filter(|(at, _)| *at <= until) {
            let known = self.advert(now, scope, address, false).filter(|_| address != self.own);
            if let Some(advert) = known {
                if out.len() + advert.wire_len() > end {
                    return Some(Round { at, until });
                }
                self.announce(now, scope, &advert, out);
            }
            at = version;
        }
        None
    }

    /// What a link is told of a destination.
    fn advert(&self, now: Instant, scope: Scope, address: Address, retract: bool) -> Option<Advert> {
        if address == self.own {
            if self.own_version == 0 {
                return None;
            }
            let (seqno, signature) = (self.own_proof.seqno, self.own_proof.signature);
            return Some(Advert {
                destination: address,
                seqno,
                metric: 0,
                mtu: u16::MAX,
                hops: 0,
                signature,
            });
        }
        let destination = self.table.get(&address)?;
        if self.avoided.withholds(now, address, destination, &self.hops) {
            return None;
        }
        let hidden = |hop: &super::Hop| scope.wired && hop.link == scope.link;
        match self.selected_of(destination).filter(|route| !hidden(&route.hop) && route.metric < INFINITE) {
            Some(route) => {
                let signature = destination.proof(route.seqno)?.signature;
                let (seqno, metric, mtu, hops) = (route.seqno, route.metric, route.mtu, route.hops);
                Some(Advert { destination: address, seqno, metric, mtu, hops, signature })
            }
            None => {
                let told = destination.told & (1 << scope.slot) != 0;
                let seqno = self.feasibility.seqno(address).unwrap_or_default();
                (retract && told).then(|| Advert::retraction(address, seqno))
            }
        }
    }

    /// Writes an entry; from now on the feasible distance is at most what it says (RFC 8966, section 3.7.3).
    fn announce(&mut self, now: Instant, scope: Scope, advert: &Advert, out: &mut Vec<u8>) {
        advert.emit(out);
        if advert.metric == INFINITE || advert.destination == self.own {
            return;
        }
        let table = &self.table;
        let kept = |node: &Address| table.get(node).is_some_and(|entry| !entry.routes.is_empty());
        self.feasibility.on_announced(now, advert.destination, (advert.seqno, advert.metric), kept);
        if let Some(destination) = self.table.get_mut(&advert.destination) {
            destination.told |= 1 << scope.slot;
        }
    }
}
