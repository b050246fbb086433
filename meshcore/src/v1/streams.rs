//! The table of streams.

use std::collections::BTreeMap;

use super::config::{MAX_STREAMS, MAX_STREAMS_OF_PEER, STREAM_DATA};
use super::{DropReason, V1Destination, V1StreamId};
use crate::types::{Instant, TokenBucket, V1Address};

/// What names a stream on the wire: its other end and its number.
pub(super) type StreamKey = (V1Address, u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A SYN is under way; the answer acknowledges this.
    Connecting {
        ack: u32,
    },
    Open,
    /// A FIN is under way; the answer acknowledges this.
    Closing {
        ack: u32,
    },
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: V1StreamId,
    pub(super) state: State,
    /// The message id of the peer's SYN; `None`: this node opened the stream.
    pub(super) syn: Option<u64>,
    /// The seq of our next segment.
    pub(super) seq: u32,
    /// The seq of the peer's next segment, as far as it is known.
    pub(super) ack: u32,
    /// Where our segments go: as the peer's latest one came.
    pub(super) to: V1Destination,
    /// Whether data came.
    pub(super) used: bool,
    pub(super) heard_at: Instant,
    pub(super) deadline: Instant,
    pub(super) accepted: TokenBucket,
}

/// What it takes to make a stream.
#[derive(Debug)]
pub(super) struct NewStream {
    pub(super) state: State,
    pub(super) syn: Option<u64>,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) to: V1Destination,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Streams {
    table: BTreeMap<StreamKey, Stream>,
    latest: u64,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { table: BTreeMap::new(), latest: 0 }
    }

    pub(super) fn has_peer(&self, peer: V1Address) -> bool {
        self.of_peer(peer).next().is_some()
    }

    fn of_peer(&self, peer: V1Address) -> impl Iterator<Item = (&StreamKey, &Stream)> {
        self.table.range((peer, 0)..=(peer, u16::MAX))
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.table.get_mut(&key)
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.table.get(&key)
    }

    pub(super) fn key_of(&self, id: V1StreamId) -> Option<StreamKey> {
        self.table.iter().find(|(_, stream)| stream.id == id).map(|(key, _)| *key)
    }

    pub(super) fn remove(&mut self, key: StreamKey) -> Option<Stream> {
        self.table.remove(&key)
    }

    /// Whether this node may open another stream with `peer`.
    pub(super) fn has_room(&self, peer: V1Address) -> bool {
        self.table.len() < MAX_STREAMS && self.of_peer(peer).count() < MAX_STREAMS_OF_PEER
    }

    /// A number that no stream with `peer` has, the first from `start` on.
    pub(super) fn free_number(&self, peer: V1Address, start: u16) -> u16 {
        let mut number = start.max(1);
        while self.table.contains_key(&(peer, number)) {
            number = number.wrapping_add(1).max(1);
        }
        number
    }

    /// Which stream has to make room when `peer` opens one: of its own ones, if they are too many, the one that was
    /// silent for longest; else, if all are too many, of those that others opened and never used. What this node opened
    /// and what is in use stays.
    pub(super) fn in_the_way_of(&self, peer: V1Address) -> Result<Option<StreamKey>, DropReason> {
        let by_peer = |(_, stream): &(&StreamKey, &Stream)| stream.syn.is_some();
        let victim = if self.of_peer(peer).count() >= MAX_STREAMS_OF_PEER {
            self.of_peer(peer).filter(by_peer).min_by_key(|(_, stream)| stream.heard_at)
        } else if self.table.len() >= MAX_STREAMS {
            let unused = self.table.iter().filter(by_peer).filter(|(_, stream)| !stream.used);
            unused.min_by_key(|(_, stream)| stream.heard_at)
        } else {
            return Ok(None);
        };
        victim.map(|(key, _)| Some(*key)).ok_or(DropReason::TableFull)
    }

    pub(super) fn insert(&mut self, now: Instant, key: StreamKey, new: NewStream) -> V1StreamId {
        self.latest += 1;
        let id = V1StreamId(self.latest);
        let NewStream { state, syn, seq, ack, to, deadline } = new;
        let accepted = TokenBucket::new(STREAM_DATA.0, STREAM_DATA.1);
        let stream = Stream { id, state, syn, seq, ack, to, used: false, heard_at: now, deadline, accepted };
        self.table.insert(key, stream);
        id
    }

    /// A stream whose deadline has passed.
    pub(super) fn expired(&self, now: Instant) -> Option<StreamKey> {
        self.table.iter().find(|(_, stream)| stream.deadline <= now).map(|(key, _)| *key)
    }

    /// When the next deadline is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.table.values().map(|stream| stream.deadline).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
