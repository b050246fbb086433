//! Who a node is, which nodes it knows, and the messages between them.

mod absence;
pub mod contact;
pub mod directory;
pub mod envelope;
mod framing;
pub mod identity;
mod inbound;
pub mod messenger;
mod outbound;
mod post;
pub mod room;
mod sent;
mod signed;
pub mod store;

pub use messenger::{Channel, IncomingMessage, Messenger, MessengerConfig, MessengerEvent, SessionId};
pub use post::{Job, JobOutcome, MailboxConfig};
pub use store::{StoreError, StoreOp, StoreReply};

#[cfg(test)]
mod vectors;
