//! The handles of connections, and of what takes them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::hub::ConnectionCommand;
use super::stream::{Shared as StreamShared, Stream};
use crate::driver::engine::{Command, Reply};
use crate::driver::{Error, ErrorKind, Node, Pending};
use crate::node::connections::codes;
use crate::stream::{ConnectionId, Purpose, Statistics};
use crate::types::NodeId;

/// Datagrams that wait for the application; then the oldest goes.
const MAX_DATAGRAMS: usize = 256;

/// What the handles of a connection and the engine share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Streams that the peer has opened.
    opened: Notify,
    received: Notify,
    over: Notify,
}

#[derive(Debug, Default)]
struct State {
    streams: VecDeque<Arc<StreamShared>>,
    datagrams: VecDeque<Bytes>,
    closed: Option<String>,
}

impl Shared {
    pub(super) fn on_opened(&self, stream: Arc<StreamShared>) {
        self.state.lock().streams.push_back(stream);
        self.opened.notify_one();
    }

    pub(super) fn on_datagram(&self, datagram: Bytes) {
        let mut state = self.state.lock();
        if state.datagrams.len() >= MAX_DATAGRAMS {
            state.datagrams.pop_front();
        }
        state.datagrams.push_back(datagram);
        drop(state);
        self.received.notify_one();
    }

    pub(super) fn on_closed(&self, reason: String) {
        self.state.lock().closed.get_or_insert(reason);
        for waiting in [&self.opened, &self.received, &self.over] {
            waiting.notify_waiters();
            waiting.notify_one();
        }
    }

    /// Waits until `take` finds something, or the connection is over.
    async fn wait<T>(
        &self,
        news: &Notify,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(taken) = take(&mut state) {
                    // One notice may stand for several things, and several may wait for them.
                    news.notify_one();
                    return Ok(taken);
                }
                if let Some(reason) = &state.closed {
                    news.notify_one();
                    return Err(Error::disconnected(reason));
                }
            }
            news.notified().await;
        }
    }
}

/// What all handles of a connection hold together: when the last is gone, so is the connection.
#[derive(Debug)]
pub(super) struct Handle {
    id: ConnectionId,
    peer: NodeId,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    pub(super) fn new(
        id: ConnectionId,
        peer: NodeId,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Arc<Self> {
        Arc::new(Self { id, peer, shared, commands })
    }

    /// An engine that is gone drops the command, which answers it.
    pub(super) fn submit(&self, command: ConnectionCommand) {
        let _ = self.commands.send(Command::Connection(command));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.submit(ConnectionCommand::Close { id: self.id, code: codes::DONE, reason: String::new() });
    }
}

/// A connection with another node, encrypted and authenticated end to end: any number of streams, and datagrams. It survives
/// changes of the route. Handles can be cloned; the connection is closed when the last of them and of its streams is dropped.
///
/// ```no_run
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # async fn example(node: &meshcore::Node, id: meshcore::NodeId) -> Result<(), Box<dyn std::error::Error>> {
/// let connection = node.connect(id).await?;
/// let mut stream = connection.open().await?;
/// stream.write_all(b"hello").await?;
/// stream.shutdown().await?;
/// let mut answer = Vec::new();
/// stream.read_to_end(&mut answer).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

impl Connection {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// The node at the other end, as it has proved.
    pub fn peer(&self) -> NodeId {
        self.handle.peer
    }

    /// Opens a stream, waiting while the peer allows no more of them. The peer hears of it with the first byte, or the end.
    pub async fn open(&self) -> Result<Stream, Error> {
        let (resolve, pending) = Pending::new();
        let reply = Reply::new(resolve);
        self.handle.submit(ConnectionCommand::Open { id: self.handle.id, reply });
        let opened = pending.await.map_err(|error| self.why(error))?;
        Ok(Stream::new(opened, Arc::clone(&self.handle)))
    }

    /// The next stream that the peer has opened.
    pub async fn accept(&self) -> Result<Stream, Error> {
        let shared = &self.handle.shared;
        let stream = shared.wait(&shared.opened, |state| state.streams.pop_front()).await?;
        Ok(Stream::new(stream, Arc::clone(&self.handle)))
    }

    /// Sends a message that is not repeated when it is lost, and may overtake others (RFC 9221).
    pub async fn send_datagram(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        let (resolve, pending) = Pending::new();
        let (data, reply) = (data.into(), Reply::new(resolve));
        self.handle.submit(ConnectionCommand::SendDatagram { id: self.handle.id, data, reply });
        pending.await.map_err(|error| self.why(error))
    }

    /// The next datagram. Of those that nobody takes the latest 256 are kept.
    pub async fn read_datagram(&self) -> Result<Bytes, Error> {
        let shared = &self.handle.shared;
        shared.wait(&shared.received, |state| state.datagrams.pop_front()).await
    }

    /// Numbers about the connection.
    pub async fn statistics(&self) -> Result<Statistics, Error> {
        let (resolve, pending) = Pending::new();
        let reply = Reply::new(resolve);
        self.handle.submit(ConnectionCommand::Statistics { id: self.handle.id, reply });
        pending.await.map_err(|error| self.why(error))
    }

    /// The engine has forgotten a connection that is over, and why; the handle has not.
    fn why(&self, error: Error) -> Error {
        match &self.handle.shared.state.lock().closed {
            Some(reason) if error.kind() == ErrorKind::Disconnected => Error::disconnected(reason),
            _ => error,
        }
    }

    /// Closes the connection at once; what has not arrived may be lost. The peer is told the code and the reason.
    pub fn close(&self, code: u64, reason: &str) {
        let reason = reason.to_owned();
        self.handle.submit(ConnectionCommand::Close { id: self.handle.id, code, reason });
    }

    /// Waits until the connection is over; tells why.
    pub async fn closed(&self) -> String {
        let shared = &self.handle.shared;
        match shared.wait(&shared.over, |state| state.closed.clone()).await {
            Ok(reason) => reason,
            Err(error) => error.to_string(),
        }
    }
}

/// Takes connections that other nodes open. There is one listener a node; while there is none, connections are refused.
#[derive(Debug)]
pub struct Listener {
    connections: mpsc::Receiver<Connection>,
}

impl Listener {
    pub(super) fn new(connections: mpsc::Receiver<Connection>) -> Self {
        Self { connections }
    }

    /// The next connection; `None` when the node has stopped.
    pub async fn accept(&mut self) -> Option<Connection> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// [`Listener::accept`] for those who drive it themselves.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        self.connections.poll_recv(cx)
    }
}

impl Node {
    /// Connects to a node that is in reach. Its application must listen ([`Node::listen`]): otherwise the connection is
    /// closed as refused as soon as it is used.
    pub fn connect(&self, to: NodeId) -> Pending<Connection> {
        let (resolve, pending) = Pending::new();
        let reply = Reply::new(resolve);
        self.submit(Command::Connection(ConnectionCommand::Connect {
            to,
            purpose: Purpose::Application,
            reply,
        }));
        pending
    }

    /// Takes connections from now on, in the place of an earlier listener.
    pub fn listen(&self) -> Pending<Listener> {
        let (resolve, pending) = Pending::new();
        let reply = Reply::new(resolve);
        self.submit(Command::Connection(ConnectionCommand::Listen { purpose: Purpose::Application, reply }));
        pending
    }
}
