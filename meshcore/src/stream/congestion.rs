//! Congestion control: NewReno as in RFC 9002 §7 and appendix B.

use crate::types::Instant;

/// The controller.
#[derive(Debug)]
pub(super) struct Congestion {
    mtu: u64,
    window: u64,
    threshold: u64,
    in_flight: u64,
    /// Bytes acknowledged in congestion avoidance that have not grown the window yet.
    credit: u64,
    recovery_start: Option<Instant>,
}

impl Congestion {
    pub(super) fn new(mtu: usize) -> Self {
        let mtu = mtu as u64;
        Self {
            mtu,
            // RFC 9002 §7.2.
            window: (10 * mtu).min((2 * mtu).max(14_720)),
            threshold: u64::MAX,
            in_flight: 0,
            credit: 0,
            recovery_start: None,
        }
    }

    /// The path carries packets of another size from now on.
    pub(super) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu as u64;
        self.window = self.window.max(self.minimum());
    }

    /// RFC 9002 §7.2: kMinimumWindow.
    fn minimum(&self) -> u64 {
        2 * self.mtu
    }

    pub(super) fn window(&self) -> u64 {
        self.window
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Whether a packet of `size` bytes may be sent now.
    pub(super) fn allows(&self, size: usize) -> bool {
        self.in_flight + size as u64 <= self.window
    }

    pub(super) fn on_sent(&mut self, size: usize) {
        self.in_flight += size as u64;
    }

    /// A packet left the network without telling anything about congestion (its keys were discarded).
    pub(super) fn on_discarded(&mut self, size: usize) {
        self.in_flight = self.in_flight.saturating_sub(size as u64);
    }

    /// A packet sent at `sent` was acknowledged. `limited`: the window, not the application, held back the sender
    /// (RFC 9002 §7.8).
    pub(super) fn on_acked(&mut self, sent: Instant, size: usize, limited: bool) {
        let size = size as u64;
        self.in_flight = self.in_flight.saturating_sub(size);
        if !limited || self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        if self.window < self.threshold {
            self.window += size;
            return;
        }
        self.credit += size;
        if self.credit >= self.window {
            self.credit -= self.window;
            self.window += self.mtu;
        }
    }

    /// Packets, the latest of which was sent at `sent`, were lost (RFC 9002 §7.3.2).
    pub(super) fn on_congestion(&mut self, now: Instant, sent: Instant) {
        if self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        self.recovery_start = Some(now);
        self.window = (self.window / 2).max(self.minimum());
        self.threshold = self.window;
        self.credit = 0;
    }

    /// Everything was lost for long (RFC 9002 §7.6.2).
    pub(super) fn on_persistent_congestion(&mut self) {
        self.window = self.minimum();
        self.recovery_start = None;
        self.credit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn doubles_then_halves_then_grows_by_one_packet() {
        let mut control = Congestion::new(1200);
        assert_eq!(control.window(), 12_000);
        for _ in 0..10 {
            control.on_sent(1200);
        }
        assert!(!control.allows(1));
        for _ in 0..10 {
            control.on_acked(at(0), 1200, true);
        }
        assert_eq!((control.window(), control.in_flight()), (24_000, 0));
        control.on_congestion(at(10), at(5));
        assert_eq!(control.window(), 12_000);
        // One reduction a round trip; acknowledgements of packets from before it do not grow the window.
        control.on_congestion(at(11), at(9));
        control.on_acked(at(9), 1200, true);
        assert_eq!(control.window(), 12_000);
        for _ in 0..10 {
            control.on_acked(at(12), 1200, true);
        }
        assert_eq!(control.window(), 13_200);
        control.on_acked(at(12), 12_000, false);
        assert_eq!(control.window(), 13_200);
        control.on_persistent_congestion();
        assert_eq!(control.window(), 2_400);
        for _ in 0..9 {
            control.on_congestion(at(20), at(19));
        }
        assert_eq!(control.window(), 2_400);
    }
}
