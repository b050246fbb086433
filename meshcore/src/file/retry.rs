//! When to try again to reach a peer that has failed.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::types::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(30);

/// Pauses between attempts: doubled with each failure, with jitter, so that many nodes do not return at the same moment.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    pause: Duration,
    due: Instant,
}

impl Retry {
    /// When the next attempt may be made.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// An attempt has failed.
    pub fn on_failure(&mut self, now: Instant, random: &mut impl Rng) {
        self.pause = (2 * self.pause).clamp(FIRST, LAST);
        let jitter = random.random_range(50..=100);
        self.due = now + self.pause * jitter / 100;
    }

    /// Something went well, or the peer has just come into reach: the next attempt may be made at once.
    pub fn on_progress(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut retry, mut now) = (Retry::default(), Instant::from_micros(5));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            retry.on_failure(now, &mut random);
            pauses.push(retry.due() - now);
            now = retry.due();
        }
        assert!((FIRST / 2..=FIRST).contains(&pauses[0]), "{pauses:?}");
        assert!((LAST / 2..=LAST).contains(&pauses[11]), "{pauses:?}");
        retry.on_progress();
        assert_eq!(retry.due(), Instant::default());
    }
}
