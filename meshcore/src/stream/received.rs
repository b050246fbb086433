//! Which packets of one number space arrived, and when to say so (RFC 9000 §13.2).

use std::time::Duration;

use super::ranges::RangeSet;
use crate::types::Instant;
use crate::wire::segment;

/// How long an acknowledgement may be held back; announced to the peer as `max_ack_delay`.
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// Ranges of received packets that are remembered and reported. Older ones are forgotten, and packets as old as they
/// are count as duplicates (RFC 9000 §13.2.3).
const MAX_RANGES: usize = 64;

/// RFC 9000 §13.2.2: every second ack-eliciting packet is acknowledged at once.
const ELICITING_THRESHOLD: u32 = 2;

/// The receiving side of a packet number space.
#[derive(Debug, Default)]
pub(super) struct Received {
    ranges: RangeSet,
    /// Numbers below count as duplicates.
    floor: u64,
    largest: Option<(u64, Instant)>,
    /// Ack-eliciting packets since the last acknowledgement was sent.
    eliciting: u32,
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
        number < self.floor || self.ranges.contains(number)
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
        if !delayed || !in_order || self.eliciting >= ELICITING_THRESHOLD {
            self.immediate = true;
        } else if self.deadline.is_none() {
            self.deadline = Some(now + MAX_ACK_DELAY);
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
        segment::emit_ack(delay, ranges, limit, out).then_some(largest)
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
