//! AlexMesh v1 and AlexStream v1: talks to programs that speak nothing newer.
//!
//! v1 is **insecure**: nothing is encrypted or authenticated, and whoever is on the segment can read everything and say
//! anything in any name. It is a layer of its own beside `mesh`, which knows nothing of it, for people who ask for it.

mod config;
mod error;
mod event;
mod messages;
mod nodes;
mod output;
mod receive;
mod seen;
mod segments;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use config::{ACK_WAIT, HANDSHAKE_INTERVAL, NODE_LIFETIME, STREAM_IDLE, STREAM_WAIT};
pub use error::{DropReason, V1Error};
pub use event::{V1CloseReason, V1Destination, V1Event, V1MessageId, V1Node, V1StreamId};

use crate::types::{Instant, TokenBucket, UnixTime, V1Address};
use config::{ACCEPTED, HANDSHAKE_ANSWERS, MAX_SEEN_OF_ORIGIN, MIN_MTU};
use messages::Pending;
use nodes::Nodes;
use output::{MessageIds, Outgoing};
use seen::{Relay, Seen};
use streams::Streams;

/// A v1 node on one Ethernet interface.
///
/// # How to drive it
/// * Give the payload of every received Ethernet frame of EtherType 0x88B5 whose first byte is 1 to
///   [`V1::handle_frame`], and call [`V1::handle_timeout`] when [`V1::poll_timeout`] is due: at once after the start.
/// * After every call that takes `now`, drain [`V1::poll_event`] and [`V1::poll_transmit`], and send the frames with
///   the address of this node as their source.
/// * `now` never runs backwards; `wall` may jump as it likes.
///
/// A call that fails changes nothing but the rate limits. Memory is bounded by 256 nodes, 256 messages that wait for
/// their acknowledgement, 64 streams, 256 frames to be sent and 2048 remembered ones; the work for a frame by the
/// sizes of these tables. Events are as many as the frames that caused them.
#[derive(Debug)]
pub struct V1 {
    own: V1Address,
    mtu: usize,
    rng: StdRng,
    /// Keeps others from computing frames that look like duplicates.
    digest_key: u64,
    ids: MessageIds,
    nodes: Nodes,
    /// Frames for this node that have been taken.
    seen: Seen,
    relay: Relay,
    /// What unknown origins may cause together.
    strangers: TokenBucket,
    handshake_answers: TokenBucket,
    pending: BTreeMap<V1MessageId, Pending>,
    streams: Streams,
    queue: VecDeque<Outgoing>,
    events: VecDeque<V1Event>,
    handshake_at: Instant,
}

impl V1 {
    /// A node that knows nobody. `own` is the MAC address of the interface, `mtu` what an Ethernet frame on it carries
    /// (46 at least); `seed` must be drawn at random.
    pub fn new(own: V1Address, mtu: usize, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            own,
            mtu: mtu.max(MIN_MTU),
            digest_key: rng.random(),
            rng,
            ids: MessageIds::default(),
            nodes: Nodes::new(),
            seen: Seen::new(MAX_SEEN_OF_ORIGIN),
            relay: Relay::new(),
            strangers: TokenBucket::new(ACCEPTED.0, ACCEPTED.1),
            handshake_answers: TokenBucket::new(HANDSHAKE_ANSWERS.0, HANDSHAKE_ANSWERS.1),
            pending: BTreeMap::new(),
            streams: Streams::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            handshake_at: Instant::default(),
        }
    }

    /// The address of this node.
    pub fn address(&self) -> V1Address {
        self.own
    }

    /// The nodes whose handshakes were heard lately, in the order of their addresses.
    pub fn nodes(&self, now: Instant) -> impl Iterator<Item = V1Node> {
        self.nodes.iter(now)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, wall: UnixTime) {
        if self.handshake_at <= now {
            self.handshake_at = now + HANDSHAKE_INTERVAL;
            self.push_handshake(wall, V1Address::EVERYONE, V1Destination::Everyone);
        }
        self.answer_handshakes(now, wall);
        while let Some(node) = self.nodes.take_lost(now) {
            self.events.push_back(V1Event::NodeLost { node });
        }
        self.fail_messages(now);
        self.expire_streams(now, wall);
    }

    /// When [`V1::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let messages = self.pending.values().map(|pending| pending.deadline).min();
        let others = [messages, self.nodes.next(), self.streams.next()];
        Some(others.into_iter().flatten().fold(self.handshake_at, Instant::min))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<V1Event> {
        self.events.pop_front()
    }

    /// Appends the payload of the next Ethernet frame to `out` and says where to send it.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<V1Destination> {
        let Outgoing { to, frame } = self.queue.pop_front()?;
        out.extend(frame);
        Some(to)
    }

    /// Refuses what is not the address of another node.
    fn check_peer(&self, to: V1Address) -> Result<(), V1Error> {
        match to {
            _ if to == self.own => Err(V1Error::OwnAddress),
            _ if !to.is_station() => Err(V1Error::NotAStation),
            _ => Ok(()),
        }
    }

    /// A node that is heard itself is spoken to alone; to any other one, frames go by way of everyone.
    fn way_to(&self, now: Instant, node: V1Address) -> V1Destination {
        if self.nodes.is_direct(now, node) { V1Destination::One(node) } else { V1Destination::Everyone }
    }
}
