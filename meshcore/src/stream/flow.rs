//! Flow control windows (RFC 9000 §4), of one stream or of the whole connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::Instant;
use crate::wire::varint;

/// What all connections of a node together may add to their windows.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(bytes)))
    }

    /// Takes `bytes` off the budget; `false`, and nothing, when they are not there.
    fn take(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What this side lets the peer send.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u64,
    largest: u64,
    consumed: u64,
    limit: u64,
    /// When the limit was raised last.
    raised: Option<Instant>,
    /// Pays for growth.
    budget: Option<Arc<Budget>>,
    taken: u64,
}

impl ReceiveWindow {
    /// A window of `size` bytes that may grow to `largest`.
    pub(super) fn new(size: u64, largest: u64, budget: Option<Arc<Budget>>) -> Self {
        Self { size, largest, consumed: 0, limit: size, raised: None, budget, taken: 0 }
    }

    /// The limit that the peer was told or is about to be told.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The application took `len` bytes. Returns whether the peer should be told of a higher limit: that is when half
    /// of the window is used up.
    ///
    /// A window of which half was used up in less than two round trips limits the peer, and doubles: it grows to the
    /// product of bandwidth and round-trip time while the application reads as fast.
    pub(super) fn consume(&mut self, len: u64, now: Instant, rtt: Duration) -> bool {
        self.consumed += len;
        let wanted = (self.consumed + self.size).min(varint::MAX);
        if wanted - self.limit < self.size.div_ceil(2) {
            return false;
        }
        if self.raised.replace(now).is_some_and(|before| now - before < 2 * rtt) {
            self.grow();
        }
        self.limit = (self.consumed + self.size).min(varint::MAX);
        true
    }

    fn grow(&mut self) {
        let more = self.size.min(self.largest.saturating_sub(self.size));
        if self.budget.as_ref().is_none_or(|budget| budget.take(more)) {
            self.size += more;
            self.taken += if self.budget.is_some() { more } else { 0 };
        }
    }
}

impl Drop for ReceiveWindow {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.taken);
        }
    }
}

/// What the peer lets this side send.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    limit: u64,
    used: u64,
    /// The limit that the peer was told to be too low.
    told: Option<u64>,
}

impl SendWindow {
    /// The peer's limits never shrink (RFC 9000 §4.1). Returns whether it grew.
    pub(super) fn raise(&mut self, limit: u64) -> bool {
        let grows = limit > self.limit;
        self.limit = self.limit.max(limit);
        grows
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn left(&self) -> u64 {
        self.limit - self.used
    }

    pub(super) fn consume(&mut self, len: u64) {
        self.used = self.limit.min(self.used + len);
    }

    /// The limit to complain about, once for each.
    pub(super) fn complaint(&mut self) -> Option<u64> {
        (self.told != Some(self.limit)).then(|| {
            self.told = Some(self.limit);
            self.limit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn updates_come_at_half_of_the_window() {
        let mut window = ReceiveWindow::new(100, 100, None);
        assert!(!window.consume(49, at(0), RTT));
        assert_eq!(window.limit(), 100);
        assert!(window.consume(1, at(0), RTT));
        assert_eq!(window.limit(), 150);
        assert!(!window.consume(49, at(0), RTT) && window.consume(60, at(0), RTT));
        assert_eq!(window.limit(), 259);
    }

    #[test]
    fn a_window_grows_with_a_fast_reader_within_the_budget() {
        let budget = Budget::new(500);
        let mut windows = [(); 2].map(|()| ReceiveWindow::new(100, 400, Some(Arc::clone(&budget))));
        for window in &mut windows {
            for step in 0..10 {
                assert!(window.consume(200, at(100 * step), RTT), "a slow reader");
            }
            assert_eq!(window.size, 100);
        }
        for window in &mut windows {
            for step in 0..10 {
                window.consume(200, at(1000 + step), RTT);
            }
        }
        // 300 of the budget for the first, 100 for the second: another 200 are not there.
        assert_eq!(windows.each_ref().map(|window| window.size), [400, 200]);
        drop(windows);
        assert_eq!(budget.0.load(Ordering::Relaxed), 500);
    }

    #[test]
    fn limits_never_shrink() {
        let mut window = SendWindow::default();
        assert_eq!(window.complaint(), Some(0));
        assert_eq!(window.complaint(), None);
        assert!(window.raise(10) && !window.raise(5));
        window.consume(4);
        assert_eq!((window.left(), window.limit()), (6, 10));
        assert_eq!(window.complaint(), Some(10));
    }
}
