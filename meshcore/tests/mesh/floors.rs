//! What the mesh achieves in virtual time, and must go on to achieve. The sizes are small here; the published curves
//! (docs/BENCHMARKS.md) and the test at the end go to 1,000 nodes.

use std::time::Duration;

use crate::sim::measure::{Outcome, Plan, measure};
use crate::sim::mesh_router::Node;
use crate::sim::scenario::{Quality, Scenario};
use crate::sim::topology;

const SECOND: Duration = Duration::from_secs(1);

/// Short parts: nothing but rest.
const REST: Plan = Plan {
    rest: Duration::from_secs(180),
    traffic: SECOND,
    churn: Duration::ZERO,
    partition: Duration::ZERO,
};

const SHORT: Plan = Plan {
    rest: Duration::from_secs(60),
    traffic: Duration::from_secs(20),
    churn: Duration::from_secs(20),
    partition: Duration::from_secs(30),
};

fn of(scenario: Scenario, plan: &Plan) -> Outcome {
    measure::<Node>(scenario, plan)
}

fn assert_converged(part: Option<Duration>, limit: Duration, what: &str) {
    assert!(part.is_some_and(|took| took <= limit), "{what}: {part:?}, allowed are {limit:?}");
}

#[test]
fn nodes_at_rest_say_little() {
    let quality = Quality::default();
    for (scenario, limit) in [
        (topology::line(1, 2, quality), 100.0),
        (topology::segment(2, 2, quality), 100.0),
        (topology::segment(3, 10, quality), 200.0),
        (topology::geometric(4, 50, 8.0, quality), 500.0),
    ] {
        let nodes = scenario.names.len();
        let outcome = of(scenario, &REST);
        assert!(outcome.rest.control < limit, "{nodes} nodes: {:.1} B/s each", outcome.rest.control);
    }
}

#[test]
fn small_meshes_converge_at_once_and_deliver() {
    for seed in 0..3 {
        let outcome = of(topology::geometric(seed, 16, 5.0, Quality::default()), &SHORT);
        assert_converged(outcome.cold.converged, 2 * SECOND, "cold start");
        assert_converged(outcome.churn.converged, 5 * SECOND, "after churn");
        assert_converged(outcome.heal.converged, 10 * SECOND, "after the partition");
        assert!(outcome.traffic.delivery.ratio() > 0.999, "{:?}", outcome.traffic.delivery);
        assert!(outcome.churn.delivery.ratio() > 0.8, "{:?}", outcome.churn.delivery);
    }
}

/// A thousand nodes for ten minutes, if the build is optimised; those who churn and are parted are fewer, as that takes
/// much longer than it lasts.
const LARGE: (usize, Plan) = match cfg!(debug_assertions) {
    true => (40, CALM),
    false => (1000, Plan { rest: Duration::from_secs(540), ..CALM }),
};

const CALM: Plan = Plan { churn: Duration::ZERO, partition: Duration::ZERO, ..Plan::FULL };

const TROUBLED: usize = if cfg!(debug_assertions) { 40 } else { 300 };

fn large(nodes: usize, plan: &Plan) -> Outcome {
    let began = std::time::Instant::now();
    let outcome = of(topology::geometric(1, nodes, 8.0, Quality::default()), plan);
    eprintln!("{nodes} nodes, {:?} in {:?}: {outcome:#?}", outcome.elapsed, began.elapsed());
    assert_converged(outcome.cold.converged, 10 * SECOND, "cold start");
    assert!(outcome.rest.control < 1000.0, "{} B/s a node at rest", outcome.rest.control);
    assert!(outcome.traffic.delivery.ratio() > 0.999, "{:?}", outcome.traffic.delivery);
    outcome
}

#[test]
fn a_large_mesh_converges_and_rests() {
    let (nodes, plan) = LARGE;
    large(nodes, &plan);
}

#[test]
fn a_large_mesh_survives_churn_and_heals() {
    let outcome = large(TROUBLED, &Plan::FULL);
    assert_converged(outcome.churn.converged, 10 * SECOND, "after churn");
    assert_converged(outcome.heal.converged, 10 * SECOND, "after the partition");
    assert!(outcome.churn.delivery.ratio() > 0.9, "{:?}", outcome.churn.delivery);
}

/// Long enough for links that lose to get their cost: that makes updates, in the first minutes.
const SETTLED: Plan = Plan { rest: Duration::from_secs(240), ..REST };

#[test]
fn lossy_meshes_converge_soon_and_rest() {
    for (loss, converged, rest) in [(50_000, 3 * SECOND, 200.0), (200_000, 10 * SECOND, 500.0)] {
        for seed in 0..2 {
            let quality = Quality { loss, ..Quality::default() };
            let outcome = of(topology::geometric(seed, 40, 8.0, quality), &SETTLED);
            let what = format!("{} % lost, seed {seed}", loss / 10_000);
            assert_converged(outcome.cold.converged, converged, &what);
            assert!(outcome.rest.control < rest, "{what}: {:.0} B/s a node at rest", outcome.rest.control);
        }
    }
}
