//! Both applications, and what they know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use meshcore::stream::{CloseReason, Config, ConnectionId, Event, ReadOutcome, StreamError, StreamId};

use super::operation::{self, Act, Operation};
use crate::wire::{Link, Wire};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// With what applications give up streams.
const RESET: u64 = 1;
const STOP: u64 = 2;

/// Connections in one run: a handshake takes longer than all the rest.
const MAX_CONNECTIONS: usize = 3;

/// Bytes that one end writes at most: so many windows, which the slowest wire carries in good time.
const MAX_WINDOWS: u64 = 200;
const MAX_WRITTEN: u64 = 200_000;

/// One direction of one stream.
#[derive(Debug, Default)]
struct Direction {
    written: usize,
    read: usize,
    /// The reader was told that there is something, and has not seen the end of it.
    readable: bool,
    /// The writer waits to be told of space.
    starved: bool,
    finished: bool,
    acknowledged: bool,
    reset: bool,
    stopped: bool,
    /// The reader has come to an end of whatever kind.
    over: bool,
}

impl Direction {
    fn is_given_up(&self) -> bool {
        self.reset || self.stopped
    }
}

/// What one application knows beside its streams.
#[derive(Debug, Default)]
struct Application {
    streams: Vec<StreamId>,
    wants_to_open: bool,
    datagrams_announced: bool,
    datagrams_sent: u32,
    datagrams_read: BTreeSet<u32>,
}

pub(crate) struct World {
    wire: Wire,
    configs: [Config; 2],
    connections: [ConnectionId; 2],
    /// Who opened the connection.
    client: usize,
    /// Connections so far.
    made: usize,
    applications: [Application; 2],
    /// By writer and stream.
    directions: BTreeMap<(usize, StreamId), Direction>,
    /// Bytes that each end may still write.
    budgets: [u64; 2],
    /// For the end, when the wire is good.
    good: Link,
}

/// The byte at a place of a stream.
fn byte(writer: usize, stream: StreamId, at: usize) -> u8 {
    let place = at as u64 + stream.as_u64() * 1000 + writer as u64;
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl World {
    pub(crate) fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let configs = [operation::config(input)?, operation::config(input)?];
        let seed = input.arbitrary::<u16>()?;
        let good = operation::link(input, 5)?;
        let first = operation::link(input, 30)?;
        let budget = |writer: usize| {
            let (own, peer) = (&configs[writer], &configs[1 - writer]);
            let window = peer.stream_window.min(peer.connection_window).min(own.send_buffer as u64);
            (MAX_WINDOWS * window).min(MAX_WRITTEN)
        };
        let budgets = [budget(0), budget(1)];
        let mut wire = Wire::new(seed.into(), configs.clone(), first);
        let connections = connect(&mut wire, 0);
        let (applications, directions) = Default::default();
        Ok(Self { wire, configs, connections, client: 0, made: 1, applications, directions, budgets, good })
    }

    fn pick(&self, end: usize, index: u8) -> Option<StreamId> {
        let streams = &self.applications[end].streams;
        streams.get(usize::from(index) % streams.len().max(1)).copied()
    }

    /// The direction in which this end writes.
    fn direction(&mut self, writer: usize, stream: StreamId) -> &mut Direction {
        self.directions.entry((writer, stream)).or_default()
    }

    pub(crate) fn apply(&mut self, end: usize, operation: Operation) {
        match operation {
            Operation::Open => self.open(end),
            Operation::Stream(index, act) => {
                if let Some(stream) = self.pick(end, index) {
                    self.act(end, stream, act);
                }
            }
            Operation::Datagram(len) => self.send_datagram(end, len),
            Operation::ReadDatagrams => self.read_datagrams(end),
            Operation::Ping => self.wire.ends[end].ping(self.connections[end]),
            Operation::Close => self.reconnect(end),
            Operation::Wait(time) => self.wire.run_for(time),
            Operation::Tamper(index, change) => self.wire.tamper(index, change),
            Operation::Link(link) => self.wire.link = link,
            Operation::Mtu(mtu) => {
                self.wire.set_mtu(mtu);
                self.wire.tell_mtu(end);
            }
            Operation::PathChange(delay) => {
                self.wire.link.delay = delay;
                let (now, peer) = (self.wire.now, self.wire.addresses[1 - end]);
                self.wire.ends[end].on_path_change(now, peer);
            }
        }
        self.take_events();
        self.check_windows();
    }

    fn act(&mut self, end: usize, stream: StreamId, act: Act) {
        match act {
            Act::Write(len, shared) => self.write(end, stream, len, shared),
            Act::Finish => self.finish(end, stream),
            Act::Reset => {
                let reset = self.wire.ends[end].reset(self.connections[end], stream, RESET).is_ok();
                self.direction(end, stream).reset |= reset;
            }
            Act::Stop => {
                let stopped = self.wire.ends[end].stop(self.connections[end], stream, STOP).is_ok();
                self.direction(1 - end, stream).stopped |= stopped;
            }
            Act::Read(limit, shared) => {
                // What has come since is announced first.
                self.take_events();
                self.read(end, stream, limit, shared);
            }
            Act::Priority(priority) => {
                let _ = self.wire.ends[end].set_priority(self.connections[end], stream, priority);
            }
        }
    }

    /// Closes the connection and makes another.
    fn reconnect(&mut self, end: usize) {
        if self.made < MAX_CONNECTIONS {
            let link = self.wire.link;
            self.close(end);
            self.connections = connect(&mut self.wire, end);
            self.client = end;
            self.made += 1;
            self.wire.link = link;
        }
    }

    fn open(&mut self, end: usize) {
        match self.wire.ends[end].open(self.connections[end]) {
            Ok(stream) => self.applications[end].streams.push(stream),
            Err(error) => {
                assert_eq!(error, StreamError::TooManyStreams);
                self.applications[end].wants_to_open = true;
            }
        }
    }

    fn write(&mut self, end: usize, stream: StreamId, len: usize, shared: bool) {
        let (connection, written) = (self.connections[end], self.direction(end, stream).written);
        let len = len.min(self.budgets[end] as usize);
        let data: Vec<u8> = (written..written + len).map(|at| byte(end, stream, at)).collect();
        let endpoint = &mut self.wire.ends[end];
        let taken = if shared {
            endpoint.write_bytes(connection, stream, data.into())
        } else {
            endpoint.write(connection, stream, &data)
        };
        if let Ok(taken) = taken {
            self.budgets[end] -= taken as u64;
            let direction = self.direction(end, stream);
            assert!(!direction.finished && !direction.reset);
            direction.written += taken;
            direction.starved |= taken < len;
        }
    }

    fn finish(&mut self, end: usize, stream: StreamId) {
        let finished = self.wire.ends[end].finish(self.connections[end], stream).is_ok();
        self.direction(end, stream).finished |= finished;
    }

    /// Reads once; tells whether there may be more.
    fn read(&mut self, end: usize, stream: StreamId, limit: usize, shared: bool) -> bool {
        let (connection, writer) = (self.connections[end], 1 - end);
        let endpoint = &mut self.wire.ends[end];
        let mut new = Vec::new();
        let outcome = if shared {
            endpoint.read_bytes(connection, stream, limit).map(|(outcome, data)| {
                new.extend(data);
                outcome
            })
        } else {
            endpoint.read(connection, stream, &mut new, limit)
        };
        let direction = self.direction(writer, stream);
        for (at, got) in (direction.read..).zip(&new) {
            assert_eq!(*got, byte(writer, stream, at), "byte {at} of {stream:?}");
        }
        direction.read += new.len();
        assert!(direction.read <= direction.written);
        match outcome {
            Ok(ReadOutcome::Data(len)) => {
                assert!(len == new.len() && len <= limit && !direction.over);
                assert!(direction.readable, "nobody was told of {len} bytes on {stream:?}");
                return len > 0;
            }
            Ok(ReadOutcome::Blocked) => direction.readable = false,
            Ok(ReadOutcome::Finished) => {
                assert!(direction.over || direction.readable, "nobody was told of the end of {stream:?}");
                assert!(direction.finished && direction.read == direction.written, "bytes are missing");
                direction.over = true;
            }
            Err(error) => {
                let is_expected = match error {
                    // The answer to giving up reading is a reset too.
                    StreamError::Reset(code) => {
                        direction.reset && code == RESET || direction.stopped && code == STOP
                    }
                    StreamError::ReadStopped => direction.stopped,
                    StreamError::UnknownStream => direction.over || direction.stopped,
                    StreamError::UnknownConnection => true,
                    _ => false,
                };
                assert!(is_expected, "{error} on {stream:?}: {direction:?}");
                direction.over = true;
            }
        }
        false
    }

    fn send_datagram(&mut self, end: usize, len: usize) {
        let application = &mut self.applications[end];
        let mut data = vec![0x5a; len.max(4)];
        data[..4].copy_from_slice(&application.datagrams_sent.to_be_bytes());
        let limit = self.wire.ends[end].max_datagram_len(self.connections[end]);
        let fits = limit.is_some_and(|limit| data.len() <= limit);
        let sent = self.wire.ends[end].send_datagram(self.connections[end], data.into());
        assert_eq!(sent.is_ok(), fits, "{sent:?}");
        application.datagrams_sent += 1;
    }

    fn read_datagrams(&mut self, end: usize) {
        self.take_events();
        let sent = self.applications[1 - end].datagrams_sent;
        let application = &mut self.applications[end];
        while let Some(data) = self.wire.ends[end].read_datagram(self.connections[end]) {
            assert!(application.datagrams_announced, "nobody was told of a datagram");
            let (number, rest) = data.split_first_chunk().expect("a number");
            let number = u32::from_be_bytes(*number);
            assert!(number < sent && rest.iter().all(|byte| *byte == 0x5a));
            assert!(application.datagrams_read.insert(number), "datagram {number} came twice");
        }
        application.datagrams_announced = false;
    }

    fn take_events(&mut self) {
        self.wire.flush();
        for end in [0, 1] {
            while let Some((connection, event)) = self.wire.events[end].pop_front() {
                assert_eq!(connection, self.connections[end]);
                self.on_event(end, event);
            }
        }
    }

    fn on_event(&mut self, end: usize, event: Event) {
        let application = &mut self.applications[end];
        match event {
            Event::Opened(stream) => {
                // RFC 9000 §2.1: even numbers are the client's.
                assert_eq!(stream.as_u64() % 2 == 0, self.client != end);
                assert!(!application.streams.contains(&stream), "{stream:?} was opened twice");
                application.streams.push(stream);
            }
            Event::Readable(stream) => {
                let direction = self.direction(1 - end, stream);
                assert!(!direction.readable && !direction.stopped, "{direction:?}");
                direction.readable = true;
            }
            Event::Writable(stream) => {
                let direction = self.direction(end, stream);
                assert!(direction.starved && !direction.finished && !direction.reset, "{direction:?}");
                direction.starved = false;
            }
            Event::Openable => {
                assert!(std::mem::take(&mut application.wants_to_open));
            }
            Event::Acknowledged(stream) => {
                let direction = self.direction(end, stream);
                assert!(direction.finished && !direction.acknowledged, "{direction:?}");
                direction.acknowledged = true;
            }
            Event::Reset { stream, code } => {
                let direction = self.direction(1 - end, stream);
                assert!(direction.reset && !direction.stopped && code == RESET, "{direction:?}");
                // When the other direction is over as well, this was the last of the stream.
                direction.over = true;
            }
            Event::Stopped { stream, code } => {
                let direction = self.direction(end, stream);
                assert!(direction.stopped && !direction.acknowledged && code == STOP, "{direction:?}");
            }
            Event::Datagram => {
                assert!(!std::mem::replace(&mut application.datagrams_announced, true));
            }
            other => panic!("{other:?}"),
        }
    }

    /// What was written and not read is in a send buffer or in a window.
    fn check_windows(&self) {
        for writer in [0, 1] {
            let (own, peer) = (&self.configs[writer], &self.configs[1 - writer]);
            let kept = self.directions.iter().filter(|((of, _), _)| *of == writer);
            let kept = kept.filter(|(_, direction)| !direction.is_given_up());
            let mut arrived = 0;
            for ((_, stream), direction) in kept {
                let unread = (direction.written - direction.read).saturating_sub(own.max_send_buffer) as u64;
                assert!(unread <= peer.max_stream_window, "{unread} bytes on {stream:?}");
                arrived += unread;
            }
            assert!(arrived <= peer.max_connection_window, "{arrived} bytes");
        }
    }

    /// Ends the connection over a wire that is good, and checks that nothing is left of it.
    fn close(&mut self, end: usize) {
        self.make_good();
        self.wire.link.loss = 0;
        self.wire.link.corruption = 0;
        self.take_events();
        let (now, connections) = (self.wire.now, self.connections);
        self.wire.ends[end].close(now, connections[end], 7, "enough");
        let is_close = |event: &(ConnectionId, Event)| matches!(event.1, Event::Closed { .. });
        self.wire.run_until("the close", HOUR, |wire| {
            wire.events.iter().all(|events| events.iter().any(is_close))
        });
        for node in [0, 1] {
            let Some((_, Event::Closed { reason, .. })) = self.wire.events[node].pop_back() else {
                panic!("something follows the close")
            };
            let (code, text) = (7, "enough".to_owned());
            let expected = if node == end {
                CloseReason::Local { code, reason: text }
            } else {
                CloseReason::Peer { code, reason: text }
            };
            assert_eq!(reason, expected);
        }
        self.take_events();
        for node in [0, 1] {
            for stream in self.applications[node].streams.clone() {
                while self.read(node, stream, 1000, true) {}
            }
        }
        self.wire.run_until("the end of everything", HOUR, |wire| wire.is_at_rest());
        self.applications = Default::default();
        self.directions.clear();
    }

    fn make_good(&mut self) {
        self.wire.link = self.good;
        (0..2).for_each(|end| self.wire.tell_mtu(end));
    }

    /// Reads whatever comes until `done`.
    fn settle(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..20_000 {
            self.take_events();
            for end in [0, 1] {
                self.read_datagrams(end);
                for stream in self.applications[end].streams.clone() {
                    while self.read(end, stream, usize::MAX, stream.as_u64() & 4 == 0) {}
                }
            }
            self.take_events();
            if done(self) {
                return;
            }
            self.wire.run_for(Duration::from_millis(100));
        }
        panic!("{what} does not come: {:?}", self.directions);
    }

    /// The wire is good again: everything written arrives, every stream ends.
    pub(crate) fn wind_up(&mut self) {
        self.make_good();
        self.settle("what was written", |world| {
            world.directions.values().all(|direction| {
                let is_served = direction.read == direction.written && !direction.starved;
                direction.is_given_up() || direction.finished && direction.over || is_served
            })
        });
        self.settle("the end of the streams", |world| {
            for end in [0, 1] {
                for stream in world.applications[end].streams.clone() {
                    world.finish(end, stream);
                }
            }
            [0, 1].iter().all(|end| {
                let statistics = world.wire.ends[*end].statistics(world.connections[*end]);
                statistics.expect("an open connection").streams == 0
                    && !world.applications[*end].wants_to_open
            })
        });
        for (key, direction) in &self.directions {
            let is_complete = direction.over && direction.acknowledged && direction.read == direction.written;
            assert!(direction.is_given_up() || is_complete, "{key:?}: {direction:?}");
        }
        self.close(0);
    }
}

/// Makes a connection, whatever the wire does to the handshake.
fn connect(wire: &mut Wire, client: usize) -> [ConnectionId; 2] {
    let first = wire.connect(client);
    let connected = |wire: &Wire, end: usize| {
        let found = wire.events[end].front();
        found.map(|(connection, event)| {
            assert!(matches!(event, Event::Connected { .. }), "{event:?}");
            *connection
        })
    };
    wire.run_until("the handshake", HOUR, |wire| {
        connected(wire, 0).is_some() && connected(wire, 1).is_some()
    });
    let connections = [0, 1].map(|end| wire.events[end].pop_front().expect("a connection").0);
    assert_eq!(connections[client], first);
    connections
}
