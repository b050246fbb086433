//! Composes the layers: the one place where mesh, stream and message meet.

mod broadcast;
pub mod connections;
mod echoes;
mod event;
mod insecure;
mod messages;
mod presence;
mod rooms;
mod sessions;
mod stack;
mod storage;
mod trust;

pub use crate::types::Now;
pub use echoes::{EchoAnswer, EchoError};
pub use event::{BroadcastError, Event, IncomingMessage, NodeInfo, RouteInfo, SendError, Warning};
pub use insecure::{
    Insecure, InsecureCloseReason, InsecureError, InsecureEvent, InsecureMessageId, InsecureNode,
    InsecureStreamId,
};
pub use stack::{Stack, StackConfig, StackError};
pub use trust::TrustError;
