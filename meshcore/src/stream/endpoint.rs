//! All connections of a node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::connection::{Connection, Ids, Start};
use super::error::{ConfigError, ConnectError, DatagramError, PacketError, StreamError};
use super::flow::Budget;
use super::half_open::{Admission, HalfOpen};
use super::ids::IdMap;
use super::pool::Pool;
use super::streams::{ReadOutcome, Streams};
use super::tls::{Credentials, Tls};
use super::{Config, ConnectionId, DEFAULT_MTU, Event, Purpose, Side, Statistics, StreamId};
use crate::types::{Address, Instant, NodeId};
use crate::wire::packet::{Header, Kind, Retry};

/// Retry packets that wait to be sent.
const MAX_RETRIES: usize = 64;

struct Entry {
    connection: Connection,
    /// Key in `Endpoint::timers`.
    timer: Option<Instant>,
    /// Waits in `Endpoint::ready`.
    queued: bool,
    /// Counted in `Endpoint::half_open`, by whether the client had proved its address.
    half_open: Option<bool>,
}

/// The transport of one node: every AlexStream connection it has, as client or server.
///
/// # Drive contract
///
/// The endpoint does no I/O and reads no clock. Whoever drives it
///
/// 1. hands each received packet to [`handle_packet`](Self::handle_packet), and calls
///    [`handle_timeout`](Self::handle_timeout) when the instant that [`poll_timeout`](Self::poll_timeout) gave has come;
/// 2. gives commands whenever it likes: [`connect`](Self::connect), [`open`](Self::open), [`write`](Self::write),
///    [`read`](Self::read), [`close`](Self::close)...;
/// 3. after any of these calls [`poll_event`](Self::poll_event)s until `None` and acts upon the events, then
///    [`poll_transmit`](Self::poll_transmit)s until `None` and sends the packets, then asks
///    [`poll_timeout`](Self::poll_timeout) again.
///
/// Time must not run backwards from one call to the next. Events of one connection come in order; after
/// [`Event::Closed`] its id is of no more use, although the endpoint keeps answering late packets for a while.
pub struct Endpoint {
    config: Arc<Config>,
    tls: Tls,
    random: StdRng,
    connections: IdMap<u64, Entry>,
    next_id: u64,
    /// By the connection id that this node chose, at random.
    by_local: IdMap<u64, ConnectionId>,
    /// Incoming connections by what the client's first packets name.
    by_original: BTreeMap<(Address, u64), ConnectionId>,
    by_peer: BTreeSet<(Address, ConnectionId)>,
    /// Incoming handshakes that go on.
    half_open: HalfOpen,
    /// Retry packets to send.
    retries: VecDeque<(Address, Retry)>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    /// Connections that may have packets to send, in turn.
    ready: VecDeque<ConnectionId>,
    events: VecDeque<(ConnectionId, Event)>,
    mtus: BTreeMap<Address, usize>,
    /// What the windows of all connections may grow by.
    budget: Arc<Budget>,
    pool: Pool,
    /// The latest time that is known: the MTU may change between events.
    now: Instant,
    dropped: u64,
}

impl Endpoint {
    /// An endpoint without connections. `seed` must be unpredictable: connection ids are drawn from it.
    pub fn new(config: Config, credentials: Credentials, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.check()?;
        let mut random = StdRng::from_seed(seed);
        let mut secret = [0; 32];
        random.fill_bytes(&mut secret);
        let half_open = HalfOpen::new(&config, secret);
        let budget = Budget::new(config.window_budget);
        Ok(Self {
            config: Arc::new(config),
            tls: Tls::new(credentials),
            random,
            connections: IdMap::default(),
            next_id: 0,
            by_local: IdMap::default(),
            by_original: BTreeMap::new(),
            by_peer: BTreeSet::new(),
            half_open,
            retries: VecDeque::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            mtus: BTreeMap::new(),
            budget,
            pool: Pool::default(),
            now: Instant::default(),
            dropped: 0,
        })
    }

    /// This node's id.
    pub fn node_id(&self) -> NodeId {
        self.tls.node_id()
    }

    /// Starts a handshake. [`Event::Connected`] or [`Event::Closed`] tells how it went.
    pub fn connect(
        &mut self,
        now: Instant,
        peer: NodeId,
        purpose: Purpose,
    ) -> Result<ConnectionId, ConnectError> {
        if peer == self.node_id() {
            return Err(ConnectError::ToSelf);
        }
        // RFC 9000 §7.2: an unpredictable first destination.
        let original = self.random.next_u64();
        let ids = Ids { local: self.unused_local_id(), remote: original, original };
        let start = self.start(ids, peer.address());
        let connection = Connection::connect(now, &self.config, &self.tls, (peer, purpose), start)?;
        Ok(self.insert(connection))
    }

    /// Tells the largest packet that a path carries, in bytes; [`DEFAULT_MTU`] until then, [`MIN_MTU`](super::MIN_MTU)
    /// at least. May change at any time.
    pub fn set_path_mtu(&mut self, peer: Address, mtu: usize) {
        // Drivers tell it with each packet.
        if self.mtus.get(&peer).copied().unwrap_or(DEFAULT_MTU) == mtu {
            return;
        }
        if mtu == DEFAULT_MTU {
            self.mtus.remove(&peer);
        } else {
            self.mtus.insert(peer, mtu);
        }
        let (mtu, now) = (self.path_mtu(peer), self.now);
        for id in self.connections_with(peer) {
            if let Some(entry) = self.connections.get_mut(&id.0).filter(|entry| entry.connection.mtu() != mtu)
            {
                entry.connection.set_mtu(now, mtu);
                self.touch(id);
            }
        }
    }

    /// Tells that frames for a node take another way from now on: its round-trip time and bandwidth are measured anew.
    /// What is in flight may still arrive.
    pub fn on_path_change(&mut self, now: Instant, peer: Address) {
        for id in self.connections_with(peer) {
            if let Some(entry) = self.connections.get_mut(&id.0) {
                entry.connection.on_path_change(now);
            }
            self.touch(id);
        }
    }

    fn connections_with(&self, peer: Address) -> Vec<ConnectionId> {
        let all = (peer, ConnectionId(0))..=(peer, ConnectionId(u64::MAX));
        self.by_peer.range(all).map(|(_, id)| *id).collect()
    }

    fn path_mtu(&self, peer: Address) -> usize {
        self.mtus.get(&peer).copied().unwrap_or(DEFAULT_MTU).max(super::MIN_MTU)
    }

    /// Takes a packet that came from a mesh address and decrypts it in place. An error tells why it was dropped; then
    /// nothing but counters has changed.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        source: Address,
        packet: &mut [u8],
    ) -> Result<(), PacketError> {
        self.now = now;
        let result = self.dispatch(now, source, packet);
        self.dropped += u64::from(result.is_err());
        result
    }

    fn dispatch(&mut self, now: Instant, source: Address, packet: &mut [u8]) -> Result<(), PacketError> {
        if let Some(retry) = Retry::parse(packet) {
            return self.on_retry(now, source, retry?);
        }
        let (header, _) = Header::parse(packet)?;
        let known = self.by_local.get(&header.destination).or_else(|| match header.kind {
            Kind::Initial { .. } => self.by_original.get(&(source, header.destination)),
            _ => None,
        });
        let Some(&id) = known else {
            return self.accept(now, source, header, packet);
        };
        let entry = self.connections.get_mut(&id.0).ok_or(PacketError::UnknownConnection)?;
        if entry.connection.address() != source {
            return Err(PacketError::WrongSource);
        }
        let result = entry.connection.handle_packet(now, header, packet);
        self.touch(id);
        result
    }

    fn on_retry(&mut self, now: Instant, source: Address, retry: Retry) -> Result<(), PacketError> {
        let id = *self.by_local.get(&retry.destination).ok_or(PacketError::UnknownConnection)?;
        let entry = self.connections.get_mut(&id.0).ok_or(PacketError::UnknownConnection)?;
        if entry.connection.address() != source {
            return Err(PacketError::WrongSource);
        }
        entry.connection.on_retry(now, &retry)?;
        self.touch(id);
        Ok(())
    }

    /// A first packet of an unknown client.
    fn accept(
        &mut self,
        now: Instant,
        source: Address,
        header: Header,
        packet: &mut [u8],
    ) -> Result<(), PacketError> {
        let Kind::Initial { source: remote, token } = header.kind else {
            return Err(PacketError::UnknownConnection);
        };
        // Before any cryptography but a hash.
        let proved = match self.half_open.admit(now, source, header.destination, token)? {
            Admission::Begin { proved } => proved,
            Admission::Retry(token) => {
                // When they cannot be sent as fast as first packets come, the client repeats its own anyway.
                if self.retries.len() < MAX_RETRIES {
                    let retry = Retry { destination: remote, original: header.destination, token };
                    self.retries.push_back((source, retry));
                }
                return Err(PacketError::AddressUnproved);
            }
        };
        let ids = Ids { local: self.unused_local_id(), remote, original: header.destination };
        let start = self.start(ids, source);
        let mut connection = Connection::accept(now, &self.config, &self.tls, source, start)
            .map_err(|_| PacketError::Unavailable)?;
        if proved {
            connection.on_address_proved();
        }
        connection.handle_packet(now, header, packet)?;
        let id = self.insert(connection);
        self.count_half_open(id, source, proved);
        Ok(())
    }

    fn count_half_open(&mut self, id: ConnectionId, source: Address, proved: bool) {
        if let Some(entry) = self.connections.get_mut(&id.0).filter(|entry| entry.connection.is_half_open()) {
            entry.half_open = Some(proved);
            self.half_open.add(source, proved);
        }
    }

    fn start(&mut self, ids: Ids, peer: Address) -> Start {
        let secret = self.random.next_u64();
        let (budget, pool) = (Arc::clone(&self.budget), self.pool.clone());
        Start { ids, mtu: self.path_mtu(peer), secret, budget, pool }
    }

    fn unused_local_id(&mut self) -> u64 {
        loop {
            let id = self.random.next_u64();
            if !self.by_local.contains_key(&id) {
                return id;
            }
        }
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        let (ids, address) = (connection.ids(), connection.address());
        self.by_local.insert(ids.local, id);
        self.by_peer.insert((address, id));
        if connection.side() == Side::Server {
            self.by_original.insert((address, ids.original), id);
        }
        self.connections.insert(id.0, Entry { connection, timer: None, queued: false, half_open: None });
        self.touch(id);
        id
    }

    /// A connection was changed: takes its events, files its timer, and asks it for packets later.
    fn touch(&mut self, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id.0)
            && !entry.queued
        {
            entry.queued = true;
            self.ready.push_back(id);
        }
        self.settle(id);
    }

    fn settle(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(&id.0) else { return };
        while let Some(event) = entry.connection.events.pop_front() {
            self.events.push_back((id, event));
        }
        let timer = entry.connection.timeout();
        // Each packet moves the timers of a busy connection a little further: only an earlier time is filed at once, a
        // later one when the time that is filed has come.
        let is_earlier = match (timer, entry.timer) {
            (Some(new), Some(old)) => new < old,
            (new, old) => new.is_some() != old.is_some(),
        };
        if is_earlier {
            if let Some(old) = entry.timer {
                self.timers.remove(&(old, id));
            }
            self.timers.extend(timer.map(|new| (new, id)));
            entry.timer = timer;
        }
        let address = entry.connection.address();
        let is_gone = entry.connection.is_gone();
        if (is_gone || !entry.connection.is_half_open())
            && let Some(proved) = entry.half_open.take()
        {
            self.half_open.remove(address, proved);
        }
        if is_gone {
            let ids = entry.connection.ids();
            self.by_local.remove(&ids.local);
            self.by_peer.remove(&(address, id));
            if entry.connection.side() == Side::Server {
                self.by_original.remove(&(address, ids.original));
            }
            self.connections.remove(&id.0);
        }
    }

    /// Lets time pass. To be called when [`poll_timeout`](Self::poll_timeout) says; earlier calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let due: Vec<_> = self.timers.range(..=(now, ConnectionId(u64::MAX))).copied().collect();
        for (time, id) in due {
            self.timers.remove(&(time, id));
            if let Some(entry) = self.connections.get_mut(&id.0) {
                entry.timer = None;
                entry.connection.handle_timeout(now);
            }
            self.touch(id);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Appends one packet to `out` and returns the address that it goes to; what `out` holds already stays in front.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Address> {
        if let Some((address, retry)) = self.retries.pop_front() {
            retry.emit(out);
            return Some(address);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(entry) = self.connections.get_mut(&id.0) else { continue };
            entry.queued = false;
            let address = entry.connection.address();
            if entry.connection.transmit(now, out) {
                // Its timer is filed once it has nothing more to send, not with each packet.
                entry.queued = true;
                self.ready.push_back(id);
                return Some(address);
            }
            self.settle(id);
        }
        None
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<(ConnectionId, Event)> {
        self.events.pop_front()
    }

    /// Runs a command on the streams of an established connection.
    fn with_streams<T>(
        &mut self,
        id: ConnectionId,
        command: impl FnOnce(&mut Streams) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let entry = self.connections.get_mut(&id.0).ok_or(StreamError::UnknownConnection)?;
        if entry.connection.is_closing() {
            return Err(StreamError::UnknownConnection);
        }
        if !entry.connection.is_connected() {
            return Err(StreamError::NotConnected);
        }
        let result = command(entry.connection.streams());
        // Commands give no events and move no timer before their packets are sent.
        if !std::mem::replace(&mut entry.queued, true) {
            self.ready.push_back(id);
        }
        result
    }

    /// Runs a command on what the streams of a connection have received, also of one that the peer has just closed.
    fn with_received<T>(
        &mut self,
        id: ConnectionId,
        command: impl FnOnce(&mut Streams) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        match self.connections.get_mut(&id.0) {
            Some(entry) if entry.connection.is_closing() && entry.connection.is_readable() => {
                command(entry.connection.streams())
            }
            _ => self.with_streams(id, command),
        }
    }

    /// Opens a stream in both directions. The peer hears of it with the first byte (or the end) written.
    pub fn open(&mut self, connection: ConnectionId) -> Result<StreamId, StreamError> {
        self.with_streams(connection, Streams::open)
    }

    /// Hands over bytes to send; returns how many were taken, perhaps none. When fewer than offered,
    /// [`Event::Writable`] tells when to go on.
    pub fn write(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        data: &[u8],
    ) -> Result<usize, StreamError> {
        self.with_streams(connection, |streams| streams.write(stream, data))
    }

    /// Appends up to `limit` received bytes to `into`. After [`Event::Readable`], read until
    /// [`ReadOutcome::Blocked`] or [`ReadOutcome::Finished`]: the event is not repeated before.
    pub fn read(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> Result<ReadOutcome, StreamError> {
        self.with_received(connection, |streams| streams.read(stream, into, limit))
    }

    /// As [`write`](Self::write), without a copy: the bytes are kept as they are until acknowledged.
    pub fn write_bytes(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        data: Bytes,
    ) -> Result<usize, StreamError> {
        self.with_streams(connection, |streams| streams.write_shared(stream, data))
    }

    /// As [`read`](Self::read), without a copy where much has come: hands over up to `limit` bytes, 16 KiB at most. They
    /// are empty when the outcome is not [`ReadOutcome::Data`].
    pub fn read_bytes(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        limit: usize,
    ) -> Result<(ReadOutcome, Bytes), StreamError> {
        self.with_received(connection, |streams| streams.read_shared(stream, limit))
    }

    /// Sets how urgent a stream is: 0 is the most, 7 (and above) the least urgent, 3 the default (RFC 9218 §4.1). Streams that
    /// are less urgent wait while others have something to send; equal ones take turns.
    pub fn set_priority(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        priority: u8,
    ) -> Result<(), StreamError> {
        self.with_streams(connection, |streams| streams.set_priority(stream, priority))
    }

    /// Sends a message that is not repeated when it is lost (RFC 9221). When more wait than the configuration allows, the
    /// oldest are dropped.
    pub fn send_datagram(&mut self, connection: ConnectionId, data: Bytes) -> Result<(), DatagramError> {
        let entry = self.connections.get_mut(&connection.0).ok_or(DatagramError::UnknownConnection)?;
        if entry.connection.is_closing() {
            return Err(DatagramError::UnknownConnection);
        }
        if !entry.connection.is_connected() {
            return Err(DatagramError::NotConnected);
        }
        let mtu = entry.connection.mtu();
        entry.connection.datagrams().send(data, mtu)?;
        self.touch(connection);
        Ok(())
    }

    /// The longest datagram that the path carries now; `None` when the peer takes none.
    pub fn max_datagram_len(&mut self, connection: ConnectionId) -> Option<usize> {
        let connection = &mut self.connections.get_mut(&connection.0)?.connection;
        let mtu = connection.mtu();
        connection.datagrams().max_len(mtu)
    }

    /// The next datagram from the peer. After [`Event::Datagram`], read until `None`.
    pub fn read_datagram(&mut self, connection: ConnectionId) -> Option<Bytes> {
        self.connections.get_mut(&connection.0)?.connection.datagrams().read()
    }

    /// Ends this node's direction of a stream behind what was written. [`Event::Acknowledged`] tells when all of it has
    /// arrived.
    pub fn finish(&mut self, connection: ConnectionId, stream: StreamId) -> Result<(), StreamError> {
        self.with_streams(connection, |streams| streams.finish(stream))
    }

    /// Gives up this node's direction of a stream; what has not arrived may never arrive.
    pub fn reset(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        code: u64,
    ) -> Result<(), StreamError> {
        self.with_streams(connection, |streams| streams.reset(stream, code))
    }

    /// Asks the peer to send no more on a stream; unread data is discarded.
    pub fn stop(&mut self, connection: ConnectionId, stream: StreamId, code: u64) -> Result<(), StreamError> {
        self.with_streams(connection, |streams| streams.stop(stream, code))
    }

    /// Ends a connection. The peer is told the code and at most [`MAX_REASON_LEN`](super::MAX_REASON_LEN) bytes of the
    /// reason; data that was not acknowledged is lost.
    pub fn close(&mut self, now: Instant, connection: ConnectionId, code: u64, reason: &str) {
        if let Some(entry) = self.connections.get_mut(&connection.0) {
            entry.connection.close(now, code, reason);
            self.touch(connection);
        }
    }

    /// Sends something that the peer acknowledges: keeps the connection alive, and finds out whether it is.
    pub fn ping(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&connection.0) {
            entry.connection.ping();
            self.touch(connection);
        }
    }

    /// The node at the other end: expected by a client, proved to a server.
    pub fn peer(&self, connection: ConnectionId) -> Option<NodeId> {
        self.connections.get(&connection.0)?.connection.peer()
    }

    /// This node's role.
    pub fn side(&self, connection: ConnectionId) -> Option<Side> {
        Some(self.connections.get(&connection.0)?.connection.side())
    }

    /// Whether the handshake is complete and the connection not over.
    pub fn is_connected(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection.0).is_some_and(|entry| entry.connection.is_connected())
    }

    /// Numbers about a connection.
    pub fn statistics(&self, connection: ConnectionId) -> Option<Statistics> {
        Some(self.connections.get(&connection.0)?.connection.statistics())
    }

    /// How many packets [`handle_packet`](Self::handle_packet) dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of the next Data packet of a connection.
    #[cfg(test)]
    pub(super) fn next_number(&self, id: ConnectionId) -> u64 {
        self.connections.get(&id.0).map_or(0, |entry| entry.connection.next_number())
    }

    #[cfg(test)]
    pub(super) fn inject(&mut self, now: Instant, id: ConnectionId, plain: &[u8]) {
        if let Some(entry) = self.connections.get_mut(&id.0) {
            entry.connection.inject(now, plain);
        }
        self.touch(id);
    }

    /// Whether nothing is left of any connection.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.by_local.is_empty()
            && self.by_original.is_empty()
            && self.by_peer.is_empty()
            && self.half_open.is_empty()
            && self.timers.is_empty()
    }
}
