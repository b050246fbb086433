//! What a connection costs in memory when it has nothing to do, and how often the heap is asked for memory when it is busy.

#[path = "common/counting.rs"]
mod counting;

use std::time::Duration;

use meshcore::stream::{Config, ConnectionId, Credentials, Endpoint, Event, Purpose, ReadOutcome};
use meshcore::types::{Address, Instant};

const ALICE: &[u8] = include_bytes!("keys/alice.der");
const BOB: &[u8] = include_bytes!("keys/bob.der");

/// Bytes that one end of an idle connection may cost.
const IDLE: usize = 32 * 1024;

struct Pair {
    ends: [Endpoint; 2],
    addresses: [Address; 2],
    now: Instant,
    buffer: Vec<u8>,
    packets: usize,
}

impl Pair {
    fn new(config: &Config) -> Self {
        let ends = [(ALICE, 1), (BOB, 2)].map(|(key, seed)| {
            let credentials = Credentials::from_pkcs8(key).expect("a test key");
            Endpoint::new(config.clone(), credentials, [seed; 32]).expect("a valid configuration")
        });
        let addresses = [0, 1].map(|end: usize| ends[end].node_id().address());
        Self { ends, addresses, now: Instant::default(), buffer: Vec::with_capacity(2048), packets: 0 }
    }

    /// Carries packets until nobody has any.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for end in [0, 1] {
                self.ends[end].handle_timeout(self.now);
                self.buffer.clear();
                while self.ends[end].poll_transmit(self.now, &mut self.buffer).is_some() {
                    let _ = self.ends[1 - end].handle_packet(self.now, self.addresses[end], &mut self.buffer);
                    self.buffer.clear();
                    self.packets += 1;
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn connect(&mut self) -> [ConnectionId; 2] {
        let peer = self.ends[1].node_id();
        let client = self.ends[0].connect(self.now, peer, Purpose::Application).expect("another node");
        let mut server = None;
        while server.is_none() {
            self.settle();
            self.now += Duration::from_millis(1);
            while self.ends[0].poll_event().is_some() {}
            while let Some((connection, event)) = self.ends[1].poll_event() {
                server = server.or(matches!(event, Event::Connected { .. }).then_some(connection));
            }
        }
        self.now += Duration::from_millis(100);
        self.settle();
        [client, server.expect("a connection")]
    }

    /// Sends this many bytes from the client to the server.
    fn transfer(&mut self, [client, server]: [ConnectionId; 2], total: usize, sink: &mut Vec<u8>) {
        let stream = self.ends[0].open(client).expect("a stream");
        let data = [9; 65_536];
        let (mut left, mut received) = (total, 0);
        while received < total {
            let taken =
                self.ends[0].write(client, stream, &data[..left.min(65_536)]).expect("an open stream");
            left -= taken;
            self.settle();
            while self.ends[0].poll_event().is_some() {}
            while let Some((_, event)) = self.ends[1].poll_event() {
                let Event::Readable(stream) = event else { continue };
                sink.clear();
                while let Ok(ReadOutcome::Data(len)) = self.ends[1].read(server, stream, sink, 65_536) {
                    received += len;
                }
            }
            self.now += Duration::from_micros(50);
        }
        // The server gives up its direction unused.
        self.ends[0].finish(client, stream).expect("an open stream");
        self.ends[1].finish(server, stream).expect("an open stream");
        self.now += Duration::from_millis(100);
        self.settle();
        let _ = self.ends[1].read(server, stream, sink, 1);
        let _ = self.ends[0].read(client, stream, sink, 1);
    }
}

#[test]
fn an_idle_connection_costs_less_than_32_kib() {
    const CONNECTIONS: usize = 50;
    let mut pair = Pair::new(&Config { idle_timeout: Duration::ZERO, ..Config::default() });
    pair.connect();
    let mut sink = Vec::with_capacity(1 << 20);
    let before = counting::bytes();
    for _ in 0..CONNECTIONS {
        let connection = pair.connect();
        // Also one that was busy.
        pair.transfer(connection, 1 << 20, &mut sink);
    }
    let cost = (counting::bytes() - before) / CONNECTIONS / 2;
    println!("an idle end of a connection: {cost} bytes");
    assert!(cost < IDLE, "{cost}");
    assert!(cost > 100, "{cost}: nothing was measured");
}

#[test]
fn a_reader_that_never_reads_costs_its_window() {
    const WINDOW: usize = 256 * 1024;
    let config = Config {
        stream_window: WINDOW as u64,
        send_buffer: WINDOW,
        max_send_buffer: WINDOW,
        ..Config::default()
    };
    let mut pair = Pair::new(&config);
    let [client, _] = pair.connect();
    let stream = pair.ends[0].open(client).expect("a stream");
    let before = counting::bytes();
    let mut taken = 0;
    for _ in 0..1000 {
        taken += pair.ends[0].write(client, stream, &[1; 65_536]).expect("an open stream");
        pair.settle();
        while pair.ends[0].poll_event().is_some() || pair.ends[1].poll_event().is_some() {}
        pair.now += Duration::from_millis(10);
        for end in &mut pair.ends {
            end.handle_timeout(pair.now);
        }
    }
    assert_eq!(taken, 2 * WINDOW);
    let cost = counting::bytes() - before;
    assert!((2 * WINDOW..2 * WINDOW + 64 * 1024).contains(&cost), "{cost}");
}

#[test]
fn packets_cost_no_allocation() {
    let mut pair = Pair::new(&Config::default());
    let connection = pair.connect();
    let mut sink = Vec::with_capacity(1 << 20);
    pair.transfer(connection, 1 << 20, &mut sink);
    let (packets, allocations) = (pair.packets, counting::allocations());
    pair.transfer(connection, 8 << 20, &mut sink);
    let (packets, allocations) = (pair.packets - packets, counting::allocations() - allocations);
    println!("{allocations} allocations for {packets} packets");
    // Blocks of 16 KiB at either end, and what an acknowledgement covers.
    assert!(allocations < packets / 2, "{allocations} allocations for {packets} packets");
}
