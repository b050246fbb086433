//! Connections of the application and of files, apart from those that carry the node's messages.

use std::collections::{BTreeSet, VecDeque};

use super::stack::Stack;
use crate::stream::{self, ConnectError, ConnectionId, Endpoint, Purpose};
use crate::types::{NodeId, Now};

/// Connections of the application and of files at the same time, those that peers opened among them. Each takes some kilobytes, and as
/// much as the windows of the transport allow.
pub const MAX_CONNECTIONS: usize = 4096;

/// Codes with which a node closes connections of applications (application codes of the transport).
pub mod codes {
    /// The application is done.
    pub const DONE: u64 = 0;
    /// Nobody takes connections, or too many wait to be taken.
    pub const REFUSED: u64 = 1;
    /// The node has too many connections.
    pub const BUSY: u64 = 2;
}

/// Why a connection cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// To oneself.
    #[error("a node cannot connect to itself")]
    Myself,
    /// The person has blocked the node.
    #[error("{0} is blocked; unblock it first")]
    Blocked(NodeId),
    /// There is no way to the node now.
    #[error("{0} is not in reach")]
    OutOfReach(NodeId),
    /// There are too many.
    #[error("there are {MAX_CONNECTIONS} connections already; close some")]
    TooMany,
    /// The transport refuses.
    #[error(transparent)]
    Transport(#[from] ConnectError),
}

/// Which connections are the application's or carry files, and what happened on them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeSet<ConnectionId>,
    events: VecDeque<(ConnectionId, stream::Event)>,
}

impl Connections {
    pub(super) fn all(&self) -> Vec<ConnectionId> {
        self.open.iter().copied().collect()
    }

    /// Keeps an event for the application; gives back what concerns the node's own connections.
    pub(super) fn sort(&mut self, connection: ConnectionId, event: stream::Event) -> Option<stream::Event> {
        match &event {
            stream::Event::Connected { purpose: Purpose::Application | Purpose::Files, .. } => {
                self.open.insert(connection);
            }
            stream::Event::Closed { .. } if self.open.remove(&connection) => {}
            _ if self.open.contains(&connection) => {}
            _ => return Some(event),
        }
        self.events.push_back((connection, event));
        None
    }
}

impl Stack {
    /// Opens a connection of the application. [`Stack::poll_connection_event`] tells how it went.
    pub fn connect(&mut self, now: Now, to: NodeId) -> Result<ConnectionId, OpenError> {
        self.connect_for(now, to, Purpose::Application)
    }

    /// [`Stack::connect`] for the application or for files.
    pub fn connect_for(&mut self, now: Now, to: NodeId, purpose: Purpose) -> Result<ConnectionId, OpenError> {
        if to == self.own {
            return Err(OpenError::Myself);
        }
        if self.is_blocked(to) {
            return Err(OpenError::Blocked(to));
        }
        if self.connections.open.len() >= MAX_CONNECTIONS {
            return Err(OpenError::TooMany);
        }
        let route = self.mesh.route(to.address()).ok_or(OpenError::OutOfReach(to))?;
        self.streams.set_path_mtu(to.address(), route.mtu);
        let connection = self.streams.connect(now.monotonic, to, purpose)?;
        self.connections.open.insert(connection);
        self.settle(now);
        Ok(connection)
    }

    /// What happened next on the connections of the application and of files. One that a peer opened begins with
    /// [`stream::Event::Connected`]; all end with [`stream::Event::Closed`].
    pub fn poll_connection_event(&mut self, now: Now) -> Option<(ConnectionId, stream::Event)> {
        self.settle_packets();
        loop {
            let (connection, event) = self.connections.events.pop_front()?;
            let is_surplus = self.connections.open.len() > MAX_CONNECTIONS;
            if is_surplus && matches!(event, stream::Event::Connected { side: stream::Side::Server, .. }) {
                self.connections.open.remove(&connection);
                self.streams.close(now.monotonic, connection, codes::BUSY, "too many connections");
                continue;
            }
            return Some((connection, event));
        }
    }

    /// The transport, for streams and datagrams of the application's connections. Afterwards, empty
    /// [`Stack::poll_transmit`] as ever.
    pub fn transport(&mut self) -> &mut Endpoint {
        &mut self.streams
    }
}
