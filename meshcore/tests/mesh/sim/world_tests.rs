//! The simulator itself, with a protocol whose failings are known.

use super::*;
use crate::sim::format::parse;
use crate::sim::naive::Naive;
use crate::sim::scenario::{Flow, Quality};
use crate::sim::topology;

const SECOND: Duration = Duration::from_secs(1);

fn world(text: &str) -> World<Naive> {
    World::new(parse(text).unwrap())
}

fn converged(world: &World<Naive>) -> bool {
    world.find_unreached(&world.reach()).is_none()
}

#[test]
fn a_mesh_converges_and_carries_frames() {
    let scenario = topology::grid(1, 4, 3, Quality::default());
    let mut world = World::<Naive>::new(scenario);
    world.run_for(START);
    assert!(!converged(&world));
    let took = world.run_until_reached(20 * SECOND, SECOND / 10);
    assert!(took.is_some_and(|took| took < 10 * SECOND), "{took:?}");
    assert_eq!(world.hops.known(), 12 * 11);
    let end = world.elapsed() + 10 * SECOND;
    let flow = world.start_flow(Flow { from: 0, to: 11, every: SECOND / 10, start: Duration::ZERO, end });
    world.run_for(20 * SECOND);
    assert_eq!(world.flows.answers(flow).len() as u64, world.flows.requests(flow));
    assert!((world.flows.total.ratio(), world.flows.total.best_ratio()) == (1.0, 1.0));
    assert!(world.sent.iter().all(|sent| sent.control_bytes > 1_000));
    world.check_all();
}

#[test]
#[should_panic(expected = "frames for node 0 circle among nodes")]
fn counting_to_infinity_is_seen() {
    world("node a b c\nlink a b\nlink b c\nat 20s cut a b\nend 60s").run_to(60 * SECOND);
}

#[test]
fn losses_show_in_what_arrives() {
    let mut world = world(
        "node a b c\nlink a b loss=10%\nlink b c loss=20% duplicate=10%\nflow a c every 10ms from 20s to 60s\nend 60s",
    );
    world.run_to(60 * SECOND);
    let total = world.flows.total;
    assert!((0.71..0.73).contains(&total.best_ratio()), "{total:?}");
    assert!((0.67..0.75).contains(&total.ratio()), "{total:?}");
}

#[test]
fn crashes_restarts_and_clocks_number_identities() {
    let mut world = world(
        "node a b\nlink a b\nat 10s crash a\nat 20s restart a with-disk\nat 30s clock a -3600s
         at 40s restart a with-disk\nat 50s restart a without-disk",
    );
    let mut numbers = Vec::new();
    for time in [5, 15, 25, 45, 55] {
        world.run_to(time * SECOND);
        numbers.push(world.stations[0].disk.number.unwrap());
        assert_eq!(world.is_up(0), time != 15);
    }
    let first = numbers[0];
    assert_eq!(numbers[..4], [first, first, first + 1, first + 2]);
    assert!(numbers[4] < first, "the clock went back by an hour");
}

#[test]
fn an_interface_that_goes_down_loses_its_routes() {
    let mut world = world("node a b\nsegment a b name=lan\nat 10s unplug a lan\nat 30s plug a lan");
    world.run_to(9 * SECOND);
    assert!(world.led(1)[0] && world.led(0)[1]);
    world.run_to(20 * SECOND);
    assert!(world.hops.get(1, 0).is_none() && converged(&world));
    world.run_to(40 * SECOND);
    assert!(world.led(1)[0] && converged(&world));
}

#[test]
fn a_replay_is_exact() {
    let run = |seed| {
        let quality = Quality { loss: 50_000, jitter: Duration::from_millis(20), ..Quality::default() };
        let mut world = World::<Naive>::new(topology::star(seed, 12, quality));
        world.run_to(20 * SECOND);
        (world.events, world.control_bytes(), world.rng.random::<u64>())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
