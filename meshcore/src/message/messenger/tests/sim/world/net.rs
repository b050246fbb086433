//! Sessions that come and go, nodes that crash, a net that falls into parts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;

use super::super::node::{Fault, Running};
use super::super::wire::Wire;
use super::{Happening, LOSS, PAUSES, World};
use crate::message::messenger::*;
use crate::types::Instant;

impl World {
    pub(super) fn contact_ids(&self, node: usize) -> BTreeMap<NodeId, usize> {
        let Some(running) = &self.nodes[node].running else { return BTreeMap::new() };
        running.reach.iter().map(|other| (self.nodes[*other].id, *other)).collect()
    }

    pub(super) fn try_to_connect(&mut self, node: usize) {
        let now = self.now;
        let ids = self.contact_ids(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        let wanted: BTreeSet<_> = running
            .messenger
            .wanted_sessions()
            .filter(|(_, from)| *from <= now)
            .filter_map(|(peer, _)| ids.get(&peer).copied())
            .filter(|peer| running.may_connect(*peer))
            .filter(|peer| running.pauses.get(peer).is_none_or(|(_, until)| *until <= now))
            .collect();
        running.connecting.extend(&wanted);
        let life = self.nodes[node].life;
        for peer in wanted {
            let lives = [life, self.nodes[peer].life];
            self.within(0.01, 0.1, Happening::Connect { ends: [node, peer], lives });
        }
    }

    pub(super) fn connect(&mut self, ends: [usize; 2], lives: [u32; 2]) {
        let [node, peer] = ends;
        if !self.lives(node, lives[0]) {
            return;
        }
        let succeeds = self.lives(peer, lives[1])
            && self.groups[node] == self.groups[peer]
            && (self.calm || !self.rng.random_bool(LOSS));
        let now = self.now;
        if let Some(running) = &mut self.nodes[node].running {
            running.connecting.remove(&peer);
            if !succeeds {
                running.pause(peer, now);
                return self.touch(node);
            }
        }
        self.last_session += 1;
        let session = SessionId(self.last_session);
        self.wires.insert(session, Wire::new(ends, lives));
        for (side, [own, other]) in [[node, peer], [peer, node]].into_iter().enumerate() {
            let other_id = self.nodes[other].id;
            let Some(running) = &mut self.nodes[own].running else { continue };
            running.pauses.remove(&other);
            let before: Vec<_> = running
                .sessions
                .iter()
                .filter(|(_, with)| **with == other)
                .map(|(session, _)| *session)
                .collect();
            running.sessions.insert(session, other);
            self.with(own, |messenger, now| {
                messenger.session_opened(session, other_id);
                messenger.set_sending_session(now, other_id, Some(session));
            });
            // The other one is closed by one side; and the other side goes on with it for a while.
            for old in before {
                let keeps = !self.calm && self.rng.random_bool(0.3);
                let side = self.wires.get(&old).map_or(side, |wire| wire.side(own));
                if keeps {
                    self.within(0.0, 5.0, Happening::Notice { session: old, side });
                } else {
                    self.close(old, side);
                }
            }
        }
    }

    /// One side closes a session, and the other one finds out.
    pub(super) fn close(&mut self, session: SessionId, side: usize) {
        let Some(wire) = self.wires.get_mut(&session).filter(|wire| wire.open[side]) else { return };
        wire.open[side] = false;
        let (node, peer, life) = (wire.ends[side], wire.ends[1 - side], wire.lives[side]);
        // What was under way to the other side may arrive, or a part of it.
        wire.pipes[1 - side].iter_mut().for_each(Vec::clear);
        for pipe in &mut wire.pipes[side] {
            pipe.truncate(self.rng.random_range(0..=pipe.len()));
        }
        if wire.open[1 - side] {
            self.within(0.05, 5.0, Happening::Notice { session, side: 1 - side });
        } else {
            self.wires.remove(&session);
        }
        if !self.lives(node, life) {
            return;
        }
        let now = self.now;
        if let Some(running) = &mut self.nodes[node].running {
            running.sessions.remove(&session);
            running.pause(peer, now);
            // Another one that is still there serves again.
            let left = running.sessions.iter().rfind(|(_, with)| **with == peer).map(|(session, _)| *session);
            let peer = self.nodes[peer].id;
            self.with(node, |messenger, now| {
                messenger.session_closed(now, session);
                messenger.set_sending_session(now, peer, left);
            });
        }
    }

    /// The session carries nothing any more, and both sides find out.
    fn kill(&mut self, session: SessionId) {
        let Some(wire) = self.wires.get_mut(&session) else { return };
        wire.dead = true;
        for side in 0..2 {
            self.within(0.1, 8.0, Happening::Notice { session, side });
        }
    }

    pub(super) fn reach_changed(&mut self) {
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.within(0.05, 3.0, Happening::Reach { node, life });
        }
    }

    pub(super) fn look_around(&mut self, node: usize) {
        let reaches = |other: &usize| {
            *other != node && self.nodes[*other].running.is_some() && self.groups[*other] == self.groups[node]
        };
        let reach: BTreeSet<_> = (0..self.nodes.len()).filter(reaches).collect();
        let mailboxes = reach.iter().filter(|other| self.nodes[**other].mailbox.is_some());
        let mailboxes: BTreeSet<_> = mailboxes.map(|other| self.nodes[*other].id).collect();
        let Some(running) = &mut self.nodes[node].running else { return };
        let changed: Vec<_> = running.reach.symmetric_difference(&reach).copied().collect();
        running.pauses.retain(|peer, _| !changed.contains(peer));
        let changed: Vec<_> =
            changed.into_iter().map(|other| (self.nodes[other].id, reach.contains(&other))).collect();
        if let Some(running) = &mut self.nodes[node].running {
            running.reach = reach;
        }
        self.with(node, |messenger, now| {
            changed.into_iter().for_each(|(other, is_there)| messenger.set_reachable(now, other, is_there));
            messenger.set_mailboxes(now, mailboxes);
        });
    }

    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].running.is_some() {
            return;
        }
        let seed = self.rng.random();
        self.nodes[node].start(self.now, seed);
        self.touch(node);
        self.reach_changed();
    }

    pub(super) fn crash(&mut self, node: usize, survive: usize) {
        let of_node = |wire: &Wire| wire.ends.contains(&node);
        let sessions: Vec<_> =
            self.wires.iter().filter(|(_, wire)| of_node(wire)).map(|(session, _)| *session).collect();
        self.nodes[node].crash(survive);
        for session in sessions {
            let side = self.wires.get(&session).map_or(0, |wire| wire.side(node));
            self.close(session, side);
        }
        self.reach_changed();
    }

    pub(super) fn trouble(&mut self) {
        if self.calm {
            return;
        }
        self.later(self.plan.trouble, Happening::Trouble);
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..50 => {
                let at = self.rng.random_range(0..self.wires.len().max(1));
                if let Some((session, wire)) =
                    self.wires.iter().nth(at).map(|(session, wire)| (*session, wire.open))
                {
                    match self.rng.random_range(0..2) {
                        0 if wire == [true; 2] => self.kill(session),
                        side => self.close(session, side),
                    }
                }
            }
            50..75 => {
                let waiting = self.nodes[node].running.as_ref().map_or(0, |running| running.ops.len());
                // All writes that are not answered are lost, none, or the last of them.
                let survive = [0, waiting, self.rng.random_range(0..=waiting)][self.rng.random_range(0..3)];
                self.crash(node, survive);
                self.within(0.1, 150.0, Happening::Start { node });
            }
            75..90 => {
                // A mailbox whose disk fails now and then keeps some messages of a row.
                let node = if self.rng.random() { node } else { node % self.plan.mailboxes };
                self.nodes[node].fault =
                    [Fault::Full, Fault::Flaky, Fault::Flaky, Fault::Broken][self.rng.random_range(0..4)];
                self.within(0.1, 20.0, Happening::Mend { node });
            }
            _ => self.part(),
        }
    }

    /// The net falls into other parts than before, or into one.
    fn part(&mut self) {
        let parts = self.rng.random_range(1..=3);
        for group in &mut self.groups {
            *group = self.rng.random_range(0..parts);
        }
        let apart = |wire: &Wire| self.groups[wire.ends[0]] != self.groups[wire.ends[1]];
        let apart: Vec<_> =
            self.wires.iter().filter(|(_, wire)| apart(wire)).map(|(session, _)| *session).collect();
        apart.into_iter().for_each(|session| self.kill(session));
        self.reach_changed();
    }
}

impl Running {
    pub(super) fn may_connect(&self, peer: usize) -> bool {
        !self.connecting.contains(&peer) && !self.sessions.values().any(|with| *with == peer)
    }

    pub(super) fn pause(&mut self, peer: usize, now: Instant) {
        let before = self.pauses.get(&peer).map_or(Duration::ZERO, |(length, _)| *length);
        let length = (2 * before).clamp(PAUSES.0, PAUSES.1);
        self.pauses.insert(peer, (length, now + length));
    }
}
