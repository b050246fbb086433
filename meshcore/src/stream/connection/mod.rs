//! One connection.

mod close;
mod handshake;
mod receive;
mod skips;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustls::quic::Keys;

use self::close::State;
use self::skips::Skips;
use super::ack_frequency::AckFrequency;
use super::assembler::Assembler;
use super::datagrams::{Datagrams, LOCAL_LIMIT};
use super::error::CloseReason;
use super::flow::Budget;
use super::keys::DataKeys;
use super::pacer::Pacer;
use super::params::Params;
use super::pool::Pool;
use super::received::{MAX_ACK_DELAY, MIN_ACK_DELAY, Received};
use super::recovery::{Expired, Progress, Recovery, SpaceId};
use super::send_buffer::SendBuffer;
use super::sent::Sent;
use super::streams::Streams;
use super::tls::{self, Tls};
use super::{Config, Event, Purpose, Side, Statistics};
use crate::types::{Address, Instant, NodeId};
use crate::wire::packet::Token;

/// A packet number space (RFC 9000 §12.3) with its part of the TLS handshake.
#[derive(Default)]
struct Space {
    /// Of the Initial and Handshake spaces.
    keys: Option<Keys>,
    next_number: u64,
    received: Received,
    crypto_send: SendBuffer,
    crypto_receive: Assembler,
    /// Probe packets to send although the congestion window forbids (RFC 9002 §7.5).
    probes: usize,
}

/// Bytes and packets so far.
#[derive(Debug, Default)]
struct Counters {
    bytes_sent: u64,
    bytes_received: u64,
    packets_sent: u64,
    packets_received: u64,
    undecryptable: u64,
}

/// The connection ids in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    /// Chosen here: the destination of the peer's packets.
    pub(super) local: u64,
    /// Chosen by the peer; a client's first guess is `original`.
    pub(super) remote: u64,
    /// Destination of the client's first Initial packet: the seed of the Initial keys.
    pub(super) original: u64,
}

/// What an endpoint gives to a new connection.
pub(super) struct Start {
    pub(super) ids: Ids,
    pub(super) mtu: usize,
    /// Unknown to everybody else.
    pub(super) secret: u64,
    /// What windows of all connections together may grow by.
    pub(super) budget: Arc<Budget>,
    pub(super) pool: Pool,
}

/// The state of one connection.
pub(super) struct Connection {
    side: Side,
    config: Arc<Config>,
    ids: Ids,
    /// A client knows the server's connection id only after the first packet.
    remote_is_known: bool,
    address: Address,
    /// What a server wants to see in a client's Initial packets, and how often it asked.
    token: Option<Token>,
    retries: u32,
    peer: Option<NodeId>,
    /// TLS, until the handshake is confirmed: 5 kB of heap that an established connection does not need.
    session: Option<Box<rustls::quic::Connection>>,
    /// Where TLS writes next.
    write_level: SpaceId,
    spaces: [Space; 3],
    data_keys: Option<DataKeys>,
    state: State,
    /// TLS is done, the peer is proved.
    complete: bool,
    /// RFC 9001 §4.1.2.
    confirmed: bool,
    owes_handshake_done: bool,
    owes_ping: bool,
    /// A server has seen that the client receives what is sent to its address (RFC 9000 §8.1).
    validated: bool,
    recovery: Recovery,
    pacer: Pacer,
    paced_until: Option<Instant>,
    ack_frequency: AckFrequency,
    mtu: usize,
    skips: Skips,
    streams: Streams,
    datagrams: Datagrams,
    pub(super) events: VecDeque<Event>,
    handshake_deadline: Option<Instant>,
    idle_timeout: Duration,
    idle_since: Instant,
    /// When something was sent or received last: keep-alive counts from here.
    active: Instant,
    /// Something ack-eliciting was sent since a packet arrived (RFC 9000 §10.1).
    sent_since_received: bool,
    counters: Counters,
}

impl Connection {
    pub(super) fn connect(
        now: Instant,
        config: &Arc<Config>,
        tls: &Tls,
        (peer, purpose): (NodeId, Purpose),
        start: Start,
    ) -> Result<Self, rustls::Error> {
        let session = tls.connect(peer, purpose, local_params(config, None, start.ids.local).emit())?;
        let mut connection = Self::new(now, config, Side::Client, peer.address(), start, session);
        connection.peer = Some(peer);
        connection.write_handshake();
        connection.recovery.set_timer(now);
        Ok(connection)
    }

    /// Prepares for a client whose first packet is yet to be decrypted.
    pub(super) fn accept(
        now: Instant,
        config: &Arc<Config>,
        tls: &Tls,
        source: Address,
        start: Start,
    ) -> Result<Self, rustls::Error> {
        let ids = start.ids;
        let session = tls.accept(source, local_params(config, Some(ids.original), ids.local).emit())?;
        Ok(Self::new(now, config, Side::Server, source, start, session))
    }

    fn new(
        now: Instant,
        config: &Arc<Config>,
        side: Side,
        address: Address,
        start: Start,
        session: rustls::quic::Connection,
    ) -> Self {
        let ids = start.ids;
        let mut spaces: [Space; 3] = Default::default();
        spaces[SpaceId::Initial as usize].keys = tls::initial_keys(ids.original, side);
        let progress = Progress {
            at_amplification_limit: false,
            peer_validated_us: side == Side::Server,
            has_handshake_keys: false,
            confirmed: false,
        };
        Self {
            side,
            config: Arc::clone(config),
            ids,
            remote_is_known: side == Side::Server,
            address,
            token: None,
            retries: 0,
            peer: None,
            session: Some(Box::new(session)),
            write_level: SpaceId::Initial,
            spaces,
            data_keys: None,
            state: State::Open,
            complete: false,
            confirmed: false,
            owes_handshake_done: false,
            owes_ping: false,
            validated: side == Side::Client,
            recovery: Recovery::new(start.mtu, progress),
            pacer: Pacer::default(),
            paced_until: None,
            ack_frequency: AckFrequency::default(),
            mtu: start.mtu,
            skips: Skips::new(start.secret),
            streams: Streams::new(side, config, Some(start.budget), start.pool),
            datagrams: Datagrams::new(config.datagram_buffer),
            active: now,
            events: VecDeque::new(),
            handshake_deadline: Some(now + config.handshake_timeout),
            idle_timeout: config.idle_timeout,
            idle_since: now,
            sent_since_received: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn ids(&self) -> Ids {
        self.ids
    }

    /// Mesh address of the peer.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    pub(super) fn peer(&self) -> Option<NodeId> {
        self.peer
    }

    /// Whether the peer has not proved its id yet.
    pub(super) fn is_half_open(&self) -> bool {
        self.side == Side::Server && !self.complete
    }

    /// Whether the handshake is complete and the connection not over.
    pub(super) fn is_connected(&self) -> bool {
        self.complete && matches!(self.state, State::Open)
    }

    /// Whether the connection is over, even if it lingers.
    pub(super) fn is_closing(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// Whether received data can be read: until the end, and for a moment after the peer has closed.
    pub(super) fn is_readable(&self) -> bool {
        self.complete && matches!(self.state, State::Open | State::Draining { .. })
    }

    /// Whether nothing is left to do.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    pub(super) fn streams(&mut self) -> &mut Streams {
        &mut self.streams
    }

    pub(super) fn ping(&mut self) {
        self.owes_ping = true;
    }

    pub(super) fn datagrams(&mut self) -> &mut Datagrams {
        &mut self.datagrams
    }

    pub(super) fn mtu(&self) -> usize {
        self.mtu
    }

    /// The path carries packets of another size from now on. Those in flight that are too large will not arrive: their
    /// content goes out again in smaller ones.
    pub(super) fn set_mtu(&mut self, now: Instant, mtu: usize) {
        if mtu == self.mtu {
            return;
        }
        let is_smaller = mtu < self.mtu;
        self.mtu = mtu;
        self.recovery.congestion.set_mtu(mtu);
        if is_smaller {
            let lost = self.recovery.on_smaller_mtu(now, SpaceId::Data, mtu);
            self.on_lost(SpaceId::Data, lost);
        }
    }

    /// The route is another one: what was learned of the old one is void.
    pub(super) fn on_path_change(&mut self, now: Instant) {
        self.recovery.on_path_change(now, self.mtu);
        self.pacer = Pacer::default();
        self.paced_until = None;
        // A packet finds out about the new path at once, though the window be full of what the old one has lost. What the handshake
        // has said may have gone nowhere, for want of a way, and the peer understands nothing else before that.
        let mut spaces = [SpaceId::Initial, SpaceId::Handshake].into_iter();
        match spaces.find(|id| self.recovery.has_eliciting_in(*id)) {
            Some(unanswered) => self.on_probe(unanswered),
            None => {
                self.owes_ping = self.complete;
                self.space(SpaceId::Data).probes = usize::from(self.complete);
            }
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let Recovery { rtt, congestion, .. } = &self.recovery;
        Statistics {
            rtt: rtt.smoothed(),
            latest_rtt: rtt.latest(),
            min_rtt: rtt.minimum(),
            rtt_variation: rtt.variation(),
            congestion_window: congestion.window(),
            slow_start_threshold: congestion.threshold(),
            congestion_events: congestion.events(),
            bytes_in_flight: congestion.in_flight(),
            bytes_sent: self.counters.bytes_sent,
            bytes_received: self.counters.bytes_received,
            packets_sent: self.counters.packets_sent,
            packets_received: self.counters.packets_received,
            packets_lost: self.recovery.lost(),
            packets_spurious: self.recovery.spurious(),
            bytes_retransmitted: self.streams.retransmitted(),
            datagrams: self.datagrams.statistics,
            streams: self.streams.open_count(),
            mtu: self.mtu,
            key_updates: self.data_keys.as_ref().map_or(0, DataKeys::updates),
        }
    }

    fn space(&mut self, id: SpaceId) -> &mut Space {
        &mut self.spaces[id as usize]
    }

    /// When [`Connection::handle_timeout`] must be called.
    pub(super) fn timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Gone => None,
            State::Closing { until, .. } | State::Draining { until } => Some(*until),
            State::Open => [
                self.handshake_deadline,
                self.idle_deadline(),
                self.recovery.timer(),
                self.paced_until,
                self.keep_alive_deadline(),
                self.spaces[SpaceId::Data as usize].received.deadline(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// RFC 9000 §10.1: at least three probe time-outs.
    fn idle_deadline(&self) -> Option<Instant> {
        if self.idle_timeout.is_zero() {
            return None;
        }
        Some(self.idle_since + self.idle_timeout.max(3 * self.recovery.probe_timeout()))
    }

    fn keep_alive_deadline(&self) -> Option<Instant> {
        let interval = self.config.keep_alive.filter(|_| self.confirmed)?;
        // What is in flight will be answered or repeated anyway.
        (!self.recovery.has_eliciting()).then(|| self.active + interval)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Gone => return,
            State::Closing { until, .. } | State::Draining { until } => {
                if until <= now {
                    self.state = State::Gone;
                }
                return;
            }
            State::Open => {}
        }
        if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            return self.vanish(CloseReason::IdleTimeout);
        }
        if self.handshake_deadline.is_some_and(|deadline| deadline <= now) {
            return self.vanish(CloseReason::HandshakeTimeout);
        }
        if self.paced_until.is_some_and(|until| until <= now) {
            self.paced_until = None;
        }
        if self.keep_alive_deadline().is_some_and(|deadline| deadline <= now) {
            self.active = now;
            self.owes_ping = true;
        }
        self.update_progress();
        match self.recovery.on_timeout(now) {
            Expired::Nothing => {}
            Expired::Lost(id, content) => self.on_lost(id, content),
            Expired::Probe(id) => self.on_probe(id),
        }
    }

    /// RFC 9002 §6.2.4: the oldest unacknowledged content goes out again.
    fn on_probe(&mut self, id: SpaceId) {
        let mut probed = vec![id];
        // A server's first flight spans two spaces; both are probed at once.
        if id == SpaceId::Initial && self.recovery.has_eliciting_in(SpaceId::Handshake) {
            probed.push(SpaceId::Handshake);
        }
        for id in probed {
            for content in self.recovery.oldest(id) {
                self.on_content_lost(id, content);
            }
            let probes = self.recovery.probes(id);
            self.space(id).probes = probes;
        }
    }

    fn on_lost(&mut self, id: SpaceId, content: Vec<Sent>) {
        for content in content {
            self.on_content_lost(id, content);
        }
    }

    fn on_content_lost(&mut self, id: SpaceId, content: Sent) {
        match content {
            Sent::Ack { .. } => {}
            Sent::Crypto(range) => self.space(id).crypto_send.on_lost(range),
            Sent::Stream { stream, range, fin } => self.streams.on_piece_lost(stream, range, fin),
            Sent::MaxData => self.streams.on_max_data_lost(),
            Sent::MaxStreams => self.streams.on_max_streams_lost(),
            Sent::MaxStreamData(stream) => self.streams.on_max_stream_data_lost(stream),
            Sent::Reset(stream) => self.streams.on_reset_lost(stream),
            Sent::Stop(stream) => self.streams.on_stop_lost(stream),
            Sent::AckFrequency(_) => self.ack_frequency.on_lost(),
            Sent::HandshakeDone => self.owes_handshake_done = true,
        }
    }

    fn on_content_acked(&mut self, id: SpaceId, content: Sent) {
        match content {
            Sent::Ack { largest } => self.space(id).received.on_ack_acked(largest),
            Sent::Crypto(range) => {
                self.space(id).crypto_send.on_acked(range);
            }
            Sent::Stream { stream, range, fin } => {
                self.streams.on_piece_acked(stream, range, fin, &mut self.events);
            }
            Sent::Reset(stream) => self.streams.on_reset_acked(stream),
            // Requests that are longer count from their sending on.
            Sent::AckFrequency(delay) => self.recovery.peer_max_ack_delay = delay,
            Sent::MaxData
            | Sent::MaxStreams
            | Sent::MaxStreamData(_)
            | Sent::Stop(_)
            | Sent::HandshakeDone => {}
        }
    }

    /// Bytes that may still be sent to an address that is not validated (RFC 9000 §8.1).
    fn amplification_budget(&self) -> u64 {
        const FACTOR: u64 = 3;
        if self.validated {
            return u64::MAX;
        }
        (FACTOR * self.counters.bytes_received).saturating_sub(self.counters.bytes_sent)
    }

    /// Tells loss recovery how far the handshake is.
    fn update_progress(&mut self) {
        self.recovery.progress.at_amplification_limit =
            self.amplification_budget() < transmit::SMALLEST_PACKET as u64;
        self.recovery.progress.has_handshake_keys = self.spaces[SpaceId::Handshake as usize].keys.is_some();
        self.recovery.progress.confirmed = self.confirmed;
        self.recovery.progress.peer_validated_us |= self.confirmed;
    }

    /// RFC 9001 §4.9: the keys of a space are gone for good.
    fn discard(&mut self, now: Instant, id: SpaceId) {
        if self.space(id).keys.take().is_none() {
            return;
        }
        let space = self.space(id);
        space.crypto_send = SendBuffer::default();
        space.crypto_receive = Assembler::default();
        space.received.on_ack_sent();
        space.probes = 0;
        self.update_progress();
        self.recovery.discard(now, id);
    }
}

fn local_params(config: &Config, original_destination: Option<u64>, initial_source: u64) -> Params {
    Params {
        original_destination,
        initial_source,
        max_idle_timeout: config.idle_timeout,
        max_data: config.connection_window,
        max_stream_data: config.stream_window,
        max_streams: config.max_streams,
        max_ack_delay: MAX_ACK_DELAY,
        max_datagram: if config.datagram_buffer > 0 { LOCAL_LIMIT } else { 0 },
        min_ack_delay: Some(MIN_ACK_DELAY),
    }
}
