//! `cargo bench -p meshcore --bench transport`: what AlexStream costs by itself. Two endpoints, joined in memory, on one
//! core, without any I/O.
//!
//! Times of a shared machine vary; the instructions a packet (counted by valgrind, where it is installed, and written into
//! docs/BENCHMARKS.md) do not, and show a regression in spite of noise. Arguments choose among the rows: `bulk-1500`,
//! `bulk-9000`, `small`, `exchange`, `instructions`.

#![allow(clippy::disallowed_methods)] // a bench is a driver

#[path = "../tests/common/chain.rs"]
mod chain;
#[path = "common/document.rs"]
mod document;
#[path = "transport/instructions.rs"]
mod instructions;

use std::time::{Duration, Instant};

use meshcore::stream::{Config, ConnectionId, Credentials, Endpoint, Event, Purpose, ReadOutcome, StreamId};
use meshcore::types::{self, Address};

const CLIENT: &[u8] = include_bytes!("../tests/keys/alice.der");
const SERVER: &[u8] = include_bytes!("../tests/keys/bob.der");

/// Frames that a driver hands to the kernel at once.
const BATCH: usize = 64;

/// Payload of a frame beside the headers of AlexMesh, in frames of 1,500 and 9,000 bytes.
const FRAME_OVERHEAD: usize = 46;

/// Bytes that the application writes at a time.
const CHUNK: usize = 64 * 1024;

const SMALL: usize = 100;

/// Rounds of which the median counts.
const ROUNDS: usize = 7;

struct Node {
    endpoint: Endpoint,
    address: Address,
    busy: Duration,
}

impl Node {
    fn new(key: &[u8], seed: u8) -> Self {
        let credentials = Credentials::from_pkcs8(key).expect("a test key");
        let endpoint =
            Endpoint::new(Config::default(), credentials, [seed; 32]).expect("the default configuration");
        let address = endpoint.node_id().address();
        Self { endpoint, address, busy: Duration::ZERO }
    }
}

/// Client and server with one stream, and the batch that is on its way.
struct Pair {
    nodes: [Node; 2],
    connections: [ConnectionId; 2],
    stream: Option<StreamId>,
    start: Instant,
    batch: Vec<Vec<u8>>,
    packets: [u64; 2],
    received: u64,
    sink: Vec<u8>,
}

impl Pair {
    fn new(frame: usize) -> Self {
        let mut nodes = [Node::new(CLIENT, 1), Node::new(SERVER, 2)];
        let (client, server) = (nodes[0].address, nodes[1].address);
        let id = nodes[1].endpoint.node_id();
        nodes[0].endpoint.set_path_mtu(server, frame - FRAME_OVERHEAD);
        nodes[1].endpoint.set_path_mtu(client, frame - FRAME_OVERHEAD);
        let connection = nodes[0]
            .endpoint
            .connect(types::Instant::default(), id, Purpose::Application)
            .expect("a fresh endpoint");
        let mut pair = Self {
            nodes,
            connections: [connection; 2],
            stream: None,
            start: Instant::now(),
            batch: (0..BATCH).map(|_| Vec::with_capacity(frame)).collect(),
            packets: [0; 2],
            received: 0,
            sink: Vec::with_capacity(CHUNK),
        };
        let mut connected = 0;
        while connected < 2 {
            pair.carry(0);
            pair.carry(1);
            for (index, node) in pair.nodes.iter_mut().enumerate() {
                while let Some((connection, event)) = node.endpoint.poll_event() {
                    if matches!(event, Event::Connected { .. }) {
                        pair.connections[index] = connection;
                        connected += 1;
                    }
                }
            }
        }
        pair.stream = pair.nodes[0].endpoint.open(connection).ok();
        pair
    }

    fn now(&self) -> types::Instant {
        types::Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    /// Takes a batch of packets from one node to the other; returns how many.
    fn carry(&mut self, from: usize) -> usize {
        let now = self.now();
        let began = Instant::now();
        let endpoint = &mut self.nodes[from].endpoint;
        endpoint.handle_timeout(now);
        let mut count = 0;
        for packet in &mut self.batch {
            packet.clear();
            if endpoint.poll_transmit(now, packet).is_none() {
                break;
            }
            count += 1;
        }
        self.nodes[from].busy += began.elapsed();
        self.packets[from] += count as u64;
        let source = self.nodes[from].address;
        let began = Instant::now();
        let now = self.now();
        for packet in self.batch.iter_mut().take(count) {
            let _ = self.nodes[1 - from].endpoint.handle_packet(now, source, packet);
        }
        self.nodes[1 - from].busy += began.elapsed();
        count
    }

    /// The server's application takes what has come.
    fn read(&mut self) {
        let began = Instant::now();
        let node = &mut self.nodes[1];
        while let Some((connection, event)) = node.endpoint.poll_event() {
            let Event::Readable(stream) = event else { continue };
            loop {
                self.sink.clear();
                match node.endpoint.read(connection, stream, &mut self.sink, CHUNK) {
                    Ok(ReadOutcome::Data(len)) => self.received += len as u64,
                    _ => break,
                }
            }
        }
        node.busy += began.elapsed();
    }

    /// Sends `total` bytes in writes of `size`; returns how long it took.
    fn transfer(&mut self, total: u64, size: usize) -> Duration {
        let data = vec![0x5a; size];
        let (connection, stream) = (self.connections[0], self.stream.expect("a first stream"));
        let end = self.received + total;
        let mut left = total;
        let mut writable = true;
        self.nodes.iter_mut().for_each(|node| node.busy = Duration::ZERO);
        self.packets = [0; 2];
        let began = Instant::now();
        while self.received < end {
            let writing = Instant::now();
            while writable && left > 0 {
                let len = (size as u64).min(left) as usize;
                let taken =
                    self.nodes[0].endpoint.write(connection, stream, &data[..len]).expect("an open stream");
                left -= taken as u64;
                writable = taken == len;
            }
            self.nodes[0].busy += writing.elapsed();
            self.carry(0);
            self.read();
            self.carry(1);
            while let Some((_, event)) = self.nodes[0].endpoint.poll_event() {
                writable |= matches!(event, Event::Writable(_));
            }
        }
        began.elapsed()
    }
}

impl Pair {
    /// Exchanges 64 bytes to and fro; returns how long it took.
    fn exchange(&mut self, exchanges: u64) -> Duration {
        let stream = self.stream.expect("a first stream");
        let message = [1; 64];
        let began = Instant::now();
        for _ in 0..exchanges {
            for from in [0, 1] {
                let end = &mut self.nodes[from].endpoint;
                end.write(self.connections[from], stream, &message).expect("an open stream");
                self.carry(from);
                let to = &mut self.nodes[1 - from].endpoint;
                while to.poll_event().is_some() {}
                self.sink.clear();
                while let Ok(ReadOutcome::Data(_)) =
                    to.read(self.connections[1 - from], stream, &mut self.sink, CHUNK)
                {}
                assert_eq!(self.sink.len(), message.len());
            }
        }
        began.elapsed()
    }
}

/// What one round gave.
struct Sample {
    elapsed: Duration,
    packets: u64,
    acks: u64,
    sender: Duration,
    receiver: Duration,
}

fn sample(frame: usize, total: u64, size: usize) -> Sample {
    let mut pair = Pair::new(frame);
    pair.transfer(total / 8, size);
    let elapsed = pair.transfer(total, size);
    let [sender, receiver] = [0, 1].map(|node| pair.nodes[node].busy);
    Sample { elapsed, packets: pair.packets[0], acks: pair.packets[1], sender, receiver }
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn bulk(frame: usize, total: u64) {
    let samples: Vec<_> = (0..ROUNDS).map(|_| sample(frame, total, CHUNK)).collect();
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
    let rates = samples.iter().map(|sample| total as f64 * 8e-9 / sample.elapsed.as_secs_f64()).collect();
    let (rate, least, most) = median(rates);
    let packet = of(|sample| sample.elapsed.as_nanos() as f64 / sample.packets as f64).0;
    let sender = of(|sample| sample.sender.as_nanos() as f64 / sample.packets as f64).0;
    let receiver = of(|sample| sample.receiver.as_nanos() as f64 / sample.packets as f64).0;
    let acks = of(|sample| sample.packets as f64 / sample.acks as f64).0;
    println!(
        "bulk {frame:>5}: {rate:6.2} Gbit/s ({least:.2} to {most:.2}), {packet:6.0} ns a packet: sender {sender:.0}, \
         receiver {receiver:.0}; {acks:.1} packets an acknowledgement"
    );
}

fn small(writes: u64) {
    let rates = (0..ROUNDS)
        .map(|_| writes as f64 / sample(1500, writes * SMALL as u64, SMALL).elapsed.as_secs_f64() / 1e6)
        .collect();
    let (rate, least, most) = median(rates);
    println!("small {SMALL:>4}: {rate:6.2} million writes a second ({least:.2} to {most:.2})");
}

fn exchange(exchanges: u64) {
    let times = (0..ROUNDS)
        .map(|_| {
            let mut pair = Pair::new(1500);
            pair.exchange(exchanges / 8);
            pair.exchange(exchanges).as_nanos() as f64 / exchanges as f64
        })
        .collect();
    let (time, least, most) = median(times);
    println!("exchange 64: {time:6.0} ns for both ways and both ends ({least:.0} to {most:.0})");
}

/// What is done for a row of instructions.
fn work(name: &str, total: u64) {
    if name == "relay" {
        return instructions::pass_on(total);
    }
    let (frame, size) = match name {
        "bulk-9000" => (9000, CHUNK),
        "small" => (1500, SMALL),
        _ => (1500, CHUNK),
    };
    Pair::new(frame).transfer(total, size);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, row, total] = &arguments[..]
        && mode == "count"
    {
        return work(row, total.parse().expect("a number of bytes"));
    }
    let wanted = |row: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == row);
    if wanted("bulk-1500") {
        bulk(1500, 512 << 20);
    }
    if wanted("bulk-9000") {
        bulk(9000, 1 << 30);
    }
    if wanted("small") {
        small(4_000_000);
    }
    if wanted("exchange") {
        exchange(200_000);
    }
    if wanted("instructions") {
        instructions::count_all();
    }
}
