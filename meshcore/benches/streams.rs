//! `make bench`: streams between whole nodes beside the kernel's TCP and bare frames, on cables between network namespaces,
//! with all offloads off unless a row says so.
//!
//! Needs root, iperf3(1), nft(8) and tc(8), and the programs in C and Python that `make bench` builds (`STREAMS_C` and
//! `STREAMS_PYTHON` name others). Everything that is compared takes turns, so that a machine whose speed drifts treats all
//! alike; only the ratios, each of neighbours in time, count. Writes the tables into docs/BENCHMARKS.md, between its
//! markers, unless a row has failed. `STREAMS_SAMPLES` and `STREAMS_SECONDS` make it shorter or longer,
//! `STREAMS_ONLY=bulk,loss,trips,messages,durable,relays,sharing,memory` chooses parts, and then writes nothing.

#![allow(clippy::disallowed_methods)] // a benchmark is a driver

#[path = "common/document.rs"]
mod document;
#[path = "streams/durable.rs"]
mod durable;
#[path = "streams/kernel.rs"]
mod kernel;
#[path = "streams/machine.rs"]
mod machine;
#[path = "streams/memory.rs"]
mod memory;
#[path = "links/namespaces.rs"]
mod namespaces;
#[path = "streams/nodes.rs"]
mod nodes;
#[path = "streams/programs.rs"]
mod programs;
#[path = "streams/relays.rs"]
mod relays;
#[path = "streams/sharing.rs"]
mod sharing;
#[allow(dead_code)] // the benchmark of the links uses the rest
#[path = "links/system.rs"]
mod system;
#[path = "streams/table.rs"]
mod table;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use namespaces::World;
use programs::Language;
use relays::{Chain, RELAYS};
use sharing::{Flow, Narrow};
use table::{Column, Row, table};

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

const RAW: &str = "raw frames, bare calls";
const TCP: &str = "kernel TCP (CUBIC), in clear";
const RUST: &str = "stream over `ethernet:IFACE`";

/// Shortest time in which two flows share a link.
const SHARING: Duration = Duration::from_secs(15);

fn bulk_rows<'a>(world: &'a World, time: Duration, rows: &mut Vec<Row<'a>>) {
    rows.push(Row::new(TCP, move || kernel::tcp_bulk(world, time)));
    for (link, name) in LINKS {
        rows.push(Row::new(format!("stream over `{name}`"), move || nodes::bulk(world, link, time)));
    }
}

fn bulk(world: &World, effort: Effort, mtu: usize) -> String {
    world.set_mtu(mtu);
    let time = effort.time;
    let mut rows = vec![Row::new(RAW, || kernel::raw_bulk(world, mtu, time))];
    bulk_rows(world, time, &mut rows);
    if mtu == 1500 {
        rows.extend(
            Language::ALL
                .map(|language| Row::new(language.row(), move || programs::bulk(world, language, time))),
        );
    }
    rows.push(Row::new("the same TCP with the offloads on", || kernel::offloaded_tcp_bulk(world, time)));
    let columns = [
        Column::Value("Gbit/s", 0, 2),
        Column::Ratio("of TCP", TCP, 1.0),
        Column::Ratio("of raw frames", RAW, 1.0),
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
        Column::Ratio("of TCP", TCP, 1.0),
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
        rows.extend(
            Language::ALL.map(|language| Row::new(language.row(), move || programs::trips(world, language))),
        );
        let columns = [
            Column::Value("p50, us", 0, 1),
            Column::Value("p99, us", 1, 1),
            Column::Ratio("p50, of raw frames", RAW, 1.0),
        ];
        table(effort.samples, "round trip of 64 bytes, one core", &columns, &rows)
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn messages(world: &World, effort: Effort) -> String {
    let time = effort.time;
    let own =
        |(link, name)| Row::new(format!("stream over `{name}`"), move || nodes::messages(world, link, time));
    let other =
        |language: Language| Row::new(language.row(), move || programs::messages(world, language, time));
    let rows: Vec<_> = LINKS.into_iter().map(own).chain(Language::ALL.map(other)).collect();
    let columns = [Column::Value("million a second", 0, 2), Column::Ratio("of Rust", RUST, 1.0)];
    table(effort.samples, "messages of 100 bytes", &columns, &rows)
}

fn relays(world: &World, effort: Effort) -> String {
    let chain = Chain::new();
    let rows = [
        Row::new("no relay", || nodes::bulk(world, "ethernet", effort.time)),
        Row::new(format!("{RELAYS} relays"), || chain.bulk(effort.time)),
    ];
    let columns = [
        Column::Value("Gbit/s", 0, 2),
        Column::Ratio("of no relay", "no relay", 1.0),
        Column::Ratio("of the fair share", "no relay", relays::fair_share(machine::cores())),
    ];
    table(effort.samples, "bulk over relays, MTU 1500", &columns, &rows)
}

/// The last row shows what the kernel's TCP grants its like.
fn sharing(effort: Effort) -> String {
    let (narrow, time) = (&Narrow::new(), effort.time.max(SHARING));
    let rows = [
        ("a stream joins TCP", Flow::Tcp, Flow::Stream),
        ("TCP joins a stream", Flow::Stream, Flow::Tcp),
        ("TCP joins TCP", Flow::Tcp, Flow::Tcp),
    ]
    .map(|(name, first, second)| Row::new(name, move || narrow.share(first, second, time)));
    let columns = [
        Column::Value("who was there, Mbit/s", 0, 0),
        Column::Value("who joins, Mbit/s", 1, 0),
        Column::Value("who joins, of the other", 2, 2),
    ];
    table(effort.samples, "one link of 200 Mbit/s", &columns, &rows)
}

/// The disk is the one that holds temporary files (`TMPDIR`).
fn durable(world: &World, effort: Effort) -> String {
    let rows =
        LINKS.map(|(link, name)| Row::new(format!("`{name}`"), move || durable::messages(world, link)));
    let columns = [
        Column::Value("a second, many at once", 0, 0),
        Column::Value("one alone until delivered, ms", 1, 2),
        Column::Value("one sync of the disk, ms", 2, 2),
        Column::Value("round trip, ms", 3, 3),
        Column::Value("one alone, of sync and round trip", 4, 2),
    ];
    table(effort.samples, "durable messages of 100 bytes", &columns, &rows)
}

fn memory(world: &World, effort: Effort) -> String {
    let rows = [("no stream", false), ("a stream, used once", true)]
        .map(|(name, streams)| Row::new(name, move || memory::idle(world, streams)));
    let columns = [
        Column::Value("resident at the end that connects", 0, 1),
        Column::Value("allocated there", 1, 1),
        Column::Value("resident at the other end", 2, 1),
        Column::Value("allocated there", 3, 1),
    ];
    let title = format!("KiB an idle connection, of {}", memory::CONNECTIONS);
    table(effort.samples, &title, &columns, &rows)
}

fn main() -> ExitCode {
    if memory::is_end() {
        return ExitCode::SUCCESS;
    }
    table::watch_panics();
    let effort = Effort::from_environment();
    let only = std::env::var("STREAMS_ONLY").ok();
    let wants = |part: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == part));
    let mut texts = vec![format!(
        "{} turns of {} s each, on {}.\n",
        effort.samples,
        effort.time.as_secs(),
        machine::describe()
    )];
    let world = World::new();
    let parts: [(&str, &dyn Fn() -> Vec<String>); 8] = [
        ("bulk", &|| [1500, 9000].map(|mtu| bulk(&world, effort, mtu)).into()),
        ("loss", &|| [1, 5].map(|percent| loss(&world, effort, percent)).into()),
        ("relays", &|| vec![relays(&world, effort)]),
        ("sharing", &|| vec![sharing(effort)]),
        ("trips", &|| vec![trips(&world, effort)]),
        ("messages", &|| vec![messages(&world, effort)]),
        ("durable", &|| vec![durable(&world, effort)]),
        ("memory", &|| vec![memory(&world, effort)]),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| wants(name)) {
        texts.extend(part());
    }
    let tables = texts.join("\n");
    print!("{tables}");
    let failures = table::failures();
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    if !failures.is_empty() {
        return ExitCode::FAILURE;
    }
    if only.is_none() {
        document::write(TABLE_BEGIN, TABLE_END, &tables);
    }
    ExitCode::SUCCESS
}
