//! A running node as its application holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::echoes::{Pong, TraceHop};
use super::engine::{Command, Reply};
use super::launch::Running;
use super::store::Cursor;
use super::{Builder, Error, ErrorKind, Events, Pending};
use crate::node::{IncomingMessage, NodeInfo};
use crate::types::{MessageId, Nickname, NodeId};

/// A running node. All methods may be called from any thread; dropping the handle stops the node.
///
/// ```no_run
/// # async fn example() -> Result<(), meshcore::Error> {
/// let node = meshcore::Node::builder().nickname("anna").start().await?;
/// while let Some(event) = node.events().next().await {
///     if let meshcore::Event::Message(message) = event {
///         println!("{}: {}", message.from, message.text);
///         node.confirm(&message)?;
///         node.send(message.from, "I heard you").await?;
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Node {
    pub(super) id: NodeId,
    pub(super) nickname: Option<Nickname>,
    pub(super) home: PathBuf,
    pub(super) links: Vec<LinkStatus>,
    pub(super) events: Arc<Events>,
    pub(super) cursor: Cursor,
    pub(super) commands: UnboundedSender<Command>,
    pub(super) running: Running,
}

/// A link that was asked for, and how it went.
#[derive(Debug)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The link, for example `ethernet:eth0`.
    pub spec: String,
    /// Why it could not be opened; `None` when it is open.
    pub error: Option<Error>,
}

impl Node {
    /// Starts to configure a node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// NODE_ID of this node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name that this node shows to others.
    pub fn nickname(&self) -> Option<&Nickname> {
        self.nickname.as_ref()
    }

    /// The folder of key, outbox and history.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The links that were asked for, each once; all UDP links are one.
    pub fn links(&self) -> &[LinkStatus] {
        &self.links
    }

    /// All nodes that are known, those in reach first. This node is not among them.
    pub fn nodes(&self) -> Pending<Vec<NodeInfo>> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Nodes { reply: Reply::new(reply) });
        pending
    }

    /// The node that `query` means: a full id, a unique prefix of one, its last digits (at least five), or a nickname.
    pub fn resolve(&self, query: &str) -> Pending<NodeInfo> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Resolve { query: query.to_owned(), reply: Reply::new(reply) });
        pending
    }

    /// Asks a node in reach for an answer across the mesh, for at most `timeout` (at most 10 s). It tells about the path,
    /// not about the node: anybody on the way could answer.
    pub fn ping(&self, to: NodeId, timeout: Duration) -> Pending<Pong> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Ping { to, timeout, reply: Reply::new(reply) });
        pending
    }

    /// The way to a node in reach: every relay, then the node itself, each with the round-trip time to it. Takes as long
    /// as the slowest answer, two seconds at most.
    pub fn trace(&self, to: NodeId) -> Pending<Vec<TraceHop>> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Trace { to, reply: Reply::new(reply) });
        pending
    }

    /// Says something to every node in reach: 1 to 1000 bytes, signed by this node and *not* encrypted: everybody on the way
    /// can read it. It is not stored, and nobody acknowledges it. Eight at once, then one a second.
    pub fn broadcast(&self, text: impl Into<String>) -> Pending<()> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Broadcast { text: text.into(), reply: Reply::new(reply) });
        pending
    }

    /// Accepts a message of 1 byte to 1 MiB for a known node. The answer comes when it is safely on this node's disk;
    /// from then on it is delivered as soon as the recipient is in reach, also after a restart; while it is away, mailboxes
    /// keep a sealed copy. [`crate::Event::Status`] tells how far it is.
    ///
    /// When it is not accepted, it is not kept, and was not sent; but for a disk that takes it and then fails to sync it: then the
    /// recipient may have it all the same.
    pub fn send(&self, to: NodeId, text: impl Into<String>) -> Pending<MessageId> {
        self.send_within(to, text, None)
    }

    /// [`Node::send`] for a message that is given up ([`crate::Status::Expired`]) when it is not delivered within
    /// `lifetime`; `None`: never. It is looked every 30 seconds.
    pub fn send_within(
        &self,
        to: NodeId,
        text: impl Into<String>,
        lifetime: Option<Duration>,
    ) -> Pending<MessageId> {
        let (reply, pending) = Pending::new();
        self.send_then(to, text, lifetime, reply);
        pending
    }

    /// [`Node::send_within`] for callers with a callback: `done` runs on the engine's thread and must not block. It is called
    /// before any status of the message is told.
    pub fn send_then(
        &self,
        to: NodeId,
        text: impl Into<String>,
        lifetime: Option<Duration>,
        done: impl FnOnce(Result<MessageId, Error>) + Send + 'static,
    ) {
        self.submit(Command::Send { to, name: None, text: text.into(), lifetime, reply: Reply::new(done) });
    }

    /// Tells the sender of `message` that it was read, and those before it from the same sender
    /// ([`crate::Status::Read`]). Without this nobody learns that.
    pub fn mark_read(&self, message: &IncomingMessage) {
        self.submit(Command::MarkRead { from: message.from, arrival: message.arrival });
    }

    /// What happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Tells that the application is done with `message` and with all that arrived before it: they are not handed over
    /// again after a restart. Cheap (no disk sync), so confirm each message right after it was shown or processed.
    /// When 16,384 messages are unconfirmed, the node accepts no more from the network. A node that has stopped confirms
    /// nothing more.
    pub fn confirm(&self, message: &IncomingMessage) -> Result<(), Error> {
        // A larger number would hide messages that nobody has seen.
        if message.arrival > self.events.last_arrival() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "this message was not handed over by this node; confirm it at the node that it came from",
            ));
        }
        // The home may belong to another node by now.
        if self.events.is_stopped() {
            return Err(Error::stopped());
        }
        self.cursor.confirm(message.arrival).map_err(|error| Error::new(ErrorKind::Storage, error))?;
        self.submit(Command::Confirmed { arrival: message.arrival });
        Ok(())
    }

    /// Says goodbye to the neighbours, closes the database and the links, and waits for that. Later calls answer
    /// [`crate::ErrorKind::Stopped`]; a second stop does nothing. A node on the application's runtime
    /// ([`Builder::on_current_runtime`]) does all this when the runtime lets it: [`Node::stop`] waits for that, this does not.
    pub fn stop_blocking(&self) {
        self.submit(Command::Stop);
        self.running.join();
    }

    /// An engine that is gone drops the command, which answers it.
    pub(super) fn submit(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// [`Node::stop_blocking`] for asynchronous callers.
    pub async fn stop(&self) {
        self.submit(Command::Stop);
        self.commands.closed().await;
        self.events.stopped().await;
        self.stop_blocking();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_blocking();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("home", &self.home).finish_non_exhaustive()
    }
}
