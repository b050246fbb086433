//! Hosts on segments with loss, delay and duplication, in virtual time, replayed from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::mesh::{Config, DropReason, Mesh, MeshEvent};
use crate::types::{Address, Destination, Instant, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, ONE_HOP, TrafficClass};
use crate::wire::hello::Hello;

pub(super) const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn address(index: usize) -> Address {
    let mut bytes = [0x11; 16];
    bytes[..8].copy_from_slice(&(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Address(bytes)
}

pub(super) fn station(number: usize) -> LinkAddr {
    LinkAddr::new(&(number as u64).to_be_bytes()).unwrap()
}

pub(super) struct Host {
    pub(super) mesh: Mesh,
    pub(super) up: bool,
    station: usize,
    segments: Vec<u32>,
    pub(super) events: Vec<(Instant, MeshEvent)>,
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

pub(super) struct Packet {
    pub(super) to: usize,
    pub(super) link: LinkId,
    pub(super) from: LinkAddr,
    pub(super) frame: Vec<u8>,
}

/// Hosts on segments. Record `[n]` of number `n` is what a host serves; receivers verify it at once.
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
    /// Verify what is received; otherwise say nothing.
    pub(super) verify: bool,
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
            verify: true,
        }
    }

    fn mesh(&mut self, index: usize) -> Mesh {
        let mut mesh = Mesh::new(Config::default(), address(index), self.rng.random(), self.rng.random());
        mesh.set_own_record(vec![1; 900], 1);
        mesh
    }

    pub(super) fn add(&mut self, segments: &[u32]) -> usize {
        let index = self.hosts.len();
        let mesh = self.mesh(index);
        let segments = segments.to_vec();
        self.hosts.push(Host {
            mesh,
            up: true,
            station: index,
            segments,
            events: Vec::new(),
            frames: 0,
            bytes: 0,
        });
        self.attach(index);
        index
    }

    fn attach(&mut self, index: usize) {
        for segment in self.hosts[index].segments.clone() {
            self.hosts[index].mesh.add_link(self.now, LinkId(segment), MTU);
        }
        self.drain(index);
    }

    /// The host starts anew, at another station if `station` says so.
    pub(super) fn restart(&mut self, index: usize, station: usize) {
        self.hosts[index].mesh = self.mesh(index);
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
                host.mesh.identity_known(now, *node, record[0].into());
            }
            host.events.push((now, event));
        }
        let mut sent = Vec::new();
        let mut frame = Vec::new();
        while let Some((link, to)) = host.mesh.poll_transmit(now, &mut frame) {
            host.frames += 1;
            host.bytes += frame.len() + ETHERNET_HEADER;
            assert!(frame.len() <= MTU);
            sent.push((link, to, std::mem::take(&mut frame)));
        }
        let next = host.mesh.poll_timeout().filter(|_| host.up);
        if let Some(old) = self.alarm_of.remove(&index) {
            self.alarms.remove(&(old, index));
        }
        if let Some(next) = next {
            self.alarm_of.insert(index, next);
            self.alarms.insert((next, index));
        }
        for (link, to, frame) in sent {
            self.send(index, link, to, frame);
        }
    }

    fn send(&mut self, from: usize, link: LinkId, to: Destination, frame: Vec<u8>) {
        let from_station = station(self.hosts[from].station);
        for index in 0..self.hosts.len() {
            let host = &self.hosts[index];
            let meant = to == Destination::Group || to == Destination::Station(station(host.station));
            if index == from || !host.up || !host.segments.contains(&link.0) || !meant {
                continue;
            }
            self.inject(index, link, from_station, frame.clone());
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
                let Some((_, mut packet)) = self.air.pop_first() else { break };
                let host = &mut self.hosts[packet.to];
                if host.up {
                    let _ = host.mesh.handle_frame(self.now, packet.link, packet.from, &mut packet.frame);
                    self.drain(packet.to);
                }
            } else if let Some((_, index)) = timer {
                if self.hosts[index].up {
                    self.hosts[index].mesh.handle_timeout(self.now);
                }
                self.drain(index);
            }
        }
        self.now = end;
    }

    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        self.hosts[from].mesh.is_reachable(address(to))
    }

    pub(super) fn count(&self, index: usize, event: impl Fn(&MeshEvent) -> bool) -> usize {
        self.hosts[index].events.iter().filter(|(_, e)| event(e)).count()
    }

    pub(super) fn hello(
        &self,
        source: Address,
        instance: u64,
        interval: u16,
        heard: &[(Address, u16)],
    ) -> Vec<u8> {
        let mut payload = Vec::new();
        let total = heard.len() as u16;
        Hello { seqno: 1, interval, instance, record_number: 1, total }
            .emit(heard.iter().copied(), &mut payload);
        frame(FrameType::Hello, source, Address::EVERYONE, &payload)
    }

    /// The seqno of the latest hello of `index` on `link`.
    pub(super) fn seqno(&self, index: usize, link: u32) -> u16 {
        self.hosts[index].mesh.links[&LinkId(link)].seqno
    }

    pub(super) fn dropped(&self, index: usize, reason: DropReason) -> u64 {
        self.hosts[index].mesh.counters().dropped(reason)
    }
}

pub(super) fn frame(kind: FrameType, source: Address, destination: Address, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { kind, hop_limit: ONE_HOP, class: TrafficClass::Control, source, destination };
    let mut frame = header.emit(payload.len() as u16).to_vec();
    frame.extend(payload);
    frame
}
