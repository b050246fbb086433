//! Is the next hop of an active path still there? Asked often while traffic flows, never while it does not.

use std::time::Duration;

use crate::types::Instant;

/// Time between two questions on an active path.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// How long a path stays active after the last frame.
const ACTIVE: Duration = Duration::from_secs(2);

/// Time between two questions to a neighbour that has fallen silent.
const SILENT_INTERVAL: Duration = Duration::from_secs(1);

/// Chance, 1 in this, that answers fail to come by loss alone before a neighbour is given up.
const FALSE_ALARM: f64 = 10_000.0;

/// Least and most unanswered questions after which a neighbour is silent.
const MISSES: (u32, u32) = (3, 20);

#[derive(Debug, Default)]
pub(super) struct Liveness {
    active_until: Option<Instant>,
    /// Questions without an answer.
    missed: u32,
    /// The latest question, until it is answered.
    nonce: Option<u32>,
    asked_at: Option<Instant>,
    silent: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask, and come back at the instant given.
    Ask { next: Instant },
    /// Nothing more: the path is idle.
    Idle,
}

impl Liveness {
    /// Whether the neighbour does not answer: it is no next hop then.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// A frame goes to the neighbour. Whether asking has to begin.
    pub(super) fn on_traffic(&mut self, now: Instant) -> bool {
        let idle = self.active_until.is_none();
        self.active_until = Some(now + ACTIVE);
        idle && !self.silent
    }

    /// The time for the next question has come. `loss`: percent of round trips that fail.
    pub(super) fn on_timer(&mut self, now: Instant, loss: u32) -> Due {
        self.missed += u32::from(self.nonce.is_some());
        self.silent |= self.missed >= tolerated(loss);
        let active = self.active_until.is_some_and(|until| now < until);
        if !active && !self.silent {
            *self = Self::default();
            return Due::Idle;
        }
        let interval = if self.silent { SILENT_INTERVAL } else { INTERVAL };
        Due::Ask { next: now + interval }
    }

    pub(super) fn on_question(&mut self, now: Instant, nonce: u32) {
        self.nonce = Some(nonce);
        self.asked_at = Some(now);
    }

    /// An answer. Gives the round-trip time if it answers the latest question; then the neighbour is not silent.
    pub(super) fn on_answer(&mut self, now: Instant, nonce: u32) -> Option<Duration> {
        self.nonce.take_if(|asked| *asked == nonce)?;
        self.missed = 0;
        self.silent = false;
        self.asked_at.map(|asked| now - asked)
    }
}

/// Questions that may stay unanswered on a link that loses `loss` percent of round trips.
fn tolerated(loss: u32) -> u32 {
    let loss = f64::from(loss.clamp(1, 99)) / 100.0;
    let misses = (FALSE_ALARM.ln() / -loss.ln()).ceil();
    (misses as u32).clamp(MISSES.0, MISSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1000 * millis)
    }

    #[test]
    fn lossy_links_get_more_patience() {
        assert_eq!([0, 5, 20, 36, 75, 100].map(tolerated), [3, 4, 6, 10, 20, 20]);
    }

    #[test]
    fn an_idle_path_is_left_in_peace() {
        let mut liveness = Liveness::default();
        assert!(liveness.on_traffic(at(0)));
        assert!(!liveness.on_traffic(at(50)));
        for (step, nonce) in (0..20).zip(0..) {
            let now = at(100 * step);
            assert_eq!(liveness.on_timer(now, 0), Due::Ask { next: now + INTERVAL });
            liveness.on_question(now, nonce);
            assert!(liveness.on_answer(now, nonce).is_some());
        }
        assert_eq!(liveness.on_timer(at(2050), 0), Due::Idle);
        assert!(liveness.on_traffic(at(2051)));
    }

    #[test]
    fn three_missed_answers_are_silence_and_one_answer_ends_it() {
        let mut liveness = Liveness::default();
        liveness.on_traffic(at(0));
        for step in 0..4 {
            assert!(!liveness.is_silent());
            liveness.on_timer(at(100 * step), 0);
            liveness.on_question(at(100 * step), step as u32);
        }
        assert!(liveness.is_silent());
        assert_eq!(liveness.on_timer(at(9000), 0), Due::Ask { next: at(10_000) });
        liveness.on_question(at(9000), 77);
        assert_eq!(liveness.on_answer(at(9001), 76), None);
        assert!(liveness.is_silent());
        assert_eq!(liveness.on_answer(at(9001), 77), Some(Duration::from_millis(1)));
        assert!(!liveness.is_silent());
    }
}
