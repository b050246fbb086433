//! Neighbours come, stay and go: what hellos cause.

use rand::RngExt;

use super::liveness::Due;
use super::neighbour::{Neighbour, Reception, Refusal, Response};
use super::output::Control;
use super::routing::Hop;
use super::{DropReason, Mesh, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::frame::FrameHeader;
use crate::wire::hello::Hello;
use crate::wire::probe::Probe;
use crate::wire::update::INFINITE;

impl Mesh {
    pub(super) fn on_hello(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let (hello, heard) = Hello::parse(payload)?;
        let source = header.source;
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        let this_life = self.instance as u32;
        let about_us = heard.about(self.own).filter(|h| link.is_recent(h.seqno) && h.instance == this_life);
        let group = header.destination == Address::EVERYONE;
        let listed = heard.len() as u32;
        let reception = Reception { now, from, hello, group, listed, about_us };
        let answer = match link.table.get_mut(source) {
            Some(neighbour) => {
                let before = neighbour.stations();
                match neighbour.on_hello(&reception) {
                    Ok(Response { answer, fresh }) => {
                        link.table.moved(source, &before);
                        if fresh {
                            self.void_routes(now, id, source, hello.instance);
                        }
                        answer
                    }
                    Err(refusal) => return Err(self.refuse(now, id, source, refusal)),
                }
            }
            None if hello.interval == 0 => return Err(DropReason::UnknownNeighbour),
            None => {
                self.admit(now, id, source, &reception)?;
                true
            }
        };
        if let Some(told) = self.told.get_mut(&source) {
            told.leaving = hello.interval == 0;
        }
        self.check_neighbour(now, id, source);
        self.schedule_sync(now, id, source, false);
        if answer { self.answer(now, id, source) } else { Ok(()) }
    }

    /// A neighbour has started anew. Its routes are void: on this link, and, as it is the same node, on others on which
    /// its new life has not been heard of yet.
    fn void_routes(&mut self, now: Instant, id: LinkId, node: Address, instance: u64) {
        for (link, state) in &mut self.links {
            let stale = state.table.get_mut(node).filter(|n| *link == id || n.instance != instance);
            if let Some(neighbour) = stale {
                // The hello may have been forged: then they are asked for again.
                neighbour.sync.begin_anew();
                self.router.clear_hop(now, neighbour.hop);
            }
        }
    }

    /// A new neighbour; when there is no room, the oldest stranger goes.
    fn admit(
        &mut self,
        now: Instant,
        id: LinkId,
        node: Address,
        reception: &Reception,
    ) -> Result<(), DropReason> {
        let verified = self.is_verified(node);
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        let victim = link.table.victim(verified).map_err(|_| DropReason::TableFull)?;
        let mtu = u16::try_from(link.payload_mtu()).unwrap_or(u16::MAX);
        let hop = Hop { link: id, node, cost: INFINITE, mtu, wired: link.scope.wired };
        let hop = self.router.add_hop(hop);
        link.table.insert(node, Neighbour::new(reception, hop), verified);
        if let Some(victim) = victim {
            self.lose(now, id, victim);
        }
        self.schedule_updates(now, id);
        Ok(())
    }

    /// A hello that is not believed. If it claims the address of a neighbour after a restart, ask the station that
    /// holds the address: a live one answers, and a node that came back at another station need not wait long.
    fn refuse(&mut self, now: Instant, id: LinkId, node: Address, refusal: Refusal) -> DropReason {
        let Refusal::Held { challenge } = refusal else { return DropReason::DuplicateHello };
        let verified = self.is_verified(node);
        let Some(link) = self.links.get_mut(&id) else { return DropReason::UnknownLink };
        let challenge = challenge && link.budget(verified).answers.take(now);
        if challenge && self.push(Control::Hello { link: id, node, listing: false }) {
            self.neighbour_mut(id, node).into_iter().for_each(|neighbour| neighbour.on_challenge(now));
        }
        DropReason::AddressHeld
    }

    /// Answers a hello at once, so that both know of each other after three frames.
    fn answer(&mut self, now: Instant, id: LinkId, node: Address) -> Result<(), DropReason> {
        let verified = self.is_verified(node);
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        let neighbour = link.table.get_mut(node).ok_or(DropReason::UnknownNeighbour)?;
        if neighbour.may_answer(now) && link.budget(verified).answers.take(now) {
            self.push(Control::Hello { link: id, node, listing: true });
        }
        Ok(())
    }

    /// Looks whether a neighbour still lives and hears us, and draws the consequences.
    pub(super) fn check_neighbour(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, node) else { return };
        if neighbour.lost_at() <= now {
            return self.lose(now, id, node);
        }
        let was_up = neighbour.up;
        neighbour.refresh(now);
        let asks = neighbour.asks(now);
        let (hop, cost, up) = (neighbour.hop, neighbour.cost(), neighbour.up);
        let deadline = neighbour.deadline();
        self.timers.set(Timer::Neighbour(id, node), deadline);
        self.router.set_cost(now, hop, cost);
        self.update_mtu(now, id, node);
        if asks {
            self.ask(now, id, node);
        }
        if up && !was_up {
            self.schedule_sync(now, id, node, false);
        }
    }

    /// Asks a neighbour for a hello that lists us.
    fn ask(&mut self, now: Instant, id: LinkId, node: Address) {
        let verified = self.is_verified(node);
        if self.links.get_mut(&id).is_some_and(|link| link.budget(verified).answers.take(now)) {
            self.push(Control::Hello { link: id, node, listing: false });
        }
    }

    /// Forgets a neighbour on one link, with all its routes.
    pub(super) fn lose(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(neighbour) = link.table.remove(node) else { return };
        link.outgoing.asked.remove(&node);
        for timer in [Timer::Neighbour, Timer::Sync, Timer::Probe, Timer::Largest] {
            self.timers.cancel(timer(id, node));
        }
        self.router.remove_hop(now, neighbour.hop);
        self.forget_identity(node);
    }

    // -- probes ----------------------------------------------------------------------------------------------------

    /// The next question to a next hop is due.
    pub(super) fn probe_due(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, node) else { return };
        let loss = neighbour.quality.round_trip_loss();
        let due = neighbour.liveness.on_timer(now, loss);
        if let Due::Ask { nonce, next } = due {
            self.timers.set(Timer::Probe(id, node), next);
            self.push(Control::Probe { link: id, node, probe: Probe { answer: false, nonce }, len: 0 });
        }
        self.update_cost(now, id, node);
    }

    pub(super) fn on_probe(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let Probe { answer, nonce } = Probe::parse(payload)?;
        if answer {
            return self.on_probe_answer(now, id, from, node, nonce);
        }
        let neighbour = self.neighbour_mut(id, node).ok_or(DropReason::UnknownNeighbour)?;
        neighbour.on_frame(now, from);
        // Who does not hear us, or has been forgotten, is not told that all is well. Whoever asks, the neighbour is answered.
        if !neighbour.up || !neighbour.may_answer_probe(now, from) {
            return Err(DropReason::RateLimited);
        }
        let is_known = neighbour.is_at(from);
        self.push(Control::Probe { link: id, node, probe: Probe { answer: true, nonce }, len: 0 });
        if is_known { Ok(()) } else { Err(DropReason::UnknownNeighbour) }
    }

    /// Only who lives at the neighbour's station knows the nonce: where the answer comes from, the neighbour lives as well.
    fn on_probe_answer(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        nonce: u32,
    ) -> Result<(), DropReason> {
        let neighbour = self.neighbour_mut(id, node).ok_or(DropReason::UnknownNeighbour)?;
        let is_short = neighbour.liveness.on_answer(nonce);
        if !is_short && !self.on_long_answer(now, id, node, nonce) {
            return Err(DropReason::Unsolicited);
        }
        let table = &mut self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?.table;
        let neighbour = table.get_mut(node).ok_or(DropReason::UnknownNeighbour)?;
        let before = neighbour.stations();
        neighbour.add_station(from);
        neighbour.on_frame(now, from);
        table.moved(node, &before);
        self.update_cost(now, id, node);
        Ok(())
    }

    /// A frame for this node alone came from a neighbour, but not from its station: it may have another one. The answer to a
    /// question will tell.
    pub(super) fn seek_station(&mut self, now: Instant, id: LinkId, node: Address) {
        let neighbour = self.links.get_mut(&id).and_then(|link| link.table.get_mut(node));
        let Some(neighbour) = neighbour.filter(|neighbour| neighbour.up) else { return };
        if neighbour.liveness.on_traffic(now, || self.rng.random()) {
            self.timers.set(Timer::Probe(id, node), now);
        }
    }

    fn update_cost(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, node) else { return };
        let (hop, cost) = (neighbour.hop, neighbour.cost());
        self.router.set_cost(now, hop, cost);
    }

    /// The neighbour that a frame comes from: nobody else than a known one, at a station of its own, is listened to.
    pub(super) fn sender(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
    ) -> Result<&mut Neighbour, DropReason> {
        let neighbour = self.neighbour_mut(id, node).filter(|neighbour| neighbour.is_at(from));
        let neighbour = neighbour.ok_or(DropReason::UnknownNeighbour)?;
        neighbour.on_frame(now, from);
        Ok(neighbour)
    }

    pub(super) fn neighbour_mut(&mut self, link: LinkId, node: Address) -> Option<&mut Neighbour> {
        self.links.get_mut(&link)?.table.get_mut(node)
    }
}
