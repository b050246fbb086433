//! What the insecure side of a node tells its application.

use std::fmt;

use crate::types::V1Address;
use crate::v1::{V1CloseReason, V1Error};

/// A message to a program that speaks AlexMesh v1. Numbers are unique in one run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsecureMessageId(pub u64);

/// A stream with a program that speaks AlexMesh v1. Numbers are unique in one run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsecureStreamId(pub u64);

impl fmt::Display for InsecureMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InsecureStreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node that speaks AlexMesh v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InsecureNode {
    /// Its address, which anybody can use.
    pub address: V1Address,
    /// Whether it is heard itself, not only through other nodes of v1.
    pub direct: bool,
}

/// Why an insecure stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InsecureCloseReason {
    /// This node closed it, and the peer knows.
    Here,
    /// The peer closed it.
    Peer,
    /// The peer did not answer that it was opened, or closed.
    NoAnswer,
    /// The peer was silent for too long.
    Idle,
    /// The peer opened newer ones in its place, or others did while it was never used.
    Replaced,
    /// The interface went down.
    LinkDown,
}

impl From<V1CloseReason> for InsecureCloseReason {
    fn from(reason: V1CloseReason) -> Self {
        match reason {
            V1CloseReason::Here => Self::Here,
            V1CloseReason::Peer => Self::Peer,
            V1CloseReason::NoAnswer => Self::NoAnswer,
            V1CloseReason::Idle => Self::Idle,
            V1CloseReason::Replaced => Self::Replaced,
        }
    }
}

impl fmt::Display for InsecureCloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "closed here",
            Self::Peer => "closed by the peer",
            Self::NoAnswer => "no answer",
            Self::Idle => "idle for too long",
            Self::Replaced => "replaced by a newer one",
            Self::LinkDown => "the interface went down",
        })
    }
}

/// Something that happened among the programs that speak AlexMesh v1.
///
/// **Nothing of it is authenticated**: anybody on the segment can read everything and say anything in any name. Nothing
/// of it is kept on disk, and what is not taken in time is dropped (see [`crate::node::Warning::InsecureDropped`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsecureEvent {
    /// A node was heard.
    NodeFound {
        /// Its address.
        node: V1Address,
    },
    /// A node was silent for 17.5 s, newer ones took its place, or the interface went down.
    NodeLost {
        /// Its address.
        node: V1Address,
    },
    /// A message. It may come from a node that was never found: v1 has programs that only send.
    Message {
        /// Who claims to have sent it.
        from: V1Address,
        /// The text; what is not UTF-8 is replaced. It may hold any character.
        text: String,
        /// Whether it went to everyone.
        to_all: bool,
    },
    /// Somebody acknowledged a message in the name of its recipient.
    Delivered {
        /// The message.
        id: InsecureMessageId,
        /// Its recipient.
        to: V1Address,
    },
    /// No acknowledgement came within 5 s. The message may have arrived nevertheless; it is not sent again.
    Failed {
        /// The message.
        id: InsecureMessageId,
        /// Its recipient.
        to: V1Address,
    },
    /// A stream is open.
    StreamOpened {
        /// The stream.
        stream: InsecureStreamId,
        /// Who claims to be its other end.
        peer: V1Address,
        /// Whether the peer opened it.
        by_peer: bool,
    },
    /// Data of a stream, in the order of arrival. What was lost is missing without notice.
    StreamData {
        /// The stream.
        stream: InsecureStreamId,
        /// Its other end.
        peer: V1Address,
        /// Never empty; zero bytes at the end of a frame do not arrive.
        data: Vec<u8>,
    },
    /// A stream has ended. One that could not be opened ends without having been open.
    StreamClosed {
        /// The stream.
        stream: InsecureStreamId,
        /// Its other end.
        peer: V1Address,
        /// Why.
        reason: InsecureCloseReason,
    },
}

/// A call that cannot be carried out. It has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InsecureError {
    /// No interface works now.
    #[error("no interface for AlexMesh v1 works now: see that it exists, is up and has a carrier")]
    NoInterface,
    /// There is no such stream, or no more.
    #[error("the insecure stream {0} does not exist any more")]
    UnknownStream(InsecureStreamId),
    /// AlexMesh v1 refuses.
    #[error(transparent)]
    V1(#[from] V1Error),
}
