//! Random meshes and what happens to them: links of every kind, faults, crashes, partitions. One seed, one scenario.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::sim::scenario::{Change, Flow, Kind, Quality, Scenario};
use crate::sim::topology;

/// Nodes of a random mesh.
const NODES: std::ops::RangeInclusive<usize> = 3..=16;

/// Events of a random scenario, at most.
const EVENTS: usize = 14;

/// First and last time of an event.
const TIMES: std::ops::Range<u64> = 2_000..60_000;

/// How bad the links of a mesh may be.
#[derive(Debug, Clone, Copy)]
struct Weather {
    loss: u32,
    duplicate: u32,
    delay: u64,
    jitter: u64,
}

/// The scenario of a seed. Its end is its last event: who runs it adds the time that nodes have after that.
pub(crate) fn scenario(seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = rng.random_range(NODES);
    let weather = weather(&mut rng);
    let mut scenario = shape(&mut rng, seed, nodes, weather);
    let nodes = scenario.names.len();
    narrow(&mut rng, &mut scenario);
    for _ in 0..rng.random_range(0..3) {
        let (from, to) = two(&mut rng, nodes);
        let every = Duration::from_millis(rng.random_range(50..1000));
        let (start, end) = (Duration::from_secs(1), Duration::from_secs(200));
        scenario.flows.push(Flow { from, to, every, start, end });
    }
    let mut times: Vec<u64> = (0..rng.random_range(0..=EVENTS)).map(|_| rng.random_range(TIMES)).collect();
    times.sort_unstable();
    for time in times {
        let change = change(&mut rng, &scenario, weather);
        scenario.at(Duration::from_millis(time), change);
    }
    scenario.end = scenario.last_event();
    scenario
}

fn weather(rng: &mut impl Rng) -> Weather {
    match rng.random_range(0..10) {
        0..4 => Weather { loss: 0, duplicate: 0, delay: 2_000, jitter: 0 },
        4..8 => Weather { loss: 50_000, duplicate: 10_000, delay: 20_000, jitter: 5_000 },
        _ => Weather { loss: 200_000, duplicate: 50_000, delay: 50_000, jitter: 50_000 },
    }
}

fn quality(rng: &mut impl Rng, weather: Weather) -> Quality {
    let micros = |rng: &mut dyn Rng, most: u64| Duration::from_micros(rng.random_range(0..=most));
    Quality {
        loss: rng.random_range(0..=weather.loss),
        duplicate: rng.random_range(0..=weather.duplicate),
        delay: Duration::from_micros(100) + micros(rng, weather.delay),
        jitter: micros(rng, weather.jitter),
    }
}

fn two(rng: &mut impl Rng, nodes: usize) -> (usize, usize) {
    let from = rng.random_range(0..nodes);
    (from, (from + rng.random_range(1..nodes)) % nodes)
}

fn shape(rng: &mut impl Rng, seed: u64, nodes: usize, weather: Weather) -> Scenario {
    let each = quality(rng, weather);
    match rng.random_range(0..10) {
        0 => topology::line(seed, nodes, each),
        1 => topology::ring(seed, nodes, each),
        2 => topology::grid(seed, nodes.div_ceil(4).max(2), nodes.min(4), each),
        3 => topology::star(seed, nodes, each),
        4 => topology::geometric(seed, nodes, rng.random_range(2.0..6.0), each),
        5 => topology::segments(seed, &vec![rng.random_range(2..5); nodes / 3 + 1], each),
        _ => mixed(rng, seed, nodes, weather),
    }
}

/// Media of all kinds between nodes drawn at random; some pairs share several, some nodes have none.
fn mixed(rng: &mut impl Rng, seed: u64, nodes: usize, weather: Weather) -> Scenario {
    let mut scenario = Scenario::of_nodes(seed, nodes);
    for _ in 0..rng.random_range(nodes / 2..=2 * nodes) {
        let (a, b) = two(rng, nodes);
        let each = quality(rng, weather);
        match rng.random_range(0..10) {
            0..6 => drop(scenario.link(a, b, each)),
            6 => {
                let medium = scenario.add(Kind::Link);
                scenario.media[medium].hear(a, b, false, each);
            }
            7 => {
                let medium = scenario.add(Kind::Segment);
                scenario.media[medium].quality = each;
                (0..rng.random_range(2..5))
                    .for_each(|_| scenario.media[medium].join(rng.random_range(0..nodes)));
            }
            _ => {
                let medium = scenario.add(Kind::Radio);
                for _ in 0..rng.random_range(1..nodes) {
                    let (from, to) = two(rng, nodes);
                    let each = quality(rng, weather);
                    scenario.media[medium].hear(from, to, rng.random_bool(0.9), each);
                }
            }
        }
    }
    scenario
}

/// Gives some media a small bandwidth or small frames.
fn narrow(rng: &mut impl Rng, scenario: &mut Scenario) {
    for medium in &mut scenario.media {
        if rng.random_bool(0.1) {
            medium.bandwidth = Some(rng.random_range(128_000..2_000_000));
            medium.queue = rng.random_range(16_000..64_000);
        }
        if rng.random_bool(0.1) {
            medium.mtu = rng.random_range(1280..9000);
        }
    }
}

fn change(rng: &mut impl Rng, scenario: &Scenario, weather: Weather) -> Change {
    let nodes = scenario.names.len();
    let (from, to) = neighbours(rng, scenario);
    let both_ways = rng.random_bool(0.8);
    let node = rng.random_range(0..nodes);
    let medium = rng.random_range(0..scenario.media.len().max(1));
    match rng.random_range(0..20) {
        0..4 => Change::Cut { from, to, both_ways },
        4..6 => Change::Mend { from, to, both_ways },
        6..8 => {
            let quality = match rng.random_range(0..3) {
                0 => Quality { loss: rng.random_range(0..1_000_000), ..Quality::default() },
                _ => quality(rng, weather),
            };
            Change::Set { from, to, both_ways, quality }
        }
        8 => Change::Partition(vec![(0..nodes).filter(|_| rng.random_bool(0.5)).collect()]),
        9 => Change::Heal,
        10 if !scenario.media.is_empty() => Change::Unplug { node: member(rng, scenario, medium), medium },
        11 if !scenario.media.is_empty() => Change::Plug { node: member(rng, scenario, medium), medium },
        12..14 => Change::Crash(node),
        14 => Change::Leave(node),
        15..19 => Change::Restart { node, with_disk: true },
        _ => Change::Restart { node, with_disk: false },
    }
}

/// Two nodes that share a medium, most of the time.
fn neighbours(rng: &mut impl Rng, scenario: &Scenario) -> (usize, usize) {
    let medium = &scenario.media[rng.random_range(0..scenario.media.len().max(1))..];
    match medium.first().map(|medium| &medium.members[..]) {
        Some(members) if members.len() > 1 => {
            let (a, b) = two(rng, members.len());
            (members[a], members[b])
        }
        _ => two(rng, scenario.names.len()),
    }
}

fn member(rng: &mut impl Rng, scenario: &Scenario, medium: usize) -> usize {
    let members = &scenario.media[medium].members;
    members[rng.random_range(0..members.len())]
}
