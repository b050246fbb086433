//! Frames of others: which are for this node, which are to be rebroadcast, and handshakes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rand::RngExt;

use super::config::ANSWER_JITTER;
use super::nodes::Admission;
use super::output::Envelope;
use super::seen::FrameKey;
use super::{DropReason, V1, V1Destination, V1Event};
use crate::types::{Instant, UnixTime, V1Address};
use crate::wire::v1::{FrameHeader, FrameType, HEADER_LEN, without_padding};

/// The circumstances of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) now: Instant,
    pub(super) wall: UnixTime,
    pub(super) header: FrameHeader,
    /// Whether it came from the station of its origin.
    pub(super) direct: bool,
    /// Where an answer goes: as the frame came, or as the node is known to be reached.
    pub(super) back: V1Destination,
}

impl Arrival {
    pub(super) fn to_all(self) -> bool {
        self.header.destination == V1Address::EVERYONE
    }

    /// The envelope of an answer.
    pub(super) fn answer(&self) -> Envelope {
        Envelope { destination: self.header.origin, to: self.back, answers: Some(self.header.id) }
    }
}

impl V1 {
    /// Takes the payload of a received Ethernet frame in. `from` is the frame's source.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        wall: UnixTime,
        from: V1Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let (header, body) = FrameHeader::parse(payload)?;
        if header.origin == self.own || from == self.own {
            return Err(DropReason::OwnAddress);
        }
        if matches!(header.kind, FrameType::Unknown(_)) {
            return Err(DropReason::UnknownType);
        }
        let key = self.key(&header, body);
        let direct = from == header.origin;
        let back = if direct { V1Destination::One(from) } else { self.way_to(now, header.origin) };
        let arrival = Arrival { now, wall, header, direct, back };
        if header.destination != self.own && !arrival.to_all() {
            self.pass_on(&arrival, body, key)?;
        } else if self.seen.contains(&key) {
            return Err(DropReason::Duplicate);
        } else {
            self.take(&arrival, body)?;
            self.seen.insert(key);
        }
        self.nodes.heard(now, header.origin, arrival.direct);
        Ok(())
    }

    fn take(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), DropReason> {
        match arrival.header.kind {
            FrameType::Handshake => self.on_handshake(arrival),
            FrameType::Message => self.on_message(arrival, body),
            FrameType::Broadcast => self.on_text_for_all(arrival, body),
            FrameType::Status => self.on_status(arrival, body),
            FrameType::Unknown(_) => Err(DropReason::UnknownType),
        }
    }

    fn key(&self, header: &FrameHeader, body: &[u8]) -> FrameKey {
        let mut hasher = DefaultHasher::new();
        (self.digest_key, u8::from(header.kind), header.destination).hash(&mut hasher);
        without_padding(body).hash(&mut hasher);
        FrameKey { origin: header.origin, id: header.id, digest: hasher.finish() }
    }

    /// Rebroadcasts a frame for another node.
    fn pass_on(&mut self, arrival: &Arrival, body: &[u8], key: FrameKey) -> Result<(), DropReason> {
        let header = arrival.header;
        let ttl = header.ttl.checked_sub(1).ok_or(DropReason::TtlExhausted)?;
        if HEADER_LEN + body.len() > self.mtu {
            return Err(DropReason::TooLong);
        }
        if !self.has_room(1) {
            return Err(DropReason::QueueFull);
        }
        self.relay.admit(arrival.now, key, self.nodes.contains(header.origin))?;
        self.push_raw(V1Destination::Everyone, FrameHeader { ttl, ..header }, &[body]);
        Ok(())
    }

    /// Whether a frame of `origin` that causes something may be taken.
    pub(super) fn accept(&mut self, now: Instant, origin: V1Address) -> Result<(), DropReason> {
        let accepted = self.nodes.accept(now, origin).unwrap_or_else(|| self.strangers.take(now));
        if accepted { Ok(()) } else { Err(DropReason::RateLimited) }
    }

    /// A handshake makes its origin known. It is answered if it was for this node, as v1 demands, and if it was for
    /// everyone and the node is new, so that it need not wait for our next one.
    fn on_handshake(&mut self, arrival: &Arrival) -> Result<(), DropReason> {
        let Arrival { now, header, .. } = *arrival;
        let origin = header.origin;
        let (pending, streams) = (&self.pending, &self.streams);
        let in_use = |node| streams.has_peer(node) || pending.values().any(|pending| pending.to == node);
        let admission = self.nodes.admit(now, origin, in_use)?;
        if let Admission::New { evicted } = admission {
            self.events.extend(evicted.map(|node| V1Event::NodeLost { node }));
            self.events.push_back(V1Event::NodeFound { node: origin });
        }
        self.nodes.heard(now, origin, arrival.direct);
        if !arrival.to_all() {
            self.nodes.answer(origin, now);
            self.answer_handshakes(now, arrival.wall);
        } else if admission != Admission::Known {
            let jitter = self.rng.random_range(0..ANSWER_JITTER.as_micros() as u64);
            self.nodes.answer(origin, now + Duration::from_micros(jitter));
        }
        Ok(())
    }

    /// Sends the handshakes that are due. Whom the limit leaves out hears the next one to everyone.
    pub(super) fn answer_handshakes(&mut self, now: Instant, wall: UnixTime) {
        while let Some(node) = self.nodes.take_answer(now) {
            if self.handshake_answers.take(now) {
                self.push_handshake(wall, node, self.way_to(now, node));
            }
        }
    }
}
