//! How often the peer shall acknowledge, as in draft-ietf-quic-ack-frequency: ever more rarely while the window grows, so
//! that the way back costs little on fast links, and still often enough for every round trip.

use std::time::Duration;

use super::received::{MAX_ACK_DELAY, MIN_ACK_DELAY};

/// Acknowledgements for each congestion window: HyStart++ (RFC 9406) wants at least 8 measurements a round trip.
const ACKS_PER_WINDOW: u64 = 16;

/// Packets that may wait for an acknowledgement, when nothing was asked for (RFC 9000 §13.2.2)...
pub(super) const DEFAULT_THRESHOLD: u64 = 2;

/// ...and at most.
const MAX_THRESHOLD: u64 = 64;

/// What the peer was asked for.
#[derive(Debug)]
pub(super) struct AckFrequency {
    /// The peer understands the request.
    is_supported: bool,
    /// Packets that it may let come together in one acknowledgement, and how long the first may wait.
    threshold: u64,
    delay: Duration,
    /// What the peer announced in the handshake: it neither waits longer nor less.
    bounds: (Duration, Duration),
    next_sequence: u64,
    owed: bool,
}

impl Default for AckFrequency {
    fn default() -> Self {
        Self {
            is_supported: false,
            threshold: DEFAULT_THRESHOLD,
            delay: MAX_ACK_DELAY,
            bounds: (MIN_ACK_DELAY, MAX_ACK_DELAY),
            next_sequence: 0,
            owed: false,
        }
    }
}

/// The fields of an ACK_FREQUENCY segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) sequence: u64,
    /// Packets that may arrive *without* an acknowledgement: one less than those that come together in one.
    pub(super) unacknowledged: u64,
    pub(super) delay: Duration,
}

impl AckFrequency {
    pub(super) fn on_peer_params(&mut self, min: Option<Duration>, max: Duration) {
        self.is_supported = min.is_some();
        self.bounds = (min.unwrap_or(max).min(max), max);
        self.delay = max;
    }

    /// The congestion window or the round-trip time has changed. Only large changes are told. An acknowledgement shall not
    /// wait much longer than a round trip: a probe time-out waits for it (RFC 9002 §6.2.1).
    pub(super) fn on_change(&mut self, window: u64, mtu: usize, rtt: Duration) {
        if !self.is_supported {
            return;
        }
        let wanted = (window / (ACKS_PER_WINDOW * mtu.max(1) as u64)).clamp(DEFAULT_THRESHOLD, MAX_THRESHOLD);
        let delay = rtt.clamp(self.bounds.0, self.bounds.1);
        let is_other = wanted >= 2 * self.threshold || 2 * wanted <= self.threshold;
        if is_other || delay >= 2 * self.delay || 2 * delay <= self.delay {
            (self.threshold, self.delay) = (wanted, delay);
            self.owed = true;
        }
    }

    pub(super) fn is_owed(&self) -> bool {
        self.owed
    }

    pub(super) fn on_lost(&mut self) {
        self.owed = true;
    }

    /// The segment to send.
    pub(super) fn request(&self) -> Request {
        Request { sequence: self.next_sequence, unacknowledged: self.threshold - 1, delay: self.delay }
    }

    pub(super) fn on_sent(&mut self) {
        self.next_sequence += 1;
        self.owed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_the_window_in_large_steps() {
        let mut frequency = AckFrequency::default();
        let rtt = Duration::from_secs(1);
        frequency.on_change(1 << 20, 1000, rtt);
        assert!(!frequency.is_owed(), "the peer would not understand");
        frequency.on_peer_params(Some(MIN_ACK_DELAY), MAX_ACK_DELAY);
        let mut told = Vec::new();
        for window in (10_000..2_000_000).step_by(1000).chain((10_000..2_000_000).rev().step_by(1000)) {
            frequency.on_change(window, 1000, rtt);
            if frequency.is_owed() {
                told.push(frequency.request().unacknowledged + 1);
                frequency.on_sent();
            }
        }
        assert_eq!(told, [4, 8, 16, 32, 64, 32, 16, 8, 4, 2]);
        assert_eq!(frequency.request().sequence, 10);
        frequency.on_change(1000, 1000, Duration::ZERO);
        assert!(frequency.is_owed());
        assert_eq!(frequency.request().delay, MIN_ACK_DELAY);
    }
}
