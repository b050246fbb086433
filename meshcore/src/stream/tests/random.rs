//! Arbitrary operations on both sides of a bad link: nothing panics, nothing hangs, no byte is wrong.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Operation {
    Open,
    Write(u8, usize),
    Finish(u8),
    Reset(u8),
    Stop(u8),
    Read(u8, usize),
    Ping,
    Wait(u64),
    Loss(u32),
    Mtu(usize),
    Priority(u8, u8),
    Datagram(usize),
    PathChange(u64),
    Corruption(u32),
}

fn operation() -> impl Strategy<Value = (usize, Operation)> {
    let operation = prop_oneof![
        3 => Just(Operation::Open),
        6 => (any::<u8>(), 0usize..20_000).prop_map(|(stream, len)| Operation::Write(stream, len)),
        2 => any::<u8>().prop_map(Operation::Finish),
        1 => any::<u8>().prop_map(Operation::Reset),
        1 => any::<u8>().prop_map(Operation::Stop),
        6 => (any::<u8>(), 0usize..20_000).prop_map(|(stream, limit)| Operation::Read(stream, limit)),
        1 => Just(Operation::Ping),
        4 => (0u64..300_000).prop_map(Operation::Wait),
        1 => (0u32..40).prop_map(Operation::Loss),
        1 => (128usize..3000).prop_map(Operation::Mtu),
        1 => (any::<u8>(), 0u8..10).prop_map(|(stream, priority)| Operation::Priority(stream, priority)),
        2 => (0usize..1500).prop_map(Operation::Datagram),
        1 => (0u64..40_000).prop_map(Operation::PathChange),
        1 => (0u32..30).prop_map(Operation::Corruption),
    ];
    (0usize..2, operation)
}

/// One direction of one stream, as the test sees it.
#[derive(Default)]
struct Direction {
    written: usize,
    read: Vec<u8>,
    over: bool,
}

struct World {
    net: Net,
    connections: [ConnectionId; 2],
    streams: [Vec<StreamId>; 2],
    /// By writer and stream.
    directions: BTreeMap<(usize, StreamId), Direction>,
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config {
            stream_window: 8_000,
            connection_window: 20_000,
            send_buffer: 6_000,
            max_streams: 5,
            key_update_packets: 30,
            idle_timeout: Duration::ZERO,
            ..Config::default()
        };
        let mut net = Net::with(seed, CLEAN, [config.clone(), config]);
        let (client, server) = net.establish();
        net.link = BAD;
        Self {
            net,
            connections: [client, server],
            streams: [Vec::new(), Vec::new()],
            directions: BTreeMap::new(),
        }
    }

    fn pick(&self, node: usize, index: u8) -> Option<StreamId> {
        let streams = &self.streams[node];
        streams.get(usize::from(index) % streams.len().max(1)).copied()
    }

    fn salt(node: usize, stream: StreamId) -> u64 {
        stream.as_u64() * 1000 + node as u64
    }

    fn read(&mut self, node: usize, stream: StreamId, limit: usize) {
        let mut new = Vec::new();
        let (endpoint, connection) = (&mut self.net.nodes[node].endpoint, self.connections[node]);
        let outcome = if limit.is_multiple_of(2) {
            endpoint.read(connection, stream, &mut new, limit)
        } else {
            endpoint.read_bytes(connection, stream, limit).map(|(outcome, data)| {
                new.extend(data);
                outcome
            })
        };
        let direction = self.directions.entry((1 - node, stream)).or_default();
        direction.read.extend(&new);
        if let Ok(ReadOutcome::Data(len)) = outcome {
            assert_eq!(len, new.len());
        }
        if outcome == Ok(ReadOutcome::Finished) {
            assert_eq!(direction.read.len(), direction.written, "bytes are missing, seed {}", self.net.seed);
        }
        direction.over |= !matches!(outcome, Ok(ReadOutcome::Data(_) | ReadOutcome::Blocked));
        let expected = pattern(direction.read.len(), Self::salt(1 - node, stream));
        assert!(direction.read == expected, "wrong bytes, seed {}", self.net.seed);
    }

    fn change_path(&mut self, node: usize, delay: Duration) {
        self.net.link.delay = delay;
        let (now, peer) = (self.net.now, self.net.nodes[1 - node].address);
        self.net.endpoint(node).on_path_change(now, peer);
    }

    fn apply(&mut self, node: usize, operation: Operation) {
        let connection = self.connections[node];
        match operation {
            Operation::Open => {
                if let Ok(stream) = self.net.endpoint(node).open(connection) {
                    self.streams[node].push(stream);
                }
            }
            Operation::Write(index, len) => {
                let Some(stream) = self.pick(node, index) else { return };
                let direction = self.directions.entry((node, stream)).or_default();
                let data =
                    pattern(direction.written + len, Self::salt(node, stream)).split_off(direction.written);
                let endpoint = &mut self.net.nodes[node].endpoint;
                let taken = if len.is_multiple_of(2) {
                    endpoint.write(connection, stream, &data)
                } else {
                    endpoint.write_bytes(connection, stream, data.into())
                };
                if let Ok(taken) = taken {
                    direction.written += taken;
                }
            }
            Operation::Finish(index) => {
                let _ =
                    self.pick(node, index).map(|stream| self.net.endpoint(node).finish(connection, stream));
            }
            Operation::Reset(index) => {
                let _ =
                    self.pick(node, index).map(|stream| self.net.endpoint(node).reset(connection, stream, 1));
            }
            Operation::Stop(index) => {
                let _ =
                    self.pick(node, index).map(|stream| self.net.endpoint(node).stop(connection, stream, 2));
            }
            Operation::Read(index, limit) => {
                if let Some(stream) = self.pick(node, index) {
                    self.read(node, stream, limit);
                }
            }
            Operation::Ping => self.net.endpoint(node).ping(connection),
            Operation::Wait(micros) => self.net.run_for(Duration::from_micros(micros)),
            Operation::Loss(loss) => self.net.link.loss = loss,
            Operation::Mtu(mtu) => {
                self.net.set_mtu(mtu);
            }
            Operation::Priority(index, priority) => {
                if let Some(stream) = self.pick(node, index) {
                    let _ = self.net.endpoint(node).set_priority(connection, stream, priority);
                }
            }
            Operation::Datagram(len) => {
                let _ = self.net.endpoint(node).send_datagram(connection, pattern(len, 99).into());
            }
            Operation::PathChange(micros) => self.change_path(node, Duration::from_micros(micros)),
            Operation::Corruption(share) => self.net.link.corruption = share,
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        self.net.flush();
        for node in [0, 1] {
            for (_, event) in self.net.take_events(node) {
                match event {
                    Event::Opened(stream) => self.streams[node].push(stream),
                    Event::Datagram => {
                        while let Some(data) = self.net.endpoint(node).read_datagram(self.connections[node]) {
                            assert!(data == pattern(data.len(), 99), "seed {}", self.net.seed);
                        }
                    }
                    Event::Closed { reason, .. } => panic!("closed: {reason}, seed {}", self.net.seed),
                    _ => {}
                }
            }
        }
    }

    /// Everything written must arrive, every stream must end.
    fn wind_up(&mut self) {
        self.net.link = Link { loss: 5, ..BAD };
        for _ in 0..4000 {
            self.take_events();
            let mut busy = false;
            for node in [0, 1] {
                for stream in self.streams[node].clone() {
                    let connection = self.connections[node];
                    let _ = self.net.endpoint(node).finish(connection, stream);
                    self.read(node, stream, usize::MAX);
                    busy |= !self.directions[&(1 - node, stream)].over;
                    let gone = self.net.endpoint(node).write(connection, stream, b"")
                        == Err(StreamError::UnknownStream);
                    busy |= !gone;
                }
            }
            if !busy && self.net.flying.is_empty() {
                return;
            }
            self.net.run_for(Duration::from_millis(100));
        }
        panic!("streams hang, seed {}", self.net.seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn operations_never_deadlock(seed in any::<u64>(), operations in proptest::collection::vec(operation(), 0..120)) {
        let mut world = World::new(seed);
        for (node, operation) in operations {
            world.apply(node, operation);
        }
        world.wind_up();
    }
}
