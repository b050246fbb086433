//! A peer that has proved its identity and misbehaves on its connection.

use std::collections::BTreeMap;
use std::time::Duration;

use meshcore::mesh::{self, Handled, LinkInfo, Mesh, MeshEvent};
use meshcore::message::MessengerConfig;
use meshcore::message::identity::{IdentityKey, IdentityRecord, OwnIdentity, RecordFields, Subkey};
use meshcore::node::{Event, Now, Stack, StackConfig};
use meshcore::stream::{self, ConnectionId, Credentials, Endpoint, Purpose, StreamId};
use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId, MessageId, NodeId, Status, UnixTime};
use meshcore::wire::content::Content;
use meshcore::wire::frame::{FrameType, HEADER_LEN, TrafficClass};
use meshcore::wire::record::{PROTOCOL, Record};

use crate::disk::Disk;
use crate::{ALICE, BOB};

const LINK: LinkId = LinkId(1);

fn identity(pem: &str) -> (OwnIdentity, Subkey) {
    let key = IdentityKey::from_pem(pem, None).unwrap();
    let subkey = Subkey::from_seed(&[7; 32]).unwrap();
    let fields = RecordFields {
        nickname: None,
        subkey: subkey.public_key().unwrap(),
        capabilities: 0,
        number: 1,
        issued: UnixTime::default(),
        valid_until: UnixTime::from_millis(u64::MAX),
    };
    (OwnIdentity::new(key, fields).unwrap(), subkey)
}

/// What the mesh of the other side is to know of a record.
fn verified(record: &[u8], node: Address) -> mesh::Identity {
    let RecordFields { number, subkey, .. } = IdentityRecord::verify(record, node).unwrap().fields;
    mesh::Identity { number, subkey, record: record.into() }
}

const WIRE: LinkInfo = LinkInfo::new(1500, true);

/// An honest node, and one whose upper layers are the test.
struct Arena {
    now: Instant,
    victim: Stack,
    victim_id: NodeId,
    disk: Disk,
    events: Vec<Event>,
    mesh: Mesh,
    streams: Endpoint,
    insider_id: NodeId,
    heard: Vec<(ConnectionId, stream::Event)>,
}

impl Arena {
    fn new() -> Self {
        let (victim, subkey) = identity(ALICE);
        let victim_id = victim.key().node_id();
        let disk = Disk::default();
        let mut victim = Stack::new(StackConfig {
            identity: victim,
            subkey,
            stream: stream::Config::default(),
            mesh: mesh::Config::default(),
            network_key: None,
            messenger: MessengerConfig::default(),
            peers: Vec::new(),
            outboxes: disk.store.opened(),
            seed: [1; 32],
        })
        .unwrap();
        let (insider, subkey) = identity(BOB);
        let insider_id = insider.key().node_id();
        let own = insider_id.address();
        let mut mesh = Mesh::new(mesh::Config::default(), own, 77, Box::new(subkey), [2; 32]);
        mesh.set_own_identity(Instant::default(), verified(insider.record(), own));
        let credentials = Credentials::from_pkcs8(insider.key().pkcs8_der()).unwrap();
        let streams = Endpoint::new(stream::Config::default(), credentials, [3; 32]).unwrap();
        let now = Instant::from_micros(1);
        victim.add_link(clock(now), LINK, "wire", WIRE);
        mesh.add_link(now, LINK, WIRE);
        let (events, heard) = Default::default();
        let mut arena = Self { now, victim, victim_id, disk, events, mesh, streams, insider_id, heard };
        arena.run(Duration::from_secs(1));
        assert!(matches!(arena.events[..], [Event::NodeFound(_)]), "{:?}", arena.events);
        arena
    }

    /// Carries frames to and fro, a tenth of a millisecond each, until `time` has passed.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            if self.exchange() {
                self.now += Duration::from_micros(100);
                continue;
            }
            let timers = [self.victim.poll_timeout(), self.mesh.poll_timeout(), self.streams.poll_timeout()];
            let next = timers.into_iter().flatten().min().unwrap_or(end).clamp(self.now, end);
            self.now = next + Duration::from_micros(1);
            self.victim.handle_timeout(clock(self.now));
            self.mesh.handle_timeout(self.now);
            self.streams.handle_timeout(self.now);
        }
    }

    /// Whether anything went over the wire.
    fn exchange(&mut self) -> bool {
        let (now, mut busy, mut frame) = (self.now, false, Vec::new());
        while let Some(operation) = self.victim.poll_store() {
            if let Some(reply) = self.disk.execute(operation) {
                self.victim.handle_store(clock(now), reply);
            }
        }
        while let Some(event) = self.victim.poll_event() {
            if let Event::Message(message) = &event {
                self.victim.handle_confirmed(clock(now), message.arrival);
            }
            self.events.push(event);
        }
        if self.victim.poll_transmit(clock(now), &mut frame).is_some() {
            busy = true;
            if let Ok(Handled::Deliver(delivery)) = self.mesh.handle_frame(now, LINK, station(0), &mut frame)
            {
                let _ = self.streams.handle_packet(now, delivery.source, delivery.payload);
            }
        }
        while let Some(event) = self.mesh.poll_event() {
            if let MeshEvent::IdentityReceived { node, record } = event {
                self.mesh.identity_known(now, node, verified(&record, node));
            }
        }
        while let Some(event) = self.streams.poll_event() {
            self.heard.push(event);
        }
        if let Some(mut frame) = self.outgoing() {
            busy = true;
            self.victim.handle_frame(clock(now), LINK, station(1), &mut frame, &mut Vec::new());
        }
        busy
    }

    fn outgoing(&mut self) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let to_us = |to| to == Destination::Group || to == Destination::Station(station(0));
        if let Some((_, to)) = self.mesh.poll_transmit(self.now, &mut frame) {
            assert!(to_us(to));
            return Some(frame);
        }
        frame.resize(HEADER_LEN, 0);
        let peer = self.streams.poll_transmit(self.now, &mut frame)?;
        let len = (frame.len() - HEADER_LEN) as u16;
        let header = self.mesh.unicast_header(peer, FrameType::Stream, TrafficClass::Bulk, len);
        frame[..HEADER_LEN].copy_from_slice(&header);
        Some(frame)
    }

    fn connect(&mut self) -> ConnectionId {
        let connection = self.streams.connect(self.now, self.victim_id, Purpose::Node).unwrap();
        self.run(Duration::from_millis(50));
        assert!(self.streams.is_connected(connection));
        connection
    }

    fn open(&mut self, connection: ConnectionId, data: &[u8]) -> StreamId {
        let stream = self.streams.open(connection).unwrap();
        self.write(connection, stream, data);
        stream
    }

    /// Writes all of it, as fast as the victim takes it.
    fn write(&mut self, connection: ConnectionId, stream: StreamId, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = self.streams.write(connection, stream, data).unwrap();
            data = &data[taken..];
            self.run(Duration::from_millis(2));
        }
    }

    fn texts(&self) -> Vec<&str> {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::Message(message) => Some(message.text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

fn clock(now: Instant) -> Now {
    Now { monotonic: now, wall: UnixTime::from_millis(now.as_micros() / 1000) }
}

fn station(number: u8) -> LinkAddr {
    LinkAddr::new(&[number; 6]).unwrap()
}

fn bytes(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.emit(&mut out);
    out
}

fn message(number: u128, text: &str) -> Vec<u8> {
    let id = MessageId(number.to_be_bytes());
    bytes(&Record::Message { id, sent_at: UnixTime::default(), content: Content::Text(text.into()) })
}

#[test]
fn streams_without_use_are_refused_and_bounded() {
    let mut arena = Arena::new();
    let connection = arena.connect();
    let mut refused = BTreeMap::new();
    for number in 0..1000u32 {
        // A number that no protocol has, or the message protocol once more.
        let first = if number % 2 == 0 { 200 } else { PROTOCOL };
        match arena.streams.open(connection) {
            Ok(stream) => {
                let _ = arena.streams.write(connection, stream, &[first]);
                let _ = arena.streams.finish(connection, stream);
            }
            Err(stream::StreamError::TooManyStreams) => arena.run(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
    arena.run(Duration::from_secs(1));
    for (_, event) in &arena.heard {
        if let stream::Event::Stopped { code, .. } | stream::Event::Reset { code, .. } = event {
            *refused.entry(*code).or_insert(0) += 1;
        }
    }
    assert!(refused.keys().eq([&4]), "{refused:?}");
    assert!(arena.streams.is_connected(connection));
    // The victim still answers on the same connection.
    let insider = arena.insider_id;
    arena.victim.send(clock(arena.now), insider, "hello".into(), None).unwrap();
    arena.run(Duration::from_millis(100));
    assert!(arena.heard.iter().any(|(_, event)| matches!(event, stream::Event::Opened(_))));
}

#[test]
fn receipts_that_belong_to_nothing_change_nothing() {
    let mut arena = Arena::new();
    let insider = arena.insider_id;
    arena.victim.send(clock(arena.now), insider, "hello".into(), None).unwrap();
    arena.run(Duration::from_millis(100));
    let opened = arena.heard.iter().find_map(|(connection, event)| match event {
        stream::Event::Opened(stream) => Some((*connection, *stream)),
        _ => None,
    });
    let (connection, stream) = opened.expect("the victim opens a stream");
    for round in 0..100u128 {
        let ids = (0..1024).map(|number| MessageId((round << 64 | number).to_be_bytes())).collect();
        arena.write(connection, stream, &bytes(&Record::Receipt(ids)));
    }
    arena.run(Duration::from_secs(1));
    assert!(arena.streams.is_connected(connection));
    let delivered = |event: &Event| matches!(event, Event::Status { status: Status::Delivered, .. });
    assert!(!arena.events.iter().any(delivered));
}

#[test]
fn a_violation_ends_the_connection_and_not_the_node() {
    let mut arena = Arena::new();
    let violations = [
        // A receipt where messages belong, an empty record, a length beyond the limit, a body that is not CBOR.
        bytes(&Record::Receipt(vec![MessageId([1; 16])])),
        vec![0; 4],
        vec![0xff; 4],
        vec![0, 0, 0, 3, 0xff, 0xff, 0xff],
    ];
    for (number, violation) in (0u128..).zip(violations) {
        let connection = arena.connect();
        let text = format!("before {number}");
        arena.open(connection, &[&[PROTOCOL], &message(number, &text)[..], &violation].concat());
        arena.run(Duration::from_millis(100));
        assert!(!arena.streams.is_connected(connection), "violation {number}");
        assert!(arena.texts().contains(&text.as_str()), "{:?}", arena.texts());
    }
}

#[test]
fn a_message_sent_a_thousand_times_is_shown_once() {
    let mut arena = Arena::new();
    let connection = arena.connect();
    let flood: Vec<u8> = (0..1000).flat_map(|_| message(7, "hello")).collect();
    arena.open(connection, &[&[PROTOCOL], &flood[..]].concat());
    arena.run(Duration::from_secs(1));
    assert_eq!(arena.texts(), ["hello"]);
}
