//! Packet numbers that are left out, to catch a peer that acknowledges what it has not received (RFC 9000 §21.4).

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Numbers that are remembered; a peer that guesses has to guess right each time.
const REMEMBERED: usize = 16;

/// Mean distance between two of them: at first, and at most. It doubles, for on a long transfer each one costs the receiver a
/// range of packet numbers more.
const FIRST: u64 = 64;
const LARGEST: u64 = 1 << 14;

/// Which numbers are skipped.
#[derive(Debug)]
pub(super) struct Skips {
    state: u64,
    next: u64,
    distance: u64,
    skipped: VecDeque<u64>,
}

impl Skips {
    /// `secret` must not be known to the peer.
    pub(super) fn new(secret: u64) -> Self {
        let mut skips = Self { state: secret, next: 0, distance: FIRST, skipped: VecDeque::new() };
        skips.draw(0);
        skips
    }

    /// SplitMix64: enough for numbers of which only a few are ever seen.
    fn draw(&mut self, after: u64) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.next = after + self.distance / 2 + (mixed ^ mixed >> 31) % self.distance;
        self.distance = (2 * self.distance).min(LARGEST);
    }

    /// The number to use when `number` would be next.
    pub(super) fn number(&mut self, number: u64) -> u64 {
        if number < self.next {
            return number;
        }
        self.skipped.push_back(number);
        if self.skipped.len() > REMEMBERED {
            self.skipped.pop_front();
        }
        self.draw(number);
        number + 1
    }

    /// Whether an acknowledgement claims a packet that was never sent.
    pub(super) fn is_claimed(&self, mut ranges: impl Iterator<Item = RangeInclusive<u64>>) -> bool {
        ranges.any(|range| self.skipped.iter().any(|number| range.contains(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_numbers_are_noticed_and_depend_on_the_secret() {
        let firsts: Vec<u64> = (0..20).map(|secret| Skips::new(secret).next).collect();
        assert!(firsts.windows(2).any(|pair| pair[0] != pair[1]));
        let mut skips = Skips::new(7);
        let mut sent = Vec::new();
        let mut next = 0;
        while next < 100_000 {
            next = skips.number(next);
            sent.push(next..=next);
            next += 1;
        }
        assert!(skips.skipped.len() > 5);
        assert!(!skips.is_claimed(sent.into_iter()));
        assert!(skips.is_claimed([0..=next].into_iter()));
    }
}
