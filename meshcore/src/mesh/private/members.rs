//! The sessions on a link whose senders have proven to be alive, and the stations where they live.

use std::collections::BTreeMap;

use super::config::{MAX_MEMBERS, MAX_STATIONS};
use super::horizon::Horizon;
use super::schedule::SessionKey;
use super::window::Window;
use crate::mesh::DropReason;
use crate::types::{Instant, LinkAddr};
use crate::wire::sealed::SessionId;

/// Where a frame came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) session: SessionId,
    pub(super) at: LinkAddr,
    pub(super) counter: u64,
}

/// What is known of a sender before its frame is decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Session and station are proven.
    Member,
    /// The session is proven, not that it lives at this station.
    Elsewhere,
    /// The session is not proven.
    Stranger,
}

/// Ordered, not hashed: an attacker chooses session ids freely.
#[derive(Debug, Default)]
pub(super) struct Members {
    sessions: BTreeMap<SessionId, Member>,
}

#[derive(Debug)]
struct Member {
    key: SessionKey,
    /// Everything that was received, from whichever station.
    window: Window,
    horizon: Horizon,
    /// One to [`MAX_STATIONS`].
    stations: Vec<Station>,
    heard_at: Instant,
}

#[derive(Debug)]
struct Station {
    at: LinkAddr,
    heard_at: Instant,
    /// Group frames received from here. A link may multiply a group frame, one copy from each of the sender's
    /// stations, and the mesh needs the copy of the station that it knows.
    group: Window,
}

impl Member {
    fn station_mut(&mut self, at: LinkAddr) -> Option<&mut Station> {
        self.stations.iter_mut().find(|station| station.at == at)
    }

    fn note(&mut self, now: Instant, counter: u64) {
        self.window.mark(counter);
        self.horizon.mark(now, counter);
        self.heard_at = now;
    }

    /// Cheap refusal of what cannot be new, before any cryptography.
    fn standing(&self, now: Instant, at: LinkAddr, counter: u64) -> Result<Standing, DropReason> {
        if self.horizon.is_late(now, counter) {
            return Err(DropReason::Replayed);
        }
        let new = self.window.is_new(counter);
        match self.stations.iter().find(|station| station.at == at) {
            // It may be the copy of a group frame.
            Some(station) if new || self.window.covers(counter) && station.group.is_new(counter) => {
                Ok(Standing::Member)
            }
            None if new => Ok(Standing::Elsewhere),
            _ => Err(DropReason::Replayed),
        }
    }
}

impl Members {
    /// Who a frame comes from. Fails if the frame was received before.
    pub(super) fn standing(&self, now: Instant, sender: &Sender) -> Result<Standing, DropReason> {
        match self.sessions.get(&sender.session) {
            Some(member) => member.standing(now, sender.at, sender.counter),
            None => Ok(Standing::Stranger),
        }
    }

    pub(super) fn key(&self, session: SessionId) -> Option<&SessionKey> {
        self.sessions.get(&session).map(|member| &member.key)
    }

    /// Takes an authentic frame of a member. Fails if it was received before.
    pub(super) fn accept(&mut self, now: Instant, sender: &Sender, group: bool) -> Result<(), DropReason> {
        let member = self.sessions.get_mut(&sender.session).ok_or(DropReason::UnprovenSession)?;
        let new = member.window.is_new(sender.counter);
        let station = member.station_mut(sender.at).ok_or(DropReason::UnprovenStation)?;
        if !(new || group && station.group.is_new(sender.counter)) {
            return Err(DropReason::Replayed);
        }
        station.heard_at = now;
        if group {
            station.group.mark(sender.counter);
        }
        member.note(now, sender.counter);
        Ok(())
    }

    /// The sender has proven that it lives at this station. Only what it sends from now on will be taken.
    pub(super) fn prove(&mut self, now: Instant, sender: &Sender, key: Option<SessionKey>) {
        let station = Station { at: sender.at, heard_at: now, group: Window::above(sender.counter) };
        if let Some(member) = self.sessions.get_mut(&sender.session) {
            member.note(now, sender.counter);
            if member.stations.len() >= MAX_STATIONS {
                remove_oldest(&mut member.stations);
            }
            member.stations.push(station);
        } else if let Some(key) = key {
            if self.sessions.len() >= MAX_MEMBERS {
                self.remove_oldest();
            }
            let (window, horizon) = (Window::above(sender.counter), Horizon::above(now, sender.counter));
            let member = Member { key, window, horizon, stations: vec![station], heard_at: now };
            self.sessions.insert(sender.session, member);
        }
    }

    /// Takes a walk through the table; only holders of the network key can make it necessary.
    fn remove_oldest(&mut self) {
        let oldest =
            self.sessions.iter().min_by_key(|(_, member)| member.heard_at).map(|(session, _)| *session);
        if let Some(oldest) = oldest {
            self.sessions.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

fn remove_oldest(stations: &mut Vec<Station>) {
    let oldest = stations.iter().enumerate().min_by_key(|(_, station)| station.heard_at);
    if let Some(index) = oldest.map(|(index, _)| index) {
        stations.swap_remove(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::private::key::NetworkKey;
    use crate::mesh::private::schedule::Schedule;

    fn sender(session: usize, at: u8, counter: u64) -> Sender {
        let mut id = SessionId([0; 16]);
        id.0[..8].copy_from_slice(&session.to_be_bytes());
        Sender { session: id, at: LinkAddr::new(&[at]).unwrap(), counter }
    }

    fn schedule() -> Schedule {
        Schedule::new(&NetworkKey::parse(&"0123456789abcdef".repeat(4)).unwrap())
    }

    fn at(micros: usize) -> Instant {
        Instant::from_micros(micros as u64)
    }

    #[test]
    fn whoever_is_heard_stays() {
        let (mut members, schedule) = (Members::default(), schedule());
        let prove = |members: &mut Members, session| {
            let sender = sender(session, 1, 0);
            members.prove(at(session), &sender, schedule.session_key(sender.session).ok());
        };
        for session in 0..MAX_MEMBERS {
            prove(&mut members, session);
        }
        members.accept(at(MAX_MEMBERS), &sender(0, 1, 1), true).unwrap();
        prove(&mut members, MAX_MEMBERS + 1);
        assert_eq!(members.len(), MAX_MEMBERS);
        let is_known = |session| members.key(sender(session, 1, 0).session).is_some();
        assert!(is_known(0) && !is_known(1) && is_known(2) && is_known(MAX_MEMBERS + 1));
    }

    #[test]
    fn a_session_keeps_the_stations_where_it_is_heard() {
        let (mut members, schedule) = (Members::default(), schedule());
        for number in 0..MAX_STATIONS {
            let sender = sender(7, number as u8, number as u64);
            members.prove(at(number), &sender, schedule.session_key(sender.session).ok());
        }
        members.accept(at(50), &sender(7, 0, 50), false).unwrap();
        members.prove(at(60), &sender(7, 100, 60), None);
        let standing = |station| members.standing(at(70), &sender(7, station, 70)).unwrap();
        assert_eq!([0, 1, 2, 100].map(standing), {
            use Standing::{Elsewhere, Member};
            [Member, Elsewhere, Member, Member]
        });
        assert_eq!(members.len(), 1);
        assert_eq!(members.accept(at(70), &sender(7, 1, 70), true), Err(DropReason::UnprovenStation));
    }
}
