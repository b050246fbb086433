//! A peer that has proved its identity, and sends any segments in any packets: nothing panics, nothing is endless, what it
//! makes the other side keep stays within the limits, and once it is silent everything is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use meshcore::stream::{
    Config, ConnectionId, Credentials, Endpoint, Event, ReadOutcome, StreamError, StreamId,
};
use meshcore::types::{Address, Instant};
use meshcore::wire::segment::{AckFrequency, Segment, emit_ack};
use meshcore::wire::varint;

use crate::rogue::{self, Rogue, Space};
use crate::{ALICE, BOB};

const MAX_STEPS: usize = 300;

/// How long a packet is under way.
const DELAY: Duration = Duration::from_millis(1);

/// Packets that may be the answer to one.
const MAX_BURST: usize = 20_000;

/// Transport parameters that are numbers, as an honest client has them: idle time-out, windows of the connection and of streams,
/// streams, delay of acknowledgements, datagrams (RFC 9000 §18.2, RFC 9221 §3, draft-ietf-quic-ack-frequency §3).
const PARAMS: [(u64, u64); 7] = [
    (0x01, 10_000),
    (0x04, 30_000),
    (0x05, 20_000),
    (0x08, 4),
    (0x0b, 5),
    (0x20, 65_535),
    (0xff04_de1b, 1000),
];

/// Exchanges that a handshake takes.
const HANDSHAKE: usize = 8;

/// A stream, and up to where its bytes are said to go.
type Claim = (u64, u64);

/// An honest server and its client.
struct Arena {
    now: Instant,
    server: Endpoint,
    config: Config,
    source: Address,
    rogue: Rogue,
    connection: Option<ConnectionId>,
    streams: Vec<StreamId>,
    /// Those of them that the server opened.
    opened: usize,
    /// Bytes that the server's application has read, by stream.
    read: BTreeMap<u64, u64>,
}

/// Runs the attack that `data` stands for.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(mut arena) = Arena::new(&mut input) else { return };
    for _ in 0..MAX_STEPS {
        if input.is_empty() || arena.step(&mut input).is_err() {
            break;
        }
        arena.exchange();
        arena.check();
    }
    arena.fall_silent();
}

/// A number as attackers like them.
fn number(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match input.int_in_range(0..=4)? {
        0 | 1 => input.int_in_range(0..=40)?,
        2 => input.arbitrary::<u16>()?.into(),
        3 => varint::MAX - u64::from(input.arbitrary::<u8>()?),
        _ => input.arbitrary::<u64>()? >> 2,
    })
}

impl Arena {
    fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let config = Config {
            stream_window: 10_000,
            max_stream_window: 20_000,
            connection_window: 20_000,
            max_connection_window: 40_000,
            send_buffer: 10_000,
            max_send_buffer: 20_000,
            datagram_buffer: 5_000,
            max_streams: 4,
            key_update_packets: 1 << input.int_in_range(0..=10)?,
            idle_timeout: Duration::from_secs(10),
            ..Config::default()
        };
        let mut params = PARAMS.to_vec();
        let is_honest = input.ratio(7, 8)?;
        if !is_honest {
            for (_, value) in &mut params {
                *value = number(input)?;
            }
        }
        let credentials = Credentials::from_pkcs8(ALICE).expect("a test key");
        let server = Endpoint::new(config.clone(), credentials, [3; 32]).expect("a valid configuration");
        let mut arena = Self {
            now: Instant::from_micros(1),
            server,
            config,
            source: rogue::address(BOB),
            rogue: Rogue::new(BOB, &params),
            connection: None,
            streams: Vec::new(),
            opened: 0,
            read: BTreeMap::new(),
        };
        // An attack on the handshake itself begins before it is over.
        let rounds = if input.ratio(7, 8)? { HANDSHAKE } else { input.int_in_range(0..=HANDSHAKE)? };
        for _ in 0..rounds {
            arena.exchange();
            arena.rogue.acknowledge();
        }
        assert!(!is_honest || rounds < HANDSHAKE || arena.connection.is_some(), "the handshake fails");
        Ok(arena)
    }

    /// Carries what either side has for the other, once.
    fn exchange(&mut self) {
        self.now += DELAY;
        self.server.handle_timeout(self.now);
        for mut packet in std::mem::take(&mut self.rogue.outgoing) {
            let _ = self.server.handle_packet(self.now, self.source, &mut packet);
        }
        self.take_events();
        self.now += DELAY;
        let mut packet = Vec::new();
        for sent in 0.. {
            packet.clear();
            let Some(to) = self.server.poll_transmit(self.now, &mut packet) else { break };
            assert!(to == self.source && sent < MAX_BURST, "endless transmission");
            self.rogue.handle_packet(&mut packet);
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some((connection, event)) = self.server.poll_event() {
            match event {
                Event::Connected { peer, .. } => {
                    assert!(peer.address() == self.source && self.connection.is_none());
                    self.connection = Some(connection);
                }
                Event::Opened(stream) => {
                    assert!(!self.streams.contains(&stream));
                    self.streams.push(stream);
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=9)? {
            0..=4 => {
                let space = if input.ratio(1, 8)? {
                    *input.choose(&[Space::Initial, Space::Handshake])?
                } else {
                    Space::Data
                };
                let (plain, ends) = payload(input, self.rogue.largest(space))?;
                self.rogue.send(space, plain);
                if space == Space::Data {
                    self.check_limits(&ends);
                }
            }
            5 => self.rogue.acknowledge(),
            6 => {
                let wait = Duration::from_micros(u64::from(input.arbitrary::<u16>()?) * 20);
                self.run_for(wait);
            }
            _ => self.serve(input)?,
        }
        Ok(())
    }

    /// Whoever goes beyond the windows is hung up on. `ends`: what the last packet takes the streams to.
    fn check_limits(&mut self, ends: &[Claim]) {
        let Some(connection) = self.connection.filter(|connection| self.server.is_connected(*connection))
        else {
            return;
        };
        let limit = |stream| self.read.get(&stream).unwrap_or(&0) + self.config.max_stream_window;
        let mut beyond: Vec<_> = ends.iter().filter(|(stream, end)| *end > limit(*stream)).collect();
        beyond.retain(|(stream, _)| !self.is_over(connection, *stream));
        self.exchange();
        let updates = self.server.statistics(connection).map(|statistics| statistics.key_updates);
        // After a key update this peer is not understood any more.
        if updates == Some(0) && self.server.is_connected(connection) {
            assert!(beyond.iter().all(|(stream, _)| self.is_over(connection, *stream)), "{ends:?}");
        }
    }

    /// Whether the server has forgotten a stream: what comes for it is ignored.
    fn is_over(&mut self, connection: ConnectionId, id: u64) -> bool {
        let Some(stream) = self.streams.iter().find(|stream| stream.as_u64() == id) else { return false };
        self.server.write(connection, *stream, b"") == Err(StreamError::UnknownStream)
    }

    /// The honest application does something.
    fn serve(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let Some(connection) = self.connection else { return Ok(()) };
        let index = usize::from(input.arbitrary::<u8>()?);
        let stream = self.streams.get(index % self.streams.len().max(1)).copied();
        let len = usize::from(input.arbitrary::<u16>()?) % 10_000;
        let server = &mut self.server;
        match (input.int_in_range(0..=7)?, stream) {
            (0, _) => {
                if let Ok(stream) = server.open(connection) {
                    self.streams.push(stream);
                    self.opened += 1;
                }
            }
            (1, _) => drop(server.send_datagram(connection, Bytes::from(vec![1; len]))),
            (2, _) => drop(server.read_datagram(connection)),
            (3, Some(stream)) => {
                if let Ok(ReadOutcome::Data(len)) = server.read(connection, stream, &mut Vec::new(), len) {
                    *self.read.entry(stream.as_u64()).or_insert(0) += len as u64;
                }
            }
            (4, Some(stream)) => drop(server.finish(connection, stream)),
            (5, Some(stream)) => drop(server.reset(connection, stream, 1)),
            (6, Some(stream)) => drop(server.stop(connection, stream, 2)),
            (_, Some(stream)) => drop(server.write(connection, stream, &vec![2; len])),
            _ => {}
        }
        Ok(())
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            match self.server.poll_timeout().filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => return self.now = self.now.max(end),
            }
            self.exchange();
        }
        panic!("the server spins");
    }

    /// What the peer has opened is bounded.
    fn check(&self) {
        let Some(statistics) = self.connection.and_then(|connection| self.server.statistics(connection))
        else {
            return;
        };
        let limit = self.config.max_streams as usize + self.opened;
        assert!(statistics.streams <= limit, "{} streams", statistics.streams);
        assert!(statistics.bytes_in_flight <= statistics.bytes_sent);
    }

    /// Nothing comes any more: what has come fits the windows, and everything is forgotten in the end.
    fn fall_silent(&mut self) {
        if let Some(connection) = self.connection {
            let (mut all, mut kept) = (Vec::new(), 0);
            for stream in self.streams.clone() {
                while let Ok(ReadOutcome::Data(_)) = self.server.read(connection, stream, &mut all, 1000) {}
            }
            while let Some(data) = self.server.read_datagram(connection) {
                kept += data.len();
            }
            assert!(all.len() as u64 <= self.config.max_connection_window, "{} bytes", all.len());
            assert!(kept <= self.config.datagram_buffer, "{kept} bytes of datagrams");
        }
        self.run_for(Duration::from_secs(3600));
        assert_eq!(self.server.poll_timeout(), None);
        assert!(self.connection.is_none_or(|connection| self.server.statistics(connection).is_none()));
    }
}

/// The plaintext of one packet, and up to where it claims to fill streams.
fn payload(input: &mut Unstructured<'_>, largest: u64) -> Result<(Vec<u8>, Vec<Claim>)> {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..input.int_in_range(0..=5)? {
        ends.extend(segment(input, largest, &mut out)?);
    }
    // Last, for it may swallow what follows.
    if input.ratio(1, 4)? {
        let len = input.int_in_range(0..=20)?;
        out.extend_from_slice(input.bytes(len)?);
    }
    Ok((out, ends))
}

/// Appends a segment; if it is of a stream, tells which and where it ends.
fn segment(input: &mut Unstructured<'_>, largest: u64, out: &mut Vec<u8>) -> Result<Option<Claim>> {
    let data = [0x5a; 1200];
    let code = input.int_in_range(0..=18)?;
    let [a, b] = [number(input)?, number(input)?];
    let data = &data[..(b as usize).min(data.len())];
    // A place that the peer may fill, or any.
    let offset = if input.arbitrary()? { u64::from(input.arbitrary::<u16>()?) % 25_000 } else { a };
    // A stream that the peer may use, or any.
    let stream = if input.ratio(15, 16)? { 4 * (a % 4) + u64::from(input.ratio(1, 8)?) } else { b };
    let segment = match code {
        0 => Segment::Ping,
        1 => Segment::Padding,
        2 | 3 => {
            // Mostly of what was sent.
            let end = if input.ratio(7, 8)? { largest.saturating_sub(a % 64) } else { a };
            let start = end.saturating_sub(b);
            emit_ack(a, [start..=end].into_iter(), usize::MAX, out);
            return Ok(None);
        }
        4 | 5 => Segment::ResetStream { stream, code: a, final_size: offset },
        6 => Segment::StopSending { stream, code: b },
        7 => Segment::Crypto { offset, data },
        8..=11 => Segment::Stream { stream, offset, fin: input.ratio(1, 4)?, data },
        12 => Segment::MaxData(a),
        13 => Segment::MaxStreamData { stream, max: a },
        14 => Segment::MaxStreams(a),
        15 => Segment::StreamDataBlocked { stream, limit: b },
        16 => Segment::AckFrequency(AckFrequency { sequence: a, threshold: b, delay: offset, reordering: a }),
        17 => Segment::Datagram(data),
        _ => match input.int_in_range(0..=15)? {
            0 => Segment::CloseApplication { code: a, reason: data },
            1 => Segment::HandshakeDone,
            _ => Segment::StreamsBlocked(a),
        },
    };
    segment.emit(out);
    Ok(match segment {
        Segment::Stream { stream, offset, data, .. } => Some((stream, offset + data.len() as u64)),
        Segment::ResetStream { stream, final_size, .. } => Some((stream, final_size)),
        _ => None,
    })
}
