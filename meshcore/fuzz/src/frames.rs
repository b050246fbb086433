//! Somebody on the segment of two honest nodes, who repeats, alters and makes up frames: nothing panics, nothing is endless,
//! made-up nodes fill no memory, and soon afterwards messages arrive as ever.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use meshcore::mesh::{self, LinkInfo};
use meshcore::message::MessengerConfig;
use meshcore::message::identity::{IdentityKey, OwnIdentity, RecordFields, Subkey};
use meshcore::message::store::MemoryStore;
use meshcore::node::{Event, Now, Stack, StackConfig};
use meshcore::stream;
use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId, NodeId, UnixTime};
use meshcore::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};

const KEYS: [&str; 2] = [
    include_str!("../../tests/keys/message/rsa2048.pem"),
    include_str!("../../tests/keys/message/rsa2048b.pem"),
];

const LINK: LinkId = LinkId(1);
const WIRE: LinkInfo = LinkInfo::new(1500, true);
const DELAY: Duration = Duration::from_micros(200);
const MAX_STEPS: usize = 400;

/// Frames that are remembered to be repeated.
const MAX_HEARD: usize = 200;

/// Frames that both nodes send in answer to one, or because of time that has passed: many more are a storm.
const MAX_BURST: usize = 50_000;

struct Node {
    id: NodeId,
    stack: Stack,
    disk: MemoryStore,
    texts: Vec<String>,
}

struct Segment {
    now: Instant,
    nodes: Vec<Node>,
    flying: VecDeque<(Instant, usize, Vec<u8>)>,
    heard: Vec<Vec<u8>>,
    /// Frames of the attacker so far.
    injected: usize,
}

/// Runs the attack that `data` stands for.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut segment = Segment::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() || segment.attack(&mut input).is_err() {
            break;
        }
    }
    segment.assert_recovered();
}

fn station(number: usize) -> LinkAddr {
    LinkAddr::new(&(number as u64).to_be_bytes()).expect("a link address")
}

fn node(pem: &str, seed: u8) -> Node {
    let key = IdentityKey::from_pem(pem, None).expect("a test key");
    let (id, subkey) = (key.node_id(), Subkey::from_seed(&[seed; 32]).expect("a key"));
    let fields = RecordFields {
        nickname: None,
        subkey: subkey.public_key().expect("a key"),
        capabilities: 0,
        number: 1,
        issued: UnixTime::default(),
        valid_until: UnixTime::from_millis(u64::MAX),
    };
    let disk = MemoryStore::default();
    let stack = Stack::new(StackConfig {
        identity: OwnIdentity::new(key, fields).expect("a record"),
        subkey,
        stream: stream::Config::default(),
        mesh: mesh::Config::default(),
        network_key: None,
        messenger: MessengerConfig::default(),
        peers: Vec::new(),
        outboxes: disk.opened(),
        seed: [seed; 32],
    });
    Node { id, stack: stack.expect("a valid configuration"), disk, texts: Vec::new() }
}

impl Segment {
    /// Two nodes that have found each other and exchanged a message.
    fn new() -> Self {
        let nodes = vec![node(KEYS[0], 1), node(KEYS[1], 2)];
        let mut segment = Self {
            now: Instant::from_micros(1),
            nodes,
            flying: VecDeque::new(),
            heard: Vec::new(),
            injected: 0,
        };
        let now = segment.clock();
        for node in &mut segment.nodes {
            node.stack.add_link(now, LINK, "wire", WIRE);
        }
        segment.run_for(Duration::from_secs(1));
        segment.assert_delivers("hello", Duration::from_secs(1));
        segment
    }

    fn clock(&self) -> Now {
        Now { monotonic: self.now, wall: UnixTime::from_millis(self.now.as_micros() / 1000) }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.empty_outputs();
        for _ in 0..MAX_BURST {
            let timers = self.nodes.iter().filter_map(|node| node.stack.poll_timeout());
            let arrival = self.flying.front().map(|(arrives, ..)| *arrives);
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else {
                return self.now = end;
            };
            self.now = self.now.max(next);
            if arrival.is_some_and(|arrives| arrives <= self.now)
                && let Some((_, from, frame)) = self.flying.pop_front()
            {
                self.deliver(1 - from, station(from), frame);
            } else {
                let now = self.clock();
                self.nodes.iter_mut().for_each(|node| node.stack.handle_timeout(now));
            }
            self.empty_outputs();
        }
        panic!("a storm of frames");
    }

    fn deliver(&mut self, to: usize, from: LinkAddr, mut frame: Vec<u8>) {
        let (now, mut passed_on) = (self.clock(), Vec::new());
        if self.nodes[to].stack.handle_frame(now, LINK, from, &mut frame, &mut passed_on).is_some() {
            self.flying.push_back((self.now + DELAY, to, passed_on));
        }
    }

    fn empty_outputs(&mut self) {
        let now = self.clock();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let mut frame = Vec::new();
            for sent in 0.. {
                while let Some(operation) = node.stack.poll_store() {
                    if let Some(reply) = node.disk.execute(operation) {
                        node.stack.handle_store(now, reply);
                    }
                }
                while let Some(event) = node.stack.poll_event() {
                    if let Event::Message(message) = event {
                        node.stack.handle_confirmed(now, message.arrival);
                        node.texts.push(message.text);
                    }
                }
                while node.stack.poll_accepted().is_some() {}
                while node.stack.poll_connection_event(now).is_some() {}
                frame.clear();
                let Some((_, to)) = node.stack.poll_transmit(now, &mut frame) else { break };
                assert!(sent < MAX_BURST && frame.len() <= WIRE.mtu);
                if self.heard.len() < MAX_HEARD {
                    self.heard.push(frame.clone());
                }
                if to == Destination::Group || to == Destination::Station(station(1 - index)) {
                    self.flying.push_back((self.now + DELAY, index, frame.clone()));
                }
            }
        }
    }

    fn attack(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let to = usize::from(input.arbitrary::<bool>()?);
        match input.int_in_range(0..=9)? {
            0..=4 => {
                let index = usize::from(input.arbitrary::<u8>()?) % self.heard.len();
                let frame = altered(input, self.heard[index].clone())?;
                self.inject(input, to, frame)?;
            }
            5..=7 => {
                let frame = self.made_up(input)?;
                self.inject(input, to, frame)?;
            }
            8 => self.run_for(Duration::from_millis(u64::from(input.arbitrary::<u16>()?) % 2000)),
            _ => {
                let (now, other) = (self.clock(), self.nodes[1 - to].id);
                // Who is not in reach at the moment is written to later.
                let _ = self.nodes[to].stack.send(now, other, "in between".into(), None);
            }
        }
        self.run_for(Duration::from_micros(50));
        let known = self.nodes.iter().map(|node| node.stack.nodes().len()).max();
        assert!(known <= Some(1), "a made-up node is shown");
        Ok(())
    }

    fn inject(&mut self, input: &mut Unstructured<'_>, to: usize, frame: Vec<u8>) -> Result<()> {
        self.injected += 1;
        let from = input.int_in_range(0..=4)?;
        self.deliver(to, station(from), frame);
        Ok(())
    }

    fn made_up(&self, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let ids = [self.nodes[0].id.address(), self.nodes[1].id.address()];
        let strangers = [Address::EVERYONE, Address([9; 16]), Address([0; 16])];
        let choices = [&ids[..], &strangers].concat();
        let header = FrameHeader {
            kind: FrameType::from(input.int_in_range(0..=12)?),
            hop_limit: if input.arbitrary()? { ONE_HOP } else { input.arbitrary()? },
            class: TrafficClass::from(input.int_in_range(0..=2)?),
            source: *input.choose(&choices)?,
            destination: *input.choose(&choices)?,
        };
        let len = input.int_in_range(0..=200)?;
        let payload = input.bytes(len.min(input.len()))?;
        Ok([&header.emit(payload.len() as u16)[..], payload].concat())
    }

    fn assert_delivers(&mut self, text: &str, limit: Duration) {
        for (from, to) in [(0, 1), (1, 0)] {
            let (now, other) = (self.clock(), self.nodes[to].id);
            self.nodes[to].texts.clear();
            self.nodes[from].stack.send(now, other, text.into(), None).expect("a node that is known");
            let end = self.now + limit;
            while !self.nodes[to].texts.iter().any(|got| got == text) {
                assert!(self.now < end, "the message does not arrive");
                self.run_for(Duration::from_millis(100));
            }
        }
    }

    /// A hello with a number ahead of its time silences the true ones until they have caught up: some thirty seconds.
    fn assert_recovered(&mut self) {
        for _ in 0..32 {
            self.run_for(Duration::from_secs(1));
        }
        self.assert_delivers("still there?", Duration::from_secs(60));
    }
}

/// A frame with some bytes changed, cut off or added.
fn altered(input: &mut Unstructured<'_>, mut frame: Vec<u8>) -> Result<Vec<u8>> {
    for _ in 0..input.int_in_range(0..=3)? {
        // Every second time in the headers, where it hurts most.
        let limit = if input.arbitrary()? { frame.len() } else { frame.len().min(HEADER_LEN + 24) };
        let at = usize::from(input.arbitrary::<u16>()?) % limit.max(1);
        if let Some(byte) = frame.get_mut(at) {
            *byte = input.arbitrary()?;
        }
    }
    match input.int_in_range(0..=7)? {
        0 => frame.truncate(input.arbitrary::<u16>()?.into()),
        1 => frame.extend(vec![input.arbitrary::<u8>()?; input.arbitrary::<u8>()?.into()]),
        _ => {}
    }
    Ok(frame)
}
