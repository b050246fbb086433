//! Nodes on one segment with loss, delay and reordering, in virtual time, replayed from a seed; and somebody who records
//! and injects.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::{NetworkKey, Sealer};
use crate::mesh::DropReason;
use crate::types::{Address, Destination, Instant, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, ONE_HOP, TrafficClass};

pub(super) const LINK: LinkId = LinkId(1);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn station(number: usize) -> LinkAddr {
    LinkAddr::new(&(number as u64).to_be_bytes()).unwrap()
}

pub(super) fn key(number: u8) -> NetworkKey {
    NetworkKey::generate(&mut StdRng::from_seed([number; 32]))
}

/// A frame of the mesh, recognisable by its sender and a number.
pub(super) fn inner(kind: FrameType, sender: usize, number: u32) -> Vec<u8> {
    let mut source = [0x11; 16];
    source[..8].copy_from_slice(&(sender as u64).to_be_bytes());
    let header = FrameHeader {
        kind,
        hop_limit: ONE_HOP,
        class: TrafficClass::Control,
        source: Address(source),
        destination: Address::EVERYONE,
    };
    let payload = number.to_be_bytes();
    [&header.emit(payload.len() as u16)[..], &payload].concat()
}

/// The same node started again would draw anew.
pub(super) fn sealer(seed: u64) -> Sealer {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Sealer::new(&key(0), bytes)
}

pub(super) struct Host {
    pub(super) sealer: Sealer,
    /// A group frame leaves from each of them, as on a link that speaks IPv4 and IPv6.
    pub(super) stations: Vec<LinkAddr>,
    pub(super) received: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Packet {
    pub(super) from: LinkAddr,
    pub(super) to: Destination,
    pub(super) frame: Vec<u8>,
}

pub(super) struct Segment {
    seed: u64,
    rng: StdRng,
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    pub(super) loss: f64,
    pub(super) delay: Duration,
    /// Delays vary by as much: frames overtake each other.
    pub(super) jitter: Duration,
    air: BTreeMap<(Instant, u64), (usize, LinkAddr, Vec<u8>)>,
    serial: u64,
    /// Everything that was sent.
    pub(super) log: Vec<Packet>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the segment that failed has the seed {}", self.seed);
        }
    }
}

impl Segment {
    pub(super) fn new(seed: u64, hosts: usize) -> Self {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut segment = Self {
            seed,
            rng: StdRng::from_seed(bytes),
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            loss: 0.0,
            delay: ms(1),
            jitter: Duration::ZERO,
            air: BTreeMap::new(),
            serial: 0,
            log: Vec::new(),
        };
        for number in 0..hosts {
            let sealer = sealer(segment.rng.random());
            segment.hosts.push(Host { sealer, stations: vec![station(number)], received: Vec::new() });
        }
        segment
    }

    /// The node forgets everything.
    pub(super) fn restart(&mut self, host: usize) {
        self.hosts[host].sealer = sealer(self.rng.random());
        self.hosts[host].received.clear();
    }

    /// A node sends a frame of its mesh.
    pub(super) fn send(&mut self, host: usize, to: Destination, inner: &[u8]) {
        let mut frame = Vec::new();
        self.hosts[host].sealer.seal(LINK, to, inner, &mut frame).unwrap();
        self.transmit(host, to, frame);
    }

    pub(super) fn hello(&mut self, host: usize, number: u32) -> Vec<u8> {
        let inner = inner(FrameType::Hello, host, number);
        self.send(host, Destination::Group, &inner);
        inner
    }

    fn transmit(&mut self, host: usize, to: Destination, frame: Vec<u8>) {
        let stations = self.hosts[host].stations.clone();
        // A unicast frame leaves from the station of the same kind as the one that it goes to.
        let family = |at: &LinkAddr| self.hosts.iter().find_map(|h| h.stations.iter().position(|s| s == at));
        let froms = match &to {
            Destination::Group => stations,
            Destination::Station(at) => {
                let same = stations.get(family(at).unwrap_or(0)).or(stations.first());
                same.copied().into_iter().collect()
            }
        };
        for from in froms {
            self.inject(Packet { from, to, frame: frame.clone() });
        }
    }

    /// Puts a frame on the wire, whoever sends it.
    pub(super) fn inject(&mut self, packet: Packet) {
        for number in 0..self.hosts.len() {
            let heard = match packet.to {
                Destination::Group => !self.hosts[number].stations.contains(&packet.from),
                Destination::Station(at) => self.hosts[number].stations.contains(&at),
            };
            if heard && !(self.loss > 0.0 && self.rng.random_bool(self.loss)) {
                let jitter = self.jitter.mul_f64(self.rng.random());
                self.serial += 1;
                let arrival = (self.now + self.delay + jitter, self.serial);
                // Ethernet pads.
                let mut frame = packet.frame.clone();
                frame.extend([0; 3]);
                self.air.insert(arrival, (number, packet.from, frame));
            }
        }
        self.log.push(packet);
    }

    /// What is on the wire gets lost.
    pub(super) fn lose(&mut self) {
        self.air.clear();
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            let (host, from, frame) = entry.remove();
            // What is dropped shows in the counters.
            let _ = self.deliver(host, from, frame);
        }
        self.now = end;
    }

    /// Hands a frame to a node at once, and lets it answer.
    pub(super) fn deliver(
        &mut self,
        host: usize,
        from: LinkAddr,
        mut frame: Vec<u8>,
    ) -> Result<bool, DropReason> {
        let node = &mut self.hosts[host];
        let opened =
            node.sealer.open(self.now, LINK, from, &mut frame).map(|inner| inner.map(|i| i.to_vec()));
        node.received.extend(opened.clone().ok().flatten());
        let mut out = Vec::new();
        while let Some((link, to)) = self.hosts[host].sealer.poll_transmit(&mut out) {
            assert_eq!(link, LINK);
            self.transmit(host, to, std::mem::take(&mut out));
        }
        opened.map(|inner| inner.is_some())
    }

    pub(super) fn dropped(&self, host: usize, reason: DropReason) -> u64 {
        self.hosts[host].sealer.counters().dropped(reason)
    }

    /// Proven and unproven sessions that a node knows.
    pub(super) fn tables(&self, host: usize) -> (usize, usize) {
        self.hosts[host].sealer.links[&LINK].table_sizes()
    }
}
