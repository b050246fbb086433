//! Updates go out to neighbours and come in from them (RFC 8966, sections 3.5 and 3.7).

use rand::RngExt;

use super::config::*;
use super::output::Control;
use super::routing::{Refusal, Told};
use super::sync::Verdict;
use super::{DropReason, Identity, Mesh, Signatures, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::update::{Advert, INFINITE, Seqno, SeqnoRequest, UPDATE_LEN, Update, UpdateRequest};

/// What became of an entry of an update.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// It was taken in, or is not to be.
    Done,
    /// There is no room to let it wait for an identity: it is asked for again, with what follows.
    NoRoom,
    /// It is not signed by its destination. If a frame was damaged, asking again helps.
    Flawed,
}

impl Mesh {
    // -- in --------------------------------------------------------------------------------------------------------

    pub(super) fn on_update(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        source: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let (update, adverts) = Update::parse(payload)?;
        let neighbour = self.sender(now, id, from, source)?;
        if neighbour.instance != update.instance {
            return Err(DropReason::StaleUpdate);
        }
        let hop = neighbour.hop;
        match neighbour.sync.judge(&update) {
            Verdict::Old => return Ok(()),
            Verdict::Gap => {
                self.schedule_sync(now, id, source, true);
                return Ok(());
            }
            Verdict::Apply { whole } if whole => {
                neighbour.sync.pending.clear();
                self.router.clear_hop(now, hop);
            }
            Verdict::Apply { .. } => {}
        }
        let is_verified = self.is_verified(source);
        for advert in adverts {
            // Who is not verified is believed about itself alone.
            let is_believed = is_verified || advert.destination == source;
            let taken = if is_believed { self.take(now, id, source, &advert) } else { Taken::NoRoom };
            if taken == Taken::Done {
                continue;
            }
            if taken == Taken::NoRoom {
                self.counters.count(DropReason::TooManyPending);
            }
            let Some(neighbour) = self.neighbour_mut(id, source) else { return Ok(()) };
            if taken == Taken::NoRoom || neighbour.sync.tolerates_flaw() {
                neighbour.sync.on_asked(now);
                self.schedule_sync(now, id, source, false);
                return Ok(());
            }
        }
        if let Some(neighbour) = self.neighbour_mut(id, source) {
            neighbour.sync.on_applied(now, &update);
        }
        self.schedule_sync(now, id, source, false);
        Ok(())
    }

    /// Takes one entry in, or lets it wait for the identity of its destination.
    fn take(&mut self, now: Instant, id: LinkId, source: Address, advert: &Advert) -> Taken {
        let node = advert.destination;
        let Some(neighbour) = self.neighbour_mut(id, source) else { return Taken::Done };
        let hop = neighbour.hop;
        neighbour.sync.pending.remove(&node);
        if advert.metric == INFINITE {
            self.router.retract(now, hop, node);
            return Taken::Done;
        }
        // Only a node itself is at no distance from itself.
        if (node == source) != (advert.metric == 0) {
            self.counters.count(DropReason::Malformed);
            return Taken::Done;
        }
        if node == self.own {
            return self.on_route_to_self(now, id, source, advert);
        }
        match self.identities.get(&node) {
            Some(identity) if identity.number > advert.seqno.record => {
                self.counters.count(DropReason::Outdated);
                self.on_outdated(now, id, source, advert);
                Taken::Done
            }
            Some(identity) if identity.number == advert.seqno.record => {
                let is_signed = || is_signed(&*self.signatures, identity, advert);
                match self.router.learn(now, hop, advert, is_signed) {
                    Ok(()) => {}
                    Err(Refusal::Full) => self.counters.count(DropReason::TableFull),
                    Err(Refusal::BadSignature) => {
                        self.counters.count(DropReason::BadSignature);
                        self.on_outdated(now, id, source, advert);
                        return Taken::Flawed;
                    }
                }
                Taken::Done
            }
            _ => self.let_wait(now, id, source, advert),
        }
    }

    fn let_wait(&mut self, now: Instant, id: LinkId, source: Address, advert: &Advert) -> Taken {
        let Some(neighbour) = self.neighbour_mut(id, source) else { return Taken::Done };
        if neighbour.sync.pending.len() >= MAX_PENDING && advert.destination != source {
            return Taken::NoRoom;
        }
        neighbour.sync.pending.insert(advert.destination, *advert);
        self.want(now, advert.destination, advert.seqno.record, (id, source));
        Taken::Done
    }

    /// The identity of a node is known now: routes to it need not wait any longer.
    pub(super) fn take_pending(&mut self, now: Instant, node: Address) {
        for (id, source) in self.waiting_for(node) {
            let pending = self.neighbour_mut(id, source).and_then(|n| n.sync.pending.remove(&node));
            if let Some(advert) = pending
                && self.take(now, id, source, &advert) == Taken::Flawed
            {
                self.doubt(now, id, source, node);
            }
        }
    }

    /// A neighbour has a route to this node. Of interest only if it rests on a newer identity record than this node
    /// serves: then this node has lost its memory, or somebody has a copy of its key.
    fn on_route_to_self(&mut self, now: Instant, id: LinkId, source: Address, advert: &Advert) -> Taken {
        if advert.seqno.record > self.identity.number {
            self.want(now, self.own, advert.seqno.record, (id, source));
        }
        Taken::Done
    }

    /// The announcement rests on an older record than is known, or on another one with the same number. If the node itself
    /// does not know that, it is told.
    fn on_outdated(&mut self, now: Instant, id: LinkId, source: Address, advert: &Advert) {
        if advert.destination == source && self.may_serve(now, id, source) {
            self.push(Control::Record { link: id, node: source, about: source });
        }
    }

    pub(super) fn on_update_request(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let request = UpdateRequest::parse(payload)?;
        self.check_asker(now, id, from, node, request.heard)?;
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        let asked = &mut link.outgoing.asked;
        asked.insert(node, Told { version: request.since, floor: request.floor });
        if asked.len() >= ANSWER_ALL {
            let since = asked.values().copied().min().unwrap_or_default();
            asked.clear();
            asked.insert(Address::EVERYONE, since);
        }
        self.schedule_updates(now, id);
        Ok(())
    }

    /// Who asks must be a neighbour at its station that has heard our hellos: answers can be long.
    pub(super) fn check_asker(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        heard: u16,
    ) -> Result<(), DropReason> {
        if !self.links.get(&id).is_some_and(|link| link.is_recent(heard)) {
            return Err(DropReason::UnknownNeighbour);
        }
        self.sender(now, id, from, node).map(drop)
    }

    /// Asks for missed updates, now or when it is due.
    pub(super) fn schedule_sync(&mut self, now: Instant, id: LinkId, node: Address, gap: bool) {
        let Some(neighbour) = self.neighbour_mut(id, node).filter(|neighbour| neighbour.up) else { return };
        match neighbour.sync.due(now, gap) {
            Some(due) => self.timers.set(Timer::Sync(id, node), due.max(now)),
            None => self.timers.cancel(Timer::Sync(id, node)),
        }
    }

    pub(super) fn sync_due(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(neighbour) = self.neighbour_mut(id, node) else { return };
        if neighbour.up && neighbour.sync.is_behind() {
            let (hop, void) = (neighbour.hop, neighbour.sync.start_over(now));
            neighbour.sync.on_asked(now);
            let due = neighbour.sync.due(now, false);
            due.into_iter().for_each(|due| self.timers.set(Timer::Sync(id, node), due));
            self.push(Control::UpdateRequest { link: id, node });
            if void {
                self.router.clear_hop(now, hop);
            }
        }
    }

    // -- out -------------------------------------------------------------------------------------------------------

    /// After a change of the table: tells the neighbours soon, those on all links.
    pub(super) fn publish(&mut self, now: Instant) {
        if self.published == self.router.version() {
            return;
        }
        self.published = self.router.version();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|id| self.schedule_updates(now, id));
    }

    /// Updates are collected for a moment: changes come in groups.
    pub(super) fn schedule_updates(&mut self, now: Instant, id: LinkId) {
        if !self.timers.is_set(Timer::Updates(id)) {
            let delay = UPDATE_DELAY.mul_f64(self.rng.random_range(1.0..3.0));
            self.timers.set(Timer::Updates(id), now + delay);
        }
    }

    pub(super) fn updates_due(&mut self, now: Instant, id: LinkId) {
        let version = self.router.version();
        let Some(link) = self.links.get_mut(&id) else { return };
        let outgoing = &mut link.outgoing;
        let group = outgoing.looked.version < version && link.table.len() > 0;
        if !group && outgoing.asked.is_empty() {
            return;
        }
        if !outgoing.pace.take(now) {
            return self.timers.set(Timer::Updates(id), now + UPDATE_PACE);
        }
        let node = outgoing.next_turn(group);
        if !self.push(Control::Update { link: id, node }) && !self.leaving {
            self.timers.set(Timer::Updates(id), now + UPDATE_PACE);
        }
    }

    /// Writes the next update for everybody on the link, or for one neighbour that missed some. `None`: there is
    /// nothing to say.
    pub(super) fn emit_update(
        &mut self,
        now: Instant,
        id: LinkId,
        node: Address,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let link = self.links.get(&id)?;
        let (scope, sent) = (link.scope, link.outgoing.sent);
        let room = link.payload_mtu().saturating_sub(UPDATE_LEN);
        let asked = link.outgoing.asked.get(&node).copied();
        let since = asked.unwrap_or(link.outgoing.looked);
        let head = out.len();
        let body = head + UPDATE_LEN;
        out.resize(body, 0);
        // Answers go as far as everybody was told: what follows, everybody is told soon.
        let until = if asked.is_some() { sent } else { self.router.version() };
        let range = self.router.emit_changes(now, scope, since, until, room, out);
        let is_empty = out.len() == body;
        let mut floor = self.router.floor();
        let told = Told { version: range.to, floor: if range.from == 0 { floor } else { since.floor } };
        let outgoing = &mut self.links.get_mut(&id)?.outgoing;
        let mut from = range.from;
        if asked.is_none() {
            outgoing.looked = told;
            if is_empty {
                self.schedule_updates(now, id);
                return None;
            }
            if range.from != 0 {
                from = sent;
                // Behind `sent` there was nothing to tell here, of what was forgotten either.
                floor = if since.version < floor { floor } else { floor.min(sent) };
            }
            outgoing.sent = sent.max(range.to);
            outgoing.reminded = 0;
            self.timers.set(Timer::Reminder(id), now + REMINDERS[0]);
        } else if range.to >= until {
            outgoing.asked.remove(&node);
        } else {
            outgoing.asked.insert(node, told);
        }
        let update = Update { instance: self.instance, floor, from, to: range.to };
        out[head..body].copy_from_slice(&update.to_bytes());
        self.schedule_updates(now, id);
        Some(())
    }

    pub(super) fn reminder_due(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.outgoing.reminded += 1;
        if let Some(wait) = REMINDERS.get(link.outgoing.reminded) {
            self.timers.set(Timer::Reminder(id), now + *wait);
        }
        self.push(Control::Reminder { link: id });
    }

    /// The periodic refresh: a little of the table at a time, so that whatever went wrong is mended some day.
    pub(super) fn refresh_due(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (pace, round) = REFRESH;
        let began = link.outgoing.round_began;
        let rests = link.outgoing.refresh.is_none() && now < began + round;
        let next = if rests { began + round } else { now + pace };
        self.timers.set(Timer::Refresh(id), next + pace.mul_f64(self.rng.random_range(0.0..0.1)));
        if !rests && link.table.len() > 0 {
            self.push(Control::Refresh { link: id });
        }
    }

    /// Writes a part of the refresh, or a mere reminder of the latest version.
    pub(super) fn emit_refresh(&mut self, now: Instant, id: LinkId, entries: bool, out: &mut Vec<u8>) {
        let Some(link) = self.links.get(&id) else { return };
        let (scope, round, version) = (link.scope, link.outgoing.refresh, link.outgoing.sent);
        let room = link.payload_mtu().saturating_sub(UPDATE_LEN);
        let floor = self.router.floor().min(version);
        Update { instance: self.instance, floor, from: version, to: version }.emit(out);
        if !entries {
            return;
        }
        let next = self.router.emit_refresh(now, scope, round, room, out);
        if let Some(link) = self.links.get_mut(&id) {
            if round.is_none() {
                link.outgoing.round_began = now;
            }
            link.outgoing.refresh = next;
        }
    }

    // -- seqno requests --------------------------------------------------------------------------------------------

    pub(super) fn on_seqno_request(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        node: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let request = SeqnoRequest::parse(payload)?;
        self.check_asker(now, id, from, node, request.heard)?;
        if !self.is_verified(node) {
            return Err(DropReason::UnknownNeighbour);
        }
        if !self.links.get_mut(&id).is_some_and(|link| link.seqno_requests.take(now)) {
            return Err(DropReason::RateLimited);
        }
        let SeqnoRequest { destination, seqno, hop_limit, .. } = request;
        if self.router.on_seqno_request(now, destination, seqno, hop_limit) {
            if !self.announcements.take(now) {
                return Err(DropReason::RateLimited);
            }
            self.announce_self();
        }
        Ok(())
    }

    /// Announces this node under the next seqno.
    pub(super) fn announce_self(&mut self) {
        let mut seqno = self.router.own_seqno();
        match seqno.record == self.identity.number {
            true => seqno.count = seqno.count.saturating_add(1),
            false => seqno = Seqno { record: self.identity.number, count: 0 },
        }
        let signature = self.signatures.sign(&seqno.signed_message(self.own));
        self.router.announce_own(seqno, signature);
    }

    pub(super) fn seqno_requests_due(&mut self, now: Instant) {
        while let Some(due) = self.router.pop_request(now) {
            for hop in self.router.whom_to_ask(now, &due) {
                let Some(hop) = self.router.hop(hop).copied() else { continue };
                self.push(Control::SeqnoRequest {
                    link: hop.link,
                    node: hop.node,
                    destination: due.destination,
                    seqno: due.seqno,
                    hop_limit: due.hop_limit,
                });
            }
        }
    }
}

fn is_signed(signatures: &dyn Signatures, identity: &Identity, advert: &Advert) -> bool {
    let message = advert.seqno.signed_message(advert.destination);
    signatures.verify(&identity.subkey, &message, &advert.signature)
}
