//! The neighbours of one link, bounded: strangers can push out strangers, never a verified neighbour.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::config::{MAX_NEIGHBOURS, MAX_UNVERIFIED};
use super::neighbour::{Neighbour, Stations};
use crate::types::{Address, LinkAddr};
use crate::wire::hello::Heard;

/// Ordered maps, not hashed ones: nobody can choose addresses that collide, and a replay runs in the same order.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Address, Entry>,
    /// Neighbours whose identity is not verified, by age.
    strangers: BTreeMap<u64, Address>,
    next_serial: u64,
    /// Who lives where; several nodes of one machine may share a station.
    stations: BTreeSet<(LinkAddr, Address)>,
}

#[derive(Debug)]
struct Entry {
    neighbour: Neighbour,
    /// Key in `strangers`; `None`: verified.
    serial: Option<u64>,
}

/// The table is full of verified neighbours.
#[derive(Debug)]
pub(super) struct Full;

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, node: Address) -> Option<&Neighbour> {
        self.entries.get(&node).map(|entry| &entry.neighbour)
    }

    pub(super) fn get_mut(&mut self, node: Address) -> Option<&mut Neighbour> {
        self.entries.get_mut(&node).map(|entry| &mut entry.neighbour)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Address, &Neighbour)> {
        self.entries.iter().map(|(node, entry)| (*node, &entry.neighbour))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Address> {
        self.entries.keys().copied()
    }

    /// Makes room for a neighbour: `Ok(Some)` is the oldest stranger, which has to go first.
    pub(super) fn victim(&self, verified: bool) -> Result<Option<Address>, Full> {
        let full = self.entries.len() >= MAX_NEIGHBOURS;
        if !full && (verified || self.strangers.len() < MAX_UNVERIFIED) {
            return Ok(None);
        }
        self.strangers.first_key_value().map(|(_, node)| Some(*node)).ok_or(Full)
    }

    pub(super) fn insert(&mut self, node: Address, neighbour: Neighbour, verified: bool) {
        self.remove(node);
        let serial = (!verified).then_some(self.next_serial);
        if let Some(serial) = serial {
            self.strangers.insert(serial, node);
            self.next_serial += 1;
        }
        self.stations.extend(neighbour.stations().into_iter().map(|station| (station, node)));
        self.entries.insert(node, Entry { neighbour, serial });
    }

    /// The neighbour may be at other stations than before.
    pub(super) fn moved(&mut self, node: Address, before: &Stations) {
        let Some(stations) = self.get(node).map(Neighbour::stations) else { return };
        if stations != *before {
            for station in before {
                self.stations.remove(&(*station, node));
            }
            self.stations.extend(stations.into_iter().map(|station| (station, node)));
        }
    }

    /// A neighbour at this station, to which the link works both ways.
    pub(super) fn usable_at(&self, station: LinkAddr) -> Option<Address> {
        let range = (station, Address([0; 16]))..=(station, Address::EVERYONE);
        let usable = |node: &Address| self.get(*node).is_some_and(|neighbour| neighbour.up);
        self.stations.range(range).map(|(_, node)| *node).find(usable)
    }

    pub(super) fn remove(&mut self, node: Address) -> Option<Neighbour> {
        let entry = self.entries.remove(&node)?;
        for station in entry.neighbour.stations() {
            self.stations.remove(&(station, node));
        }
        if let Some(serial) = entry.serial {
            self.strangers.remove(&serial);
        }
        Some(entry.neighbour)
    }

    /// The identity of the neighbour has been verified: it stays as long as it lives.
    pub(super) fn verify(&mut self, node: Address) {
        if let Some(serial) = self.entries.get_mut(&node).and_then(|entry| entry.serial.take()) {
            self.strangers.remove(&serial);
        }
    }

    /// Up to `max` neighbours that follow `cursor` in a rotation through the table, and the cursor for the next ones.
    pub(super) fn rotate(&self, cursor: Option<Address>, max: usize) -> (Vec<Heard>, Option<Address>) {
        let after = self.entries.range((cursor.map_or(Unbounded, Excluded), Unbounded));
        let wrapped = cursor.into_iter().flat_map(|cursor| self.entries.range(..=cursor));
        let heard: Vec<_> =
            after.chain(wrapped).take(max).map(|(node, entry)| entry.neighbour.heard(*node)).collect();
        let cursor =
            if heard.len() < self.entries.len() { heard.last().map(|heard| heard.node) } else { None };
        (heard, cursor)
    }
}
