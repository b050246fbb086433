//! Fetching the identity record of one node: asked for until it comes, one at a time, verified elsewhere.

use super::config::{REFUSED_WAIT, REQUEST_RETRY};
use crate::types::Instant;

#[derive(Debug, Default)]
pub(super) struct Fetch {
    state: State,
    /// Number of the record that the node has, verified.
    known: Option<u64>,
    /// Number that the node announces.
    announced: u64,
    refusals: u32,
    not_before: Instant,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Asking {
        sent: u32,
    },
    Verifying,
}

impl Fetch {
    pub(super) fn announce(&mut self, number: u64) {
        self.announced = number;
    }

    /// Requests since asking began.
    pub(super) fn requests(&self) -> u32 {
        if let State::Asking { sent } = self.state { sent } else { 0 }
    }

    fn wants(&self) -> bool {
        self.known.is_none_or(|known| known < self.announced)
    }

    /// Starts or stops asking. Returns when the first request is due, if asking starts now.
    pub(super) fn update(&mut self, now: Instant, reachable: bool) -> Option<Instant> {
        match (&self.state, reachable && self.wants()) {
            (State::Idle, true) => {
                self.state = State::Asking { sent: 0 };
                Some(self.not_before.max(now))
            }
            (State::Asking { .. }, false) => {
                self.state = State::Idle;
                None
            }
            _ => None,
        }
    }

    /// Nothing is asked for and nothing awaited.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// A request goes out. Returns when the next one is due.
    pub(super) fn on_request(&mut self, now: Instant) -> Instant {
        let State::Asking { sent } = &mut self.state else { return now + REQUEST_RETRY.longest };
        let wait = REQUEST_RETRY.wait(*sent);
        *sent = sent.saturating_add(1);
        now + wait
    }

    /// A record came in. Whether it was asked for; then it is to be verified, and another one is not accepted before.
    pub(super) fn on_record(&mut self) -> bool {
        let asked = matches!(self.state, State::Asking { sent: 1.. });
        if asked {
            self.state = State::Verifying;
        }
        asked
    }

    /// The record with this number is verified.
    pub(super) fn on_known(&mut self, now: Instant, number: u64) {
        self.known = Some(number);
        let fetched = std::mem::take(&mut self.state) == State::Verifying;
        if !self.wants() {
            self.refusals = 0;
        } else if fetched {
            // The neighbour announces a newer record than it serves.
            self.wait(now);
        }
    }

    /// The record that came in could not be verified.
    pub(super) fn on_refused(&mut self, now: Instant) {
        if self.state == State::Verifying {
            self.state = State::Idle;
            self.wait(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        self.not_before = now + REFUSED_WAIT.wait(self.refusals);
        self.refusals = self.refusals.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1000 * millis)
    }

    #[test]
    fn requests_back_off() {
        let mut fetch = Fetch::default();
        assert_eq!(fetch.update(at(0), true), Some(at(0)));
        let mut now = at(0);
        let waits: Vec<u128> = (0..15)
            .map(|_| {
                let next = fetch.on_request(now);
                let wait = next - now;
                now = next;
                wait.as_millis()
            })
            .collect();
        assert_eq!(waits, [[200; 8].as_slice(), &[400, 800, 1600, 3200, 6400, 10_000, 10_000]].concat());
    }

    #[test]
    fn a_record_is_taken_once_and_only_when_asked_for() {
        let mut fetch = Fetch::default();
        assert!(!fetch.on_record());
        fetch.update(at(0), true);
        assert!(!fetch.on_record());
        fetch.on_request(at(0));
        assert!(fetch.on_record());
        assert!(!fetch.on_record());
        assert_eq!(fetch.update(at(1), true), None);
        fetch.on_known(at(1), 0);
        assert_eq!(fetch.update(at(1), true), None);
        fetch.announce(1);
        assert_eq!(fetch.update(at(2), true), Some(at(2)));
    }

    #[test]
    fn a_refused_record_makes_wait_ever_longer() {
        let mut fetch = Fetch::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..11 {
            let due = fetch.update(now, true).unwrap();
            waits.push((due - now).as_secs());
            fetch.on_request(due);
            assert!(fetch.on_record());
            fetch.on_refused(due);
            now = due;
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }
}
