//! The largest frame that a neighbour takes. It is found by questions of that length, while frames go to it: what
//! RFC 8899 (section 5) does for the paths of a transport.

use std::time::Duration;

use super::output::Control;
use super::{Mesh, Timer};
use crate::types::{Address, Instant, LargerFrames, LinkId};
use crate::wire::frame::HEADER_LEN;
use crate::wire::probe::Probe;

/// From the first frame on an idle path to the first long question: half of the time between two short ones.
const START: Duration = super::liveness::INTERVAL.checked_div(2).unwrap();

/// Time between two questions that wait for an answer.
const INTERVAL: Duration = super::liveness::INTERVAL;

/// Time between two questions after an answer: something on the way may have changed.
const CHECK: Duration = Duration::from_millis(500);

/// Unanswered questions in a row after which frames of a size do not arrive: such as never did, and such as did.
const MISSES: (u32, u32) = (3, 8);

/// How long nothing is asked when no size has arrived.
const REST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Largest {
    /// Length of the largest frame that has arrived, above those that the link carries anyway; 0: none.
    proven: usize,
    /// Which size is asked about.
    size: usize,
    /// Nonce of the latest question; each is one more than the one before.
    asked: u32,
    unanswered: u32,
    /// Nonce of the latest short question when the latest long one was asked.
    short: u32,
    /// No question before.
    due: Instant,
}

/// A question of `len` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    nonce: u32,
    len: usize,
}

impl Largest {
    /// Frames begin to go to the neighbour; the next nonces are those behind `seed`. When [`Largest::on_timer`] is due.
    fn begin(&mut self, now: Instant, seed: u32) -> Instant {
        (self.asked, self.unanswered) = (seed, 0);
        self.due = self.due.max(now + START);
        self.next(now)
    }

    /// The path is another one: what was found out does not hold for it.
    pub(super) fn forget(&mut self) {
        *self = Self { asked: self.asked, ..Self::default() };
    }

    /// What is to be asked now. `sizes`: as the link tells them; `short`: nonces of the latest short question, and of the
    /// latest one that was answered.
    fn on_timer(&mut self, now: Instant, sizes: &LargerFrames, short: (u32, u32)) -> Option<Question> {
        if now < self.due {
            return None;
        }
        let (asked, answered) = short;
        if self.unanswered > 0 && (answered.wrapping_sub(self.short) as i32) <= 0 {
            // The answer may be on its way: none came yet to what was asked later.
            self.due = now + INTERVAL;
            return None;
        }
        let misses = if self.proven > 0 { MISSES.1 } else { MISSES.0 };
        if self.unanswered >= misses {
            (self.proven, self.unanswered) = (0, 0);
            self.size += 1;
        }
        let Some(len) = sizes.get(self.size).copied().filter(|len| *len > 0) else {
            self.size = 0;
            self.due = now + REST;
            return None;
        };
        self.asked = self.asked.wrapping_add(1);
        self.unanswered += 1;
        self.short = asked;
        self.due = now + INTERVAL;
        Some(Question { nonce: self.asked, len })
    }

    /// When [`Largest::on_timer`] is to be called again: not much later than the next question is due, even if there is
    /// a reason to ask sooner.
    fn next(&self, now: Instant) -> Instant {
        self.due.min(now + CHECK)
    }

    /// An answer; whether it is one to a long question.
    fn on_answer(&mut self, now: Instant, nonce: u32, sizes: &LargerFrames) -> bool {
        let is_ours = self.asked.wrapping_sub(nonce) < self.unanswered;
        if is_ours {
            self.proven = sizes.get(self.size).copied().unwrap_or(0);
            self.unanswered = 0;
            self.due = now + CHECK;
        }
        is_ours
    }
}

impl Mesh {
    /// Frames begin to go to a neighbour.
    pub(super) fn begin_long_questions(&mut self, now: Instant, id: LinkId, node: Address, seed: u32) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.larger[0] > 0) else { return };
        let Some(neighbour) = link.table.get_mut(node) else { return };
        self.timers.set(Timer::Largest(id, node), neighbour.largest.begin(now, seed));
    }

    /// A long question may be due.
    pub(super) fn long_question_due(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let sizes = link.larger;
        let Some(neighbour) = link.table.get_mut(node) else { return };
        if neighbour.liveness.is_idle() {
            return;
        }
        let question = neighbour.largest.on_timer(now, &sizes, neighbour.liveness.progress());
        self.timers.set(Timer::Largest(id, node), neighbour.largest.next(now));
        self.update_mtu(now, id, node);
        if let Some(Question { nonce, len }) = question {
            self.push(Control::Probe { link: id, node, probe: Probe { answer: false, nonce }, len });
        }
    }

    /// Takes the answer to a long question; `false` if it answers none.
    pub(super) fn on_long_answer(&mut self, now: Instant, id: LinkId, node: Address, nonce: u32) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let sizes = link.larger;
        let taken = link.table.get_mut(node).is_some_and(|n| n.largest.on_answer(now, nonce, &sizes));
        if taken {
            self.update_mtu(now, id, node);
        }
        taken
    }

    /// Tells the routing what frames the neighbour takes.
    pub(super) fn update_mtu(&mut self, now: Instant, id: LinkId, node: Address) {
        let Some(link) = self.links.get(&id) else { return };
        let Some(neighbour) = link.table.get(node) else { return };
        let proven = neighbour.largest.proven.saturating_sub(HEADER_LEN);
        let mtu = u16::try_from(link.payload_mtu().max(proven)).unwrap_or(u16::MAX);
        self.router.set_mtu(now, neighbour.hop, mtu);
    }

    /// The link carries frames of other sizes than before: what was found out about its neighbours is void.
    pub(super) fn set_larger(&mut self, now: Instant, id: LinkId, larger: LargerFrames) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.larger = larger;
        let nodes: Vec<Address> = link.table.nodes().collect();
        for node in nodes {
            let Some(neighbour) = self.neighbour_mut(id, node) else { continue };
            neighbour.largest.forget();
            let active = !neighbour.liveness.is_idle();
            self.update_mtu(now, id, node);
            if active {
                self.timers.set(Timer::Largest(id, node), now + START);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: LargerFrames = [9216, 8952, 0, 0];

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1000 * millis)
    }

    /// What short questions have come to when all of them are answered at once.
    fn short(millis: u64) -> (u32, u32) {
        let asked = (millis / 100) as u32;
        (asked, asked)
    }

    /// Runs from `from` to `until`, in milliseconds, on a path that carries `carries` bytes; how many questions that took.
    fn run(largest: &mut Largest, (from, until): (u64, u64), carries: usize) -> usize {
        let mut questions = 0;
        for millis in from..until {
            if let Some(Question { nonce, len }) = largest.on_timer(at(millis), &SIZES, short(millis)) {
                questions += 1;
                assert!(len > carries || largest.on_answer(at(millis), nonce, &SIZES));
            }
        }
        questions
    }

    fn begun() -> Largest {
        let mut largest = Largest::default();
        assert_eq!(largest.begin(at(0), u32::MAX - 1), at(50));
        largest
    }

    #[test]
    fn the_largest_size_that_arrives_is_found() {
        for (carries, proven) in [(9216, 9216), (9215, 8952), (1500, 0)] {
            let mut largest = begun();
            run(&mut largest, (0, 800), carries);
            assert_eq!(largest.proven, proven);
        }
    }

    #[test]
    fn a_size_that_arrives_is_asked_about_now_and_then() {
        let mut largest = begun();
        assert_eq!(run(&mut largest, (0, 10_000), 9216), 20);
    }

    #[test]
    fn sizes_that_never_arrive_are_left_alone_for_a_minute() {
        let mut largest = begun();
        assert_eq!(run(&mut largest, (0, 60_000), 1500), 6);
        assert_eq!(run(&mut largest, (60_000, 62_000), 9216), 3);
        assert_eq!(largest.proven, 9216);
    }

    #[test]
    fn a_size_that_arrives_no_more_is_given_up() {
        let mut largest = begun();
        run(&mut largest, (0, 1000), 9216);
        // Asked at 1050 again, then seven times more.
        run(&mut largest, (1000, 1850), 1500);
        assert_eq!(largest.proven, 9216);
        run(&mut largest, (1850, 1900), 1500);
        assert_eq!(largest.proven, 0);
        // The next smaller one takes its place.
        run(&mut largest, (1900, 2000), 9000);
        assert_eq!(largest.proven, 8952);
    }

    #[test]
    fn answers_may_be_late_and_must_fit_a_question() {
        let mut largest = begun();
        let ask = |largest: &mut Largest, millis| {
            largest.on_timer(at(millis), &SIZES, short(millis)).unwrap().nonce
        };
        let (first, second) = (ask(&mut largest, 50), ask(&mut largest, 150));
        assert_eq!((first, second), (u32::MAX, 0));
        for stranger in [first.wrapping_sub(1), second + 1] {
            assert!(!largest.on_answer(at(200), stranger, &SIZES));
        }
        assert!(largest.on_answer(at(200), first, &SIZES));
        assert_eq!(largest.proven, 9216);
        assert!(!largest.on_answer(at(200), second, &SIZES));
    }

    #[test]
    fn slow_answers_are_waited_for() {
        let mut largest = begun();
        // Nothing of what was asked since is answered.
        let asked =
            (50..5_000).filter_map(|millis| largest.on_timer(at(millis), &SIZES, (short(millis).0, 0)));
        let asked: Vec<_> = asked.collect();
        assert_eq!(asked, [Question { nonce: u32::MAX, len: 9216 }]);
        assert!(largest.on_answer(at(5_000), u32::MAX, &SIZES));
        assert_eq!(largest.proven, 9216);
    }
}
