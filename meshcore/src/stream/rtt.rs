//! Round-trip time estimation, RFC 9002 §5.

use std::time::Duration;

/// RTT that is assumed before the first sample. RFC 9002 §6.2.2 recommends 333 ms for the internet; on a wire a lost first
/// packet should not cost a second, and an early probe there costs little.
const INITIAL: Duration = Duration::from_millis(100);

/// Resolution of the timers (RFC 9002 §6.1.2).
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);

/// The estimator.
#[derive(Debug, Clone)]
pub(super) struct Rtt {
    latest: Duration,
    minimum: Duration,
    smoothed: Duration,
    variation: Duration,
    has_sample: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        let (latest, minimum) = (INITIAL, Duration::ZERO);
        Self { latest, minimum, smoothed: INITIAL, variation: INITIAL / 2, has_sample: false }
    }
}

impl Rtt {
    /// Takes a sample (RFC 9002 §5.3). `ack_delay` is already bounded by what the peer promised.
    pub(super) fn update(&mut self, latest: Duration, ack_delay: Duration) {
        self.latest = latest;
        if !self.has_sample {
            self.has_sample = true;
            self.minimum = latest;
            self.smoothed = latest;
            self.variation = latest / 2;
            return;
        }
        self.minimum = self.minimum.min(latest);
        let adjusted = if latest >= self.minimum + ack_delay { latest - ack_delay } else { latest };
        self.variation = (3 * self.variation + self.smoothed.abs_diff(adjusted)) / 4;
        self.smoothed = (7 * self.smoothed + adjusted) / 8;
    }

    pub(super) fn latest(&self) -> Duration {
        self.latest
    }

    pub(super) fn minimum(&self) -> Duration {
        self.minimum
    }

    pub(super) fn variation(&self) -> Duration {
        self.variation
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The probe time-out without the peer's acknowledgement delay (RFC 9002 §6.2.1).
    pub(super) fn probe_timeout(&self) -> Duration {
        self.smoothed + (4 * self.variation).max(GRANULARITY)
    }

    /// How much later than a packet another must be acknowledged until the first counts as lost (RFC 9002 §6.1.2).
    /// `eighths` is by how much of a round trip.
    pub(super) fn loss_delay(&self, eighths: u32) -> Duration {
        (self.latest.max(self.smoothed) * (8 + eighths) / 8).max(GRANULARITY)
    }

    /// Another path: the next sample counts as the first one. Until then the old estimate is better than none.
    pub(super) fn on_path_change(&mut self) {
        self.has_sample = false;
        self.variation = self.variation.max(self.smoothed / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn follows_rfc_9002_section_5_3() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.probe_timeout(), millis(100) + 2 * millis(100));
        rtt.update(millis(100), millis(20));
        assert_eq!((rtt.smoothed(), rtt.probe_timeout()), (millis(100), millis(300)));
        rtt.update(millis(140), millis(20));
        // Adjusted sample 120 ms: variation (3*50 + 20)/4, smoothed (7*100 + 120)/8.
        assert_eq!(rtt.variation, Duration::from_micros(42_500));
        assert_eq!(rtt.smoothed(), Duration::from_micros(102_500));
        // The delay is not subtracted when that would fall below the minimum.
        rtt.update(millis(105), millis(20));
        assert_eq!(rtt.smoothed(), (7 * Duration::from_micros(102_500) + millis(105)) / 8);
        assert_eq!(rtt.loss_delay(1), millis(105) * 9 / 8);
    }
}
