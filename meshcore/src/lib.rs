//! MeshChat's core: a serverless messenger as a library.
//!
//! Start at [`Node`]: it finds the nodes on the same wire, exchanges end-to-end encrypted messages with them, and
//! keeps on disk what could not be delivered yet. What it tells are [`Event`]s, what goes wrong is an [`Error`] whose
//! text names the remedy.
//!
//! The names at this root are the public API, the same that the C library and the Python package are made of. The
//! modules are the layers below it, for those who want to drive them with a clock and a network of their own:
//! each is a state machine that does no I/O, and only `driver` touches the outside world. Their interfaces may change
//! with every version.
//!
//! # Features
//!
//! - `driver` (default): [`Node`] and everything that needs an operating system. Without it the layers remain.

pub mod types;
pub mod wire;

pub mod file;
pub mod mesh;
pub mod message;
pub mod stream;
pub mod v1;

pub mod node;

#[cfg(feature = "driver")]
pub mod driver;

#[cfg(feature = "driver")]
pub use driver::{
    Builder, Connection, Error, ErrorKind, Events, History, HistoryEntry, HistoryPage, HistoryQuery,
    Identity, KeepHistory, LinkStatus, Listener, Node, Pending, Pong, Stream, TraceHop, create_network_key,
    default_home,
};
pub use message::MailboxConfig;
pub use message::contact::{Contact, ContactError};
pub use node::{
    Event, IncomingMessage, InsecureCloseReason, InsecureEvent, InsecureMessageId, InsecureNode,
    InsecureStreamId, NodeInfo, RouteInfo, Warning,
};
pub use stream::{DatagramStatistics, Statistics};
pub use types::{
    FileId, FileInfo, FileReason, FileState, MessageId, Nickname, NicknameError, NodeId, ParseIdError,
    ParseV1AddressError, RoomChange, RoomId, RoomInfo, RoomStanding, Status, Trust, UnixTime, V1Address,
};
