//! HyStart++ (RFC 9406): leaves slow start when the round-trip time grows, before the queue of the bottleneck overflows.

use std::time::Duration;

/// RFC 9406 §4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: f64 = 4.0;
const CSS_ROUNDS: u32 = 5;

/// How fast the window may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    SlowStart,
    Conservative,
    Done,
}

impl Phase {
    /// Bytes acknowledged for each byte that the window grows.
    pub(super) fn divisor(self) -> f64 {
        if self == Self::SlowStart { 1.0 } else { CSS_GROWTH_DIVISOR }
    }
}

/// The detector. A round ends when the first packet sent in it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct HyStart {
    window_end: u64,
    last_round_min: Option<Duration>,
    current_min: Option<Duration>,
    samples: u32,
    /// In conservative slow start: the round-trip time at its beginning, and its rounds.
    conservative: Option<(Duration, u32)>,
}

impl HyStart {
    /// An acknowledgement up to number `largest` came in slow start, with a round-trip time if it gave one.
    pub(super) fn on_ack(&mut self, largest: u64, next_number: u64, sample: Option<Duration>) -> Phase {
        if largest >= self.window_end {
            self.window_end = next_number;
            self.last_round_min = self.current_min.take().or(self.last_round_min);
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.conservative {
                *rounds += 1;
                if *rounds > CSS_ROUNDS {
                    self.conservative = None;
                    return Phase::Done;
                }
            }
        }
        if let Some(sample) = sample {
            self.samples += 1;
            self.current_min = Some(self.current_min.map_or(sample, |min| min.min(sample)));
        }
        self.compare();
        if self.conservative.is_some() { Phase::Conservative } else { Phase::SlowStart }
    }

    fn compare(&mut self) {
        let (Some(current), Some(last)) = (self.current_min, self.last_round_min) else { return };
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.conservative {
            // RFC 9406 §4.2: the delay is gone again, it was jitter.
            Some((baseline, _)) if current < baseline => self.conservative = None,
            Some(_) => {}
            None => {
                let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last + threshold {
                    self.conservative = Some((current, 0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One round of ten packets with this round-trip time.
    fn round(hystart: &mut HyStart, number: &mut u64, millis: u64) -> Phase {
        let mut phase = Phase::SlowStart;
        for _ in 0..10 {
            phase = hystart.on_ack(*number, *number + 10, Some(Duration::from_millis(millis)));
            *number += 1;
            if phase == Phase::Done {
                break;
            }
        }
        phase
    }

    #[test]
    fn growing_delay_ends_slow_start_in_five_rounds() {
        let (mut hystart, mut number) = (HyStart::default(), 0);
        assert_eq!(round(&mut hystart, &mut number, 40), Phase::SlowStart);
        assert_eq!(round(&mut hystart, &mut number, 44), Phase::SlowStart);
        assert_eq!(round(&mut hystart, &mut number, 50), Phase::Conservative);
        for _ in 0..CSS_ROUNDS {
            assert_eq!(round(&mut hystart, &mut number, 60), Phase::Conservative);
        }
        assert_eq!(round(&mut hystart, &mut number, 60), Phase::Done);
    }

    #[test]
    fn jitter_that_goes_away_resumes_it() {
        let (mut hystart, mut number) = (HyStart::default(), 0);
        round(&mut hystart, &mut number, 40);
        assert_eq!(round(&mut hystart, &mut number, 50), Phase::Conservative);
        assert_eq!(round(&mut hystart, &mut number, 41), Phase::SlowStart);
    }
}
