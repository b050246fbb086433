//! Messages over sessions: connections, their two message streams, and the messenger.

use std::collections::BTreeSet;

use super::stack::Stack;
use super::{Event, Warning};
use crate::message::{Channel, MessengerEvent, SessionId};
use crate::stream::{self, ConnectionId, Purpose, ReadOutcome, StreamId};
use crate::types::{Address, NodeId, Now, Status};
use crate::wire::post::{self, Outcome};
use crate::wire::record;

/// Bytes taken from a stream at a time.
const READ_CHUNK: usize = 64 * 1024;

/// Codes with which this layer closes a connection or resets a stream (application codes of the transport).
pub(super) mod codes {
    /// The node stops.
    pub(in crate::node) const STOPPING: u64 = 0;
    /// The peer broke the rules of the message stream.
    pub(in crate::node) const PROTOCOL: u64 = 1;
    /// A message could not be stored; the sender keeps it and tries again.
    pub(in crate::node) const STORAGE: u64 = 2;
    /// Another connection between the same nodes serves in place of this one.
    pub(in crate::node) const REPLACED: u64 = 3;
    /// The stream's first byte names no protocol that this node speaks.
    pub(in crate::node) const UNKNOWN_PROTOCOL: u64 = 4;
    /// There are too many sessions with others.
    pub(in crate::node) const BUSY: u64 = 5;
}

impl From<ConnectionId> for SessionId {
    fn from(connection: ConnectionId) -> Self {
        Self(connection.0)
    }
}

impl Stack {
    pub(super) fn carry_stream_event(&mut self, now: Now) -> bool {
        let Some((connection, event)) = self.streams.poll_event() else { return false };
        let Some(event) = self.connections.sort(connection, event) else { return true };
        match event {
            stream::Event::Connected { peer, side, .. } => {
                let change = self.sessions.on_connected(now.monotonic, connection, peer, side);
                self.messenger.session_opened(connection.into(), peer);
                self.messenger.set_sending_session(now, peer, change.sending.map(SessionId::from));
                for replaced in change.close {
                    self.close(now, replaced, codes::REPLACED, "another connection serves");
                }
                if let Some(oldest) = self.sessions.surplus() {
                    self.close(now, oldest, codes::BUSY, "too many connections");
                }
            }
            stream::Event::Closed { peer, .. } => self.on_closed(now, connection, peer),
            stream::Event::Opened(stream) => {
                if let Some(session) = self.sessions.session(connection) {
                    session.unnamed.push(stream);
                }
            }
            stream::Event::Reset { stream, .. } | stream::Event::Stopped { stream, .. } => {
                self.on_broken(now, connection, stream);
            }
            stream::Event::Readable(_)
            | stream::Event::Writable(_)
            | stream::Event::Openable
            | stream::Event::Datagram
            | stream::Event::Acknowledged(_) => {}
        }
        self.touched.insert(connection);
        true
    }

    fn on_closed(&mut self, now: Now, connection: ConnectionId, peer: Option<NodeId>) {
        self.messenger.session_closed(now, connection.into());
        if let Some((peer, sending)) = self.sessions.on_closed(now.monotonic, connection, peer) {
            self.messenger.set_sending_session(now, peer, sending.map(SessionId::from));
        }
    }

    /// Closes a connection of ours; it is out of use at once.
    pub(super) fn close(&mut self, now: Now, connection: ConnectionId, code: u64, reason: &str) {
        self.streams.close(now.monotonic, connection, code, reason);
        self.on_closed(now, connection, None);
    }

    /// A node is there that was not, perhaps: what it has not heard of our attempts is repeated at once.
    pub(super) fn connect_anew(&mut self, now: Now, node: Address) {
        for attempt in self.sessions.give_up_attempts(now.monotonic, node) {
            self.streams.close(now.monotonic, attempt, codes::REPLACED, "another attempt follows");
        }
    }

    /// The peer abandoned a stream: without its message streams a session is of no use.
    fn on_broken(&mut self, now: Now, connection: ConnectionId, stream: StreamId) {
        let Some(session) = self.sessions.session(connection) else { return };
        session.unnamed.retain(|unnamed| *unnamed != stream);
        if session.streams().any(|(_, known)| known == stream) {
            self.close(now, connection, codes::PROTOCOL, "a message stream was abandoned");
        }
    }

    /// Reads the first byte of the streams that the peer has opened.
    fn name_streams(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.session(connection) else { return };
        for stream in std::mem::take(&mut session.unnamed) {
            let mut protocol = Vec::with_capacity(1);
            match self.streams.read(connection, stream, &mut protocol, 1) {
                Ok(ReadOutcome::Blocked) => session.unnamed.push(stream),
                Ok(ReadOutcome::Data(_)) if protocol == [record::PROTOCOL] && session.incoming.is_none() => {
                    session.incoming = Some(stream);
                }
                Ok(ReadOutcome::Data(_)) if protocol == [post::PROTOCOL] && session.deposits.is_none() => {
                    session.deposits = Some(stream);
                }
                _ => {
                    // Refusing a stream that is gone already changes nothing.
                    let _ = self.streams.stop(connection, stream, codes::UNKNOWN_PROTOCOL);
                    let _ = self.streams.reset(connection, stream, codes::UNKNOWN_PROTOCOL);
                }
            }
        }
    }

    pub(super) fn carry_messenger_event(&mut self, now: Now) -> bool {
        let Some(event) = self.messenger.poll_event() else { return false };
        match event {
            MessengerEvent::Accepted { id } => self.accepted.push_back((id, Ok(()))),
            MessengerEvent::Refused { id, error } => self.accepted.push_back((id, Err(error))),
            // The answer to the send has told that already.
            MessengerEvent::Status { status: Status::Queued, .. } => {}
            MessengerEvent::Status { id, to, status } => {
                if status == Status::Delivered {
                    self.sessions.on_progress(to);
                }
                self.events.push_back(Event::Status { id, to, status });
            }
            MessengerEvent::Room { room, name, change } => {
                self.events.push_back(Event::Room { room, name, change });
            }
            MessengerEvent::Received(message) => self.hand_over(message),
            MessengerEvent::MailboxRefused { mailbox, outcome } => {
                self.events
                    .push_back(Event::Warning(Warning::MailboxRefused { mailbox, reason: refusal(outcome) }));
            }
            MessengerEvent::StorageFailed { session, .. } => {
                self.close(now, ConnectionId(session.0), codes::STORAGE, "the disk refuses");
            }
        }
        true
    }

    pub(super) fn connect_where_messages_wait(&mut self, now: Now) {
        let waiting: BTreeSet<_> = self
            .messenger
            .wanted_sessions()
            .filter(|(_, from)| *from <= now.monotonic)
            .map(|(peer, _)| peer)
            .filter(|peer| self.mesh.is_reachable(peer.address()))
            .filter(|peer| self.sessions.wants_connection(now.monotonic, *peer))
            .collect();
        for peer in waiting {
            if let Some(route) = self.mesh.route(peer.address()) {
                self.streams.set_path_mtu(peer.address(), route.mtu);
            }
            match self.streams.connect(now.monotonic, peer, Purpose::Node) {
                Ok(connection) => self.sessions.on_connecting(now.monotonic, peer, connection),
                Err(_) => self.sessions.on_failure(now.monotonic, peer),
            }
        }
    }

    /// Moves bytes between the messenger and the streams of the touched sessions, as far as flow control lets them.
    pub(super) fn exchange_with_sessions(&mut self, now: Now) {
        for connection in std::mem::take(&mut self.touched) {
            self.name_streams(connection);
            let opened = [Channel::Outgoing, Channel::Letters];
            let opened = opened.into_iter().try_for_each(|channel| self.open_stream(connection, channel));
            if let Err(reason) = opened.and_then(|()| self.exchange(now, connection)) {
                self.close(now, connection, codes::PROTOCOL, &reason);
            }
        }
    }

    fn exchange(&mut self, now: Now, connection: ConnectionId) -> Result<(), String> {
        let Some(session) = self.sessions.session(connection) else { return Ok(()) };
        let streams: Vec<_> = session.streams().collect();
        for (channel, stream) in streams {
            // Receipts that were written make room for messages to read.
            self.write(now, connection, stream, channel)?;
            self.read(now, connection, stream, channel)?;
        }
        Ok(())
    }

    /// Opens the stream for our messages, or for our letters, when there is the first one to write.
    fn open_stream(&mut self, connection: ConnectionId, channel: Channel) -> Result<(), String> {
        let waiting = !self.messenger.pending_write(connection.into(), channel).is_empty();
        let Some(session) = self.sessions.session(connection) else { return Ok(()) };
        let (place, protocol) = match channel {
            Channel::Letters => (&mut session.letters, post::PROTOCOL),
            _ => (&mut session.outgoing, record::PROTOCOL),
        };
        if place.is_some() || !waiting {
            return Ok(());
        }
        let stream = self.streams.open(connection).map_err(|error| error.to_string())?;
        if self.streams.write(connection, stream, &[protocol]) != Ok(1) {
            return Err("a new stream takes no data".into());
        }
        *place = Some(stream);
        Ok(())
    }

    fn write(
        &mut self,
        now: Now,
        connection: ConnectionId,
        stream: StreamId,
        channel: Channel,
    ) -> Result<(), String> {
        loop {
            let pending = self.messenger.pending_write(connection.into(), channel);
            if pending.is_empty() {
                return Ok(());
            }
            let taken = self.streams.write(connection, stream, pending).map_err(|error| error.to_string())?;
            if taken == 0 {
                return Ok(());
            }
            self.messenger.on_written(now.monotonic, connection.into(), channel, taken);
        }
    }

    fn read(
        &mut self,
        now: Now,
        connection: ConnectionId,
        stream: StreamId,
        channel: Channel,
    ) -> Result<(), String> {
        let mut data = Vec::new();
        while self.messenger.wants_data(connection.into(), channel) {
            data.clear();
            match self.streams.read(connection, stream, &mut data, READ_CHUNK) {
                Ok(ReadOutcome::Data(_)) => self
                    .messenger
                    .handle_data(now, connection.into(), channel, &data)
                    .map_err(|violation| violation.to_string())?,
                Ok(ReadOutcome::Blocked | ReadOutcome::Finished) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

/// What a mailbox says, for people.
fn refusal(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Full => "it is full",
        Outcome::SenderFull => "it has no more room for this node",
        Outcome::NoMailbox => "it is a mailbox no more",
        Outcome::Taken | Outcome::Unreadable | Outcome::Later => "it takes nothing now",
    }
}
