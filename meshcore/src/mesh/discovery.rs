//! Neighbours come, stay and go: what hellos cause.

use super::config::{CONFLICT_GAP, RESTART_GAP};
use super::neighbour::{Neighbour, Reception, Refusal};
use super::output::Control;
use super::{DropReason, Mesh, MeshEvent, Peer, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType};
use crate::wire::hello::Hello;

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
        let lists_us = heard.seqno_of(self.own).is_some_and(|seqno| link.is_recent(seqno));
        let group = header.destination == Address::EVERYONE;
        let listed = heard.len() as u32;
        let reception = Reception { now, from, hello, group, listed, lists_us };
        let answer = match link.table.get_mut(source) {
            Some(neighbour) => match neighbour.on_hello(&reception) {
                Ok(answer) => answer,
                Err(refusal) => return Err(self.refuse(now, id, source, refusal)),
            },
            None if hello.interval == 0 => return Err(DropReason::UnknownNeighbour),
            None => {
                self.admit(now, id, source, &reception)?;
                true
            }
        };
        if hello.interval != 0 {
            self.note_announcement(now, source, &hello);
        }
        self.check_neighbour(now, id, source);
        if answer { self.answer(now, id, source) } else { Ok(()) }
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
        link.table.insert(node, Neighbour::new(reception), verified);
        let peer = self.peers.entry(node).or_insert_with(|| Peer {
            links: 0,
            instance: reception.hello.instance,
            reachable: false,
            restart_told_at: None,
            fetch: Default::default(),
        });
        peer.links += 1;
        if let Some(victim) = victim {
            self.lose(now, id, victim);
        }
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

    /// What a hello says about the node, whatever the link.
    fn note_announcement(&mut self, now: Instant, node: Address, hello: &Hello) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.fetch.announce(hello.record_number);
        if std::mem::replace(&mut peer.instance, hello.instance) != hello.instance && peer.reachable {
            let due = peer.restart_told_at.map_or(now, |told| now.max(told + RESTART_GAP));
            if due > now {
                self.timers.set(Timer::Restart(node), due);
            } else {
                self.tell_restart(now, node);
            }
        }
        self.update_fetch(now, node);
    }

    pub(super) fn tell_restart(&mut self, now: Instant, node: Address) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.reachable) {
            peer.restart_told_at = Some(now);
            self.events.push_back(MeshEvent::Restarted { node });
        }
    }

    /// Looks whether a neighbour still lives and hears us, and draws the consequences.
    pub(super) fn check_neighbour(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, node) else { return };
        if neighbour.lost_at() <= now {
            return self.lose(now, id, node);
        }
        neighbour.refresh(now);
        let deadline = neighbour.deadline();
        self.timers.set(Timer::Neighbour(id, node), deadline);
        self.update_reachability(now, node);
    }

    /// Forgets a neighbour on one link, and the node when it was the last one.
    pub(super) fn lose(&mut self, now: Instant, id: LinkId, node: Address) {
        let removed = self.links.get_mut(&id).and_then(|link| link.table.remove(node));
        if removed.is_none() {
            return;
        }
        self.timers.cancel(Timer::Neighbour(id, node));
        self.update_reachability(now, node);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.links -= 1;
            if peer.links == 0 {
                self.peers.remove(&node);
                self.timers.cancel(Timer::Fetch(node));
                self.timers.cancel(Timer::Restart(node));
            }
        }
    }

    fn update_reachability(&mut self, now: Instant, node: Address) {
        let reachable = self.is_reachable(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if std::mem::replace(&mut peer.reachable, reachable) == reachable {
            return;
        }
        let number = peer.fetch.announced();
        self.events.push_back(match reachable {
            true => MeshEvent::Reachable { node, number },
            false => MeshEvent::Unreachable { node },
        });
        self.update_fetch(now, node);
    }

    /// A frame whose source is this node: our own echo, or a node with a copy of our key.
    pub(super) fn on_own_address(&mut self, now: Instant, header: &FrameHeader, payload: &[u8]) {
        if header.kind != FrameType::Hello {
            return;
        }
        let stranger = Hello::parse(payload).is_ok_and(|(hello, _)| hello.instance != self.instance);
        let quiet = self.conflict_told_at.is_none_or(|told| now - told >= CONFLICT_GAP);
        if stranger && quiet {
            self.conflict_told_at = Some(now);
            self.events.push_back(MeshEvent::AddressConflict);
        }
    }

    pub(super) fn neighbour_mut(&mut self, link: LinkId, node: Address) -> Option<&mut Neighbour> {
        self.links.get_mut(&link)?.table.get_mut(node)
    }

    pub(super) fn is_verified(&self, node: Address) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.fetch.is_verified())
    }
}
