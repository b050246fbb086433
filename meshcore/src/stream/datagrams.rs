//! Unreliable datagrams (RFC 9221): messages that are not repeated when they are lost.

use std::collections::VecDeque;

use bytes::Bytes;

use super::builder::Builder;
use super::error::DatagramError;
use crate::wire::packet::{SHORT_HEADER_LEN, TAG_LEN};
use crate::wire::segment::Segment;
use crate::wire::varint;

/// What each datagram counts for beside its bytes, so that many empty ones fill the queue too.
const OVERHEAD: usize = 64;

/// A queue that drops the oldest when it is full: new datagrams are worth more than old ones.
#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Bytes>,
    size: usize,
}

impl Queue {
    /// Returns how many were dropped.
    fn push(&mut self, data: Bytes, capacity: usize) -> u64 {
        self.size += data.len() + OVERHEAD;
        self.items.push_back(data);
        let mut dropped = 0;
        while self.size > capacity && self.pop().is_some() {
            dropped += 1;
        }
        dropped
    }

    fn pop(&mut self) -> Option<Bytes> {
        let data = self.items.pop_front()?;
        self.size -= data.len() + OVERHEAD;
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Some(data)
    }
}

/// Numbers about the datagrams of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramStatistics {
    /// Put into packets.
    pub sent: u64,
    /// Received and kept for the application.
    pub received: u64,
    /// Dropped here, unsent or unread, because a queue was full or the path's packets have become smaller.
    pub dropped: u64,
}

/// Datagrams of one connection, both directions.
#[derive(Debug)]
pub(super) struct Datagrams {
    outgoing: Queue,
    incoming: Queue,
    /// Bytes that each queue holds at most.
    capacity: usize,
    /// Largest segment that the peer takes; 0: none.
    peer_limit: u64,
    /// The last packet carried one: streams come first in the next.
    had_turn: bool,
    /// The application was told, and has not read everything since.
    announced: bool,
    pub(super) statistics: DatagramStatistics,
}

impl Datagrams {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            outgoing: Queue::default(),
            incoming: Queue::default(),
            capacity,
            peer_limit: 0,
            had_turn: false,
            announced: false,
            statistics: DatagramStatistics::default(),
        }
    }

    /// What the peer announced as max_datagram_frame_size.
    pub(super) fn on_peer_limit(&mut self, limit: u64) {
        self.peer_limit = limit;
    }

    /// The longest datagram that can be sent in packets of `mtu` bytes.
    pub(super) fn max_len(&self, mtu: usize) -> Option<usize> {
        if self.peer_limit == 0 {
            return None;
        }
        let segment = mtu.saturating_sub(SHORT_HEADER_LEN + TAG_LEN);
        let segment = segment.min(usize::try_from(self.peer_limit).unwrap_or(usize::MAX));
        segment.checked_sub(1 + varint::len(segment as u64))
    }

    pub(super) fn send(&mut self, data: Bytes, mtu: usize) -> Result<(), DatagramError> {
        let limit = self.max_len(mtu).ok_or(DatagramError::Unsupported)?;
        if data.len() > limit {
            return Err(DatagramError::TooLong { limit });
        }
        self.statistics.dropped += self.outgoing.push(data, self.capacity);
        Ok(())
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.outgoing.items.is_empty()
    }

    /// Whether datagrams go before the bytes of streams in this packet: they take turns.
    pub(super) fn are_first(&self, streams_wait: bool) -> bool {
        !(self.had_turn && streams_wait)
    }

    pub(super) fn skip_turn(&mut self) {
        self.had_turn = false;
    }

    /// Puts as many as fit into a packet. `mtu` as in [`Datagrams::max_len`].
    pub(super) fn transmit(&mut self, builder: &mut Builder<'_>, mtu: usize) {
        let limit = self.max_len(mtu).unwrap_or(0);
        while let Some(data) = self.outgoing.items.front() {
            if data.len() > limit {
                self.outgoing.pop();
                self.statistics.dropped += 1;
                continue;
            }
            if !builder.push(&Segment::Datagram(data), None) {
                break;
            }
            self.outgoing.pop();
            self.statistics.sent += 1;
            self.had_turn = true;
        }
    }

    /// A datagram arrived. Returns whether the application is to be told.
    pub(super) fn on_received(&mut self, data: &[u8]) -> bool {
        self.statistics.received += 1;
        self.statistics.dropped += self.incoming.push(Bytes::copy_from_slice(data), self.capacity);
        let has_some = !self.incoming.items.is_empty();
        has_some && !std::mem::replace(&mut self.announced, has_some)
    }

    /// The next one for the application.
    pub(super) fn read(&mut self) -> Option<Bytes> {
        let data = self.incoming.pop();
        self.announced = data.is_some();
        data
    }
}

/// What this side announces: any datagram that fits a packet.
pub(super) const LOCAL_LIMIT: u64 = u16::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_the_oldest() {
        let mut datagrams = Datagrams::new(3 * (OVERHEAD + 10));
        for number in 0..10 {
            datagrams.on_received(&[number; 10]);
        }
        let kept: Vec<_> = std::iter::from_fn(|| datagrams.read()).map(|data| data[0]).collect();
        assert_eq!(kept, [7, 8, 9]);
        assert_eq!(datagrams.statistics.dropped, 7);
    }

    #[test]
    fn the_longest_fits_and_one_more_byte_does_not() {
        let mut datagrams = Datagrams::new(1 << 20);
        assert_eq!(datagrams.send(Bytes::new(), 1200), Err(DatagramError::Unsupported));
        datagrams.on_peer_limit(LOCAL_LIMIT);
        for mtu in [128, 1200, 1500, 9000, 65_535] {
            let limit = datagrams.max_len(mtu).unwrap();
            assert_eq!(datagrams.send(vec![0; limit + 1].into(), mtu), Err(DatagramError::TooLong { limit }));
            datagrams.send(vec![0; limit].into(), mtu).unwrap();
            let mut out = Vec::new();
            let mut builder = Builder::new(&mut out, mtu - SHORT_HEADER_LEN - TAG_LEN);
            datagrams.transmit(&mut builder, mtu);
            assert!(!datagrams.has_pending() && !out.is_empty(), "{mtu}");
        }
    }
}
