//! Identity records are fetched from neighbours and served to them: of every node that there is a route to.

use std::collections::BTreeMap;

use rand::RngExt;

use super::config::{MAX_REQUESTS, MAX_SOURCES, REQUEST_PACE, REQUEST_ROUND};
use super::fetch::Fetch;
use super::link::Link;
use super::output::Control;
use super::routing::Router;
use super::{DropReason, Identity, Mesh, MeshEvent, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::identity::{IdentityRequest, parse_record};

/// A record that routes wait for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    fetch: Fetch,
    /// Neighbours that announce the node, and so have its record.
    sources: Vec<(LinkId, Address)>,
    /// Who was asked last: nobody else's answer is taken.
    asked: Option<(LinkId, Address)>,
}

impl Mesh {
    /// The identity of `node`, verified now or earlier: the answer to [`MeshEvent::IdentityReceived`], and to
    /// [`MeshEvent::IdentityWanted`] when it is known. Without being asked it does nothing.
    pub fn identity_known(&mut self, now: Instant, node: Address, identity: Identity) {
        let Some(wanted) = self.wanted.get_mut(&node) else { return };
        wanted.fetch.on_known(now, identity.number);
        let asked = wanted.asked.take();
        let is_newer = self.identities.get(&node).is_none_or(|known| known.number < identity.number);
        if node != self.own && is_newer {
            self.identities.insert(node, identity);
        }
        self.on_verified(now, node);
        // Who announces a record that it does not have was misunderstood, or lies.
        if let Some((id, source)) = asked
            && self.neighbour_mut(id, source).is_some_and(|n| n.sync.pending.contains_key(&node))
        {
            self.doubt(now, id, source, node);
        }
        self.forget_identity(node);
        self.update_fetch(now, node);
        self.settle(now);
    }

    /// The record of `node` that came in could not be verified. It is asked for again after a growing time.
    pub fn identity_refused(&mut self, now: Instant, node: Address) {
        let Some(wanted) = self.wanted.get_mut(&node) else { return };
        wanted.fetch.on_refused(now);
        // Who serves rubbish has to announce the node anew before it is asked again.
        if let Some((id, source)) = wanted.asked.take() {
            self.doubt(now, id, source, node);
        }
        self.update_fetch(now, node);
    }

    /// What a neighbour says of `node` cannot be. A frame may have been damaged: its table is asked for again, but not for
    /// ever.
    pub(super) fn doubt(&mut self, now: Instant, id: LinkId, source: Address, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, source) else { return };
        neighbour.sync.pending.remove(&node);
        if neighbour.sync.tolerates_flaw() {
            neighbour.sync.begin_anew();
            self.schedule_sync(now, id, source, false);
        }
    }

    pub(super) fn is_verified(&self, node: Address) -> bool {
        self.identities.contains_key(&node)
    }

    /// Forgets the identities of who is no destination any more, and no neighbour.
    pub(super) fn forget_identities(&mut self) {
        let (links, router) = (&self.links, &self.router);
        self.identities.retain(|node, _| is_needed(links, router, *node));
    }

    /// The node counts as verified, and what waited for its identity is taken in.
    fn on_verified(&mut self, now: Instant, node: Address) {
        let neighbours = self.links.iter_mut().filter_map(|(id, link)| {
            link.table.verify(node);
            link.table.get_mut(node).map(|neighbour| {
                neighbour.sync.ask_now();
                *id
            })
        });
        let links: Vec<LinkId> = neighbours.collect();
        self.take_pending(now, node);
        links.into_iter().for_each(|id| self.schedule_sync(now, id, node, false));
    }

    /// A route to `node` waits for its record.
    pub(super) fn want(&mut self, now: Instant, node: Address, number: u64, source: (LinkId, Address)) {
        let is_new = !self.wanted.contains_key(&node);
        let wanted = self.wanted.entry(node).or_default();
        wanted.fetch.announce(number);
        if !wanted.sources.contains(&source) && wanted.sources.len() < MAX_SOURCES {
            wanted.sources.push(source);
        }
        if is_new && node != self.own {
            self.events.push_back(MeshEvent::IdentityWanted { node, number });
        }
        self.update_fetch(now, node);
    }

    /// Starts or stops asking for the record of `node`.
    fn update_fetch(&mut self, now: Instant, node: Address) {
        let Some(wanted) = self.wanted.get_mut(&node) else { return };
        if let Some(due) = wanted.fetch.update(now, true) {
            self.timers.set(Timer::Fetch(node), due);
        } else if wanted.fetch.is_idle() {
            self.timers.cancel(Timer::Fetch(node));
            self.wanted.remove(&node);
        }
    }

    /// Neighbours with a route to `node` that waits for its record.
    pub(super) fn waiting_for(&self, node: Address) -> Vec<(LinkId, Address)> {
        let mut waiting = Vec::new();
        for (id, link) in &self.links {
            let waits = link.table.iter().filter(|(_, neighbour)| neighbour.sync.pending.contains_key(&node));
            waiting.extend(waits.map(|(source, _)| (*id, source)));
        }
        waiting
    }

    pub(super) fn forget_identity(&mut self, node: Address) {
        if !is_needed(&self.links, &self.router, node) {
            self.identities.remove(&node);
        }
    }

    /// Nobody waits for the record any more, or it cannot be had: the routes are not taken in.
    fn give_up(&mut self, node: Address) {
        self.timers.cancel(Timer::Fetch(node));
        self.wanted.remove(&node);
        for (id, source) in self.waiting_for(node) {
            if let Some(neighbour) = self.neighbour_mut(id, source) {
                neighbour.sync.pending.remove(&node);
            }
        }
    }

    pub(super) fn request_due(&mut self, now: Instant, node: Address) {
        let own = self.own;
        let Some(wanted) = self.wanted.get_mut(&node) else { return };
        let links = &self.links;
        let waits = |(id, source): &(LinkId, Address)| {
            let neighbour = links.get(id).and_then(|link| link.table.get(*source));
            neighbour.is_some_and(|n| node == own || n.sync.pending.contains_key(&node))
        };
        wanted.sources.retain(waits);
        if wanted.sources.is_empty() {
            let others = self.waiting_for(node);
            let Some(wanted) = self.wanted.get_mut(&node) else { return };
            wanted.sources.extend(others.into_iter().take(MAX_SOURCES));
        }
        let (links, Some(wanted)) = (&self.links, self.wanted.get_mut(&node)) else { return };
        // Records are long: links with long frames first.
        wanted.sources.sort_by_key(|(id, _)| std::cmp::Reverse(links.get(id).map(|link| link.mtu)));
        let tries = wanted.fetch.requests();
        // A route that waits is worth asking for as long as it is announced: nothing else would bring it back soon. What
        // a neighbour announces without having the record costs it its own places to wait.
        let hopeless = node == own && tries >= MAX_REQUESTS;
        if wanted.sources.is_empty() || hopeless {
            return self.give_up(node);
        }
        let (id, source) = wanted.sources[tries as usize % wanted.sources.len()];
        let verified = self.identities.contains_key(&source);
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.budget(verified).requests.take(now) {
            wanted.asked = Some((id, source));
            let next = wanted.fetch.on_request(now);
            self.timers.set(Timer::Fetch(node), next);
            self.push(Control::IdentityRequest { link: id, node: source, about: node });
        } else {
            // All that wait take turns, and none of them looks much more often than its turn can come.
            let round = REQUEST_PACE * u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
            let wait = round.clamp(REQUEST_ROUND.0, REQUEST_ROUND.1).mul_f64(self.rng.random_range(0.5..1.5));
            self.timers.set(Timer::Fetch(node), now + wait);
        }
    }

    /// A neighbour asks for a record. It must show that it hears us: a record is much longer than the request, and
    /// must not be sent to somebody who never asked.
    pub(super) fn on_identity_request(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        source: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let request = IdentityRequest::parse(payload)?;
        self.check_asker(now, id, from, source, request.heard)?;
        let about = request.node;
        if self.record_of(about).is_none() {
            return Err(DropReason::NoRecord);
        }
        if !self.may_serve(now, id, source) {
            return Err(DropReason::RateLimited);
        }
        self.push(Control::Record { link: id, node: source, about });
        Ok(())
    }

    pub(super) fn record_of(&self, node: Address) -> Option<&[u8]> {
        let identity = if node == self.own { Some(&self.identity) } else { self.identities.get(&node) };
        identity.map(|identity| &identity.record[..]).filter(|record| !record.is_empty())
    }

    /// Whether the neighbour may be sent a record now.
    pub(super) fn may_serve(&mut self, now: Instant, id: LinkId, node: Address) -> bool {
        let verified = self.is_verified(node);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let free = verified || link.table.get_mut(node).is_some_and(|neighbour| neighbour.may_serve(now));
        free && link.budget(verified).records.take(now)
    }

    pub(super) fn on_record(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        source: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let (node, record) = parse_record(payload)?;
        self.sender(now, id, from, source)?;
        if node == self.own {
            return self.on_own_record(now, record);
        }
        let wanted = self.wanted.get_mut(&node).ok_or(DropReason::Unsolicited)?;
        if wanted.asked != Some((id, source)) || !wanted.fetch.on_record() {
            return Err(DropReason::Unsolicited);
        }
        self.timers.cancel(Timer::Fetch(node));
        self.events.push_back(MeshEvent::IdentityReceived { node, record: record.to_vec() });
        Ok(())
    }

    /// A neighbour knows another record of this node than it serves. Verifying it is expensive, so not every one is.
    fn on_own_record(&mut self, now: Instant, record: &[u8]) -> Result<(), DropReason> {
        self.give_up(self.own);
        if record == &self.identity.record[..] || !self.own_records.take(now) {
            return Err(DropReason::RateLimited);
        }
        self.events.push_back(MeshEvent::IdentityReceived { node: self.own, record: record.to_vec() });
        Ok(())
    }
}

/// An identity is kept while there is a route to its node, or was lately, and of neighbours.
fn is_needed(links: &BTreeMap<LinkId, Link>, router: &Router, node: Address) -> bool {
    router.knows(node) || links.values().any(|link| link.table.get(node).is_some())
}
