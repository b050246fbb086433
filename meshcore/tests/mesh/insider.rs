//! An attacker who is a neighbour: it says hello, shows a genuine identity, answers probes, and lies about the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use meshcore::types::{Address, Destination, LinkAddr};
use meshcore::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use meshcore::wire::hello::{Heard, Hello};
use meshcore::wire::identity::IdentityRequest;
use meshcore::wire::probe::Probe;
use meshcore::wire::update::{Advert, Seqno, Update};

use crate::sim::air::station;
use crate::sim::mesh_router::Node;
use crate::sim::signatures::{Certificate, Signer};
use crate::sim::world::World;

/// How often it looks at what it has heard, and how often it says hello.
const STEP: Duration = Duration::from_millis(20);
const HELLO: Duration = Duration::from_secs(1);

/// A neighbour as the attacker hears it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Victim {
    pub at: LinkAddr,
    pub seqno: u16,
    pub instance: u64,
}

/// It owns one station of the world and the first link of that.
pub(crate) struct Insider {
    pub address: Address,
    pub port: usize,
    pub instance: u64,
    pub version: u64,
    pub heard: BTreeMap<Address, Victim>,
    /// Frames that it was sent, by type: what victims can be made to send.
    pub received: BTreeMap<u8, u64>,
    /// Adverts that it has heard, to be replayed.
    pub adverts: Vec<Advert>,
    node: usize,
    seqno: u16,
    since_hello: Duration,
}

/// What the owner of an address says about itself. Only the attacker's own addresses are used with this.
pub(crate) fn genuine(address: Address, record: u64, count: u32, metric: u16) -> Advert {
    let signer = Signer { subkey: Certificate::issue(address, record).subkey, work: Default::default() };
    let seqno = Seqno { record, count };
    let signature = signer.sign(&seqno.signed_message(address));
    Advert { destination: address, seqno, metric, mtu: 1460, hops: u8::from(metric > 0), signature }
}

impl Insider {
    /// Takes over a station that never runs a mesh.
    pub(crate) fn new(world: &mut World<Node>, node: usize) -> Self {
        world.stations[node].life += 1;
        world.stations[node].tap = Some(Vec::new());
        Self {
            address: world.stations[node].address,
            port: world.air.ports_of(node)[0],
            instance: 0x6d61_6c69_6365,
            version: 0,
            heard: BTreeMap::new(),
            received: BTreeMap::new(),
            adverts: Vec::new(),
            node,
            seqno: 0,
            since_hello: HELLO,
        }
    }

    /// Behaves like a neighbour for a while.
    pub(crate) fn run(&mut self, world: &mut World<Node>, time: Duration) {
        let end = world.elapsed() + time;
        while world.elapsed() < end {
            self.listen(world);
            if self.since_hello >= HELLO {
                self.since_hello = Duration::ZERO;
                self.say_hello(world);
            }
            world.run_for(STEP);
            self.since_hello += STEP;
        }
    }

    fn listen(&mut self, world: &mut World<Node>) {
        let frames = std::mem::take(world.stations[self.node].tap.get_or_insert_default());
        for (_, from, frame) in frames {
            let Ok((header, payload)) = FrameHeader::parse(&frame) else { continue };
            *self.received.entry(header.kind.into()).or_default() += 1;
            match header.kind {
                FrameType::Hello => {
                    if let Ok((hello, _)) = Hello::parse(payload) {
                        let victim =
                            Victim { at: station(from), seqno: hello.seqno, instance: hello.instance };
                        self.heard.insert(header.source, victim);
                    }
                }
                FrameType::IdentityRequest => {
                    if let Ok(request) = IdentityRequest::parse(payload) {
                        self.serve(world, header.source, request.node);
                    }
                }
                FrameType::Update => {
                    self.adverts.extend(Update::parse(payload).into_iter().flat_map(|(_, adverts)| adverts));
                }
                FrameType::Probe => {
                    if let Ok(Probe { answer: false, nonce }) = Probe::parse(payload) {
                        let mut answer = Vec::new();
                        Probe { answer: true, nonce }.emit(&mut answer);
                        self.tell(world, header.source, FrameType::Probe, &answer);
                    }
                }
                _ => {}
            }
        }
    }

    /// Anybody who has a key can make a genuine record; numbers begin at 1 for the attacker's addresses.
    fn serve(&mut self, world: &mut World<Node>, to: Address, about: Address) {
        let mut payload = about.as_bytes().to_vec();
        payload.extend(&*Certificate::issue(about, 1).record);
        self.tell(world, to, FrameType::IdentityRecord, &payload);
    }

    pub(crate) fn say_hello(&mut self, world: &mut World<Node>) {
        self.seqno = self.seqno.wrapping_add(1);
        let total = self.heard.len() as u16;
        let hello =
            Hello { seqno: self.seqno, interval: 300, instance: self.instance, version: self.version, total };
        let list = self.heard.iter().map(|(node, victim)| {
            let (seqno, instance) = (victim.seqno, victim.instance as u32);
            Heard { node: *node, seqno, rxcost: 256, instance }
        });
        let mut payload = Vec::new();
        hello.emit(list, &mut payload);
        self.shout(world, FrameType::Hello, &payload);
    }

    /// Tells everybody on the link the next version of its table.
    pub(crate) fn update(&mut self, world: &mut World<Node>, adverts: &[Advert]) {
        for some in adverts.chunks(12) {
            let update =
                Update { instance: self.instance, floor: 0, from: self.version, to: self.version + 1 };
            self.version += 1;
            let mut payload = Vec::new();
            update.emit(&mut payload);
            some.iter().for_each(|advert| advert.emit(&mut payload));
            self.shout(world, FrameType::Update, &payload);
        }
    }

    /// The announcement of itself, which comes first.
    pub(crate) fn introduce(&mut self, world: &mut World<Node>) {
        self.run(world, 3 * HELLO);
        self.update(world, &[genuine(self.address, 1, 0, 0)]);
        self.run(world, 3 * HELLO);
    }

    pub(crate) fn frame(&self, to: Address, kind: FrameType, payload: &[u8]) -> Vec<u8> {
        frame(self.address, to, kind, payload)
    }

    pub(crate) fn shout(&self, world: &mut World<Node>, kind: FrameType, payload: &[u8]) {
        let frame = self.frame(Address::EVERYONE, kind, payload);
        world.put_on_air(self.port, Destination::Group, &frame);
    }

    pub(crate) fn tell(&self, world: &mut World<Node>, to: Address, kind: FrameType, payload: &[u8]) {
        let frame = self.frame(to, kind, payload);
        if let Some(victim) = self.heard.get(&to) {
            world.put_on_air(self.port, Destination::Station(victim.at), &frame);
        }
    }
}

pub(crate) fn frame(source: Address, destination: Address, kind: FrameType, payload: &[u8]) -> Vec<u8> {
    let class = TrafficClass::Control;
    let header = FrameHeader { kind, hop_limit: ONE_HOP, class, source, destination };
    let mut frame = Vec::with_capacity(HEADER_LEN + payload.len());
    frame.extend(header.emit(payload.len() as u16));
    frame.extend(payload);
    frame
}
