//! MeshChat's core: a serverless messenger as a library.

pub mod types;
pub mod wire;

pub mod mesh;
pub mod message;
pub mod stream;

pub mod node;

#[cfg(feature = "driver")]
pub mod driver;

#[cfg(feature = "driver")]
pub use driver::{Builder, Error, ErrorKind, Events, Identity, LinkStatus, Node, Pending};
pub use node::{Event, IncomingMessage, NodeInfo, Warning};
pub use types::{MessageId, Nickname, NicknameError, NodeId, ParseIdError, Status, UnixTime};
