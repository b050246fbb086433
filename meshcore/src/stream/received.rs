//! Which packets of one number space arrived, and when to say so (RFC 9000 §13.2).

use std::time::Duration;

use super::ack_frequency::DEFAULT_THRESHOLD;
use super::ranges::RangeSet;
use crate::types::Instant;
use crate::wire::segment::{self as wire};

/// How long an acknowledgement may be held back; announced to the peer as `max_ack_delay`. RFC 9000 §18.2 assumes 25 ms for
/// the internet; on a wire, where round trips are shorter, a lost tail is noticed sooner.
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(5);

/// A peer may not ask for a shorter delay; announced as `min_ack_delay` (draft-ietf-quic-ack-frequency §3).
pub(super) const MIN_ACK_DELAY: Duration = Duration::from_millis(1);

/// Ranges of received packets that are remembered and reported. Older ones are forgotten, and packets as old as they
/// are count as duplicates (RFC 9000 §13.2.3).
const MAX_RANGES: usize = 64;

/// With more ranges than this to report, acknowledgements ask to be acknowledged: what the peer knows is forgotten
/// (RFC 9000 §13.2.4).
const MANY_RANGES: usize = 16;

/// When to acknowledge.
#[derive(Debug, Clone, Copy)]
struct Policy {
    /// Ack-eliciting packets that come together in one acknowledgement.
    threshold: u64,
    delay: Duration,
    /// At once when a packet is out of order.
    on_reordering: bool,
    /// Lowest number of a request that would be news.
    next_sequence: u64,
}

impl Default for Policy {
    /// RFC 9000 §13.2.2: every second packet at once.
    fn default() -> Self {
        Self { threshold: DEFAULT_THRESHOLD, delay: MAX_ACK_DELAY, on_reordering: true, next_sequence: 0 }
    }
}

/// The receiving side of a packet number space.
#[derive(Debug, Default)]
pub(super) struct Received {
    policy: Policy,
    ranges: RangeSet,
    /// Numbers below count as duplicates.
    floor: u64,
    largest: Option<(u64, Instant)>,
    /// Ack-eliciting packets since the last acknowledgement was sent.
    eliciting: u64,
    immediate: bool,
    deadline: Option<Instant>,
}

impl Received {
    /// The packet number expected next.
    pub(super) fn expected(&self) -> u64 {
        self.largest.map_or(0, |(largest, _)| largest + 1)
    }

    /// Whether the packet was seen before or is too old to tell.
    pub(super) fn is_duplicate(&self, number: u64) -> bool {
        number < self.expected() && (number < self.floor || self.ranges.contains(number))
    }

    /// The peer asks for another rhythm of acknowledgements. Requests that were overtaken by newer ones are ignored.
    pub(super) fn on_ack_frequency(&mut self, request: &wire::AckFrequency) {
        if request.sequence < self.policy.next_sequence {
            return;
        }
        self.policy = Policy {
            threshold: request.threshold.saturating_add(1),
            delay: Duration::from_micros(request.delay).min(MAX_ACK_DELAY),
            on_reordering: request.reordering > 0,
            next_sequence: request.sequence.saturating_add(1),
        };
    }

    /// Whether so much is to be reported that the peer should tell what it knows.
    pub(super) fn wants_answer(&self) -> bool {
        self.ranges.len() > MANY_RANGES
    }

    /// Records a new packet. `delayed` says whether the acknowledgement may wait.
    pub(super) fn insert(&mut self, now: Instant, number: u64, eliciting: bool, delayed: bool) {
        let in_order = number == self.expected();
        if self.largest.is_none_or(|(largest, _)| number > largest) {
            self.largest = Some((number, now));
        }
        self.ranges.insert(number..number + 1);
        while self.ranges.len() > MAX_RANGES {
            if let Some(range) = self.ranges.pop_first() {
                self.floor = range.end;
            }
        }
        if !eliciting {
            return;
        }
        self.eliciting += 1;
        // RFC 9000 §13.2.1: at once on reordering, so that the sender learns of a loss early.
        let is_disorder = !in_order && self.policy.on_reordering;
        if !delayed || is_disorder || self.eliciting >= self.policy.threshold {
            self.immediate = true;
        } else if self.deadline.is_none() {
            self.deadline = Some(now + self.policy.delay);
        }
    }

    /// When an acknowledgement must be sent, if one is held back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether an acknowledgement must be sent now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.immediate || self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Appends an ACK segment of at most `limit` bytes when there is something new to acknowledge. Returns the largest
    /// number in it.
    pub(super) fn emit_ack(&self, now: Instant, limit: usize, out: &mut Vec<u8>) -> Option<u64> {
        let (largest, arrived) = self.largest.filter(|_| self.eliciting > 0)?;
        let delay = (now - arrived).as_micros() as u64 / 8;
        let ranges = self.ranges.iter().rev().map(|range| range.start..=range.end - 1);
        wire::emit_ack(delay, ranges, limit, out).then_some(largest)
    }

    /// An acknowledgement was sent.
    pub(super) fn on_ack_sent(&mut self) {
        self.eliciting = 0;
        self.immediate = false;
        self.deadline = None;
    }

    /// The peer has an acknowledgement of ours whose largest number was `largest`: what it says need not be repeated
    /// (RFC 9000 §13.2.4).
    pub(super) fn on_ack_acked(&mut self, largest: u64) {
        self.floor = self.floor.max(largest + 1);
        self.ranges.remove(0..self.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    #[test]
    fn every_second_packet_and_reordering_are_acknowledged_at_once() {
        let mut received = Received::default();
        received.insert(NOW, 0, true, true);
        assert!(!received.is_due(NOW));
        assert_eq!(received.deadline(), Some(NOW + MAX_ACK_DELAY));
        assert!(received.is_due(NOW + MAX_ACK_DELAY));
        received.insert(NOW, 1, true, true);
        assert!(received.is_due(NOW));
        received.on_ack_sent();
        received.insert(NOW, 2, false, true);
        assert!(!received.is_due(NOW + MAX_ACK_DELAY));
        received.insert(NOW, 4, true, true);
        assert!(received.is_due(NOW));
        received.on_ack_sent();
        received.insert(NOW, 3, true, true);
        assert!(received.is_due(NOW));
    }

    #[test]
    fn the_peer_may_ask_for_fewer_acknowledgements() {
        let mut received = Received::default();
        let request =
            |sequence, threshold| wire::AckFrequency { sequence, threshold, delay: 2000, reordering: 0 };
        received.on_ack_frequency(&request(3, 9));
        received.on_ack_frequency(&request(2, 0));
        for number in 0..9 {
            received.insert(NOW, 2 * number, true, true);
            assert!(!received.is_due(NOW));
        }
        assert_eq!(received.deadline(), Some(NOW + Duration::from_millis(2)));
        received.insert(NOW, 18, true, true);
        assert!(received.is_due(NOW));
        // Never slower than what this side has promised.
        let slow = wire::AckFrequency { sequence: 4, threshold: u64::MAX, delay: u64::MAX, reordering: 1 };
        received.on_ack_frequency(&slow);
        received.on_ack_sent();
        received.insert(NOW, 19, true, true);
        assert_eq!(received.deadline(), Some(NOW + MAX_ACK_DELAY));
    }

    #[test]
    fn old_ranges_are_forgotten_and_stay_duplicates() {
        let mut received = Received::default();
        for number in (0..1000).step_by(2) {
            assert!(!received.is_duplicate(number));
            received.insert(NOW, number, true, true);
            assert!(received.is_duplicate(number));
        }
        assert_eq!(received.ranges.len(), MAX_RANGES);
        assert!(received.is_duplicate(1) && received.is_duplicate(0));
        assert!(!received.is_duplicate(997));
        received.on_ack_acked(998);
        assert!(received.is_duplicate(997) && received.is_duplicate(998) && !received.is_duplicate(999));
        assert_eq!(received.expected(), 999);
    }
}
