//! Token bucket: bounds what strangers can make this node send.

use std::time::Duration;

use super::Instant;

/// Holds up to `burst` tokens and gains one every `period`.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    burst: u32,
    period: Duration,
    /// The instant at which the bucket is, or was, full (a virtual clock, as in the GCRA).
    full_at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, full_at: Instant::default() }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.period;
        if full_at - now > self.period * self.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// When there is a token, or was.
    pub(crate) fn ready_at(&self) -> Instant {
        let ahead = (self.period * self.burst).saturating_sub(self.period);
        Instant::default() + self.full_at.saturating_since(Instant::default() + ahead)
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Gives the latest token back: it was used for something that need not be limited.
    pub(crate) fn give_back(&mut self) {
        let micros = self.period.as_micros().try_into().unwrap_or(u64::MAX);
        self.full_at = Instant::from_micros(self.full_at.as_micros().saturating_sub(micros));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut bucket = TokenBucket::new(3, Duration::from_millis(10));
        let mut now = Instant::from_micros(5);
        assert_eq!((0..5).filter(|_| bucket.take(now)).count(), 3);
        now += Duration::from_millis(9);
        assert!(!bucket.take(now));
        now += Duration::from_millis(1);
        assert!(bucket.take(now));
        assert!(!bucket.take(now));
        assert_eq!(bucket.ready_at(), now + Duration::from_millis(10));
        now = bucket.ready_at();
        assert!(bucket.take(now) && !bucket.take(now) && !bucket.is_full(now));
        now += Duration::from_secs(9);
        assert!(bucket.is_full(now));
        assert_eq!((0..9).filter(|_| bucket.take(now)).count(), 3);
    }
}
