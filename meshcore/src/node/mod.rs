//! Composes the layers: the one place where mesh, stream and message meet.

mod event;

pub use event::{Event, IncomingMessage, NodeInfo, Warning};
