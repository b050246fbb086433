//! Neighbours as the routing sees them: what it costs to reach one, and over which link.

use crate::types::{Address, LinkId};
use crate::wire::update::INFINITE;

/// A neighbour on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mesh) struct HopId(u32);

#[derive(Debug, Clone, Copy)]
pub(in crate::mesh) struct Hop {
    pub(in crate::mesh) link: LinkId,
    pub(in crate::mesh) node: Address,
    /// Cost of the link to it; infinite while it does not work both ways.
    pub(in crate::mesh) cost: u16,
    /// Payload that the link carries.
    pub(in crate::mesh) mtu: u16,
    /// Everybody on the link hears everybody: split horizon holds there (RFC 8966, section 3.7.4).
    pub(in crate::mesh) wired: bool,
}

/// Numbered slots, so that a route names its neighbour by four bytes and finds its cost in one step.
#[derive(Debug, Default)]
pub(super) struct Hops {
    slots: Vec<Option<Hop>>,
    free: Vec<u32>,
}

impl Hops {
    pub(super) fn add(&mut self, hop: Hop) -> HopId {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(hop);
                HopId(slot)
            }
            None => {
                self.slots.push(Some(hop));
                HopId(self.slots.len() as u32 - 1)
            }
        }
    }

    pub(super) fn remove(&mut self, id: HopId) {
        if let Some(slot) = self.slots.get_mut(id.0 as usize)
            && slot.take().is_some()
        {
            self.free.push(id.0);
        }
    }

    pub(super) fn get(&self, id: HopId) -> Option<&Hop> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: HopId) -> Option<&mut Hop> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub(super) fn cost(&self, id: HopId) -> u16 {
        self.get(id).map_or(INFINITE, |hop| hop.cost)
    }
}
