//! Links beside the bare system calls that they make, on a cable between two network namespaces, with all offloads off.
//!
//! Needs root. `cargo bench -p meshcore --bench links` prints processor time a frame, which a busy machine changes less
//! than elapsed time: one thread sends a batch into one end and receives it from the other, in turns. Then the round trip of
//! a small frame, both ends on one core.

#![allow(clippy::disallowed_methods)] // a benchmark is a driver

#[allow(dead_code)] // the benchmark of streams uses the rest
#[path = "links/namespaces.rs"]
mod namespaces;
#[path = "links/system.rs"]
mod system;

use std::thread;
use std::time::{Duration, Instant};

use meshcore::driver::link::{BATCH, Inbound, Link, LinkEvent};
use meshcore::types::{Destination, LinkAddr};
use namespaces::{Side, World};
use system::{Plain, Wire};
use tokio::runtime::Runtime;

/// Frames of one turn, turns of one sample, samples of one way.
const TURN: usize = 2 * BATCH;
const TURNS: usize = 400;
const SAMPLES: usize = 9;

/// Round trips of one sample.
const TRIPS: u32 = 20_000;

/// One end that can send to the other.
trait End: Send {
    /// Sends a turn's frames.
    fn send(&mut self);
    /// Receives what there is; how many frames.
    fn receive(&mut self) -> usize;
    /// Waits for a frame.
    fn wait(&mut self);
    /// Sends one small frame.
    fn ping(&mut self);
}

/// An end that is a link.
struct Ours {
    runtime: Runtime,
    link: Link,
    inbound: Inbound,
    batch: Vec<(Destination, Vec<u8>)>,
    small: [(Destination, Vec<u8>); 1],
}

impl Ours {
    fn open(wire: Wire, side: Side, len: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let spec = wire.spec(side).parse().unwrap();
        let link = runtime.block_on(async { Link::open(&spec).unwrap() });
        let to = Destination::Station(LinkAddr::new(&wire.address(side.other())).unwrap());
        let (inbound, batch, small) = (Inbound::new(), vec![(to, vec![7; len]); BATCH], [(to, vec![7; 64])]);
        let mut ours = Self { runtime, link, inbound, batch, small };
        // It looks at its interfaces now, in this namespace, and not soon again.
        let Self { runtime, link, inbound, .. } = &mut ours;
        while !matches!(runtime.block_on(link.next(inbound)), LinkEvent::Up { .. }) {}
        ours
    }
}

impl End for Ours {
    fn send(&mut self) {
        for _ in 0..TURN / BATCH {
            let sent = self.link.send_batch(&self.batch);
            assert!(sent.error.is_none() && sent.done == BATCH);
        }
    }

    fn receive(&mut self) -> usize {
        let Self { runtime, link, inbound, .. } = self;
        runtime.block_on(async {
            let mut count = 0;
            while count < TURN {
                if let LinkEvent::Frames = link.next(inbound).await {
                    while inbound.pop().is_some() {
                        count += 1;
                    }
                }
            }
            count
        })
    }

    fn wait(&mut self) {
        let Self { runtime, link, inbound, .. } = self;
        runtime.block_on(async {
            while inbound.pop().is_none() {
                link.next(inbound).await;
            }
        });
    }

    fn ping(&mut self) {
        assert_eq!(self.link.send_batch(&self.small).done, 1);
    }
}

impl End for Plain {
    fn send(&mut self) {
        for _ in 0..TURN / BATCH {
            self.send_batch();
        }
    }

    fn receive(&mut self) -> usize {
        let mut count = 0;
        while count < TURN {
            count += self.receive_batch();
        }
        count
    }

    fn wait(&mut self) {
        self.receive_one();
    }

    fn ping(&mut self) {
        self.send_one(64);
    }
}

/// How an end is made: the bare calls, or a link, on this wire.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    wire: Wire,
    is_plain: bool,
}

const WAYS: [Way; 6] = [
    Way { name: "raw frames, bare calls", wire: Wire::Ethernet, is_plain: true },
    Way { name: "raw frames, bare calls, in an epoll set", wire: Wire::Watched, is_plain: true },
    Way { name: "ethernet:IFACE", wire: Wire::Ethernet, is_plain: false },
    Way { name: "ethernet:IFACE?io=pnet", wire: Wire::Pnet, is_plain: false },
    Way { name: "UDP, bare calls", wire: Wire::Udp, is_plain: true },
    Way { name: "udp", wire: Wire::Udp, is_plain: false },
];

impl Way {
    fn len(self, mtu: usize) -> usize {
        match self.wire {
            // The headers of IPv6 and UDP.
            Wire::Udp => mtu - 48,
            _ => mtu,
        }
    }

    /// Both ends.
    fn open(self, world: &World, mtu: usize) -> [Box<dyn End>; 2] {
        let len = self.len(mtu);
        [Side::Left, Side::Right].map(|side| -> Box<dyn End> {
            world.enter(side);
            match self.is_plain {
                true => Box::new(Plain::open(self.wire, side, len)),
                false => Box::new(Ours::open(self.wire, side, len)),
            }
        })
    }
}

/// Nanoseconds of processor time a frame: to send, to receive.
fn cost([left, right]: &mut [Box<dyn End>; 2]) -> (f64, f64) {
    let (mut sending, mut receiving) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        let start = system::processor_time();
        left.send();
        let middle = system::processor_time();
        assert_eq!(right.receive(), TURN, "a frame was lost");
        sending += middle - start;
        receiving += system::processor_time() - middle;
    }
    let frames = (TURN * TURNS) as f64;
    (sending.as_nanos() as f64 / frames, receiving.as_nanos() as f64 / frames)
}

/// Microseconds of a round trip between two threads on one core.
fn round_trip(ends: [Box<dyn End>; 2]) -> f64 {
    let [mut near, mut far] = ends;
    let echo = thread::spawn(move || {
        for _ in 0..TRIPS {
            far.wait();
            far.ping();
        }
    });
    let start = Instant::now();
    for _ in 0..TRIPS {
        near.ping();
        near.wait();
    }
    let elapsed = start.elapsed();
    echo.join().unwrap();
    elapsed.as_secs_f64() * 1e6 / f64::from(TRIPS)
}

/// Median, and the extremes.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (first, median, last) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{median:.digits$} ({first:.digits$}..{last:.digits$})")
}

/// Prints the costs of all ways at one MTU; the ratios are of neighbours in time.
fn costs(world: &World, mtu: usize) {
    world.set_mtu(mtu);
    // pnet leaves the socket's buffer too small for a turn of large frames.
    let ways: Vec<_> =
        WAYS.into_iter().filter(|way| mtu == 1500 || !matches!(way.wire, Wire::Pnet)).collect();
    let mut samples = vec![Vec::new(); ways.len()];
    for _ in 0..SAMPLES {
        for (way, samples) in ways.iter().zip(&mut samples) {
            samples.push(cost(&mut way.open(world, mtu)));
        }
    }
    for (way, own) in ways.iter().zip(&samples) {
        let sum = |&(send, receive): &(f64, f64)| send + receive;
        let column = |value: fn(&(f64, f64)) -> f64| spread(own.iter().map(value).collect(), 0);
        let gigabits: Vec<_> = own.iter().map(|cost| way.len(mtu) as f64 * 8.0 / sum(cost)).collect();
        let ratios = own.iter().zip(&samples[0]).map(|(own, raw)| sum(raw) / sum(own)).collect();
        println!(
            "| {} | {mtu} | {} | {} | {} | {} |",
            way.name,
            column(|cost| cost.0),
            column(|cost| cost.1),
            spread(gigabits, 1),
            spread(ratios, 2),
        );
    }
}

fn main() {
    system::pin(0);
    let world = World::new();
    println!(
        "| way | MTU | send, ns a frame | receive, ns a frame | Gbit/s on one core | frames, of the raw limit |"
    );
    println!("|---|---|---|---|---|---|");
    costs(&world, 1500);
    costs(&world, 9000);
    world.set_mtu(1500);
    println!("\n| way | round trip of 64 bytes on one core, us | of raw frames |\n|---|---|---|");
    let mut samples = vec![Vec::new(); WAYS.len()];
    for _ in 0..SAMPLES {
        for (way, samples) in WAYS.into_iter().zip(&mut samples) {
            samples.push(round_trip(way.open(&world, 1500)));
        }
    }
    for (way, own) in WAYS.iter().zip(&samples) {
        let ratios = own.iter().zip(&samples[0]).map(|(own, raw)| own / raw).collect();
        println!("| {} | {} | {} |", way.name, spread(own.clone(), 2), spread(ratios, 2));
    }
}
