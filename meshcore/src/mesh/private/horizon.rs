//! How late a frame may come. The window alone would let somebody who can suppress single frames deliver them much later,
//! as long as the sender has little to say; here the receiver's own clock sets an end to that.

use super::config::MAX_LATENESS;
use crate::types::Instant;

/// A counter, and when it was received.
type Mark = (Instant, u64);

/// Refuses a frame when a later one came [`MAX_LATENESS`] before it; at the very latest after twice that time.
#[derive(Debug)]
pub(super) struct Horizon {
    floor: u64,
    checkpoint: Mark,
    highest: Mark,
}

impl Horizon {
    /// Nothing up to this counter will be taken.
    pub(super) fn above(now: Instant, counter: u64) -> Self {
        Self { floor: counter, checkpoint: (now, counter), highest: (now, counter) }
    }

    /// Whether a frame with this counter comes too late.
    pub(super) fn is_late(&self, now: Instant, counter: u64) -> bool {
        let is_past = |(at, highest): Mark| counter <= highest && now - at >= MAX_LATENESS;
        counter <= self.floor || is_past(self.checkpoint) || is_past(self.highest)
    }

    /// Notes a frame that was taken.
    pub(super) fn mark(&mut self, now: Instant, counter: u64) {
        if counter <= self.highest.1 {
            return;
        }
        if now - self.checkpoint.0 >= MAX_LATENESS {
            self.floor = self.checkpoint.1;
            self.checkpoint = self.highest;
        }
        self.highest = (now, counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list of everything that came.
        #[test]
        fn late_frames_are_refused_in_time_and_not_before(
            steps in proptest::collection::vec((0..4000u64, -20..20i64), 1..100),
        ) {
            let mut now = Instant::from_micros(7);
            let mut horizon = Horizon::above(now, 100);
            let mut came = vec![(now, 100u64)];
            for (pause, step) in steps {
                now += std::time::Duration::from_millis(pause);
                let highest = came.iter().map(|(_, counter)| *counter).max().unwrap();
                let counter = highest.saturating_add_signed(step);
                let later = came.iter().filter(|(_, other)| *other >= counter);
                let waited = later.map(|(at, _)| now - *at).max().unwrap_or_default();
                let late = horizon.is_late(now, counter);
                prop_assert!(!late || waited >= MAX_LATENESS || counter <= 100);
                prop_assert!(late || waited < 2 * MAX_LATENESS, "{:?}", waited);
                if !late {
                    horizon.mark(now, counter);
                    came.push((now, counter));
                }
            }
        }
    }
}
