//! The insecure part of the handle.

use super::InsecureCommand;
use crate::driver::engine::{Command, Reply};
use crate::driver::{Error, Node, Pending};
use crate::node::{InsecureMessageId, InsecureNode, InsecureStreamId};
use crate::types::V1Address;

/// # AlexMesh v1
///
/// For programs that speak nothing newer, on the interfaces given to [`crate::Builder::v1`]. **All of it is insecure**:
/// anybody on the segment can read it and say anything in any name. What happens is told by [`crate::Event::Insecure`].
/// Nothing of it is kept on disk, and nothing is sent twice.
impl Node {
    /// The v1 nodes that were heard lately.
    pub fn insecure_nodes(&self) -> Pending<Vec<InsecureNode>> {
        self.ask(|reply| InsecureCommand::Nodes { reply })
    }

    /// Sends a text of at most 1477 bytes, on an interface with the usual MTU, to a v1 node.
    /// [`crate::InsecureEvent::Delivered`] tells that it was acknowledged, [`crate::InsecureEvent::Failed`] that it was
    /// not within 5 s.
    pub fn send_insecure(&self, to: V1Address, text: impl Into<String>) -> Pending<InsecureMessageId> {
        let text = text.into();
        self.ask(|reply| InsecureCommand::Send { to, text, reply })
    }

    /// [`Node::send_insecure`] for callers with a callback: as [`Node::send_then`].
    pub fn send_insecure_then(
        &self,
        to: V1Address,
        text: impl Into<String>,
        done: impl FnOnce(Result<InsecureMessageId, Error>) + Send + 'static,
    ) {
        let reply = Reply::new(done);
        self.submit(Command::Insecure(InsecureCommand::Send { to, text: text.into(), reply }));
    }

    /// Sends a text to every v1 node of each segment. Nobody acknowledges it.
    pub fn broadcast_insecure(&self, text: impl Into<String>) -> Pending<()> {
        let text = text.into();
        self.ask(|reply| InsecureCommand::Broadcast { text, reply })
    }

    /// Opens a stream to a v1 node: [`crate::InsecureEvent::StreamOpened`] follows, or
    /// [`crate::InsecureEvent::StreamClosed`] when nobody answers within 5 s. Streams that others open are told by the
    /// same events.
    pub fn connect_insecure(&self, to: V1Address) -> Pending<InsecureStreamId> {
        self.ask(|reply| InsecureCommand::Connect { to, reply })
    }

    /// [`Node::connect_insecure`] for callers with a callback: as [`Node::send_then`].
    pub fn connect_insecure_then(
        &self,
        to: V1Address,
        done: impl FnOnce(Result<InsecureStreamId, Error>) + Send + 'static,
    ) {
        self.submit(Command::Insecure(InsecureCommand::Connect { to, reply: Reply::new(done) }));
    }

    /// Sends data on an open stream, in as many frames as it takes. What gets lost stays lost, and zero bytes at the end
    /// of a frame do not arrive: v1 carries text.
    pub fn write_insecure(&self, stream: InsecureStreamId, data: impl Into<Vec<u8>>) -> Pending<()> {
        let data = data.into();
        self.ask(|reply| InsecureCommand::Write { stream, data, reply })
    }

    /// Ends a stream in both directions: [`crate::InsecureEvent::StreamClosed`] follows.
    pub fn close_insecure(&self, stream: InsecureStreamId) -> Pending<()> {
        self.ask(|reply| InsecureCommand::Close { stream, reply })
    }

    fn ask<T: Send + 'static>(&self, command: impl FnOnce(Reply<T>) -> InsecureCommand) -> Pending<T> {
        let (reply, pending) = Pending::new();
        self.submit(Command::Insecure(command(Reply::new(reply))));
        pending
    }
}
