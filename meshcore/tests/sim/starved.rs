//! Nodes on a machine so busy that each runs for some milliseconds now and then.

use std::time::Duration;

use meshcore::node::{Now, Stack};
use meshcore::stream::{self, ReadOutcome};
use meshcore::types::Instant;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::net::{Faults, World};
use crate::{SECOND, for_seeds, pair};

/// How long a node runs and does not run, in milliseconds. Its neighbour takes it for gone again and again.
const RUNS: std::ops::Range<u64> = 2..30;
const RESTS: std::ops::Range<u64> = 100..12_000;

/// Reads what has come on all streams.
fn read_all(stack: &mut Stack, now: Now) {
    while let Some((connection, event)) = stack.poll_connection_event(now) {
        let stream::Event::Readable(stream) = event else { continue };
        let mut read = || stack.transport().read(connection, stream, &mut Vec::new(), usize::MAX);
        while let Ok(ReadOutcome::Data(_)) = read() {}
    }
}

/// One of the nodes, whose turn it is, begins to run or to rest.
fn take_turns(world: &mut World, random: &mut StdRng, turns: &mut [Instant; 2]) {
    let node = usize::from(turns[1] < turns[0]);
    world.run_until(turns[node] - world.now, |_| false);
    let length = if world.is_starved(node) {
        world.feed(node);
        random.random_range(RUNS)
    } else {
        world.starve(node);
        random.random_range(RESTS)
    };
    turns[node] = world.now + Duration::from_millis(length);
}

#[test]
fn a_connection_outlives_nodes_that_hardly_run() {
    for_seeds(16, |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = pair(seed, Faults::NONE);
        let bob = world.stations[1].id;
        let connection = world.with(0, |stack, now| stack.connect(now, bob)).unwrap();
        world.run_until(SECOND, |_| false);
        let stream = world.with(0, |stack, _| stack.transport().open(connection)).unwrap();
        let mut turns = [world.now; 2];
        while world.now < Instant::default() + 400 * SECOND {
            take_turns(&mut world, &mut random, &mut turns);
            if !world.is_starved(1) {
                world.with(1, read_all);
            }
            let len = if random.random_bool(0.3) { 30_000 } else { 100 };
            let written =
                world.with(0, |stack, _| stack.transport().write(connection, stream, &vec![7; len]));
            assert!(written.is_ok(), "{written:?} after {:?}", world.now);
        }
    });
}
