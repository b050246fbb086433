//! `make bench-mesh`: how meshes of 10, 100 and 1,000 nodes converge, deliver and talk, in virtual time.
//!
//! Writes every run to `target/mesh-curves.json` and a table into docs/BENCHMARKS.md, between its markers. `MESH_SIZES`
//! (`10,100`) chooses sizes. The results depend on the code and the seeds alone, not on the machine.

#![allow(clippy::disallowed_methods)] // a bench is a driver

#[path = "common/document.rs"]
mod document;
#[allow(dead_code, unused_imports)] // the tests use the rest
#[path = "../tests/mesh/sim/mod.rs"]
mod sim;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use sim::measure::{Outcome, Part, Plan, measure};
use sim::mesh_router::Node;
use sim::scenario::Quality;
use sim::topology;

/// Mean number of radio stations in reach of one.
const DEGREE: f64 = 8.0;

/// Losses of all links, each way, in percent.
const LOSSES: [u32; 3] = [0, 5, 20];

/// Sizes, and how many random meshes of each.
const SIZES: [(usize, u64); 3] = [(10, 20), (100, 10), (1000, 1)];

const TABLE_BEGIN: &str = "<!-- mesh curves: written by make bench-mesh -->";
const TABLE_END: &str = "<!-- end of mesh curves -->";

#[derive(Debug, Clone, Copy)]
struct Job {
    nodes: usize,
    loss: u32,
    seed: u64,
}

/// One part of one run.
#[derive(Debug, Clone, Serialize)]
struct Row {
    nodes: usize,
    loss_percent: u32,
    seed: u64,
    part: &'static str,
    converged_s: Option<f64>,
    delivered: Option<f64>,
    possible: Option<f64>,
    control_bytes_s_node: f64,
}

fn run(job: Job) -> (Vec<Row>, Outcome) {
    let quality = Quality { loss: job.loss * 10_000, ..Quality::default() };
    let scenario = topology::geometric(job.seed, job.nodes, DEGREE, quality);
    let calm = Plan { churn: Duration::ZERO, partition: Duration::ZERO, ..Plan::FULL };
    let began = Instant::now();
    let outcome = measure::<Node>(scenario, if job.loss == 0 { &Plan::FULL } else { &calm });
    eprintln!(
        "{} nodes, {} % loss, seed {}: {:.0} s of virtual time in {:.1} s; {:.0} signatures checked a node",
        job.nodes,
        job.loss,
        job.seed,
        outcome.elapsed.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        outcome.checked,
    );
    let row = |part, of: &Part| Row {
        nodes: job.nodes,
        loss_percent: job.loss,
        seed: job.seed,
        part,
        converged_s: of.converged.map(|time| time.as_secs_f64()),
        delivered: (of.delivery.sent > 0).then(|| of.delivery.ratio()),
        possible: (of.delivery.sent > 0).then(|| of.delivery.best_ratio()),
        control_bytes_s_node: of.control,
    };
    let mut rows =
        vec![row("cold start", &outcome.cold), row("rest", &outcome.rest), row("traffic", &outcome.traffic)];
    if job.loss == 0 {
        rows.extend([row("churn", &outcome.churn), row("heal", &outcome.heal)]);
    }
    (rows, outcome)
}

fn jobs() -> Vec<Job> {
    let wanted: Option<Vec<usize>> = std::env::var("MESH_SIZES")
        .ok()
        .map(|sizes| sizes.split(',').filter_map(|size| size.trim().parse().ok()).collect());
    let sizes = SIZES.iter().filter(|(nodes, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(nodes)));
    // The long ones first: then all cores are busy to the end.
    let of_size = |(nodes, seeds): &(usize, u64)| {
        let (nodes, seeds) = (*nodes, *seeds);
        LOSSES.into_iter().flat_map(move |loss| (1..=seeds).map(move |seed| Job { nodes, loss, seed }))
    };
    sizes.rev().flat_map(of_size).collect()
}

fn run_all(jobs: Vec<Job>) -> Vec<Row> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = Mutex::new(jobs.into_iter());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().unwrap().next();
                    let Some(job) = job else { break };
                    let (new, _) = run(job);
                    rows.lock().unwrap().extend(new);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|row| (row.nodes, row.loss_percent, row.seed));
    rows
}

/// Median, and the extremes when there are several.
fn spread(mut values: Vec<f64>, show: impl Fn(f64) -> String) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return "-".into() };
    let median = show(values[values.len() / 2]);
    if values.len() == 1 { median } else { format!("{median} ({}..{})", show(*first), show(*last)) }
}

/// Convergence, delivery, what was possible, control traffic.
fn cells(rows: &[&Row]) -> String {
    let time = if rows.iter().any(|row| row.converged_s.is_none())
        && rows[0].part != "rest"
        && rows[0].part != "traffic"
    {
        "not in time".into()
    } else {
        spread(rows.iter().filter_map(|row| row.converged_s).collect(), |seconds| format!("{seconds:.2} s"))
    };
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let delivered = spread(rows.iter().filter_map(|row| row.delivered).collect(), percent);
    let possible = spread(rows.iter().filter_map(|row| row.possible).collect(), percent);
    let control =
        spread(rows.iter().map(|row| row.control_bytes_s_node).collect(), |bytes| format!("{bytes:.0}"));
    format!("{time} | {delivered} | {possible} | {control}")
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| nodes | loss | part | converged after | delivered | by the best way | control B/s a node |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut groups: Vec<(usize, u32, &str)> =
        rows.iter().map(|row| (row.nodes, row.loss_percent, row.part)).collect();
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    for (nodes, loss, part) in groups {
        let of: Vec<&Row> = rows
            .iter()
            .filter(|row| (row.nodes, row.loss_percent, row.part) == (nodes, loss, part))
            .collect();
        text += &format!("| {nodes} | {loss} % | {part} | {} |\n", cells(&of));
    }
    text
}

fn main() {
    let rows = run_all(jobs());
    let table = table(&rows);
    print!("{table}");
    let json = serde_json::to_string_pretty(&rows).unwrap();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target).expect("target");
    std::fs::write(target.join("mesh-curves.json"), json).expect("target/mesh-curves.json");
    document::write(TABLE_BEGIN, TABLE_END, &table);
}
