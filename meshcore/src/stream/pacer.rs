//! Spreads packets over the round trip (RFC 9002 §7.7): a token bucket that fills at the window per smoothed RTT, and a
//! little faster.

use std::time::Duration;

use crate::types::Instant;

/// Packets that may leave at once at any rate: the initial congestion window, the burst that RFC 9002 §7.7 tolerates.
const BURST: u64 = 10;

/// Packets for which a wake-up waits at most: what a driver hands to the kernel in one call.
const BATCH: u64 = 64;

/// A wake-up waits for what the rate gives in this time, up to [`BATCH`].
const INTERVAL: Duration = Duration::from_micros(500);

/// Drivers wake up late. What the rate gives in this time is made up for, and a round trip that is as short is not paced.
const LATENESS: Duration = Duration::from_millis(2);

/// The rate: a window per smoothed round-trip time, times a gain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) window: u64,
    pub(super) rtt: Duration,
    /// Slow start doubles the window each round trip; else 5/4, so that the window and not the pacer is the limit.
    pub(super) is_slow_start: bool,
}

impl Rate {
    /// Bytes in a round trip.
    fn per_rtt(self) -> u64 {
        if self.is_slow_start { self.window * 2 } else { self.window * 5 / 4 }
    }

    fn bytes_in(self, time: Duration) -> u64 {
        let rtt = self.rtt.as_micros().max(1);
        u64::try_from(u128::from(self.per_rtt()) * time.as_micros() / rtt).unwrap_or(u64::MAX)
    }

    fn time_of(self, bytes: u64) -> Duration {
        let micros = (u128::from(bytes) * self.rtt.as_micros()).div_ceil(u128::from(self.per_rtt().max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// The bucket. Tokens are bytes.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    tokens: u64,
    filled: Option<Instant>,
}

impl Pacer {
    /// When a packet of `mtu` bytes may be sent: `None` is now.
    pub(super) fn check(&mut self, now: Instant, mtu: usize, rate: Rate) -> Option<Instant> {
        let mtu = mtu as u64;
        let Some(filled) = self.filled else {
            self.tokens = (BURST * mtu).max(rate.bytes_in(LATENESS));
            self.filled = Some(now);
            return None;
        };
        if self.tokens >= mtu {
            return None;
        }
        let capacity = (BURST * mtu).max(rate.bytes_in(LATENESS));
        let gain = rate.bytes_in(now - filled);
        // Fractions of a byte are not lost: the clock only moves on when something was gained.
        if gain > 0 {
            self.tokens = self.tokens.saturating_add(gain).min(capacity);
            self.filled = Some(now);
        }
        if self.tokens >= mtu {
            return None;
        }
        let batch = rate.bytes_in(INTERVAL).clamp(mtu, BATCH * mtu);
        Some(self.filled.unwrap_or(now) + rate.time_of(batch - self.tokens))
    }

    pub(super) fn on_sent(&mut self, size: usize) {
        self.tokens = self.tokens.saturating_sub(size as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets of 1,000 bytes for ten round trips of 100 ms; returns the bursts.
    fn bursts(window: u64, late: Duration) -> Vec<u64> {
        let mut pacer = Pacer::default();
        let rtt = Duration::from_millis(100);
        let mut now = Instant::from_micros(5);
        let end = now + 10 * rtt;
        let mut bursts = vec![0];
        while now < end {
            match pacer.check(now, 1000, Rate { window, rtt, is_slow_start: false }) {
                None => {
                    pacer.on_sent(1000);
                    *bursts.last_mut().unwrap() += 1;
                }
                Some(later) => {
                    assert!(later > now);
                    now = later + late;
                    bursts.push(0);
                }
            }
        }
        bursts
    }

    #[test]
    fn a_burst_then_the_rate() {
        // 50 packets a round trip, one at a time.
        let slow = bursts(40_000, Duration::ZERO);
        assert!(slow[0] == BURST && slow[1..].iter().all(|burst| *burst <= 1));
        assert!((500..=512).contains(&slow.iter().sum::<u64>()), "{slow:?}");
        // 50,000 packets a round trip: in batches.
        let fast = bursts(40_000_000, Duration::ZERO);
        assert!(fast[1..].iter().all(|burst| *burst <= BATCH + 1));
        assert!((495_000..=502_000).contains(&fast.iter().sum::<u64>()), "{}", fast.iter().sum::<u64>());
    }

    #[test]
    fn late_wake_ups_cost_no_rate() {
        let total: u64 = bursts(4_000_000, Duration::from_millis(1)).iter().sum();
        assert!((49_000..=50_200).contains(&total), "{total}");
    }
}
