//! A sender, a relay and a receiver that are killed, some of them at once, while messages go from one to the other.

use std::collections::BTreeMap;
use std::time::Duration;

use meshcore::types::Instant;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::net::{Faults, Segment, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, take_texts};

const KILLS: usize = 12;

/// Messages that pass from one kill to the next, at most.
const MESSAGES: usize = 40;

/// Messages that the sender has been given and has not answered.
const WINDOW: usize = 8;

/// How long a killed program takes to start again, in milliseconds.
const PAUSE: std::ops::Range<u64> = 50..2_000;

/// How long it may take until messages go on when all run again.
const PATIENCE: Duration = SECOND;

/// The sender is given a message now and then.
const STEP: Duration = Duration::from_millis(10);

struct Run {
    world: World,
    random: StdRng,
    /// What the receiver's application has been shown.
    got: Vec<String>,
    /// Messages that the sender was given, and how many of them it answered or will never answer.
    given: usize,
    settled: usize,
    /// Who is down, and until when.
    down: BTreeMap<usize, Instant>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let faults = Faults { jitter: Duration::from_micros(50), ..Faults::NONE };
        let mut world = World::new(seed, &[ALICE, BOB, CAROL], faults);
        let wire = |members: &[usize]| Segment { members: Some(members.to_vec()), mtu: 1500, up: true };
        world.segments = vec![wire(&[0, 1]), wire(&[1, 2])];
        (0..3).for_each(|index| world.start(index));
        let random = StdRng::seed_from_u64(seed);
        Self { world, random, got: Vec::new(), given: 0, settled: 0, down: BTreeMap::new() }
    }

    fn step(&mut self) {
        let now = self.world.now;
        for (who, _) in self.down.extract_if(.., |_, until| *until <= now) {
            self.world.start(who);
        }
        self.give();
        self.world.run_until(STEP, |_| false);
        self.take();
    }

    fn give(&mut self) {
        let carol = self.world.stations[2].id;
        self.settled += self.world.stations[0].answers.drain(..).count();
        if !self.world.stations[0].stack.as_ref().is_some_and(|stack| stack.knows(carol)) {
            return;
        }
        if self.given < self.settled + WINDOW {
            let text = format!("message {:06}", self.given);
            self.world.with(0, |stack, now| stack.send(now, carol, text, None)).unwrap();
            self.given += 1;
        }
    }

    fn take(&mut self) {
        let texts = take_texts(&mut self.world, 2);
        self.got.extend(texts);
    }

    fn wait_for(&mut self, goal: usize) {
        let (mut before, mut since) = (self.got.len(), self.world.now);
        while self.got.len() < goal {
            self.step();
            if self.got.len() > before || !self.down.is_empty() {
                (before, since) = (self.got.len(), self.world.now);
            }
            assert!(self.world.now - since < PATIENCE, "nothing came after {before} messages, at {since:?}");
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.step();
        }
    }

    fn kill(&mut self, who: usize) {
        if self.down.contains_key(&who) {
            return;
        }
        self.take();
        self.world.crash(who);
        if who == 0 {
            // What it was given and has not answered may be lost.
            self.settled = self.given;
        }
        let pause = Duration::from_millis(self.random.random_range(PAUSE));
        self.down.insert(who, self.world.now + pause);
    }
}

#[test]
fn messages_go_on_soon_after_everybody_was_killed() {
    for_seeds(6, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..KILLS {
            let goal = run.got.len() + run.random.random_range(1..MESSAGES);
            run.wait_for(goal);
            // Not always in the midst of messages, but also while others start.
            if run.random.random_bool(0.4) {
                let time = Duration::from_millis(run.random.random_range(PAUSE));
                run.pass(time);
            }
            let who = run.random.random_range(0..3);
            run.kill(who);
        }
        run.wait_for(run.got.len() + MESSAGES);
        assert!(run.got.is_sorted_by(|one, next| one < next), "{:?}", run.got);
    });
}

/// It may be written to before it knows the way back for its answers.
#[test]
fn messages_go_on_at_once_when_one_starts_again() {
    for_seeds(3, |seed| {
        for who in 0..3 {
            let mut run = Run::new(seed);
            run.wait_for(20);
            run.kill(who);
            // It is missed by all.
            run.world.run_until(20 * SECOND, |_| false);
            let (before, start) = (run.got.len(), run.world.now);
            while run.got.len() == before {
                run.step();
                let took = run.world.now - start;
                assert!(
                    took < Duration::from_millis(100),
                    "nothing came for {took:?} after the start of {who}"
                );
            }
        }
    });
}
