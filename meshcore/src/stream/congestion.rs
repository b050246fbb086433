//! Congestion control: CUBIC (RFC 9438) with slow start after HyStart++ (RFC 9406), in the frame of RFC 9002 §7.

use std::time::Duration;

use super::hystart::{HyStart, Phase};
use crate::types::Instant;

/// RFC 9438 §4.1: packets per second cubed.
const C: f64 = 0.4;

/// RFC 9438 §4.6: what is left of the window after a loss.
const BETA: f64 = 0.7;

/// RFC 9438 §4.3: the slope with which a window is as large as Reno's on average.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// The curve of one epoch of congestion avoidance. Sizes are bytes.
#[derive(Debug, Clone, Default)]
struct Cubic {
    /// Where the plateau of the curve lies.
    w_max: f64,
    /// The window before the last reduction.
    prior: f64,
    /// What Reno would have now.
    w_est: f64,
    /// Seconds until the plateau.
    k: f64,
    origin: f64,
    epoch: Option<Instant>,
}

/// What is restored when a reduction turns out to be a mistake.
#[derive(Debug, Clone)]
struct Undo {
    window: f64,
    threshold: f64,
    cubic: Cubic,
    /// Packets whose loss is not yet disproved.
    losses: u64,
}

/// An acknowledgement, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct AckEvent {
    pub(super) now: Instant,
    /// When the latest packet that it acknowledges was sent.
    pub(super) sent: Instant,
    pub(super) bytes: u64,
    pub(super) largest: u64,
    pub(super) next_number: u64,
    /// The round-trip time just measured, and the smoothed one.
    pub(super) sample: Option<Duration>,
    pub(super) rtt: Duration,
    /// The window, not the application, held back the sender (RFC 9002 §7.8).
    pub(super) limited: bool,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Congestion {
    mtu: u64,
    window: f64,
    threshold: f64,
    in_flight: u64,
    cubic: Cubic,
    hystart: HyStart,
    recovery_start: Option<Instant>,
    undo: Option<Undo>,
    /// Since when the application offers less than the window.
    idle_since: Option<Instant>,
    /// Reductions so far.
    events: u64,
}

impl Congestion {
    pub(super) fn new(mtu: usize) -> Self {
        let bytes = mtu as u64;
        Self {
            mtu: bytes,
            // RFC 9002 §7.2.
            window: (10 * bytes).min((2 * bytes).max(14_720)) as f64,
            threshold: f64::INFINITY,
            in_flight: 0,
            cubic: Cubic::default(),
            hystart: HyStart::default(),
            recovery_start: None,
            undo: None,
            idle_since: None,
            events: 0,
        }
    }

    /// The path carries packets of another size from now on.
    pub(super) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu as u64;
        self.window = self.window.max(self.minimum());
    }

    /// Another path: what was learned of the old one is void (RFC 9000 §9.4).
    pub(super) fn on_path_change(&mut self, mtu: usize) {
        let (in_flight, events) = (self.in_flight, self.events);
        *self = Self { in_flight, events, ..Self::new(mtu) };
    }

    /// RFC 9002 §7.2: kMinimumWindow.
    fn minimum(&self) -> f64 {
        (2 * self.mtu) as f64
    }

    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    /// The slow start threshold, when there is one.
    pub(super) fn threshold(&self) -> Option<u64> {
        self.threshold.is_finite().then_some(self.threshold as u64)
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// Whether a packet of `size` bytes may be sent now.
    pub(super) fn allows(&self, size: usize) -> bool {
        self.in_flight + size as u64 <= self.window()
    }

    pub(super) fn on_sent(&mut self, size: usize) {
        self.in_flight += size as u64;
    }

    /// A packet left the network, acknowledged or not.
    pub(super) fn on_left(&mut self, size: usize) {
        self.in_flight = self.in_flight.saturating_sub(size as u64);
    }

    pub(super) fn on_ack(&mut self, ack: &AckEvent) {
        let is_old = self.recovery_start.is_some_and(|start| ack.sent <= start);
        if self.is_slow_start() {
            let phase = self.hystart.on_ack(ack.largest, ack.next_number, ack.sample);
            if phase == Phase::Done {
                // RFC 9406 §4.2: enough of the conservative slow start.
                self.threshold = self.window;
            } else if ack.limited && !is_old {
                self.window += ack.bytes as f64 / phase.divisor();
            }
            return;
        }
        if !ack.limited || is_old {
            self.idle_since.get_or_insert(ack.now);
            return;
        }
        // RFC 9438 §5.8: time in which the window was not needed does not make it grow.
        if let (Some(since), Some(epoch)) = (self.idle_since.take(), &mut self.cubic.epoch) {
            *epoch += ack.now - since;
        }
        self.window = self.cubic.grow(self.window, self.mtu as f64, ack);
    }

    /// `losses` packets, the latest of which was sent at `sent`, were lost (RFC 9002 §7.3.2, RFC 9438 §4.6).
    pub(super) fn on_congestion(&mut self, now: Instant, sent: Instant, losses: u64) {
        if self.recovery_start.is_some_and(|start| sent <= start) {
            if let Some(undo) = &mut self.undo {
                undo.losses += losses;
            }
            return;
        }
        self.undo =
            Some(Undo { window: self.window, threshold: self.threshold, cubic: self.cubic.clone(), losses });
        self.recovery_start = Some(now);
        self.events += 1;
        self.cubic.on_congestion(self.window);
        self.window = (self.window * BETA).max(self.minimum());
        self.threshold = self.window;
        self.idle_since = None;
    }

    /// A packet that was taken for lost has arrived. When all of them have, the reduction was a mistake and is taken back
    /// (RFC 9438 §4.9.2).
    pub(super) fn on_spurious(&mut self) {
        let Some(undo) = &mut self.undo else { return };
        undo.losses = undo.losses.saturating_sub(1);
        if undo.losses == 0
            && let Some(undo) = self.undo.take()
        {
            self.window = self.window.max(undo.window);
            self.threshold = undo.threshold;
            self.cubic = undo.cubic;
            self.recovery_start = None;
        }
    }

    /// Everything was lost for long (RFC 9002 §7.6.2).
    pub(super) fn on_persistent_congestion(&mut self) {
        self.window = self.minimum();
        self.recovery_start = None;
        self.cubic.epoch = None;
        self.undo = None;
    }
}

impl Cubic {
    fn on_congestion(&mut self, window: f64) {
        // RFC 9438 §4.7: a flow that has not reached its last peak makes room for others.
        self.w_max = if window < self.w_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.prior = window;
        self.epoch = None;
    }

    /// The window after an acknowledgement in congestion avoidance (RFC 9438 §4.2 to §4.5).
    fn grow(&mut self, window: f64, mtu: f64, ack: &AckEvent) -> f64 {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.k = ((self.w_max - window).max(0.0) / mtu / C).cbrt();
            self.origin = self.w_max.max(window);
            self.w_est = window;
            ack.now
        });
        let curve = |time: f64| self.origin + C * (time - self.k).powi(3) * mtu;
        let time = (ack.now - epoch).as_secs_f64();
        let bytes = ack.bytes as f64;
        let alpha = if self.w_est < self.prior { ALPHA } else { 1.0 };
        self.w_est += alpha * bytes / window * mtu;
        if curve(time) < self.w_est {
            return window.max(self.w_est);
        }
        let target = curve(time + ack.rtt.as_secs_f64()).clamp(window, 1.5 * window);
        window + (target - window) / window * bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn ack(millis: u64, bytes: u64) -> AckEvent {
        let now = at(millis);
        AckEvent { now, sent: now, bytes, largest: 0, next_number: 1, sample: None, rtt: RTT, limited: true }
    }

    #[test]
    fn slow_start_doubles_and_a_loss_leaves_seven_tenths() {
        let mut control = Congestion::new(1200);
        assert_eq!(control.window(), 12_000);
        for _ in 0..10 {
            control.on_sent(1200);
        }
        assert!(!control.allows(1));
        for _ in 0..10 {
            control.on_left(1200);
            control.on_ack(&ack(0, 1200));
        }
        assert_eq!((control.window(), control.in_flight()), (24_000, 0));
        control.on_congestion(at(10), at(5), 1);
        assert_eq!((control.window(), control.threshold()), (16_800, Some(16_800)));
        // One reduction a round trip; acknowledgements of packets from before it do not grow the window.
        control.on_congestion(at(11), at(9), 1);
        control.on_ack(&ack(9, 1200));
        assert_eq!((control.window(), control.events()), (16_800, 1));
        control.on_ack(&AckEvent { limited: false, ..ack(12, 12_000) });
        assert_eq!(control.window(), 16_800);
        control.on_persistent_congestion();
        assert_eq!(control.window(), 2_400);
        for _ in 0..9 {
            control.on_congestion(at(20), at(19), 1);
        }
        assert_eq!(control.window(), 2_400);
    }

    /// A window of 1,000 packets, halved, follows the curve of RFC 9438 §4.2 and reaches the old peak after K.
    #[test]
    fn the_window_follows_the_cubic_curve() {
        let mut control = Congestion::new(1000);
        control.window = 1e6;
        control.threshold = 1e6;
        control.on_congestion(at(0), at(0), 1);
        let k = (300.0f64 / C).cbrt();
        for step in 1..=200 {
            let (millis, window) = (step * 100, control.window());
            control.on_ack(&ack(millis, window));
            let time = (millis - 100) as f64 / 1000.0;
            let expected = 1e6 + C * (time + 0.1 - k).powi(3) * 1000.0;
            let is_near = (control.window() as f64 - expected).abs() < 0.02 * expected;
            assert!(is_near, "{time} s: {} instead of {expected}", control.window());
        }
    }

    #[test]
    fn small_windows_grow_as_reno_s_would() {
        let mut control = Congestion::new(1000);
        control.window = 10_000.0;
        control.threshold = 10_000.0;
        control.on_congestion(at(0), at(0), 1);
        assert_eq!(control.window(), 7_000);
        // On a round trip of 1 ms the curve is flat: the window grows by ALPHA packets a round trip, then by one.
        for step in 1..=6 {
            let window = control.window();
            control.on_ack(&AckEvent { rtt: Duration::from_millis(1), ..ack(step, window) });
        }
        assert!((10_000..10_200).contains(&control.window()), "{}", control.window());
        for step in 7..=11 {
            let window = control.window();
            control.on_ack(&AckEvent { rtt: Duration::from_millis(1), ..ack(step, window) });
        }
        assert!((14_900..15_300).contains(&control.window()), "{}", control.window());
    }

    #[test]
    fn a_loss_that_was_none_is_taken_back() {
        let mut control = Congestion::new(1000);
        let before = control.window();
        control.on_congestion(at(10), at(5), 2);
        control.on_congestion(at(11), at(6), 1);
        control.on_spurious();
        control.on_spurious();
        assert!(control.window() < before);
        control.on_spurious();
        assert_eq!((control.window(), control.threshold()), (before, None));
    }
}
