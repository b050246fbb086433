//! Composes the layers: the one place where mesh, stream and message meet.

mod broadcast;
mod echoes;
mod event;
mod messages;
mod presence;
mod sessions;
mod stack;
mod storage;

pub use echoes::{EchoAnswer, EchoError};
pub use event::{BroadcastError, Event, IncomingMessage, NodeInfo, RouteInfo, SendError, Warning};
pub use stack::{Now, Stack, StackConfig, StackError};
