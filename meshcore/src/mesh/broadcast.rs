//! Flooding: a broadcast reaches every node, and each passes it on once.
//!
//! Its origin signs it and counts it, so that nobody can flood in somebody else's name, and what came already is
//! recognised by a window of bounded size instead of a list of everything seen (RFC 6479 has the same for IPsec).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::config::{BROADCASTS, MAX_FLOODING};
use super::{Delivery, DropReason, Handled, Mesh};
use crate::types::{Address, Destination, Instant, LinkAddr, LinkId, TokenBucket};
use crate::wire::broadcast::{BROADCAST_HEAD, Broadcast};
use crate::wire::frame::{DEFAULT_HOP_LIMIT, FrameHeader, FrameType, HEADER_LEN, TrafficClass};

/// Which broadcasts of one origin came already.
#[derive(Debug)]
struct Seen {
    record: u64,
    /// Highest sequence, and which of the 128 up to it came: bit 0 is the highest.
    highest: u64,
    came: u128,
    rate: TokenBucket,
}

impl Seen {
    fn new(record: u64) -> Self {
        Self { record, highest: 0, came: 0, rate: TokenBucket::new(BROADCASTS.0, BROADCASTS.1) }
    }

    fn has(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            Some(age) => age >= u128::BITS.into() || self.came & (1 << age) != 0,
            None => false,
        }
    }

    fn note(&mut self, sequence: u64) {
        match self.highest.checked_sub(sequence) {
            Some(age) => self.came |= 1 << age,
            None => {
                let shift = u32::try_from(sequence - self.highest).unwrap_or(u32::MAX);
                self.came = self.came.checked_shl(shift).unwrap_or(0) | 1;
                self.highest = sequence;
            }
        }
    }
}

/// Broadcasts that come and go.
#[derive(Debug)]
pub(super) struct Flood {
    /// By origin; only of nodes whose identity is known.
    seen: BTreeMap<Address, Seen>,
    /// Frames to be sent, and on which link.
    outgoing: VecDeque<(LinkId, Arc<[u8]>)>,
    own_sequence: u64,
    own_rate: TokenBucket,
}

impl Flood {
    pub(super) fn new() -> Self {
        let own_rate = TokenBucket::new(BROADCASTS.0, BROADCASTS.1);
        Self { seen: BTreeMap::new(), outgoing: VecDeque::new(), own_sequence: 0, own_rate }
    }

    /// Forgets origins that are not `known` any more.
    pub(super) fn forget(&mut self, known: impl Fn(&Address) -> bool) {
        self.seen.retain(|origin, _| known(origin));
    }

    pub(super) fn drop_queued(&mut self, link: LinkId) {
        self.outgoing.retain(|(id, _)| *id != link);
    }
}

impl Mesh {
    /// Sends `content`, 1 to 1000 bytes, to every node of the mesh. It is signed and not encrypted, nobody acknowledges it,
    /// and it may get lost. Eight at once, then one a second; else [`DropReason::RateLimited`].
    pub fn broadcast(&mut self, now: Instant, content: &[u8]) -> Result<(), DropReason> {
        let (record, sequence) = (self.identity.number, self.flood.own_sequence + 1);
        let mut broadcast = Broadcast { record, sequence, signature: [0; 64], content };
        if !(1..=crate::wire::broadcast::MAX_CONTENT).contains(&content.len()) {
            return Err(DropReason::TooBig);
        }
        if !self.flood.own_rate.take(now) {
            return Err(DropReason::RateLimited);
        }
        self.flood.own_sequence = sequence;
        broadcast.signature = self.signatures.sign(&broadcast.signed_message(self.own));
        let header = FrameHeader {
            kind: FrameType::Broadcast,
            hop_limit: DEFAULT_HOP_LIMIT,
            class: TrafficClass::Bulk,
            source: self.own,
            destination: Address::EVERYONE,
        };
        let mut frame = header.emit((BROADCAST_HEAD + content.len()) as u16).to_vec();
        broadcast.emit(&mut frame);
        self.flood_on(None, &frame);
        Ok(())
    }

    pub(super) fn on_broadcast<'a>(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        header: &FrameHeader,
        frame: &'a mut [u8],
    ) -> Result<Handled<'a>, DropReason> {
        let payload = frame.get(HEADER_LEN..).ok_or(DropReason::Malformed)?;
        let broadcast = Broadcast::parse(payload)?;
        let origin = header.source;
        let link = self.links.get_mut(&id).ok_or(DropReason::UnknownLink)?;
        link.table.usable_at(from).ok_or(DropReason::UnknownNeighbour)?;
        let identity = self.identities.get(&origin).filter(|identity| identity.number == broadcast.record);
        let identity = identity.ok_or(DropReason::NoRoute)?;
        let seen = self.flood.seen.entry(origin).or_insert_with(|| Seen::new(broadcast.record));
        if seen.record != broadcast.record {
            *seen = Seen::new(broadcast.record);
        }
        if seen.has(broadcast.sequence) {
            return Err(DropReason::DuplicateBroadcast);
        }
        // Checking a signature is the expensive part: forgeries are limited on each link.
        if !link.signature_checks.take(now) {
            return Err(DropReason::RateLimited);
        }
        let message = broadcast.signed_message(origin);
        if !self.signatures.verify(&identity.subkey, &message, &broadcast.signature) {
            return Err(DropReason::BadSignature);
        }
        if !seen.rate.take(now) {
            return Err(DropReason::RateLimited);
        }
        seen.note(broadcast.sequence);
        if header.hop_limit > 1 {
            FrameHeader::set_hop_limit(frame, header.hop_limit - 1);
            self.flood_on(Some(id), frame);
        }
        let payload = frame.get_mut(HEADER_LEN + BROADCAST_HEAD..).ok_or(DropReason::Malformed)?;
        Ok(Handled::Deliver(Delivery { source: origin, kind: header.kind, payload }))
    }

    /// Queues a frame for all links; not for the one that it came from, if everybody there has heard it.
    fn flood_on(&mut self, came_from: Option<LinkId>, frame: &[u8]) {
        let shared: Arc<[u8]> = frame.into();
        for (id, link) in &self.links {
            let heard = came_from == Some(*id) && (link.scope.wired || link.table.len() == 1);
            if heard || link.table.len() == 0 || frame.len() > link.mtu {
                continue;
            }
            if self.flood.outgoing.len() >= MAX_FLOODING {
                self.counters.count(DropReason::QueueFull);
                continue;
            }
            self.flood.outgoing.push_back((*id, shared.clone()));
        }
    }

    /// The next broadcast to be sent or passed on.
    pub(super) fn next_broadcast(&mut self, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        let (link, frame) = self.flood.outgoing.pop_front()?;
        out.extend_from_slice(&frame);
        Some((link, Destination::Group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_comes_once_in_any_order() {
        let mut seen = Seen::new(1);
        for sequence in [3, 1, 2, 130, 4, 300] {
            assert!(!seen.has(sequence), "{sequence}");
            seen.note(sequence);
            assert!(seen.has(sequence), "{sequence}");
        }
        assert!(seen.has(0) && seen.has(172) && !seen.has(173) && !seen.has(301));
        seen.note(u64::MAX);
        assert!(seen.has(300) && !seen.has(u64::MAX - 1));
    }
}
