//! Connections and streams as applications hold them.
//!
//! A stream's handle and the engine meet in the stream's buffers alone ([`buffers`]); the handle rings a [`bell`] when the
//! engine has something to do, and the engine's share ([`hub`]) moves bytes between buffers and transport.

mod bell;
mod buffers;
mod connection;
mod hub;
mod stream;

pub use connection::{Connection, Listener};
pub use stream::Stream;

pub(super) use hub::{ConnectionCommand, Hub};

use crate::stream::{ConnectionId, StreamId};

/// A stream of one connection.
type StreamKey = (ConnectionId, StreamId);
