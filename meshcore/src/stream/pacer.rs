//! Spreads packets over the round trip (RFC 9002 §7.7): a token bucket that fills at 5/4 of the window per smoothed RTT.

use std::time::Duration;

use crate::types::Instant;

/// Packets that may leave at once: the initial congestion window, the burst that RFC 9002 §7.7 tolerates.
const BURST: u64 = 10;

/// Sleeping for less than this is not worth a wake-up: the burst is what the rate gives in this time, if that is more.
const QUANTUM: Duration = Duration::from_millis(2);

/// The bucket. Tokens are bytes.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    tokens: u64,
    filled: Option<Instant>,
}

impl Pacer {
    /// When a packet of `mtu` bytes may be sent: `None` is now.
    pub(super) fn check(&mut self, now: Instant, mtu: usize, window: u64, rtt: Duration) -> Option<Instant> {
        let rtt = rtt.as_micros().max(1);
        let per_rtt = u128::from(window) * 5 / 4;
        let mtu = mtu as u64;
        let bytes_in = |time: Duration| u64::try_from(per_rtt * time.as_micros() / rtt).unwrap_or(u64::MAX);
        let capacity = (BURST * mtu).max(bytes_in(QUANTUM));
        match self.filled {
            None => {
                self.tokens = capacity;
                self.filled = Some(now);
            }
            Some(filled) => {
                let gain = bytes_in(now - filled);
                // Fractions of a byte are not lost: the clock only moves on when something was gained.
                if gain > 0 {
                    self.tokens = self.tokens.saturating_add(gain).min(capacity);
                    self.filled = Some(now);
                }
            }
        }
        if self.tokens >= mtu {
            return None;
        }
        let missing = u128::from(mtu - self.tokens);
        let wait = (missing * rtt).div_ceil(per_rtt.max(1));
        Some(self.filled.unwrap_or(now) + Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    pub(super) fn on_sent(&mut self, size: usize) {
        self.tokens = self.tokens.saturating_sub(size as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut pacer = Pacer::default();
        let rtt = Duration::from_millis(100);
        let mut now = Instant::from_micros(5);
        let mut sent = 0;
        let end = now + 10 * rtt;
        while now < end {
            match pacer.check(now, 1000, 40_000, rtt) {
                None => {
                    pacer.on_sent(1000);
                    sent += 1;
                }
                Some(later) => {
                    assert!(later > now);
                    now = later;
                }
            }
        }
        // 50 packets a round trip, and the burst.
        assert!((500..=512).contains(&sent), "{sent}");
    }
}
