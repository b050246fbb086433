//! Composes the layers: the one place where mesh, stream and message meet.

mod event;
mod messages;
mod presence;
mod sessions;
mod stack;
mod storage;

pub use event::{Event, IncomingMessage, NodeInfo, SendError, Warning};
pub use stack::{Now, Stack, StackConfig, StackError};
