//! A running node as its application holds it.

use std::path::Path;
use std::sync::Arc;

use super::{Builder, Error, Events, Pending};
use crate::node::{IncomingMessage, NodeInfo};
use crate::types::{MessageId, Nickname, NodeId};

/// A running node. All methods may be called from any thread; dropping the handle stops the node.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    nickname: Option<Nickname>,
    links: Vec<LinkStatus>,
    events: Arc<Events>,
}

/// A link that was asked for, and how it went.
#[derive(Debug)]
pub struct LinkStatus {
    /// The link as it was given, for example `ethernet:eth0`.
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
        Path::new("")
    }

    /// The links that were asked for.
    pub fn links(&self) -> &[LinkStatus] {
        &self.links
    }

    /// All nodes that are known, those in reach first.
    pub fn nodes(&self) -> Pending<Vec<NodeInfo>> {
        Pending::new().1
    }

    /// The node that `query` means: a full id, a unique prefix of one, or a nickname.
    pub fn resolve(&self, query: &str) -> Pending<NodeInfo> {
        let _ = query;
        Pending::new().1
    }

    /// Accepts a message of 1 byte to 1 MiB for a known node. The answer comes when it is safely on this node's disk; from
    /// then on it is delivered as soon as the recipient is in reach, also after a restart. [`crate::Event::Status`] tells how far it is.
    pub fn send(&self, to: NodeId, text: impl Into<String>) -> Pending<MessageId> {
        let (resolve, pending) = Pending::new();
        self.send_then(to, text, resolve);
        pending
    }

    /// [`Node::send`] for callers with a callback: `done` runs on the engine's thread and must not block.
    pub fn send_then(
        &self,
        to: NodeId,
        text: impl Into<String>,
        done: impl FnOnce(Result<MessageId, Error>) + Send + 'static,
    ) {
        let _ = (to, text.into());
        done(Err(Error::stopped()));
    }

    /// What happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Tells that the application is done with `message` and with all that arrived before it: they are not handed over again
    /// after a restart. Cheap (no disk sync), so confirm each message right after it was shown or processed.
    /// When 16,384 messages are unconfirmed, the node accepts no more from the network.
    pub fn confirm(&self, message: &IncomingMessage) -> Result<(), Error> {
        let _ = message;
        Ok(())
    }

    /// Says goodbye to the neighbours, closes the database and the links, and waits for that. Later calls answer
    /// [`crate::ErrorKind::Stopped`]; a second stop does nothing.
    pub fn stop_blocking(&self) {}

    /// [`Node::stop_blocking`] for asynchronous callers.
    pub async fn stop(&self) {}
}
