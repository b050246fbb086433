//! Identity records are fetched from neighbours and served to them.

use rand::RngExt;
use std::time::Duration;

use super::output::Control;
use super::{DropReason, Mesh, MeshEvent, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::identity::{parse_record, parse_request};

impl Mesh {
    /// The record `number` of `node` is verified, or was verified earlier: it is not asked for until the node
    /// announces a higher number. The node counts as verified.
    pub fn identity_known(&mut self, now: Instant, node: Address, number: u64) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.fetch.on_known(now, number);
        for link in self.links.values_mut() {
            link.table.verify(node);
        }
        self.timers.cancel(Timer::Fetch(node));
        self.update_fetch(now, node);
    }

    /// The record that came from `node` could not be verified. It is asked for again after a growing time.
    pub fn identity_refused(&mut self, now: Instant, node: Address) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.fetch.on_refused(now);
        self.update_fetch(now, node);
    }

    /// Starts or stops asking for the record of `node`.
    pub(super) fn update_fetch(&mut self, now: Instant, node: Address) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if let Some(due) = peer.fetch.update(now, peer.reachable) {
            self.timers.set(Timer::Fetch(node), due);
        } else if !peer.fetch.is_asking() {
            self.timers.cancel(Timer::Fetch(node));
        }
    }

    pub(super) fn request_due(&mut self, now: Instant, node: Address) {
        let Some(hop) = self.next_hop(node) else { return };
        let verified = self.is_verified(node);
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.fetch.is_asking()) else { return };
        let Some(link) = self.links.get_mut(&hop.link) else { return };
        if link.budget(verified).requests.take(now) {
            let next = peer.fetch.on_request(now);
            self.timers.set(Timer::Fetch(node), next);
            self.push(Control::Request { link: hop.link, node });
        } else {
            let wait = Duration::from_millis(self.rng.random_range(50..150));
            self.timers.set(Timer::Fetch(node), now + wait);
        }
    }

    /// A neighbour asks for our record. It must show that it hears us: a record is much longer than the request, and
    /// must not be sent to somebody who never asked.
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let seqno = parse_request(payload)?;
        let verified = self.is_verified(node);
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        let hears_us = link.is_recent(seqno);
        let neighbour = link.table.get_mut(node).filter(|n| n.at == from && hears_us);
        let neighbour = neighbour.ok_or(DropReason::UnknownNeighbour)?;
        if self.record.is_empty() {
            return Err(DropReason::NoRecord);
        }
        if !neighbour.may_serve(now) || !link.budget(verified).records.take(now) {
            return Err(DropReason::RateLimited);
        }
        self.push(Control::Record { link: id, node });
        Ok(())
    }

    pub(super) fn on_record(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let record = parse_record(payload)?;
        let neighbour = self.neighbour_mut(id, node).filter(|neighbour| neighbour.at == from);
        neighbour.ok_or(DropReason::UnknownNeighbour)?.on_frame(now, from);
        let peer = self.peers.get_mut(&node).ok_or(DropReason::UnknownNeighbour)?;
        if !peer.fetch.on_record() {
            return Err(DropReason::Unsolicited);
        }
        self.timers.cancel(Timer::Fetch(node));
        self.events.push_back(MeshEvent::IdentityReceived { node, record: record.to_vec() });
        Ok(())
    }
}
