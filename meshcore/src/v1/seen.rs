//! Which frames were here before.

use std::collections::{BTreeSet, VecDeque};

use super::config::{MAX_RELAYED_OF_ORIGIN, MAX_SEEN, RELAY_WINDOW, RELAYED, RELAYED_FOR_UNKNOWN};
use super::error::DropReason;
use crate::types::{Instant, TokenBucket, V1Address};

/// What makes two frames the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameKey {
    pub(super) origin: V1Address,
    /// The message id.
    pub(super) id: u64,
    /// Of everything else but the TTL. By the message id alone, two frames of one millisecond would be one, and a frame
    /// forged in advance would suppress a real one.
    pub(super) digest: u64,
}

/// The latest frames. One origin cannot push out those of others.
#[derive(Debug)]
pub(super) struct Seen {
    max_of_origin: usize,
    order: VecDeque<FrameKey>,
    keys: BTreeSet<FrameKey>,
}

impl Seen {
    pub(super) fn new(max_of_origin: usize) -> Self {
        Self { max_of_origin, order: VecDeque::new(), keys: BTreeSet::new() }
    }

    pub(super) fn contains(&self, key: &FrameKey) -> bool {
        self.keys.contains(key)
    }

    fn of_origin(&self, origin: V1Address) -> usize {
        let first = FrameKey { origin, id: 0, digest: 0 };
        let last = FrameKey { origin, id: u64::MAX, digest: u64::MAX };
        self.keys.range(first..=last).count()
    }

    pub(super) fn insert(&mut self, key: FrameKey) {
        if !self.keys.insert(key) {
            return;
        }
        self.order.push_back(key);
        let oldest = if self.of_origin(key.origin) > self.max_of_origin {
            self.order.iter().position(|old| old.origin == key.origin)
        } else {
            (self.order.len() > MAX_SEEN).then_some(0)
        };
        if let Some(old) = oldest.and_then(|at| self.order.remove(at)) {
            self.keys.remove(&old);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.order.len(), self.keys.len());
        self.order.len()
    }
}

/// Decides what is rebroadcast. Only that is remembered, at a bounded rate, so nobody can make it forget in time for a
/// frame to be rebroadcast twice.
#[derive(Debug)]
pub(super) struct Relay {
    seen: Seen,
    /// The origins of the rebroadcasts within the last [`RELAY_WINDOW`].
    latest: VecDeque<(Instant, V1Address)>,
    all: TokenBucket,
    unknown: TokenBucket,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self {
            seen: Seen::new(MAX_SEEN),
            latest: VecDeque::new(),
            all: TokenBucket::new(RELAYED.0, RELAYED.1),
            unknown: TokenBucket::new(RELAYED_FOR_UNKNOWN.0, RELAYED_FOR_UNKNOWN.1),
        }
    }

    /// Whether the frame `key` is to be rebroadcast now; then it is remembered. `known`: its origin is a known node.
    pub(super) fn admit(&mut self, now: Instant, key: FrameKey, known: bool) -> Result<(), DropReason> {
        if self.seen.contains(&key) {
            return Err(DropReason::Duplicate);
        }
        while self.latest.front().is_some_and(|(at, _)| now - *at >= RELAY_WINDOW) {
            self.latest.pop_front();
        }
        let of_origin = self.latest.iter().filter(|(_, origin)| *origin == key.origin).count();
        if of_origin >= MAX_RELAYED_OF_ORIGIN || !(known || self.unknown.take(now)) || !self.all.take(now) {
            return Err(DropReason::RateLimited);
        }
        self.latest.push_back((now, key.origin));
        self.seen.insert(key);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::v1::config::MAX_SEEN_OF_ORIGIN;

    fn key(origin: u32, id: u64) -> FrameKey {
        let [a, b, c, d] = origin.to_be_bytes();
        FrameKey { origin: V1Address([2, 0, a, b, c, d]), id, digest: 7 }
    }

    #[test]
    fn one_origin_cannot_flush_another() {
        let mut seen = Seen::new(MAX_SEEN_OF_ORIGIN);
        seen.insert(key(1, 1));
        for id in 0..5000 {
            seen.insert(key(2, id));
        }
        assert!(seen.contains(&key(1, 1)));
        assert!(seen.contains(&key(2, 4999)) && seen.contains(&key(2, 4999 - 127)));
        assert!(!seen.contains(&key(2, 4999 - 128)));
        assert_eq!(seen.len(), 1 + MAX_SEEN_OF_ORIGIN);
    }

    #[test]
    fn many_origins_are_bounded() {
        let mut seen = Seen::new(MAX_SEEN_OF_ORIGIN);
        for origin in 0..5000 {
            seen.insert(key(origin, 1));
            seen.insert(key(origin, 1));
        }
        assert_eq!(seen.len(), MAX_SEEN);
        assert!(seen.contains(&key(4999, 1)) && !seen.contains(&key(0, 1)));
    }

    #[test]
    fn a_rebroadcast_is_remembered_for_ten_seconds_whatever_comes() {
        for known in [true, false] {
            let mut relay = Relay::new();
            let mut now = Instant::from_micros(1);
            assert_eq!(relay.admit(now, key(0, 0), true), Ok(()));
            let mut admitted = 0;
            for step in 1..100_000 {
                now += Duration::from_micros(99);
                admitted += usize::from(relay.admit(now, key(step, 1), known).is_ok());
            }
            assert!(relay.seen.contains(&key(0, 0)), "forgotten after {admitted} others");
            assert!(admitted > if known { 900 } else { 450 }, "{admitted}");
        }
    }

    #[test]
    fn one_origin_gets_its_share() {
        let mut relay = Relay::new();
        let mut now = Instant::from_micros(1);
        let mut of_flood = 0;
        let mut of_other = 0;
        for step in 0..1000 {
            now += Duration::from_millis(1);
            of_flood += usize::from(relay.admit(now, key(1, step), true).is_ok());
            if step % 100 == 0 {
                of_other += usize::from(relay.admit(now, key(2, step), true).is_ok());
            }
        }
        assert_eq!((of_flood, of_other), (MAX_RELAYED_OF_ORIGIN, 10));
    }

    #[test]
    fn made_up_origins_leave_room_for_known_nodes() {
        let mut relay = Relay::new();
        let mut now = Instant::from_micros(1);
        let known = (0..10_000u32).filter(|step| {
            now += Duration::from_millis(1);
            let _ = relay.admit(now, key(1000 + step, 1), false);
            step % 100 == 0 && relay.admit(now, key(1, (*step).into()), true).is_ok()
        });
        assert_eq!(known.count(), 100);
    }
}
