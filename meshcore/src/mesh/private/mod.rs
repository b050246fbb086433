//! Private mesh: frames are sealed under a key that all its nodes share, hop by hop, between mesh and link.
//!
//! A sealed frame shows neither addresses nor types nor routes. Each node seals what it sends on a link in a *session*
//! of its own with a random id; the network key and this id give the key, a counter gives the nonce and shows
//! repetitions. Whole recorded sessions are no use either: frames of a session are taken only after its sender has
//! answered a random challenge, from the station where it did so, and only those sent after the answer.
//!
//! No timer and no clock is needed: a sender that is not believed yet is challenged again when it sends again.

mod config;
mod horizon;
mod key;
mod link;
mod members;
mod outgoing;
mod schedule;
mod strangers;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use aws_lc_rs::error::Unspecified;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use key::{NetworkKey, NetworkKeyError};

use super::{Counters, DropReason};
use crate::types::{Destination, Instant, LinkAddr, LinkId};
use crate::wire::frame::VERSION;
use crate::wire::sealed;
use link::Link;
use outgoing::Outgoing;
use schedule::Schedule;

/// Seals and opens the frames of one node.
///
/// # How to drive it
/// * Give every received frame to [`Sealer::open`], and what it gives back to the mesh.
/// * Give every frame of the mesh to [`Sealer::seal`] and send what it makes. The mesh is told links with an MTU of
///   [`Sealer::inner_mtu`].
/// * After [`Sealer::open`], drain [`Sealer::poll_transmit`] *before* the frames of the mesh, and send these frames as
///   they are: they make the receiver believe what follows.
/// * Call [`Sealer::remove_link`] when a link is gone; links come into being by themselves.
///
/// A failed call changes nothing but the counters and, when a replay is possible, the list of whom to challenge. Memory
/// is bounded for each link: 4096 proven sessions, 1024 others, 1024 queued frames. Opening a frame does not allocate
/// when its session is proven.
#[derive(Debug)]
pub struct Sealer {
    schedule: Schedule,
    rng: StdRng,
    links: BTreeMap<LinkId, Link>,
    counters: Counters,
}

impl Sealer {
    /// What sealing adds to a full frame.
    pub const OVERHEAD: usize = sealed::OVERHEAD;

    /// A node of the mesh that has this key. `seed` must come from the system's entropy at every start: a repeated one
    /// would repeat nonces.
    pub fn new(key: &NetworkKey, seed: [u8; 32]) -> Self {
        Self {
            schedule: Schedule::new(key),
            rng: StdRng::from_seed(seed),
            links: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// Longest frame that, sealed, fits into a link's largest frame of `mtu` bytes: `mtu` - [`Sealer::OVERHEAD`], or a
    /// little less on links below 556 bytes, where padding needs room.
    pub const fn inner_mtu(mtu: usize) -> usize {
        sealed::inner_mtu(mtu)
    }

    /// Appends the sealed form of the frame `inner` to `out`. Fails, without a change of `out`, only for a frame above
    /// 65,516 bytes.
    pub fn seal(
        &mut self,
        link: LinkId,
        to: Destination,
        inner: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let Self { schedule, rng, links, .. } = self;
        let link = live_link(links, link, schedule, rng).map_err(|_| DropReason::Unsealable);
        let result = link.and_then(|link| link.seal(to, inner, out));
        self.count(result)
    }

    /// Opens a received frame in place. What is for the mesh comes back; `Ok(None)`: the frame was for this layer.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>, DropReason> {
        let result = self.try_open(now, link, from, frame);
        self.count(result)
    }

    fn try_open<'a>(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>, DropReason> {
        if !frame.starts_with(&[VERSION, sealed::TYPE]) {
            return Err(DropReason::NotSealed);
        }
        let (header, _) = sealed::SealedHeader::parse(frame)?;
        // On any link: two of them may end in the same segment.
        if self.links.values().any(|link| link.outgoing.id == header.session) {
            return Err(DropReason::Reflected);
        }
        let Self { schedule, rng, links, .. } = self;
        let link = live_link(links, id, schedule, rng).map_err(|_| DropReason::BadTag)?;
        link.open(now, from, frame, schedule, rng)
    }

    /// Appends the next frame of this layer's own to `out`: sealed already, to be sent as it is.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        self.links
            .iter_mut()
            .find_map(|(id, link)| Some((*id, Destination::Station(link.poll_transmit(out)?))))
    }

    /// Forgets a link.
    pub fn remove_link(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// What was dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn count<T>(&mut self, result: Result<T, DropReason>) -> Result<T, DropReason> {
        result.inspect_err(|reason| self.counters.count(*reason))
    }
}

/// The link, with a session that can still be used.
fn live_link<'a>(
    links: &'a mut BTreeMap<LinkId, Link>,
    id: LinkId,
    schedule: &Schedule,
    rng: &mut StdRng,
) -> Result<&'a mut Link, Unspecified> {
    let link = match links.entry(id) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Link::new(schedule, rng)?),
    };
    if link.outgoing.is_spent() {
        link.outgoing = Outgoing::new(schedule, rng)?;
    }
    Ok(link)
}
