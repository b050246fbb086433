//! Two endpoints and the wire between them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use meshcore::stream::{Config, ConnectionId, Credentials, Endpoint, Event, Purpose};
use meshcore::types::{Address, Instant};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{ALICE, BOB};

/// Packets that one flush may send: more is an endless transmission.
const MAX_BURST: usize = 20_000;

/// Happenings after which a wire that should have come to rest is taken to spin.
const MAX_STEPS: usize = 3_000_000;

/// How the wire treats packets; probabilities in percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    /// Of one bit.
    pub(crate) corruption: u32,
    pub(crate) delay: Duration,
    /// Added to the delay at random: packets overtake each other.
    pub(crate) jitter: Duration,
}

struct Flying {
    to: usize,
    packet: Vec<u8>,
}

pub(crate) struct Wire {
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) addresses: [Address; 2],
    pub(crate) events: [VecDeque<(ConnectionId, Event)>; 2],
    /// What the wire carries, and what each end was told of that.
    mtu: usize,
    told: [usize; 2],
    /// By arrival, then in the order of sending.
    flying: BTreeMap<(Instant, u64), Flying>,
    order: u64,
    random: StdRng,
}

impl Wire {
    pub(crate) fn new(seed: u64, configs: [Config; 2], link: Link) -> Self {
        let [alice, bob] = configs;
        let end = |key, config, seed| {
            let credentials = Credentials::from_pkcs8(key).expect("a test key");
            Endpoint::new(config, credentials, [seed; 32]).expect("a valid configuration")
        };
        let ends = [end(ALICE, alice, 1), end(BOB, bob, 2)];
        let addresses = [0, 1].map(|index: usize| ends[index].node_id().address());
        Self {
            now: Instant::from_micros(1),
            link,
            ends,
            addresses,
            events: Default::default(),
            mtu: 1200,
            told: [1200; 2],
            flying: BTreeMap::new(),
            order: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn connect(&mut self, client: usize) -> ConnectionId {
        let peer = self.ends[1 - client].node_id();
        self.ends[client].connect(self.now, peer, Purpose::Application).expect("another node")
    }

    /// The wire carries other packets from now on.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    pub(crate) fn tell_mtu(&mut self, end: usize) {
        self.told[end] = self.mtu;
        self.ends[end].set_path_mtu(self.addresses[1 - end], self.mtu);
    }

    /// Changes one packet on its way.
    pub(crate) fn tamper(&mut self, index: usize, change: Tampering) {
        let Some(&key) = self.flying.keys().nth(index % self.flying.len().max(1)) else { return };
        let Some(Flying { to, mut packet }) = self.flying.remove(&key) else { return };
        let mut arrives = key.0;
        match change {
            Tampering::Lose => return,
            Tampering::Duplicate => self.launch(arrives, to, packet.clone()),
            Tampering::Delay(time) => arrives += time,
            Tampering::Truncate(len) => packet.truncate(len),
            Tampering::Flip(bit) => flip(&mut packet, bit),
        }
        self.launch(arrives, to, packet);
    }

    fn launch(&mut self, arrives: Instant, to: usize, packet: Vec<u8>) {
        self.order += 1;
        self.flying.insert((arrives, self.order), Flying { to, packet });
    }

    fn percent(&mut self, share: u32) -> bool {
        self.random.random_range(0..100) < share
    }

    fn send(&mut self, to: usize, packet: &[u8]) {
        let copies = 1 + usize::from(self.percent(self.link.duplication));
        for _ in 0..copies {
            if packet.len() > self.mtu || self.percent(self.link.loss) {
                continue;
            }
            let mut packet = packet.to_vec();
            if self.percent(self.link.corruption) {
                let bit = self.random.random();
                flip(&mut packet, bit);
            }
            let jitter = self.random.random_range(0..=self.link.jitter.as_micros() as u64);
            let arrives = self.now + self.link.delay + Duration::from_micros(jitter);
            self.launch(arrives, to, packet);
        }
    }

    /// Lets both ends say what they have to say.
    pub(crate) fn flush(&mut self) {
        for end in [0, 1] {
            let mut packet = Vec::new();
            for sent in 0.. {
                self.events[end].extend(std::iter::from_fn(|| self.ends[end].poll_event()));
                packet.clear();
                let Some(to) = self.ends[end].poll_transmit(self.now, &mut packet) else { break };
                assert_eq!(to, self.addresses[1 - end]);
                assert!(packet.len() <= self.told[end], "a packet of {} bytes", packet.len());
                assert!(sent < MAX_BURST, "endless transmission");
                self.send(1 - end, &packet);
            }
            self.events[end].extend(std::iter::from_fn(|| self.ends[end].poll_event()));
        }
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.ends.iter().filter_map(Endpoint::poll_timeout);
        timers.chain(self.flying.keys().next().map(|(arrives, _)| *arrives)).min()
    }

    /// Whether nothing will ever happen again.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.next().is_none()
    }

    fn step(&mut self, next: Instant) {
        self.now = self.now.max(next);
        let arrived = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now);
        if let Some(Flying { to, mut packet }) = arrived.map(|entry| entry.remove()) {
            if packet.len() <= self.mtu {
                let _ = self.ends[to].handle_packet(self.now, self.addresses[1 - to], &mut packet);
            }
        } else {
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        }
        self.flush();
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.flush();
        for _ in 0..MAX_STEPS {
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.step(next),
                None => return self.now = end,
            }
        }
        panic!("the endpoints spin");
    }

    /// Runs until the condition holds; fails when it does not within `limit`.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) {
        let end = self.now + limit;
        self.flush();
        for _ in 0..MAX_STEPS {
            if condition(self) {
                return;
            }
            let next = self.next().unwrap_or_else(|| panic!("{what} never happens"));
            assert!(next <= end, "{what} does not happen in time");
            self.step(next);
        }
        panic!("{what}: the endpoints spin");
    }
}

/// What can happen to one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tampering {
    Lose,
    Duplicate,
    Delay(Duration),
    Truncate(usize),
    Flip(u32),
}

fn flip(packet: &mut [u8], bit: u32) {
    let bit = bit as usize % (packet.len() * 8).max(1);
    if let Some(byte) = packet.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}
