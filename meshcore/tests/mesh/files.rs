//! The scenarios of `topologies/`: no loop on the way, and at their end everybody who has a path is reached.
//! `MESH_FILE=path` runs another one, as a failed property test prints it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sim::format::parse;
use crate::sim::mesh_router::Node;
use crate::sim::router::Router;
use crate::sim::scenario::Scenario;
use crate::sim::world::World;

/// Runs a scenario to its end; what fails names the scenario.
pub(crate) fn run<R: Router>(scenario: Scenario) -> World<R> {
    let mut world = World::new(scenario);
    let end = world.scenario.end;
    world.run_to(end);
    world.check_all();
    if let Some((from, to)) = world.find_unreached(&world.reach()) {
        let names = &world.scenario.names;
        panic!("at the end, {} and {} are not as the oracle has it", names[from], names[to]);
    }
    world
}

fn files() -> Vec<PathBuf> {
    if let Ok(file) = std::env::var("MESH_FILE") {
        return vec![file.into()];
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/topologies");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "mesh")).collect()
}

pub(crate) fn read(path: &Path) -> Scenario {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut scenario = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        scenario.seed = seed;
    }
    scenario
}

#[test]
fn every_file_is_readable_and_is_printed_as_it_was_read() {
    let files = files();
    assert!(!files.is_empty());
    for path in files {
        let scenario = read(&path);
        assert_eq!(parse(&scenario.to_string()).unwrap(), scenario, "{}", path.display());
    }
}

#[test]
fn every_file_runs_without_loops_and_ends_with_everybody_reached() {
    for path in files() {
        eprintln!("{}", path.display());
        let world = run::<Node>(read(&path));
        let total = world.flows.total;
        eprintln!("{} of {} probe frames arrived", total.arrived, total.sent);
    }
}
