//! Which frames of a session have been received: a sliding window over their counters (RFC 4303, section 3.4.3), kept in
//! whole words so that it moves without shifting bits (RFC 6479).

/// A power of two, so that the place of a counter is found without a division.
const WORDS: usize = 32;

/// Counters behind the highest one that are told apart; older ones count as received. RFC 6479: one word less than are
/// kept, since the newest one is only partly used.
pub(super) const SPAN: u64 = (WORDS as u64 - 1) * 64;

#[derive(Debug, Clone)]
pub(super) struct Window {
    highest: u64,
    received: [u64; WORDS],
}

/// Word and bit of a counter.
fn place(counter: u64) -> (usize, u64) {
    ((counter / 64) as usize % WORDS, 1 << (counter % 64))
}

impl Window {
    /// A window to which everything up to `highest` counts as received.
    pub(super) fn above(highest: u64) -> Self {
        let mut received = [u64::MAX; WORDS];
        let (word, bit) = place(highest);
        received[word] = bit | (bit - 1);
        Self { highest, received }
    }

    /// Whether the counter is new enough to be told apart from others.
    pub(super) fn covers(&self, counter: u64) -> bool {
        self.highest.saturating_sub(counter) < SPAN
    }

    /// Whether a frame with this counter may still come.
    pub(super) fn is_new(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        counter > self.highest || self.covers(counter) && self.received[word] & bit == 0
    }

    /// Notes a frame.
    pub(super) fn mark(&mut self, counter: u64) {
        if !self.covers(counter) {
            return;
        }
        if counter > self.highest {
            let (from, to) = (self.highest / 64, counter / 64);
            for word in (from + 1..=to).take(WORDS) {
                self.received[word as usize % WORDS] = 0;
            }
            self.highest = counter;
        }
        let (word, bit) = place(counter);
        self.received[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn nothing_before_the_start_is_new() {
        for start in [0, 1, 62, 63, 64, 5000, u64::MAX - 1] {
            let window = Window::above(start);
            assert!((0..3000).all(|back| !window.is_new(start.saturating_sub(back))), "{start}");
            assert!(
                (1..3000).all(|on| start.checked_add(on).is_none_or(|next| window.is_new(next))),
                "{start}"
            );
        }
        let mut window = Window::above(u64::MAX - 1);
        window.mark(u64::MAX);
        assert!(!window.is_new(u64::MAX));
    }

    #[test]
    fn late_frames_are_tolerated_within_the_span() {
        let mut window = Window::above(0);
        window.mark(SPAN + 100);
        assert!(!window.is_new(100) && window.is_new(101));
        window.mark(101);
        assert!(!window.is_new(101) && window.is_new(102));
        window.mark(100);
        const { assert!(SPAN >= 1024) };
    }

    proptest! {
        /// Against a set that remembers everything.
        #[test]
        fn the_window_equals_its_definition(
            start in 0..5000u64, steps in proptest::collection::vec((-2100..600i64, 0..40u8), 0..300),
        ) {
            let mut window = Window::above(start);
            let (mut highest, mut received) = (start, BTreeSet::new());
            for (step, far) in steps {
                let step = if far == 0 { step.abs() * 50 } else { step };
                let counter = highest.saturating_add_signed(step);
                let old = counter <= start || received.contains(&counter) || highest.saturating_sub(counter) >= SPAN;
                prop_assert_eq!(window.is_new(counter), !old, "{}", counter);
                if !old {
                    window.mark(counter);
                    received.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }
}
