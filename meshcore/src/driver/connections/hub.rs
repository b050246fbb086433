//! The engine's share of connections: carries bytes and events between handles and transport.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::StreamKey;
use super::bell::Bell;
use super::buffers::{End, READ_AHEAD};
use super::connection::{Connection, Handle, Listener, Shared as ConnectionShared};
use super::stream::Shared as StreamShared;
use crate::driver::engine::{Command, Reply};
use crate::driver::{Error, ErrorKind};
use crate::node::connections::codes;
use crate::node::{Now, Stack};
use crate::stream::{
    CloseReason, ConnectionId, Event, Purpose, ReadOutcome, Side, Statistics, StreamError, StreamId,
};
use crate::types::NodeId;

/// Connections that wait to be accepted; then others are refused.
const BACKLOG: usize = 128;

/// What handles ask of the engine.
pub(in crate::driver) enum ConnectionCommand {
    Connect { to: NodeId, purpose: Purpose, reply: Reply<Connection> },
    Listen { purpose: Purpose, reply: Reply<Listener> },
    Open { id: ConnectionId, reply: Reply<Arc<StreamShared>> },
    SetPriority { key: StreamKey, priority: u8 },
    SendDatagram { id: ConnectionId, data: Bytes, reply: Reply<()> },
    Statistics { id: ConnectionId, reply: Reply<Statistics> },
    Close { id: ConnectionId, code: u64, reason: String },
}

/// One connection with its streams.
struct Entry {
    shared: Arc<ConnectionShared>,
    streams: HashMap<StreamId, Arc<StreamShared>>,
    /// Who waits for the handshake.
    connecting: Option<Reply<Connection>>,
    /// Who waits until the peer allows another stream.
    opening: Vec<Reply<Arc<StreamShared>>>,
}

pub(in crate::driver) struct Hub {
    connections: HashMap<ConnectionId, Entry>,
    bell: Arc<Bell>,
    /// Who takes connections that peers open, by what they are for.
    listeners: HashMap<Purpose, mpsc::Sender<Connection>>,
    /// For new handles; weak, so that the engine ends when all others are gone.
    commands: mpsc::WeakUnboundedSender<Command>,
    rung: Vec<StreamKey>,
}

impl Hub {
    pub(in crate::driver) fn new(commands: mpsc::WeakUnboundedSender<Command>) -> Self {
        let (connections, bell) = (HashMap::new(), Arc::default());
        Self { connections, bell, listeners: HashMap::new(), commands, rung: Vec::new() }
    }

    /// Moves what the handles have for the transport; ready when there was something.
    pub(in crate::driver) fn poll(&mut self, cx: &mut Context<'_>, stack: &mut Stack) -> Poll<()> {
        let mut rung = std::mem::take(&mut self.rung);
        let polled = self.bell.poll(cx, &mut rung);
        for key in rung.drain(..) {
            self.on_rung(stack, key);
        }
        self.rung = rung;
        polled
    }

    fn stream(&self, key: StreamKey) -> Option<Arc<StreamShared>> {
        self.connections.get(&key.0)?.streams.get(&key.1).cloned()
    }

    fn on_rung(&mut self, stack: &mut Stack, key: StreamKey) {
        let Some(stream) = self.stream(key) else { return };
        let (stop, reset) = {
            let mut state = stream.state.lock();
            state.rung = false;
            (state.stop.take(), state.reset.take())
        };
        // A stream that is over already cannot be given up.
        if let Some(code) = reset {
            let _ = stack.transport().reset(key.0, key.1, code);
            stream.state.lock().outgoing.end(End::Broken(code));
        }
        write(stack, &stream);
        match stop {
            Some(code) => {
                let _ = stack.transport().stop(key.0, key.1, code);
            }
            None => read(stack, &stream, READ_AHEAD),
        }
        self.forget_if_over(&stream);
    }

    /// A stream whose handle is gone is held until it is sent.
    fn forget_if_over(&mut self, stream: &StreamShared) {
        let (connection, id) = stream.key;
        let state = stream.state.lock();
        if state.dropped
            && state.outgoing.is_over()
            && let Some(entry) = self.connections.get_mut(&connection)
        {
            entry.streams.remove(&id);
        }
    }

    pub(in crate::driver) fn handle_command(
        &mut self,
        now: Now,
        stack: &mut Stack,
        command: ConnectionCommand,
    ) {
        match command {
            ConnectionCommand::Connect { to, purpose, reply } => match stack.connect_for(now, to, purpose) {
                Ok(id) => drop(self.insert(id, Some(reply))),
                Err(error) => reply.give(Err(error.into())),
            },
            ConnectionCommand::Listen { purpose, reply } => {
                let (sender, receiver) = mpsc::channel(BACKLOG);
                self.listeners.insert(purpose, sender);
                reply.give(Ok(Listener::new(receiver)));
            }
            ConnectionCommand::Open { id, reply } => self.open(stack, id, reply),
            ConnectionCommand::SetPriority { key, priority } => {
                // A stream that is over has no priority.
                let _ = stack.transport().set_priority(key.0, key.1, priority);
            }
            ConnectionCommand::SendDatagram { id, data, reply } => {
                let sent = stack.transport().send_datagram(id, data);
                reply.give(sent.map_err(Error::from));
            }
            ConnectionCommand::Statistics { id, reply } => {
                let gone = || Error::disconnected("the connection is over");
                reply.give(stack.transport().statistics(id).ok_or_else(gone));
            }
            ConnectionCommand::Close { id, code, reason } => {
                stack.transport().close(now.monotonic, id, code, &reason)
            }
        }
    }

    fn insert(&mut self, id: ConnectionId, connecting: Option<Reply<Connection>>) -> Arc<ConnectionShared> {
        let shared = Arc::new(ConnectionShared::default());
        let streams = HashMap::new();
        let entry = Entry { shared: Arc::clone(&shared), streams, connecting, opening: Vec::new() };
        self.connections.insert(id, entry);
        shared
    }

    fn open(&mut self, stack: &mut Stack, id: ConnectionId, reply: Reply<Arc<StreamShared>>) {
        let Some(entry) = self.connections.get_mut(&id) else {
            return reply.give(Err(Error::disconnected("the connection is over")));
        };
        match stack.transport().open(id) {
            Ok(stream) => {
                let shared = StreamShared::new((id, stream), Arc::clone(&self.bell));
                entry.streams.insert(stream, Arc::clone(&shared));
                reply.give(Ok(shared));
            }
            Err(StreamError::TooManyStreams) => entry.opening.push(reply),
            Err(error) => reply.give(Err(Error::disconnected(&error.to_string()))),
        }
    }

    pub(in crate::driver) fn handle_event(
        &mut self,
        now: Now,
        stack: &mut Stack,
        id: ConnectionId,
        event: Event,
    ) {
        match event {
            Event::Connected { peer, side, purpose } => {
                self.on_connected(now, stack, id, (peer, side, purpose));
            }
            Event::Closed { reason, .. } => self.on_closed(stack, id, &reason),
            Event::Opened(stream) => {
                let Some(entry) = self.connections.get_mut(&id) else { return };
                let shared = StreamShared::new((id, stream), Arc::clone(&self.bell));
                entry.streams.insert(stream, Arc::clone(&shared));
                entry.shared.on_opened(shared);
            }
            Event::Readable(stream) => {
                self.with_stream((id, stream), |stream| read(stack, stream, READ_AHEAD))
            }
            Event::Writable(stream) => self.with_stream((id, stream), |stream| write(stack, stream)),
            Event::Openable => {
                let Some(entry) = self.connections.get_mut(&id) else { return };
                for reply in std::mem::take(&mut entry.opening) {
                    self.open(stack, id, reply);
                }
            }
            Event::Acknowledged(stream) => self
                .with_stream((id, stream), |stream| stream.update(|state| state.outgoing.on_acknowledged())),
            // The transport may know nothing of the stream any more.
            Event::Reset { stream, code } => self.with_stream((id, stream), |stream| {
                stream.update(|state| state.incoming.end(End::Broken(code)));
            }),
            Event::Stopped { stream, code } => self.with_stream((id, stream), |stream| {
                stream.update(|state| state.outgoing.end(End::Broken(code)));
            }),
            Event::Datagram => {
                let Some(entry) = self.connections.get(&id) else { return };
                while let Some(datagram) = stack.transport().read_datagram(id) {
                    entry.shared.on_datagram(datagram);
                }
            }
        }
    }

    fn with_stream(&mut self, key: StreamKey, act: impl FnOnce(&Arc<StreamShared>)) {
        if let Some(stream) = self.stream(key) {
            act(&stream);
            self.forget_if_over(&stream);
        }
    }

    fn on_connected(
        &mut self,
        now: Now,
        stack: &mut Stack,
        id: ConnectionId,
        (peer, side, purpose): (NodeId, Side, Purpose),
    ) {
        // Without any other handle of the node, it is about to stop.
        let Some(commands) = self.commands.upgrade() else { return };
        if side == Side::Client {
            let Some(entry) = self.connections.get_mut(&id) else { return };
            let handle = Handle::new(id, peer, Arc::clone(&entry.shared), commands);
            if let Some(reply) = entry.connecting.take() {
                reply.give(Ok(Connection::new(handle)));
            }
            return;
        }
        let listener = self.listeners.get(&purpose).cloned();
        let permit = listener.and_then(|listener| listener.try_reserve_owned().ok());
        let Some(permit) = permit else {
            return stack.transport().close(now.monotonic, id, codes::REFUSED, "nobody takes connections");
        };
        let shared = self.insert(id, None);
        permit.send(Connection::new(Handle::new(id, peer, shared, commands)));
    }

    fn on_closed(&mut self, stack: &mut Stack, id: ConnectionId, reason: &CloseReason) {
        let Some(entry) = self.connections.remove(&id) else { return };
        // What has arrived is the application's, however slowly it reads.
        for stream in entry.streams.values() {
            read(stack, stream, usize::MAX);
        }
        entry.fail(&reason.to_string(), connect_error(reason));
    }
}

/// The engine ends: nobody waits for ever.
impl Drop for Hub {
    fn drop(&mut self) {
        for (_, entry) in self.connections.drain() {
            entry.fail("the node has been stopped", Error::stopped());
        }
    }
}

impl Entry {
    fn fail(self, reason: &str, error: Error) {
        for stream in self.streams.into_values() {
            stream.update(|state| {
                state.incoming.end(End::Closed(reason.to_owned()));
                state.outgoing.end(End::Closed(reason.to_owned()));
            });
        }
        for reply in self.opening {
            reply.give(Err(Error::disconnected(reason)));
        }
        if let Some(reply) = self.connecting {
            reply.give(Err(error));
        }
        self.shared.on_closed(reason.to_owned());
    }
}

/// Why a connection did not come about.
fn connect_error(reason: &CloseReason) -> Error {
    let kind = match reason {
        CloseReason::HandshakeTimeout | CloseReason::IdleTimeout => ErrorKind::TimedOut,
        CloseReason::Peer { code: codes::REFUSED, .. } => ErrorKind::Refused,
        _ => ErrorKind::Disconnected,
    };
    Error::new(kind, reason.to_string())
}

/// Moves written bytes to the transport, as far as it takes them.
fn write(stack: &mut Stack, stream: &StreamShared) {
    let (connection, id) = stream.key;
    let transport = stack.transport();
    stream.update(|state| {
        while let Some(chunk) = state.outgoing.pop() {
            // When it fails, what follows tells why.
            let taken = transport.write_bytes(connection, id, chunk.clone()).unwrap_or(0);
            let all = taken == chunk.len();
            state.outgoing.on_taken(chunk, taken);
            if !all {
                break;
            }
        }
        if state.outgoing.must_finish() {
            // A stream that is over needs no end.
            let _ = transport.finish(connection, id);
        }
    });
}

/// Moves received bytes to the application, up to `limit` that wait there.
fn read(stack: &mut Stack, stream: &StreamShared, limit: usize) {
    let (connection, id) = stream.key;
    let transport = stack.transport();
    stream.update(|state| {
        loop {
            let room = state.incoming.room(limit);
            if room == 0 {
                break;
            }
            match transport.read_bytes(connection, id, room) {
                Ok((ReadOutcome::Data(_), chunk)) => state.incoming.push(chunk),
                Ok((ReadOutcome::Blocked, _)) => break,
                Ok((ReadOutcome::Finished, _)) => break state.incoming.end(End::Finished),
                // Of a stream that is over, all was read; of a reset and of the end of a connection, an event tells.
                Err(_) => break,
            }
        }
    });
}
