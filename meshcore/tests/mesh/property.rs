//! Over random meshes and events: no loop at any moment, and in the end everybody who has a path is reached in time.
//!
//! `MESH_CASES=n` runs so many cases; `SIM_SEED=n` runs the one of that seed alone. A failure is made small and written
//! to a file that `MESH_FILE=path cargo test -p meshcore --test mesh files` replays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::random;
use crate::shrink::shrink;
use crate::sim::air::USABLE_LOSS;
use crate::sim::mesh_router::Node;
use crate::sim::scenario::{Change, Flow, Quality, Scenario};
use crate::sim::world::{START, World};

/// Within this time after the last event, everybody who has a path is reached, and nobody else (docs/PROTOCOL.md): when
/// no link loses more than [`USABLE_LOSS`] of its frames each way.
const BOUND: Duration = Duration::from_secs(60);

/// The same when there are links that lose more, up to all: news of what is gone may have to cross one.
const BOUND_OF_BAD_LINKS: Duration = Duration::from_secs(240);

/// The same when nothing at all is lost.
const BOUND_WITHOUT_LOSS: Duration = Duration::from_secs(30);

/// Cases of an ordinary test run, which is not optimised.
const FEW: u64 = 150;

/// Failures that are made small.
const EXPLAINED: usize = 3;

/// How often the world is looked at.
const STEP: Duration = Duration::from_millis(50);

/// A neighbour is given up when it has been silent for 3.5 hello intervals.
const SILENCE: Duration = Duration::from_secs(14);

/// Probe frames of the last check are answered within this time.
const ECHO: Duration = Duration::from_secs(3);

/// What a case says about the time that the mesh needed.
struct Report {
    seed: u64,
    bound: Duration,
    took: Duration,
    events: u64,
}

/// Runs a scenario; panics when the mesh does not do what it must.
fn run(scenario: &Scenario) -> Report {
    let mut world = World::<Node>::new(scenario.clone());
    world.run_to(scenario.last_event().max(START));
    let bound = bound(scenario);
    let Some(took) = world.run_until_reached(bound, STEP) else {
        let reach = world.reach();
        let Some((from, to)) = world.find_unreached(&reach) else { panic!("reached too late") };
        let names = &world.scenario.names;
        let what = if reach.must(from, to) { "a path" } else { "no path" };
        panic!("{} has {what} to {}, and knows it not within {bound:?}", names[from], names[to]);
    };
    world.check_all();
    if is_quiet(scenario) {
        // A neighbour that could not be heard just before the last event may be given up just after it.
        world.run_for(SILENCE);
        assert!(world.run_until_reached(ECHO, STEP).is_some(), "what was reached is no more");
        probe_everybody(&mut world);
    }
    Report { seed: scenario.seed, bound, took, events: world.events }
}

/// Qualities of all links, from the beginning and by events.
fn qualities(scenario: &Scenario) -> impl Iterator<Item = &Quality> {
    let media = scenario
        .media
        .iter()
        .flat_map(|medium| medium.hearings.iter().map(|hearing| &hearing.quality).chain([&medium.quality]));
    let events = scenario.events.iter().filter_map(|(_, change)| match change {
        Change::Set { quality, .. } => Some(quality),
        _ => None,
    });
    media.chain(events)
}

fn bound(scenario: &Scenario) -> Duration {
    match qualities(scenario).map(|quality| quality.loss).max().unwrap_or_default() {
        0 if scenario.media.iter().all(|medium| medium.bandwidth.is_none()) => BOUND_WITHOUT_LOSS,
        ..=USABLE_LOSS => BOUND,
        _ => BOUND_OF_BAD_LINKS,
    }
}

/// Whether nothing is lost on the way: then every frame has to arrive, and what is reached stays so.
fn is_quiet(scenario: &Scenario) -> bool {
    bound(scenario) == BOUND_WITHOUT_LOSS
}

fn probe_everybody(world: &mut World<Node>) {
    let reach = world.reach();
    let nodes = world.stations.len();
    let mut flows = Vec::new();
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| reach.must(from, *to)) {
            let start = world.elapsed();
            let flow = world.start_flow(Flow { from, to, every: 2 * ECHO, start, end: start + ECHO });
            flows.push((from, to, flow));
        }
    }
    world.run_for(ECHO);
    for (from, to, flow) in flows {
        assert!(!world.flows.answers(flow).is_empty(), "n{from} reaches n{to}, and has no answer from it");
    }
    let unreached = world.find_unreached(&reach);
    assert!(unreached.is_none(), "{unreached:?} was reached, and is no more");
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Runs a scenario; `Err`: why it fails.
fn attempt(scenario: &Scenario) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| run(scenario))).map_err(|panic| message(&*panic))
}

/// Makes a failure small and keeps it in a file.
fn explain(seed: u64) -> String {
    let mut small = shrink(random::scenario(seed), |scenario| attempt(scenario).is_err());
    let why = attempt(&small).err().unwrap_or_default();
    small.end = small.last_event().max(START) + bound(&small);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{seed}.mesh"));
    let kept = std::fs::write(&file, small.to_string());
    format!("# {why}\n{small}# SIM_SEED={seed} replays the whole; this is in {} ({kept:?})", file.display())
}

/// Runs cases on all cores; gives the reports, and the seeds that failed with the reason.
fn campaign(seeds: std::ops::Range<u64>) -> (Vec<Report>, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let result = attempt(&random::scenario(seed));
                    let mut results = results.lock().unwrap();
                    match result {
                        Ok(report) => results.0.push(report),
                        Err(why) => results.1.push((seed, why)),
                    }
                }
            });
        }
    });
    results.into_inner().unwrap()
}

#[test]
fn random_meshes_have_no_loops_and_reach_everybody() {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    let seeds = match (number("SIM_SEED"), number("MESH_CASES")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(FEW),
    };
    let (mut reports, failures) = campaign(seeds);
    reports.sort_by_key(|report| report.took);
    for bound in [BOUND_WITHOUT_LOSS, BOUND, BOUND_OF_BAD_LINKS] {
        let of: Vec<&Report> = reports.iter().filter(|report| report.bound == bound).collect();
        let Some(last) = of.last() else { continue };
        let at = |share: usize| of[(of.len() - 1) * share / 100].took;
        let events: u64 = of.iter().map(|report| report.events).sum();
        eprintln!(
            "{} cases with a bound of {bound:?}, {events} events; reached after the last change within",
            of.len()
        );
        eprintln!(
            "{:?} (median), {:?} (99 of 100), {:?} (all; seed {})",
            at(50),
            at(99),
            last.took,
            last.seed
        );
    }
    for (seed, why) in &failures {
        eprintln!("seed {seed}: {why}");
    }
    for (seed, _) in failures.iter().take(EXPLAINED) {
        eprintln!("{}", explain(*seed));
    }
    assert!(failures.is_empty(), "{} cases failed", failures.len());
}
