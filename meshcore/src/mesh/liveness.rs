//! Is the next hop of an active path still there? Asked often while traffic flows, never while it does not.

use std::time::Duration;

use crate::types::Instant;

/// Time between two questions on an active path.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// How long a path stays active after the last frame.
const ACTIVE: Duration = Duration::from_secs(2);

/// Time between two questions to a neighbour that has fallen silent.
const SILENT_INTERVAL: Duration = Duration::from_secs(1);

/// Chance, 1 in this, that answers fail to come by loss alone before a neighbour is given up. Every question has this
/// chance, ten a second to each neighbour, and every false alarm is a route lost.
const FALSE_ALARM: f64 = 1_000_000.0;

/// Least and most unanswered questions after which a neighbour is silent.
const MISSES: (u32, u32) = (3, 20);

/// 1 in the fixed-point share below.
const ALL: u32 = 1 << 16;

/// Each question weighs 1/64 of what was known before: six seconds of an active path.
const WEIGHT: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Liveness {
    active_until: Option<Instant>,
    /// Nonce of the latest question; each is one more than the one before.
    asked: u32,
    /// Nonce of the latest question that was answered.
    answered: u32,
    silent: bool,
    /// Share of questions that were not answered, of those before the latest answer. It tells sooner than hellos, which
    /// come forty times more seldom, what the path loses.
    lost: u32,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask with this nonce, and come back at the instant given.
    Ask { nonce: u32, next: Instant },
    /// Nothing more: the path is idle.
    Idle,
}

impl Liveness {
    /// Whether the neighbour does not answer: it is no next hop then.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Nonces of the latest question, and of the latest one that was answered.
    pub(super) fn progress(&self) -> (u32, u32) {
        (self.asked, self.answered)
    }

    /// Whether no frames go to the neighbour.
    pub(super) fn is_idle(&self) -> bool {
        self.active_until.is_none() && !self.silent
    }

    /// A frame goes to the neighbour. Whether asking has to begin, with the nonces behind `seed`.
    pub(super) fn on_traffic(&mut self, now: Instant, seed: impl FnOnce() -> u32) -> bool {
        let idle = self.is_idle();
        if idle {
            self.asked = seed();
            self.answered = self.asked;
        }
        self.active_until = Some(now + ACTIVE);
        idle
    }

    /// The time for the next question has come. `loss`: percent of round trips that fail, by the hellos.
    pub(super) fn on_timer(&mut self, now: Instant, loss: u32) -> Due {
        let tolerated = tolerated(loss.max(self.lost * 100 / ALL));
        self.silent |= self.asked.wrapping_sub(self.answered) >= tolerated;
        let active = self.active_until.is_some_and(|until| now < until);
        if !active && !self.silent {
            *self = Self { lost: self.lost, ..Self::default() };
            return Due::Idle;
        }
        let interval = if self.silent { SILENT_INTERVAL } else { INTERVAL };
        self.asked = self.asked.wrapping_add(1);
        Due::Ask { nonce: self.asked, next: now + interval }
    }

    /// An answer. Whether it answers a question that was not answered yet; then the neighbour is not silent.
    pub(super) fn on_answer(&mut self, nonce: u32) -> bool {
        // Round trips may take longer than the time between two questions.
        let new = self.asked.wrapping_sub(nonce) < self.asked.wrapping_sub(self.answered);
        if new {
            // An outage tells nothing about loss: no more counts than made it one.
            let missed = nonce.wrapping_sub(self.answered).saturating_sub(1).min(MISSES.0);
            (0..missed).for_each(|_| self.lost += (ALL - self.lost) / WEIGHT);
            self.lost -= self.lost / WEIGHT;
            self.answered = nonce;
            self.silent = false;
        }
        new
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
        assert_eq!([0, 5, 20, 36, 75, 100].map(tolerated), [3, 5, 9, 14, 20, 20]);
    }

    /// Questions of which every `nth` stays unanswered; how many have to before the neighbour is silent afterwards.
    fn patience_after(nth: u32) -> u32 {
        let mut liveness = Liveness::default();
        liveness.on_traffic(at(0), || 0);
        for step in 1..=300 {
            let nonce = ask(&mut liveness, at(step));
            if !nonce.is_multiple_of(nth) {
                liveness.on_answer(nonce);
            }
        }
        // The path is idle for a while; what it loses is known still.
        assert_eq!(liveness.on_timer(at(9_000), 0), Due::Idle);
        liveness.on_traffic(at(10_000), || 77);
        (0..).find(|_| liveness.is_silent() || (ask(&mut liveness, at(10_000)), false).1).unwrap() - 1
    }

    #[test]
    fn a_path_that_loses_answers_gets_more_patience_though_its_hellos_come() {
        assert_eq!([u32::MAX, 20, 5, 3].map(patience_after), [3, 5, 9, 13]);
    }

    #[test]
    fn an_outage_takes_little_patience() {
        let mut liveness = Liveness::default();
        liveness.on_traffic(at(0), || 0);
        let last = (0..500).map(|step| ask(&mut liveness, at(step))).last().unwrap();
        assert!(liveness.is_silent() && liveness.on_answer(last));
        assert!(liveness.lost * 100 / ALL < 5, "{}", liveness.lost);
    }

    fn ask(liveness: &mut Liveness, now: Instant) -> u32 {
        match liveness.on_timer(now, 0) {
            Due::Ask { nonce, .. } => nonce,
            Due::Idle => panic!("it does not ask"),
        }
    }

    #[test]
    fn an_idle_path_is_left_in_peace() {
        let mut liveness = Liveness::default();
        assert!(liveness.on_traffic(at(0), || u32::MAX - 3));
        assert!(!liveness.on_traffic(at(50), || 0));
        for step in 0..20 {
            let nonce = ask(&mut liveness, at(100 * step));
            assert!(liveness.on_answer(nonce) && !liveness.on_answer(nonce));
        }
        assert_eq!(liveness.on_timer(at(2050), 0), Due::Idle);
        assert!(!liveness.on_answer(0));
        assert!(liveness.on_traffic(at(2051), || 0));
    }

    #[test]
    fn three_missed_answers_are_silence_and_one_answer_ends_it() {
        let mut liveness = Liveness::default();
        liveness.on_traffic(at(0), || 7);
        for step in 0..4 {
            assert!(!liveness.is_silent());
            ask(&mut liveness, at(100 * step));
        }
        assert!(liveness.is_silent());
        let Due::Ask { nonce, next } = liveness.on_timer(at(9000), 0) else { panic!() };
        assert_eq!(next, at(10_000));
        assert!(!liveness.on_answer(nonce.wrapping_add(1)) && !liveness.on_answer(7));
        assert!(liveness.is_silent() && liveness.on_answer(nonce));
        assert!(!liveness.is_silent());
    }

    #[test]
    fn round_trips_may_take_longer_than_the_time_between_questions() {
        let mut liveness = Liveness::default();
        liveness.on_traffic(at(0), || 7);
        let mut asked: Vec<u32> = (0..2).map(|step| ask(&mut liveness, at(100 * step))).collect();
        for step in 2..15 {
            asked.push(ask(&mut liveness, at(100 * step)));
            assert!(liveness.on_answer(asked.remove(0)) && !liveness.is_silent());
        }
    }
}
