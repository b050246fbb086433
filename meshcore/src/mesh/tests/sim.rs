//! Hosts on segments with loss, delay and duplication, in virtual time, replayed from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::forge::{Keys, address, identity, station, subkey};
use crate::mesh::{Config, Handled, LinkInfo, Mesh, MeshEvent};
use crate::types::{Address, Destination, Instant, LargerFrames, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, TrafficClass};

pub(super) const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;

/// From here on stations are of the second kind: on UDP one kind is of IPv6, the other of IPv4.
pub(super) const SECOND: usize = 1000;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) struct Host {
    pub(super) mesh: Mesh,
    pub(super) up: bool,
    pub(super) station: usize,
    /// It has a station of each kind. Frames to the group leave from both, and may overtake each other; a frame to one
    /// station leaves from that of its kind.
    pub(super) is_double: bool,
    /// It takes frames for others and does not pass them on.
    pub(super) swallows: bool,
    pub(super) segments: Vec<u32>,
    pub(super) events: Vec<(Instant, MeshEvent)>,
    pub(super) deliveries: Vec<(Address, Vec<u8>)>,
    pub(super) frames: usize,
    pub(super) bytes: usize,
    records: u64,
}

pub(super) struct Packet {
    pub(super) to: usize,
    pub(super) link: LinkId,
    pub(super) from: LinkAddr,
    pub(super) frame: Vec<u8>,
}

/// Hosts on segments; each link of a host has the number of its segment.
pub(super) struct Sim {
    seed: u64,
    rng: StdRng,
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    pub(super) air: BTreeMap<(Instant, u64), Packet>,
    /// When which host wants to be woken.
    alarms: BTreeSet<(Instant, usize)>,
    alarm_of: BTreeMap<usize, Instant>,
    serial: u64,
    last_arrival: BTreeMap<(LinkAddr, usize), Instant>,
    pub(super) loss: f64,
    /// Share of frames that come twice; unless it is zero, frames also overtake each other.
    pub(super) duplication: f64,
    /// Whether a frame is lost on a segment, besides by chance.
    pub(super) filter: fn(u32, &FrameHeader, &[u8]) -> bool,
    /// Segments through which nothing passes.
    pub(super) cut: BTreeSet<u32>,
    /// Verify what is received; otherwise say nothing.
    pub(super) verify: bool,
    /// New links are wired.
    pub(super) wired: bool,
    /// New hosts have two stations.
    pub(super) double: bool,
    /// What new links say that some stations take.
    pub(super) larger: LargerFrames,
    /// Longest frame that a segment carries.
    pub(super) carries: fn(u32) -> usize,
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation that failed has the seed {}", self.seed);
        }
    }
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            seed,
            rng: StdRng::from_seed(key),
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            air: BTreeMap::new(),
            alarms: BTreeSet::new(),
            alarm_of: BTreeMap::new(),
            serial: 0,
            last_arrival: BTreeMap::new(),
            loss: 0.0,
            duplication: 0.0,
            filter: |_, _, _| false,
            cut: BTreeSet::new(),
            verify: true,
            wired: true,
            double: false,
            larger: [0; 4],
            carries: |_| MTU,
        }
    }

    /// Hosts in a row, each pair with a segment of its own.
    pub(super) fn chain(seed: u64, hosts: u32) -> Self {
        let mut sim = Self::new(seed);
        for host in 0..hosts {
            sim.add(&[host, host + 1]);
        }
        sim.run(ms(3_000));
        sim
    }

    fn mesh(&mut self, index: usize, number: u64) -> Mesh {
        let node = address(index);
        let keys = Box::new(Keys(subkey(node)));
        let mut mesh = Mesh::new(Config::default(), node, self.rng.random(), keys, self.rng.random());
        mesh.set_own_identity(self.now, identity(node, number));
        mesh
    }

    pub(super) fn add(&mut self, segments: &[u32]) -> usize {
        let index = self.hosts.len();
        let mesh = self.mesh(index, 1);
        self.hosts.push(Host {
            mesh,
            up: true,
            station: index,
            is_double: self.double,
            swallows: false,
            segments: segments.to_vec(),
            events: Vec::new(),
            deliveries: Vec::new(),
            frames: 0,
            bytes: 0,
            records: 1,
        });
        self.attach(index);
        index
    }

    fn attach(&mut self, index: usize) {
        let info = LinkInfo { larger: self.larger, ..LinkInfo::new(MTU, self.wired) };
        for segment in self.hosts[index].segments.clone() {
            self.hosts[index].mesh.add_link(self.now, LinkId(segment), info);
        }
        self.drain(index);
    }

    /// The host starts anew, at another station if `station` says so.
    pub(super) fn restart(&mut self, index: usize, station: usize) {
        self.hosts[index].records += 1;
        let number = self.hosts[index].records;
        self.restart_as(index, station, number);
    }

    pub(super) fn restart_as(&mut self, index: usize, station: usize, number: u64) {
        self.hosts[index].mesh = self.mesh(index, number);
        self.hosts[index].station = station;
        self.hosts[index].up = true;
        self.attach(index);
    }

    pub(super) fn drain(&mut self, index: usize) {
        let (now, verify) = (self.now, self.verify);
        let host = &mut self.hosts[index];
        while let Some(event) = host.mesh.poll_event() {
            if let MeshEvent::IdentityReceived { node, record } = &event
                && verify
            {
                let number = u64::from_be_bytes(record[..8].try_into().unwrap());
                match record.get(8..24) == Some(&node.as_bytes()[..]) {
                    true if *node == address(index) => {
                        host.mesh.set_own_identity(now, identity(*node, number + 1));
                    }
                    true => host.mesh.identity_known(now, *node, identity(*node, number)),
                    false => host.mesh.identity_refused(now, *node),
                }
            }
            host.events.push((now, event));
        }
        let mut sent = Vec::new();
        let mut frame = Vec::new();
        while let Some((link, to)) = host.mesh.poll_transmit(now, &mut frame) {
            host.frames += 1;
            host.bytes += frame.len() + ETHERNET_HEADER;
            assert!(frame.len() <= MTU.max(self.larger[0]));
            sent.push((link, to, std::mem::take(&mut frame)));
        }
        self.reschedule(index);
        for (link, to, frame) in sent {
            self.send(index, link, to, frame);
        }
    }

    fn reschedule(&mut self, index: usize) {
        if let Some(old) = self.alarm_of.remove(&index) {
            self.alarms.remove(&(old, index));
        }
        let host = &self.hosts[index];
        if let Some(next) = host.mesh.poll_timeout().filter(|_| host.up) {
            self.alarm_of.insert(index, next);
            self.alarms.insert((next, index));
        }
    }

    fn send(&mut self, from: usize, link: LinkId, to: Destination, frame: Vec<u8>) {
        let (header, payload) = FrameHeader::parse(&frame).unwrap();
        let is_too_long = frame.len() > (self.carries)(link.0);
        if is_too_long || self.cut.contains(&link.0) || (self.filter)(link.0, &header, payload) {
            return;
        }
        for index in 0..self.hosts.len() {
            let host = &self.hosts[index];
            if index == from || !host.up || !host.segments.contains(&link.0) {
                continue;
            }
            let (here, there, both) =
                (self.hosts[from].station, host.station, self.hosts[from].is_double && host.is_double);
            for kind in [0, SECOND].into_iter().take(1 + usize::from(both)) {
                if to == Destination::Group || to == Destination::Station(station(there + kind)) {
                    self.inject(index, link, station(here + kind), frame.clone());
                }
            }
        }
    }

    pub(super) fn inject(&mut self, to: usize, link: LinkId, from: LinkAddr, frame: Vec<u8>) {
        let copies = if self.rng.random_bool(self.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            if self.rng.random_bool(self.loss) {
                continue;
            }
            let mut at = self.now + Duration::from_micros(self.rng.random_range(50..1500));
            if self.duplication == 0.0 {
                // A wire keeps the order of frames.
                let last = self.last_arrival.entry((from, to)).or_default();
                at = at.max(*last);
                *last = at;
            }
            self.serial += 1;
            self.air.insert((at, self.serial), Packet { to, link, from, frame: frame.clone() });
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timer = self.alarms.first().copied();
            let packet = self.air.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timer.map(|(at, _)| at).into_iter().chain(packet).min() else { break };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if packet == Some(next) {
                let Some((_, packet)) = self.air.pop_first() else { break };
                self.receive(packet);
            } else if let Some((_, index)) = timer {
                if self.hosts[index].up {
                    self.hosts[index].mesh.handle_timeout(self.now);
                }
                self.drain(index);
            }
        }
        self.now = end;
    }

    fn receive(&mut self, packet: Packet) {
        let Packet { to, link, from, mut frame } = packet;
        let host = &mut self.hosts[to];
        if !host.up {
            return;
        }
        let handled = host.mesh.handle_frame(self.now, link, from, &mut frame);
        let onward = match handled {
            Ok(Handled::Deliver(delivery)) => {
                host.deliveries.push((delivery.source, delivery.payload.to_vec()));
                None
            }
            Ok(Handled::Forward { hop, frame }) if !host.swallows => Some((hop, frame.to_vec())),
            _ => None,
        };
        self.drain(to);
        if let Some((hop, frame)) = onward {
            self.send(to, hop.link, Destination::Station(hop.to), frame);
        }
    }

    /// Sends a frame across the mesh.
    pub(super) fn data(&mut self, from: usize, to: usize, payload: &[u8]) -> bool {
        let mesh = &mut self.hosts[from].mesh;
        let hop = mesh.next_hop(self.now, address(to));
        let header =
            mesh.unicast_header(address(to), FrameType::Stream, TrafficClass::Bulk, payload.len() as u16);
        self.drain(from);
        if let Some(hop) = hop {
            self.send(from, hop.link, Destination::Station(hop.to), [&header[..], payload].concat());
        }
        hop.is_some()
    }
}
