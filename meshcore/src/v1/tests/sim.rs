//! v1 nodes on a segment with loss, duplication and reordering, in virtual time, replayed from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::types::{Instant, UnixTime, V1Address};
use crate::v1::config::{MAX_NODES, MAX_PENDING, MAX_QUEUE, MAX_SEEN, MAX_STREAMS};
use crate::v1::{V1, V1Destination, V1Event};
use crate::wire::v1::FrameHeader;

pub(super) const MTU: usize = 1500;

/// Sends frames, and is no host.
pub(super) const OUTSIDER: usize = usize::MAX;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn address(index: usize) -> V1Address {
    V1Address([0x02, 0, 0x5e, 0x10, (index >> 8) as u8, index as u8])
}

pub(super) fn node(index: usize) -> V1 {
    V1::new(address(index), MTU, [index as u8; 32])
}

pub(super) struct Host {
    pub(super) v1: V1,
    pub(super) up: bool,
    /// Milliseconds of Unix time when the simulation starts, as this host believes.
    pub(super) clock: u64,
    pub(super) events: Vec<V1Event>,
    pub(super) sent: usize,
}

struct Packet {
    to: usize,
    from: V1Address,
    frame: Vec<u8>,
}

pub(super) struct Sim {
    seed: u64,
    rng: StdRng,
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    air: BTreeMap<(Instant, u64), Packet>,
    serial: u64,
    /// Pairs of hosts that do not hear each other.
    pub(super) deaf: Vec<(usize, usize)>,
    pub(super) loss: f64,
    /// Share of frames that come twice.
    pub(super) duplication: f64,
    /// Frames take up to this; those that take less overtake others.
    pub(super) delay: Duration,
    /// Every frame put on the wire, with the host that sent it.
    pub(super) wire: Vec<(usize, FrameHeader)>,
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation that failed has the seed {}", self.seed);
        }
    }
}

impl Sim {
    pub(super) fn new(seed: u64, hosts: usize) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = StdRng::from_seed(key);
        let host = |index| Host {
            v1: V1::new(address(index), MTU, rng.random()),
            up: true,
            clock: 1_732_255_200_000 + rng.random_range(0..10_000),
            events: Vec::new(),
            sent: 0,
        };
        Self {
            seed,
            hosts: (0..hosts).map(host).collect(),
            rng,
            now: Instant::from_micros(1_000_000),
            air: BTreeMap::new(),
            serial: 0,
            deaf: Vec::new(),
            loss: 0.0,
            duplication: 0.0,
            delay: Duration::from_micros(500),
            wire: Vec::new(),
        }
    }

    pub(super) fn wall(&self, host: usize) -> UnixTime {
        UnixTime::from_millis(self.hosts[host].clock + self.now.as_micros() / 1000)
    }

    /// Does something at a host.
    pub(super) fn at<T>(&mut self, host: usize, act: impl FnOnce(&mut V1, Instant, UnixTime) -> T) -> T {
        let (now, wall) = (self.now, self.wall(host));
        let result = act(&mut self.hosts[host].v1, now, wall);
        self.drain(host);
        result
    }

    fn drain(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.events.extend(std::iter::from_fn(|| host.v1.poll_event()));
        check_bounds(&host.v1);
        let mut sent = Vec::new();
        let mut frame = Vec::new();
        while let Some(to) = host.v1.poll_transmit(&mut frame) {
            host.sent += 1;
            sent.push((to, std::mem::take(&mut frame)));
        }
        for (to, frame) in sent {
            assert!(frame.len() <= MTU);
            self.wire.push((index, FrameHeader::parse(&frame).unwrap().0));
            self.transmit(index, address(index), to, &frame);
        }
    }

    /// Puts a frame on the wire, sent by host `at` or by [`OUTSIDER`].
    pub(super) fn transmit(&mut self, at: usize, from: V1Address, to: V1Destination, frame: &[u8]) {
        for host in 0..self.hosts.len() {
            let addressed = to == V1Destination::Everyone || to == V1Destination::One(address(host));
            if host == at || !addressed || self.deaf.contains(&(at.min(host), at.max(host))) {
                continue;
            }
            let copies = if self.rng.random_bool(self.duplication) { 2 } else { 1 };
            for _ in 0..copies {
                if self.rng.random_bool(self.loss) {
                    continue;
                }
                let delay = self.rng.random_range(50..=self.delay.as_micros() as u64);
                let mut frame = frame.to_vec();
                frame.resize(frame.len().max(46), 0);
                self.serial += 1;
                let arrival = (self.now + Duration::from_micros(delay), self.serial);
                self.air.insert(arrival, Packet { to: host, from, frame });
            }
        }
    }

    fn alarm(&self) -> Option<Instant> {
        self.hosts.iter().filter(|host| host.up).filter_map(|host| host.v1.poll_timeout()).min()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.air.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [arrival, self.alarm()].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let Packet { to, from, frame } = entry.remove();
                if self.hosts[to].up {
                    let _ = self.at(to, |v1, now, wall| v1.handle_frame(now, wall, from, &frame));
                }
            }
            for host in 0..self.hosts.len() {
                if self.hosts[host].up && self.hosts[host].v1.poll_timeout().is_some_and(|at| at <= self.now)
                {
                    self.at(host, V1::handle_timeout);
                    assert!(
                        self.hosts[host].v1.poll_timeout() > Some(self.now),
                        "host {host} does not sleep"
                    );
                }
            }
        }
        self.now = end;
    }

    pub(super) fn take_events(&mut self, host: usize) -> Vec<V1Event> {
        std::mem::take(&mut self.hosts[host].events)
    }

    /// The texts that a host was shown.
    pub(super) fn texts(&self, host: usize) -> Vec<&str> {
        let text = |event: &'_ V1Event| matches!(event, V1Event::Message { .. });
        let events = self.hosts[host].events.iter().filter(|event| text(event));
        events
            .filter_map(
                |event| if let V1Event::Message { text, .. } = event { Some(text.as_str()) } else { None },
            )
            .collect()
    }

    pub(super) fn known(&self, host: usize) -> usize {
        self.hosts[host].v1.nodes(self.now).count()
    }
}

/// No table grows without limit.
pub(super) fn check_bounds(v1: &V1) {
    assert!(v1.nodes(Instant::default()).count() <= MAX_NODES);
    assert!(v1.queue.len() <= MAX_QUEUE);
    assert!(v1.pending.len() <= MAX_PENDING);
    assert!(v1.streams.len() <= MAX_STREAMS);
    assert!(v1.seen.len() <= MAX_SEEN && v1.relay.len() <= MAX_SEEN);
}
