//! What the curves show: one mesh, from a cold start to rest, under traffic, under churn, and after a partition.

use std::time::Duration;

use meshcore::types::Instant;
use rand::RngExt;

use super::router::Router;
use super::scenario::{Change, Flow, Scenario};
use super::tally::Delivery;
use super::world::{START, World};

const SECOND: Duration = Duration::from_secs(1);

/// Longest time that anything may need to be reached.
const LIMIT: Duration = Duration::from_secs(180);

/// Flows at one time, at most.
const FLOWS: usize = 50;

/// How long one flow sends.
const FLOW_LIFE: Duration = Duration::from_secs(10);

/// How often the world is looked at while something converges.
const STEP: Duration = Duration::from_millis(50);

/// Time between the end of one part and the measurement of rest.
const SETTLE: Duration = Duration::from_secs(30);

/// How long each part takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub rest: Duration,
    pub traffic: Duration,
    pub churn: Duration,
    /// How long the mesh is in two parts.
    pub partition: Duration,
}

impl Plan {
    /// Of the published curves.
    pub(crate) const FULL: Self = Self {
        rest: Duration::from_secs(60),
        traffic: Duration::from_secs(30),
        churn: Duration::from_secs(30),
        partition: Duration::from_secs(30),
    };
}

/// One part of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part {
    /// Time until everybody who had a path was reached; `None`: not in time.
    pub converged: Option<Duration>,
    pub delivery: Delivery,
    /// Control bytes a second and node.
    pub control: f64,
}

/// All of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// From the start of the last node, and control traffic of that time.
    pub cold: Part,
    /// Nobody sends anything.
    pub rest: Part,
    /// Probe frames between random pairs.
    pub traffic: Part,
    /// Traffic while nodes crash and come back; converged after the last of them is back.
    pub churn: Part,
    /// Traffic after two halves are one again.
    pub heal: Part,
    /// Control bytes a second and node over the whole run.
    pub overall: f64,
    /// Signatures that a node checked until the mesh had converged.
    pub checked: f64,
    pub elapsed: Duration,
}

struct Measured<'a, R> {
    world: &'a mut World<R>,
    start: Instant,
    bytes: u64,
    delivery: Delivery,
}

impl<'a, R: Router> Measured<'a, R> {
    fn new(world: &'a mut World<R>) -> Self {
        Self { start: world.now, bytes: world.control_bytes(), delivery: world.flows.total, world }
    }

    fn end(self, converged: Option<Duration>) -> Part {
        let seconds = (self.world.now - self.start).as_secs_f64().max(1e-6);
        let bytes = self.world.control_bytes() - self.bytes;
        Part {
            converged,
            delivery: self.world.flows.total.since(&self.delivery),
            control: bytes as f64 / seconds / self.world.stations.len() as f64,
        }
    }
}

/// Runs a mesh that has no events of its own. Churn and partition are left out when the plan gives them no time.
pub(crate) fn measure<R: Router>(scenario: Scenario, plan: &Plan) -> Outcome {
    let mut world = World::<R>::new(scenario);
    let mut outcome = Outcome::default();
    world.run_for(START);
    let part = Measured::new(&mut world);
    let converged = part.world.run_until_reached(LIMIT, STEP);
    outcome.cold = part.end(converged);
    outcome.checked =
        world.work.checked.load(std::sync::atomic::Ordering::Relaxed) as f64 / world.stations.len() as f64;
    world.run_for(SETTLE);
    let part = Measured::new(&mut world);
    part.world.run_for(plan.rest);
    outcome.rest = part.end(None);
    let part = Measured::new(&mut world);
    send_for(part.world, plan.traffic);
    outcome.traffic = part.end(None);
    if !plan.churn.is_zero() {
        outcome.churn = churn(&mut world, plan.churn);
        world.run_for(SETTLE);
    }
    if !plan.partition.is_zero() {
        outcome.heal = heal(&mut world, plan.partition);
    }
    world.check_all();
    outcome.elapsed = world.elapsed();
    outcome.overall =
        world.control_bytes() as f64 / outcome.elapsed.as_secs_f64() / world.stations.len() as f64;
    outcome
}

/// Flows between random pairs, at most [`FLOWS`] at a time; a frame every 100 ms to 1 s.
fn plan_flows<R: Router>(world: &mut World<R>, time: Duration) {
    let nodes = world.stations.len();
    let now = world.elapsed();
    let mut start = now;
    while start < now + time {
        for _ in 0..nodes.min(FLOWS) {
            let from = world.rng.random_range(0..nodes);
            let to = (from + world.rng.random_range(1..nodes)) % nodes;
            let every = Duration::from_millis(world.rng.random_range(100..=1000));
            let end = (start + FLOW_LIFE).min(now + time);
            world.start_flow(Flow { from, to, every, start, end });
        }
        start += FLOW_LIFE;
    }
}

fn send_for<R: Router>(world: &mut World<R>, time: Duration) {
    plan_flows(world, time);
    world.run_for(time);
}

/// A node in a hundred crashes every second (one of ten every ten seconds), but one a second at most, and comes back after
/// 5 to 15 seconds.
fn churn<R: Router>(world: &mut World<R>, time: Duration) -> Part {
    let nodes = world.stations.len();
    let end = world.elapsed() + time;
    let pause = Duration::from_secs_f64(100.0 / nodes as f64).max(SECOND);
    plan_flows(world, time);
    let mut returns: Vec<(Duration, usize)> = Vec::new();
    let mut next_crash = world.elapsed();
    let part = Measured::new(world);
    let world = &mut *part.world;
    while world.elapsed() < end || !returns.is_empty() {
        if next_crash <= world.elapsed() && next_crash < end {
            next_crash += pause;
            let victim = world.rng.random_range(0..nodes);
            if world.is_up(victim) {
                world.apply(&Change::Crash(victim));
                let away = Duration::from_millis(world.rng.random_range(5_000..15_000));
                returns.push((world.elapsed() + away, victim));
            }
        }
        let back = world.elapsed();
        for (_, node) in returns.extract_if(.., |(at, _)| *at <= back) {
            world.apply(&Change::Restart { node, with_disk: true });
        }
        world.run_for(pause.min(SECOND / 10));
    }
    let converged = world.run_until_reached(LIMIT, STEP);
    part.end(converged)
}

/// Cuts the mesh into two parts that hang together themselves, and mends it after `time`.
fn heal<R: Router>(world: &mut World<R>, time: Duration) -> Part {
    let half = half_around(world, 0);
    world.apply(&Change::Partition(vec![half]));
    world.run_for(time);
    world.apply(&Change::Heal);
    plan_flows(world, FLOW_LIFE);
    let part = Measured::new(world);
    let converged = part.world.run_until_reached(LIMIT, STEP);
    part.world.run_for(FLOW_LIFE.saturating_sub(converged.unwrap_or_default()));
    part.end(converged)
}

/// The half of all nodes that is closest to one.
fn half_around<R: Router>(world: &World<R>, start: usize) -> Vec<usize> {
    let mut half = vec![start];
    let mut looked_at = 0;
    while looked_at < half.len() && half.len() < world.stations.len() / 2 {
        for port in world.air.ports_of(half[looked_at]) {
            for to in world.air.hearers(*port) {
                let node = world.air.ports[to].node;
                if !half.contains(&node) {
                    half.push(node);
                }
            }
        }
        looked_at += 1;
    }
    half.truncate(world.stations.len() / 2);
    half
}
