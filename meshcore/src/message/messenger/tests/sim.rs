//! Messengers whose sessions break, whose net falls apart, whose disks are slow and fail, and who crash at any instant; some offer
//! mailboxes. Below the messenger all is simulated: streams, disks, keys, clocks.
//!
//! `SIM_SEED=n` runs the world of that seed alone; `DELIVERY_NODES` and `DELIVERY_MESSAGES` make one large world instead of many
//! small ones (`make test-delivery`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self::world::{Plan, World};
use crate::types::Status;

mod node;
mod wire;
mod world;

const HOUR: Duration = Duration::from_secs(3600);

/// Lives through the troubles until all messages are written, and then until all have arrived.
fn run(plan: Plan) -> World {
    let mut world = World::new(plan);
    assert!(world.run_until(24 * HOUR, |world| world.to_send == 0), "the applications could not send");
    world.calm_down();
    let arrived = world.run_until(3 * HOUR, World::is_quiet);
    assert!(arrived, "messages are stuck:\n{}", world.describe());
    // What a mailbox could not note as arrived it hands over once more when it starts.
    world.restart_all();
    // What follows a message that was given up waits for it in vain.
    let nothing_left = world.run_until(2 * HOUR, |world| world.is_quiet() && world.left_over() == (0, 0));
    assert!(nothing_left, "letters and waiting messages are left: {:?}", world.left_over());
    world.check_all();
    world
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test is told how much to do")]
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn every_accepted_message_is_shown_exactly_once_in_order() {
    let nodes = number("DELIVERY_NODES").map(|nodes| nodes as usize);
    let messages = number("DELIVERY_MESSAGES").map_or(200, |messages| messages as u32);
    let seeds = match (number("SIM_SEED"), nodes) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => 0..1,
        (None, None) => 0..40,
    };
    let (mut shown, mut held, mut seen) = (0, 0, BTreeMap::<Status, usize>::new());
    for seed in seeds.clone() {
        let nodes = nodes.unwrap_or(12);
        let plan = Plan {
            nodes,
            mailboxes: (nodes / 4).max(1),
            messages,
            trouble: 24.0 / nodes as f64,
            pace: 10.0,
            seed,
        };
        let world = catch_unwind(AssertUnwindSafe(|| run(plan)));
        let world = world.unwrap_or_else(|_| panic!("{plan:?}: replay with SIM_SEED={seed}"));
        shown += world.shown();
        held += world.held;
        for (status, count) in &world.seen {
            *seen.entry(*status).or_default() += count;
        }
        if nodes > 12 {
            eprintln!("{} shown, {} happenings, until {:?}", world.shown(), world.happenings, world.now);
        }
    }
    eprintln!("{shown} were shown, {held} waited for others; statuses: {seen:?}");
    let least = (seeds.end - seeds.start) as usize * messages as usize * 9 / 10;
    assert!(shown >= least, "the simulation exercises something: {shown} messages");
    let of = |status| seen.get(&status).copied().unwrap_or(0);
    // One small world may happen to have no need for all of it.
    let is_enough = held > 0 && of(Status::Stored) > shown / 10 && of(Status::Read) > shown / 10;
    assert!(is_enough || seeds.end - seeds.start == 1, "the simulation exercises something");
}
