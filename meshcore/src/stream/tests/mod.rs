//! Two or more endpoints over a simulated link, in virtual time. Every failure names the seed that replays it (TLS draws
//! its own randomness, but neither sizes nor times depend on that).

mod bottleneck;
mod closing;
mod features;
mod handshake;
mod hostile;
mod outages;
mod paths;
mod transfer;
mod vectors;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::{
    CloseReason, Config, ConnectionId, Credentials, DatagramError, Endpoint, Event, PacketError, Purpose,
    ReadOutcome, Side, StreamError, StreamId, TransportCode,
};
use crate::types::{Address, Instant, NodeId};

const ALICE: &[u8] = include_bytes!("../../../tests/keys/alice.der");
const BOB: &[u8] = include_bytes!("../../../tests/keys/bob.der");
const CAROL: &[u8] = include_bytes!("../../../tests/keys/carol.der");

const HOUR: Duration = Duration::from_secs(3600);

fn credentials(key: &[u8]) -> Credentials {
    Credentials::from_pkcs8(key).unwrap()
}

/// How the link treats packets; probabilities in percent.
#[derive(Clone, Copy)]
struct Link {
    loss: u32,
    duplication: u32,
    delay: Duration,
    /// Added to the delay at random: packets overtake each other.
    jitter: Duration,
    /// Of a byte in the packet.
    corruption: u32,
    /// Packets that are lost together when one is.
    burst: u32,
}

const CLEAN: Link = Link {
    loss: 0,
    duplication: 0,
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    corruption: 0,
    burst: 1,
};

const BAD: Link = Link { loss: 25, duplication: 10, jitter: Duration::from_millis(15), ..CLEAN };

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrives: Instant,
    order: u64,
    from: Address,
    to: Address,
    packet: Vec<u8>,
}

struct Node {
    endpoint: Endpoint,
    address: Address,
    id: NodeId,
    events: Vec<(ConnectionId, Event)>,
    mtu: usize,
    received_bytes: usize,
    sent_bytes: usize,
}

struct Net {
    seed: u64,
    now: Instant,
    random: StdRng,
    link: Link,
    nodes: Vec<Node>,
    flying: BinaryHeap<Reverse<Flying>>,
    order: u64,
    /// Every packet ever sent.
    log: Option<Vec<(Address, Address, Vec<u8>)>>,
    errors: Vec<PacketError>,
    /// So many packets are still to be lost together.
    losing: u32,
    /// The link swallows this packet, counted from 1.
    swallow: u64,
    /// Nothing reaches this node.
    deaf: Option<Address>,
    /// The link carries nothing.
    is_cut: bool,
    /// This node does nothing at present; what has come to it waits, as far as there is room.
    paused: Option<usize>,
    inbox: Vec<Flying>,
}

/// Packets that wait for a node that does nothing.
const INBOX: usize = 2000;

impl Net {
    /// Alice (0) and Bob (1).
    fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, [Config::default(), Config::default()])
    }

    fn with(seed: u64, link: Link, configs: [Config; 2]) -> Self {
        let mut net = Self {
            seed,
            now: Instant::from_micros(1),
            random: StdRng::seed_from_u64(seed),
            link,
            nodes: Vec::new(),
            flying: BinaryHeap::new(),
            order: 0,
            log: None,
            errors: Vec::new(),
            losing: 0,
            swallow: 0,
            deaf: None,
            is_cut: false,
            paused: None,
            inbox: Vec::new(),
        };
        for (key, config) in [ALICE, BOB].into_iter().zip(configs) {
            net.add(key, config);
        }
        net
    }

    fn add(&mut self, key: &[u8], config: Config) -> usize {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let endpoint = Endpoint::new(config, credentials(key), seed).unwrap();
        let id = endpoint.node_id();
        let (events, mtu, address) = (Vec::new(), 1200, id.address());
        self.nodes.push(Node { endpoint, address, id, events, mtu, received_bytes: 0, sent_bytes: 0 });
        self.nodes.len() - 1
    }

    fn set_mtu(&mut self, mtu: usize) {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address).collect();
        for node in &mut self.nodes {
            node.mtu = mtu;
            for address in &addresses {
                node.endpoint.set_path_mtu(*address, mtu);
            }
        }
    }

    fn endpoint(&mut self, node: usize) -> &mut Endpoint {
        &mut self.nodes[node].endpoint
    }

    fn connect(&mut self, from: usize, to: usize) -> ConnectionId {
        let (now, peer) = (self.now, self.nodes[to].id);
        self.endpoint(from).connect(now, peer, Purpose::Node).unwrap()
    }

    fn send(&mut self, from: Address, to: Address, mut packet: Vec<u8>) {
        if self.random.random_range(0..100) < self.link.corruption {
            let position = self.random.random_range(0..packet.len());
            packet[position] ^= 1 << self.random.random_range(0..8u32);
        }
        let delay = self.link.delay.as_micros() as u64;
        let jitter = self.random.random_range(0..=self.link.jitter.as_micros() as u64);
        let arrives = self.now + Duration::from_micros(delay + jitter);
        self.order += 1;
        if self.order == self.swallow || self.deaf == Some(to) || self.is_cut {
            return;
        }
        self.flying.push(Reverse(Flying { arrives, order: self.order, from, to, packet }));
    }

    /// Lets every node say what it has to say.
    fn flush(&mut self) {
        let paused = self.paused;
        for index in (0..self.nodes.len()).filter(|index| Some(*index) != paused) {
            let mut sent = 0;
            loop {
                let node = &mut self.nodes[index];
                while let Some(event) = node.endpoint.poll_event() {
                    node.events.push(event);
                }
                let mut packet = vec![0xa5; 40];
                let Some(to) = node.endpoint.poll_transmit(self.now, &mut packet) else { break };
                assert_eq!(packet[..40], [0xa5; 40]);
                let packet = packet.split_off(40);
                assert!(packet.len() <= node.mtu, "{} bytes, seed {}", packet.len(), self.seed);
                node.sent_bytes += packet.len();
                sent += 1;
                assert!(sent < 10_000, "endless transmission, seed {}", self.seed);
                let from = node.address;
                if let Some(log) = &mut self.log {
                    log.push((from, to, packet.clone()));
                }
                if self.random.random_range(0..100) < self.link.duplication {
                    self.send(from, to, packet.clone());
                }
                if self.losing == 0 && self.random.random_range(0..100) < self.link.loss {
                    self.losing = self.link.burst;
                }
                if self.losing > 0 {
                    self.losing -= 1;
                } else {
                    self.send(from, to, packet);
                }
            }
            let node = &mut self.nodes[index];
            while let Some(event) = node.endpoint.poll_event() {
                node.events.push(event);
            }
        }
    }

    /// The node does nothing from now on.
    fn pause(&mut self, node: usize) {
        self.paused = Some(node);
    }

    /// It takes in all that has come meanwhile.
    fn resume(&mut self) {
        self.paused = None;
        for flying in std::mem::take(&mut self.inbox) {
            self.receive(flying);
        }
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Instant> {
        let awake = self.nodes.iter().enumerate().filter(|(index, _)| Some(*index) != self.paused);
        let timers = awake.filter_map(|(_, node)| node.endpoint.poll_timeout());
        timers.chain(self.flying.peek().map(|flying| flying.0.arrives)).min()
    }

    fn receive(&mut self, mut flying: Flying) {
        let Some(index) = self.nodes.iter().position(|node| node.address == flying.to) else { return };
        if self.paused == Some(index) {
            self.inbox.push(flying);
            return self.inbox.truncate(INBOX);
        }
        let node = &mut self.nodes[index];
        node.received_bytes += flying.packet.len();
        let result = node.endpoint.handle_packet(self.now, flying.from, &mut flying.packet);
        self.errors.extend(result.err());
    }

    /// Moves to the next thing that happens; `false` when nothing ever will.
    fn step(&mut self) -> bool {
        self.flush();
        let Some(next) = self.next() else { return false };
        self.now = self.now.max(next);
        if self.flying.peek().is_some_and(|flying| flying.0.arrives == next) {
            if let Some(Reverse(flying)) = self.flying.pop() {
                self.receive(flying);
            }
        } else {
            for (index, node) in self.nodes.iter_mut().enumerate() {
                if Some(index) != self.paused {
                    node.endpoint.handle_timeout(self.now);
                }
            }
        }
        self.flush();
        true
    }

    /// Runs until the condition holds; fails when it does not within an hour of virtual time.
    fn run_until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let end = self.now + HOUR;
        self.flush();
        for _ in 0..2_000_000 {
            if condition(self) {
                return;
            }
            assert!(self.step(), "{what} never happens, seed {}", self.seed);
            assert!(self.now < end, "{what} does not happen in time, seed {}", self.seed);
        }
        panic!("{what}: the machine spins, seed {}", self.seed);
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.flush();
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    fn take_events(&mut self, node: usize) -> Vec<(ConnectionId, Event)> {
        std::mem::take(&mut self.nodes[node].events)
    }

    fn find<T>(&self, node: usize, mut test: impl FnMut(ConnectionId, &Event) -> Option<T>) -> Option<T> {
        self.nodes[node].events.iter().find_map(|(connection, event)| test(*connection, event))
    }

    fn connected(&self, node: usize) -> Option<ConnectionId> {
        self.find(node, |connection, event| matches!(event, Event::Connected { .. }).then_some(connection))
    }

    fn closed(&self, node: usize) -> Option<CloseReason> {
        self.find(node, |_, event| match event {
            Event::Closed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }

    /// A connection of Alice with Bob, the handshake done on both sides.
    fn establish(&mut self) -> (ConnectionId, ConnectionId) {
        let client = self.connect(0, 1);
        self.establish_with(client)
    }

    /// The path carries packets of this size from now on: larger ones vanish, also those on their way.
    fn change_mtu(&mut self, mtu: usize) {
        self.set_mtu(mtu);
        self.flying.retain(|flying| flying.0.packet.len() <= mtu);
    }

    /// Waits for the handshake of Alice's attempt.
    fn establish_with(&mut self, client: ConnectionId) -> (ConnectionId, ConnectionId) {
        self.run_until("the handshake", |net| net.connected(0).is_some() && net.connected(1).is_some());
        let server = self.connected(1).unwrap();
        let (alice, bob) = (self.nodes[0].id, self.nodes[1].id);
        assert_eq!(
            self.nodes[0].events,
            [(client, Event::Connected { peer: bob, side: Side::Client, purpose: Purpose::Node })]
        );
        assert_eq!(
            self.nodes[1].events,
            [(server, Event::Connected { peer: alice, side: Side::Server, purpose: Purpose::Node })]
        );
        self.take_events(0);
        self.take_events(1);
        (client, server)
    }
}

/// Bytes that tell where they belong.
fn pattern(len: usize, salt: u64) -> Vec<u8> {
    (0..len as u64).map(|index| ((index + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Reads until nothing is left; tells whether the stream is at its end.
fn read_all(endpoint: &mut Endpoint, connection: ConnectionId, stream: StreamId, into: &mut Vec<u8>) -> bool {
    loop {
        match endpoint.read(connection, stream, into, 4096).unwrap() {
            ReadOutcome::Data(len) => assert!(len > 0),
            ReadOutcome::Blocked => return false,
            ReadOutcome::Finished => return true,
        }
    }
}

#[test]
fn an_endpoint_may_move_between_threads() {
    fn check<T: Send>() {}
    check::<Endpoint>();
}

#[test]
fn configurations_out_of_bounds_are_refused() {
    for config in [
        Config { stream_window: 0, ..Config::default() },
        Config { connection_window: 1 << 33, ..Config::default() },
        Config { max_streams: 1 << 20, ..Config::default() },
        Config { send_buffer: 0, ..Config::default() },
        Config { handshake_timeout: Duration::ZERO, ..Config::default() },
    ] {
        assert!(Endpoint::new(config, credentials(ALICE), [0; 32]).is_err());
    }
}
