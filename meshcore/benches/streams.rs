//! `make bench`: streams between two whole nodes beside the kernel's TCP and bare frames, on a cable between two network
//! namespaces with all offloads off.
//!
//! Needs root, iperf3(1) and nft(8). Everything that is compared takes turns, so that a machine whose speed drifts treats all
//! alike; only the ratios, each of neighbours in time, count. Writes the tables into docs/BENCHMARKS.md, between its
//! markers. `STREAMS_SAMPLES` and `STREAMS_SECONDS` make it shorter or longer, `STREAMS_ONLY=bulk,loss,trips,messages`
//! chooses parts, and then writes nothing.

#![allow(clippy::disallowed_methods)] // a benchmark is a driver

#[path = "streams/kernel.rs"]
mod kernel;
#[path = "links/namespaces.rs"]
mod namespaces;
#[path = "streams/nodes.rs"]
mod nodes;
#[allow(dead_code)] // the benchmark of the links uses the rest
#[path = "links/system.rs"]
mod system;

use std::path::Path;
use std::thread;
use std::time::Duration;

use namespaces::{Side, World};

const TABLE_BEGIN: &str = "<!-- streams: written by make bench -->";
const TABLE_END: &str = "<!-- end of streams -->";

/// Links of the nodes.
const LINKS: [(&str, &str); 2] = [("ethernet", "ethernet:IFACE"), ("udp", "udp")];

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    time: Duration,
    samples: usize,
}

impl Effort {
    fn from_environment() -> Self {
        let number = |name, default| {
            std::env::var(name)
                .map_or(default, |value| value.parse().expect("a number of seconds or samples"))
        };
        Self {
            time: Duration::from_secs(number("STREAMS_SECONDS", 2)),
            samples: number("STREAMS_SAMPLES", 5) as usize,
        }
    }
}

/// What one measurement gives: the values of the columns.
type Sample = Vec<f64>;

/// One row of a table.
struct Row<'a> {
    name: String,
    measure: Box<dyn Fn() -> Sample + 'a>,
}

impl<'a> Row<'a> {
    fn new(name: impl Into<String>, measure: impl Fn() -> Sample + 'a) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// A column: what it is called, how many digits it has; with a divisor it is a ratio of the first value to that of the
/// named row in the same turn.
enum Column {
    Value(&'static str, usize, usize),
    Ratio(&'static str, &'static str),
}

/// Measures all rows in turns, and makes a table of them.
fn table(samples: usize, title: &str, columns: &[Column], rows: &[Row<'_>]) -> String {
    let mut taken: Vec<Vec<Sample>> = vec![Vec::new(); rows.len()];
    for turn in 0..samples {
        for (row, taken) in rows.iter().zip(&mut taken) {
            let sample = (row.measure)();
            eprintln!("{title}, turn {}: {}: {sample:.2?}", turn + 1, row.name);
            taken.push(sample);
        }
    }
    let heads = columns.iter().map(|column| match column {
        Column::Value(name, ..) | Column::Ratio(name, _) => *name,
    });
    let mut text = format!("| {title} | {} |\n|---|", heads.collect::<Vec<_>>().join(" | "));
    text += &"---|".repeat(columns.len());
    for (row, own) in rows.iter().zip(&taken) {
        text += &format!("\n| {} |", row.name);
        for column in columns {
            let values: Vec<f64> = match column {
                Column::Value(_, number, _) => {
                    own.iter().filter_map(|sample| sample.get(*number).copied()).collect()
                }
                Column::Ratio(_, to) => {
                    let base =
                        rows.iter().position(|row| row.name == *to).expect("the row that is compared with");
                    own.iter().zip(&taken[base]).map(|(own, base)| own[0] / base[0]).collect()
                }
            };
            let digits = if let Column::Value(_, _, digits) = column { *digits } else { 2 };
            text += &format!(" {} |", spread(values, digits));
        }
    }
    text + "\n"
}

/// Median, and the extremes.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return "-".into() };
    format!("{:.digits$} ({first:.digits$}..{last:.digits$})", values[values.len() / 2])
}

const RAW: &str = "raw frames, bare calls";
const TCP: &str = "kernel TCP (CUBIC), in clear";

fn bulk_rows<'a>(world: &'a World, time: Duration, rows: &mut Vec<Row<'a>>) {
    rows.push(Row::new(TCP, move || kernel::tcp_bulk(world, time)));
    for (link, name) in LINKS {
        rows.push(Row::new(format!("stream over `{name}`"), move || nodes::bulk(world, link, time)));
    }
}

fn bulk(world: &World, effort: Effort, mtu: usize) -> String {
    world.set_mtu(mtu);
    let mut rows = vec![Row::new(RAW, || kernel::raw_bulk(world, mtu, effort.time))];
    bulk_rows(world, effort.time, &mut rows);
    let columns = [
        Column::Value("Gbit/s", 0, 2),
        Column::Ratio("of TCP", TCP),
        Column::Ratio("of raw frames", RAW),
        Column::Value("bytes on the link for each", 1, 3),
    ];
    let table = table(effort.samples, &format!("bulk, MTU {mtu}"), &columns, &rows);
    world.set_mtu(1500);
    table
}

fn loss(world: &World, effort: Effort, percent: u32) -> String {
    kernel::drop_frames(world, percent);
    let mut rows = Vec::new();
    bulk_rows(world, effort.time, &mut rows);
    let columns = [
        Column::Value("Mbit/s", 2, 0),
        Column::Ratio("of TCP", TCP),
        Column::Value("bytes on the link for each", 1, 3),
    ];
    let table = table(effort.samples, &format!("bulk, {percent} % dropped"), &columns, &rows);
    kernel::drop_frames(world, 0);
    table
}

/// All threads of both ends share one core: to wake an idle core takes longer than anything else here.
fn trips(world: &World, effort: Effort) -> String {
    let run = || {
        system::pin(0);
        let mut rows = vec![
            Row::new(RAW, || kernel::raw_trips(world)),
            Row::new("kernel TCP, in clear", || kernel::tcp_trips(world)),
        ];
        for (link, name) in LINKS {
            rows.push(Row::new(format!("stream over `{name}`"), move || nodes::trips(world, link)));
        }
        let columns = [
            Column::Value("p50, us", 0, 1),
            Column::Value("p99, us", 1, 1),
            Column::Ratio("p50, of raw frames", RAW),
        ];
        table(effort.samples, "round trip of 64 bytes, one core", &columns, &rows)
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn messages(world: &World, effort: Effort) -> String {
    let row = |(link, name)| {
        Row::new(format!("stream over `{name}`"), move || nodes::messages(world, link, effort.time))
    };
    let rows: Vec<_> = LINKS.into_iter().map(row).collect();
    table(effort.samples, "messages of 100 bytes", &[Column::Value("million a second", 0, 2)], &rows)
}

/// Replaces what stands between the markers.
fn splice(document: &str, tables: &str) -> Option<String> {
    let (head, rest) = document.split_once(TABLE_BEGIN)?;
    let (_, tail) = rest.split_once(TABLE_END)?;
    Some(format!("{head}{TABLE_BEGIN}\n\n{tables}\n{TABLE_END}{tail}"))
}

fn main() {
    let effort = Effort::from_environment();
    let only = std::env::var("STREAMS_ONLY").ok();
    let wants = |part: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == part));
    let world = World::new();
    let mut tables = Vec::new();
    if wants("bulk") {
        tables.extend([1500, 9000].map(|mtu| bulk(&world, effort, mtu)));
    }
    if wants("loss") {
        tables.extend([1, 5].map(|percent| loss(&world, effort, percent)));
    }
    if wants("trips") {
        tables.push(trips(&world, effort));
    }
    if wants("messages") {
        tables.push(messages(&world, effort));
    }
    world.enter(Side::Left);
    let tables = tables.join("\n");
    print!("{tables}");
    if only.is_some() {
        return;
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARKS.md");
    let text = std::fs::read_to_string(&document).expect("docs/BENCHMARKS.md");
    std::fs::write(&document, splice(&text, &tables).expect("the markers")).expect("docs/BENCHMARKS.md");
}
