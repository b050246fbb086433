//! A simulated world: virtual time, broadcast segments with faults, nodes with disks that survive crashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use meshcore::mesh::LinkInfo;
use meshcore::message::identity::{CAPABILITY_MAILBOX, IdentityKey, OwnIdentity, RecordFields, Subkey};
use meshcore::message::store::{StoreError, StoreOp};
use meshcore::message::{JobOutcome, MailboxConfig, MessengerConfig};
use meshcore::node::{Event, Now, Stack, StackConfig};
use meshcore::types::{Destination, Instant, LinkAddr, LinkId, MessageId, NodeId, UnixTime};
use meshcore::{mesh, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::Disk;

/// How long an operation with a private key takes.
const SEALING: Duration = Duration::from_millis(2);

/// What the segment does to frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub loss: f64,
    pub duplication: f64,
    pub corruption: f64,
    pub delay: Duration,
    /// Added to the delay at random, which reorders frames.
    pub jitter: Duration,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        corruption: 0.0,
        delay: Duration::from_micros(200),
        jitter: Duration::ZERO,
    };

    pub(crate) const HARSH: Self = Self {
        loss: 0.2,
        duplication: 0.1,
        corruption: 0.02,
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(20),
    };
}

/// A broadcast segment.
pub(crate) struct Segment {
    /// Who has a link to it; `None`: every node.
    pub members: Option<Vec<usize>>,
    pub mtu: usize,
    /// Whether it carries anything.
    pub up: bool,
}

impl Segment {
    pub(crate) fn has(&self, station: usize) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(&station))
    }
}

enum Happening {
    Frame {
        to: usize,
        link: LinkId,
        from: LinkAddr,
        frame: Vec<u8>,
    },
    Commit {
        node: usize,
        operation: StoreOp,
    },
    /// A letter was sealed, or opened, in this life of the node.
    Sealed {
        node: usize,
        life: u32,
        outcome: JobOutcome,
    },
}

/// A node with its disk. `stack` is `None` while it is crashed.
pub(crate) struct Station {
    pub id: NodeId,
    pub stack: Option<Stack>,
    pub disk: Disk,
    pub seen: VecDeque<Event>,
    /// What the application was told about its sends, over all lives.
    pub answers: Vec<(MessageId, Result<(), StoreError>)>,
    key: String,
    own_key: Arc<IdentityKey>,
    pub nickname: String,
    /// How long its identity records are valid.
    pub validity: Duration,
    /// The mailbox that it offers.
    pub mailbox: Option<MailboxConfig>,
    /// Counts the starts: the number of its identity record.
    pub life: u32,
}

pub(crate) struct World {
    pub now: Instant,
    pub faults: Faults,
    pub stations: Vec<Station>,
    /// How long a commit takes.
    pub sync: Duration,
    pub frames: u64,
    pub bytes: u64,
    pub segments: Vec<Segment>,
    /// What the wall clocks show at the start of the world.
    pub epoch: UnixTime,
    /// Whether a frame to a node passes.
    pub filter: fn(usize, &[u8]) -> bool,
    /// Every frame that was put on the segment, for tests that look at the wire.
    pub capture: Option<Vec<Vec<u8>>>,
    /// Nodes that get no time to run, and the frames that wait for them.
    starved: BTreeMap<usize, Vec<(LinkId, LinkAddr, Vec<u8>)>>,
    rng: StdRng,
    /// By time, then in the order of planning.
    agenda: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
}

pub(crate) fn address(station: usize) -> LinkAddr {
    LinkAddr::new(&(station as u64).to_be_bytes()).unwrap()
}

impl World {
    /// Nodes with these keys (PKCS#8 PEM), on one segment of 1500 bytes. They are not started yet.
    pub(crate) fn new(seed: u64, keys: &[&str], faults: Faults) -> Self {
        let stations = keys.iter().enumerate().map(|(index, pem)| {
            let key = IdentityKey::from_pem(pem, None).unwrap();
            Station {
                id: key.node_id(),
                stack: None,
                disk: Disk::default(),
                seen: VecDeque::new(),
                answers: Vec::new(),
                key: (*pem).to_owned(),
                own_key: Arc::new(key),
                nickname: format!("node{index}"),
                validity: Duration::from_secs(1_000_000),
                mailbox: None,
                life: 0,
            }
        });
        Self {
            now: Instant::from_micros(1),
            faults,
            stations: stations.collect(),
            sync: Duration::from_millis(3),
            frames: 0,
            bytes: 0,
            segments: vec![Segment { members: None, mtu: 1500, up: true }],
            epoch: UnixTime::from_millis(1_700_000_000_000),
            filter: |_, _| true,
            capture: None,
            starved: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            agenda: BTreeMap::new(),
            planned: 0,
        }
    }

    fn clock(&self) -> Now {
        // The wall clock has nothing to do with the monotonic one.
        let wall = self.epoch + (self.now - Instant::default());
        Now { monotonic: self.now, wall }
    }

    pub(crate) fn start(&mut self, index: usize) {
        let (now, seed) = (self.clock(), self.rng.random());
        let station = &mut self.stations[index];
        station.life += 1;
        let key = IdentityKey::from_pem(&station.key, None).unwrap();
        let subkey = Subkey::from_seed(&self.rng.random()).unwrap();
        let fields = RecordFields {
            nickname: Some(station.nickname.parse().unwrap()),
            subkey: subkey.public_key().unwrap(),
            capabilities: station.mailbox.map_or(0, |_| CAPABILITY_MAILBOX),
            number: u64::from(station.life),
            issued: now.wall,
            valid_until: now.wall + station.validity,
        };
        let mut stack = Stack::new(StackConfig {
            identity: OwnIdentity::new(key, fields).unwrap(),
            subkey,
            stream: stream::Config::default(),
            mesh: mesh::Config::default(),
            network_key: None,
            messenger: MessengerConfig { mailbox: station.mailbox, ..MessengerConfig::default() },
            peers: station.disk.store.peers(),
            outboxes: station.disk.store.opened(),
            seed,
        })
        .unwrap();
        for (number, segment) in (1..).zip(&self.segments).filter(|(_, segment)| segment.has(index)) {
            stack.add_link(now, LinkId(number), "segment", LinkInfo::new(segment.mtu, true));
        }
        station.stack = Some(stack);
        self.empty_outputs(index);
    }

    /// `kill -9`: of what waits for the disk, some has reached it and the rest is gone.
    pub(crate) fn crash(&mut self, index: usize) {
        let is_commit =
            |happening: &Happening| matches!(happening, Happening::Commit { node, .. } if *node == index);
        let waiting: Vec<_> = self.agenda.extract_if(.., |_, happening| is_commit(happening)).collect();
        let survive = self.rng.random_range(0..=waiting.len());
        let station = &mut self.stations[index];
        for (_, happening) in waiting.into_iter().take(survive) {
            if let Happening::Commit { operation, .. } = happening {
                station.disk.execute(operation);
            }
        }
        station.stack = None;
        station.seen.clear();
    }

    /// A frame out of nowhere.
    pub(crate) fn inject(&mut self, to: usize, from: LinkAddr, frame: &[u8]) {
        self.with(to, |stack, now| {
            stack.handle_frame(now, LinkId(1), from, &mut frame.to_vec(), &mut Vec::new())
        });
    }

    /// The node gets no time to run from now on. Frames wait for it, as in the buffer of a socket.
    pub(crate) fn starve(&mut self, index: usize) {
        self.starved.entry(index).or_default();
    }

    pub(crate) fn is_starved(&self, index: usize) -> bool {
        self.starved.contains_key(&index)
    }

    /// The node runs again.
    pub(crate) fn feed(&mut self, index: usize) {
        for (link, from, frame) in self.starved.remove(&index).unwrap_or_default() {
            self.schedule(self.now, Happening::Frame { to: index, link, from, frame });
        }
    }

    /// A call into a running node.
    pub(crate) fn with<T>(&mut self, index: usize, call: impl FnOnce(&mut Stack, Now) -> T) -> T {
        let now = self.clock();
        let result = call(self.stations[index].stack.as_mut().expect("the node runs"), now);
        self.empty_outputs(index);
        result
    }

    /// Runs until `done` or until `limit` of virtual time has passed; tells whether it was done.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let awake = self.stations.iter().enumerate().filter(|(index, _)| !self.is_starved(*index));
            let timers = awake.filter_map(|(_, s)| s.stack.as_ref()?.poll_timeout());
            let timer = timers.min().map(|due| due.max(self.now));
            let arrival = self.agenda.keys().next().map(|(due, _)| *due);
            let Some(next) = timer.into_iter().chain(arrival).min().filter(|due| *due <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = next;
            if arrival == Some(next) {
                self.happen();
            } else {
                self.tick();
            }
        }
        true
    }

    fn tick(&mut self) {
        let now = self.clock();
        for index in 0..self.stations.len() {
            let is_starved = self.is_starved(index);
            let Some(stack) = self.stations[index].stack.as_mut() else { continue };
            if !is_starved && stack.poll_timeout().is_some_and(|due| due <= now.monotonic) {
                stack.handle_timeout(now);
                self.empty_outputs(index);
            }
        }
    }

    fn happen(&mut self) {
        let Some((_, happening)) = self.agenda.pop_first() else { return };
        let now = self.clock();
        match happening {
            Happening::Frame { to, link, from, mut frame } => {
                if let Some(waiting) = self.starved.get_mut(&to) {
                    return waiting.push((link, from, frame));
                }
                if let Some(stack) = self.stations[to].stack.as_mut() {
                    let mut out = Vec::new();
                    let passed_on = stack.handle_frame(now, link, from, &mut frame, &mut out);
                    if let Some((link, next)) = passed_on {
                        self.transmit(to, link, next, &out);
                    }
                    self.empty_outputs(to);
                }
            }
            Happening::Commit { node, operation } => {
                let station = &mut self.stations[node];
                let Some(stack) = station.stack.as_mut() else { return };
                if let Some(reply) = station.disk.execute(operation) {
                    stack.handle_store(now, reply);
                }
                self.empty_outputs(node);
            }
            Happening::Sealed { node, life, outcome } => {
                let station = &mut self.stations[node];
                let Some(stack) = station.stack.as_mut().filter(|_| station.life == life) else { return };
                stack.handle_job(now, outcome);
                self.empty_outputs(node);
            }
        }
    }

    fn schedule(&mut self, due: Instant, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((due, self.planned), happening);
    }

    fn empty_outputs(&mut self, index: usize) {
        let now = self.clock();
        let mut frame = Vec::new();
        loop {
            frame.clear();
            let Some(stack) = self.stations[index].stack.as_mut() else { return };
            let Some((link, to)) = stack.poll_transmit(now, &mut frame) else { break };
            self.transmit(index, link, to, &frame);
        }
        let station = &mut self.stations[index];
        let Some(stack) = station.stack.as_mut() else { return };
        let operations: Vec<_> = std::iter::from_fn(|| stack.poll_store()).collect();
        station.answers.extend(std::iter::from_fn(|| stack.poll_accepted()));
        station.seen.extend(std::iter::from_fn(|| stack.poll_event()));
        let jobs: Vec<_> = std::iter::from_fn(|| stack.poll_job()).collect();
        let (key, life) = (station.own_key.clone(), station.life);
        for (job, record) in jobs {
            let outcome = job.run(&key, record.as_deref(), &mut self.rng);
            self.schedule(self.now + SEALING, Happening::Sealed { node: index, life, outcome });
        }
        for operation in operations {
            self.schedule(self.now + self.sync, Happening::Commit { node: index, operation });
        }
    }

    fn transmit(&mut self, from: usize, link: LinkId, to: Destination, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let segment = &self.segments[link.0 as usize - 1];
        assert!(frame.len() <= segment.mtu, "a frame of {} bytes on {link:?}", frame.len());
        if !segment.up {
            return;
        }
        if let Some(capture) = &mut self.capture {
            capture.push(frame.to_vec());
        }
        let targets: Vec<_> = match to {
            Destination::Group => {
                (0..self.stations.len()).filter(|to| *to != from && segment.has(*to)).collect()
            }
            Destination::Station(station) => {
                (0..self.stations.len()).filter(|to| address(*to) == station && segment.has(*to)).collect()
            }
        };
        let filter = self.filter;
        for to in targets.into_iter().filter(|to| filter(*to, frame)) {
            let copies = 1 + usize::from(self.rng.random_bool(self.faults.duplication));
            for _ in 0..copies {
                if self.rng.random_bool(self.faults.loss) {
                    continue;
                }
                let mut frame = frame.to_vec();
                if self.rng.random_bool(self.faults.corruption) {
                    let at = self.rng.random_range(0..frame.len());
                    frame[at] ^= 1 << self.rng.random_range(0..8);
                }
                let jitter = self.faults.jitter.mul_f64(self.rng.random::<f64>());
                let due = self.now + self.faults.delay + jitter;
                self.schedule(due, Happening::Frame { to, link, from: address(from), frame });
            }
        }
    }
}
