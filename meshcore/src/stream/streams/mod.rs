//! All streams of a connection: numbering, limits, who sends next.

mod ready;
mod receive;
mod send;
mod transmit;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::ready::{DEFAULT_PRIORITY, LEVELS, Ready};
use self::receive::{ReceiveHalf, Shared};
use self::send::SendHalf;
use super::assembler::Assembler;
use super::error::{StreamError, TransportCode, TransportError, wire_code};
use super::flow::{Budget, ReceiveWindow, SendWindow};
use super::ids::IdMap;
use super::pool::Pool;
use super::{Config, Event, Side, StreamId};
use crate::types::Instant;

/// What [`super::Endpoint::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// This many bytes were appended.
    Data(usize),
    /// Nothing is there now; [`Event::Readable`] follows when there is.
    Blocked,
    /// Everything was read, and the peer has finished the stream.
    Finished,
}

#[derive(Debug)]
struct Stream {
    send: SendHalf,
    receive: ReceiveHalf,
    /// Waits in `Streams::ready` or `Streams::starved`.
    queued: bool,
    priority: u8,
    owes: Owed,
    /// Waits in `Streams::owing`.
    is_owing: bool,
}

/// Control segments that a stream wants to send.
#[derive(Debug, Default)]
struct Owed {
    reset: bool,
    stop: bool,
    max_data: bool,
    blocked: bool,
}

/// The streams.
#[derive(Debug)]
pub(super) struct Streams {
    side: Side,
    /// Bytes that a stream keeps until acknowledged.
    send_capacity: usize,
    capacity_bounds: (usize, usize),
    stream_window: u64,
    max_stream_window: u64,
    peer_stream_window: u64,
    all: IdMap<u64, Stream>,
    /// Opened by this side so far, and how many the peer allows.
    opened: u64,
    max_opened: u64,
    wants_to_open: bool,
    owes_streams_blocked: bool,
    /// Opened by the peer so far, how many it was told it may, and how many of them are over.
    accepted: u64,
    max_accepted: u64,
    concurrent: u64,
    over: u64,
    owes_max_streams: bool,
    shared: Shared,
    credit: SendWindow,
    /// For received bytes.
    pool: Pool,
    /// Streams with bytes to send, in turn.
    ready: Ready,
    /// Streams that only wait for credit of the connection.
    starved: Vec<u64>,
    /// Streams that owe a control segment.
    owing: VecDeque<u64>,
    retransmitted: u64,
}

impl Streams {
    pub(super) fn new(side: Side, config: &Config, budget: Option<Arc<Budget>>, pool: Pool) -> Self {
        Self {
            pool,
            side,
            send_capacity: config.send_buffer,
            capacity_bounds: (config.send_buffer, config.max_send_buffer.max(config.send_buffer)),
            stream_window: config.stream_window,
            max_stream_window: config.max_stream_window,
            peer_stream_window: 0,
            all: IdMap::default(),
            opened: 0,
            max_opened: 0,
            wants_to_open: false,
            owes_streams_blocked: false,
            accepted: 0,
            max_accepted: config.max_streams,
            concurrent: config.max_streams,
            over: 0,
            owes_max_streams: false,
            shared: Shared {
                window: ReceiveWindow::new(config.connection_window, config.max_connection_window, budget),
                received: 0,
                update: false,
                now: Instant::default(),
                rtt: Duration::ZERO,
            },
            credit: SendWindow::default(),
            ready: Ready::default(),
            starved: Vec::new(),
            owing: VecDeque::new(),
            retransmitted: 0,
        }
    }

    /// The peer's transport parameters are known and proved.
    pub(super) fn on_peer_limits(&mut self, connection: u64, stream: u64, streams: u64) {
        self.credit.raise(connection);
        self.peer_stream_window = stream;
        self.max_opened = streams;
    }

    /// The connection knows the time and the round trip, by which windows grow.
    pub(super) fn on_time(&mut self, now: Instant, rtt: Duration) {
        (self.shared.now, self.shared.rtt) = (now, rtt);
    }

    /// Twice the congestion window is what keeps the sender busy while acknowledgements are on their way.
    pub(super) fn on_congestion_window(&mut self, window: u64) {
        let wanted = usize::try_from(2 * window).unwrap_or(usize::MAX);
        self.send_capacity = wanted.clamp(self.capacity_bounds.0, self.capacity_bounds.1);
    }

    /// Streams open now.
    pub(super) fn open_count(&self) -> usize {
        self.all.len()
    }

    /// Bytes that were sent again.
    pub(super) fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    fn get(&mut self, stream: StreamId) -> Result<&mut Stream, StreamError> {
        self.all.get_mut(&stream.0).ok_or(StreamError::UnknownStream)
    }

    fn insert(&mut self, id: u64) {
        let stream = Stream {
            send: SendHalf::new(self.peer_stream_window),
            receive: ReceiveHalf::new(self.stream_window, self.max_stream_window, self.pool.clone()),
            queued: false,
            priority: DEFAULT_PRIORITY,
            is_owing: false,
            owes: Owed::default(),
        };
        self.all.insert(id, stream);
    }

    /// RFC 9000 §2.1, bidirectional streams only: 0, 4, 8... of the client, 1, 5, 9... of the server.
    fn is_ours(&self, id: u64) -> bool {
        (id & 1 == 0) == (self.side == Side::Client)
    }

    pub(super) fn open(&mut self) -> Result<StreamId, StreamError> {
        if self.opened >= self.max_opened {
            self.wants_to_open = true;
            self.owes_streams_blocked = true;
            return Err(StreamError::TooManyStreams);
        }
        let id = self.opened * 4 + if self.side == Side::Client { 0 } else { 1 };
        self.opened += 1;
        self.insert(id);
        Ok(StreamId(id))
    }

    pub(super) fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        let capacity = self.send_capacity;
        let entry = self.get(stream)?;
        let taken = entry.send.write(data, capacity)?;
        if !entry.queued {
            self.enqueue(stream.0);
        }
        Ok(taken)
    }

    pub(super) fn write_shared(&mut self, stream: StreamId, data: Bytes) -> Result<usize, StreamError> {
        let capacity = self.send_capacity;
        let taken = self.get(stream)?.send.write_shared(data, capacity)?;
        self.enqueue(stream.0);
        Ok(taken)
    }

    /// `priority` above the least urgent is taken as that.
    pub(super) fn set_priority(&mut self, stream: StreamId, priority: u8) -> Result<(), StreamError> {
        let entry = self.get(stream)?;
        entry.priority = priority.min(LEVELS as u8 - 1);
        let priority = entry.priority;
        self.ready.reorder(stream.0, priority);
        Ok(())
    }

    pub(super) fn finish(&mut self, stream: StreamId) -> Result<(), StreamError> {
        self.get(stream)?.send.finish()?;
        self.enqueue(stream.0);
        Ok(())
    }

    pub(super) fn reset(&mut self, stream: StreamId, code: u64) -> Result<(), StreamError> {
        let entry = self.get(stream)?;
        if entry.send.reset(wire_code(code), false) {
            self.owe(stream.0, |owed| owed.reset = true);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, stream: StreamId, code: u64) -> Result<(), StreamError> {
        let entry = self.all.get_mut(&stream.0).ok_or(StreamError::UnknownStream)?;
        if entry.receive.stop(wire_code(code), &mut self.shared)? {
            self.owe(stream.0, |owed| owed.stop = true);
        }
        self.forget_if_done(stream.0);
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        stream: StreamId,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> Result<ReadOutcome, StreamError> {
        self.read_with(stream, |assembler| assembler.read(into, limit))
    }

    pub(super) fn read_shared(
        &mut self,
        stream: StreamId,
        limit: usize,
    ) -> Result<(ReadOutcome, Bytes), StreamError> {
        let mut data = Bytes::new();
        let outcome = self.read_with(stream, |assembler| {
            data = assembler.take(limit);
            data.len()
        })?;
        Ok((outcome, data))
    }

    fn read_with(
        &mut self,
        stream: StreamId,
        take: impl FnOnce(&mut Assembler) -> usize,
    ) -> Result<ReadOutcome, StreamError> {
        let entry = self.all.get_mut(&stream.0).ok_or(StreamError::UnknownStream)?;
        let (outcome, update) = entry.receive.read(&mut self.shared, take)?;
        if update {
            self.owe(stream.0, |owed| owed.max_data = true);
        }
        if outcome == ReadOutcome::Finished {
            self.forget_if_done(stream.0);
        }
        Ok(outcome)
    }

    /// Both directions have ended: nothing more is known of the stream than that its number is taken.
    fn forget_if_done(&mut self, id: u64) {
        if !self.all.get(&id).is_some_and(|stream| stream.send.is_done() && stream.receive.is_done()) {
            return;
        }
        // Queues that name it pass over it.
        self.all.remove(&id);
        if self.is_ours(id) {
            return;
        }
        self.over += 1;
        // Not one by one: an eighth of the limit at a time.
        let max = self.over + self.concurrent;
        if max - self.max_accepted >= self.concurrent.div_ceil(8) {
            self.max_accepted = max;
            self.owes_max_streams = true;
        }
    }

    /// The stream that a segment names; opens it and all below it if it is the peer's and new (RFC 9000 §3.2). `None`:
    /// it is over.
    fn named(
        &mut self,
        id: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<Option<&mut Stream>, TransportError> {
        if id & 2 != 0 {
            return Err(TransportError::new(
                TransportCode::StreamLimit,
                "unidirectional streams are not allowed",
            ));
        }
        let index = id / 4;
        if self.is_ours(id) {
            if index >= self.opened {
                return Err(TransportError::new(
                    TransportCode::StreamState,
                    "a stream that was never opened",
                ));
            }
        } else if index >= self.max_accepted {
            return Err(TransportError::new(TransportCode::StreamLimit, "more streams than allowed"));
        } else {
            while self.accepted <= index {
                let new = self.accepted * 4 + (id & 1);
                self.accepted += 1;
                self.insert(new);
                events.push_back(Event::Opened(StreamId(new)));
            }
        }
        Ok(self.all.get_mut(&id))
    }

    pub(super) fn on_data(
        &mut self,
        id: u64,
        offset: u64,
        data: &[u8],
        fin: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        self.named(id, events)?;
        let Some(stream) = self.all.get_mut(&id) else { return Ok(()) };
        if stream.receive.on_data(offset, data, fin, &mut self.shared)? {
            events.push_back(Event::Readable(StreamId(id)));
        }
        if fin {
            self.forget_if_done(id);
        }
        Ok(())
    }

    pub(super) fn on_reset(
        &mut self,
        id: u64,
        code: u64,
        final_size: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        self.named(id, events)?;
        let Some(stream) = self.all.get_mut(&id) else { return Ok(()) };
        if stream.receive.on_reset(code, final_size, &mut self.shared)? {
            events.push_back(Event::Reset { stream: StreamId(id), code });
        }
        self.forget_if_done(id);
        Ok(())
    }

    /// RFC 9000 §3.5: answered with RESET_STREAM and the same code.
    pub(super) fn on_stop(
        &mut self,
        id: u64,
        code: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        let Some(stream) = self.named(id, events)? else { return Ok(()) };
        if stream.send.reset(code, true) {
            self.owe(id, |owed| owed.reset = true);
            events.push_back(Event::Stopped { stream: StreamId(id), code });
        }
        Ok(())
    }

    pub(super) fn on_max_data(&mut self, limit: u64) {
        if !self.credit.raise(limit) {
            return;
        }
        for id in std::mem::take(&mut self.starved) {
            if let Some(stream) = self.all.get(&id) {
                self.ready.push(id, stream.priority);
            }
        }
    }

    pub(super) fn on_max_stream_data(
        &mut self,
        id: u64,
        limit: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        if self.named(id, events)?.is_some_and(|stream| stream.send.window.raise(limit)) {
            self.enqueue(id);
        }
        Ok(())
    }

    pub(super) fn on_max_streams(&mut self, limit: u64, events: &mut VecDeque<Event>) {
        self.max_opened = self.max_opened.max(limit);
        if self.opened < self.max_opened && std::mem::take(&mut self.wants_to_open) {
            events.push_back(Event::Openable);
        }
    }

    /// The peer says that it is blocked: it knows the limits anyway, only the number is checked.
    pub(super) fn on_stream_data_blocked(
        &mut self,
        id: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        self.named(id, events).map(|_| ())
    }

    /// Puts a stream into the queue of those that have something to send.
    fn enqueue(&mut self, id: u64) {
        let Some(stream) = self.all.get_mut(&id) else { return };
        if !stream.queued && (stream.send.can_send_without_credit() || stream.send.can_send_new()) {
            stream.queued = true;
            self.ready.push(id, stream.priority);
        } else if stream.send.is_blocked() && stream.send.window.complaint().is_some() {
            self.owe(id, |owed| owed.blocked = true);
        }
    }

    pub(super) fn on_piece_acked(
        &mut self,
        id: u64,
        range: Range<u64>,
        fin: bool,
        events: &mut VecDeque<Event>,
    ) {
        let capacity = self.send_capacity;
        let Some(stream) = self.all.get_mut(&id) else { return };
        let (finished, writable) = stream.send.on_acked(range, fin, capacity);
        if finished {
            events.push_back(Event::Acknowledged(StreamId(id)));
            self.forget_if_done(id);
        }
        if writable {
            events.push_back(Event::Writable(StreamId(id)));
        }
    }

    pub(super) fn on_reset_acked(&mut self, id: u64) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.send.on_reset_acked();
            self.forget_if_done(id);
        }
    }

    pub(super) fn on_piece_lost(&mut self, id: u64, range: Range<u64>, fin: bool) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.send.on_lost(range, fin);
            self.enqueue(id);
            self.feed_starved(id);
        }
    }

    /// A starved stream may send again what was lost.
    fn feed_starved(&mut self, id: u64) {
        let Some(index) = self.starved.iter().position(|starved| *starved == id) else { return };
        if let Some(stream) = self.all.get(&id).filter(|stream| stream.send.can_send_without_credit()) {
            self.starved.swap_remove(index);
            self.ready.push(id, stream.priority);
        }
    }

    pub(super) fn on_reset_lost(&mut self, id: u64) {
        self.owe(id, |owed| owed.reset = true);
    }

    pub(super) fn on_stop_lost(&mut self, id: u64) {
        self.owe(id, |owed| owed.stop = true);
    }

    pub(super) fn on_max_stream_data_lost(&mut self, id: u64) {
        self.owe(id, |owed| owed.max_data = true);
    }

    fn owe(&mut self, id: u64, set: impl FnOnce(&mut Owed)) {
        if let Some(stream) = self.all.get_mut(&id) {
            set(&mut stream.owes);
            if !std::mem::replace(&mut stream.is_owing, true) {
                self.owing.push_back(id);
            }
        }
    }

    pub(super) fn on_max_data_lost(&mut self) {
        self.shared.update = true;
    }

    pub(super) fn on_max_streams_lost(&mut self) {
        self.owes_max_streams = true;
    }
}
