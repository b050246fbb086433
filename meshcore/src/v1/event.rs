//! What [`super::V1`] tells.

use crate::types::V1Address;

/// A message of this node: milliseconds of Unix time, made strictly increasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V1MessageId(pub u64);

/// A stream of this node. Numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V1StreamId(pub u64);

/// Where on the segment a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum V1Destination {
    /// The broadcast address of Ethernet, ff:ff:ff:ff:ff:ff.
    Everyone,
    /// One station.
    One(V1Address),
}

/// A node that sends handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V1Node {
    /// Its address.
    pub address: V1Address,
    /// Whether it is heard itself, not only through others.
    pub direct: bool,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum V1CloseReason {
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
}

/// Something that happened. Nothing of it is authenticated: anybody on the segment can say anything in any name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum V1Event {
    /// A node sent its first handshake.
    NodeFound {
        /// Its address.
        node: V1Address,
    },
    /// A node was silent for [`super::NODE_LIFETIME`], or newer ones took its place.
    NodeLost {
        /// Its address.
        node: V1Address,
    },
    /// A message. It may come from a node that was never found: v1 has programs that only send.
    Message {
        /// Who claims to have sent it.
        from: V1Address,
        /// The text without padding; what is not UTF-8 is replaced. It may hold any character.
        text: String,
        /// Whether it went to everyone.
        to_all: bool,
    },
    /// The recipient has acknowledged a message.
    Delivered {
        /// The message.
        id: V1MessageId,
    },
    /// No acknowledgement came within [`super::ACK_WAIT`]. The message may have arrived nevertheless.
    Failed {
        /// The message.
        id: V1MessageId,
    },
    /// A stream is open.
    StreamOpened {
        /// The stream.
        stream: V1StreamId,
        /// The node at its other end.
        peer: V1Address,
        /// Whether the peer opened it.
        by_peer: bool,
    },
    /// Data of a stream, in the order of arrival. What was lost is missing without notice: v1 does not retransmit.
    StreamData {
        /// The stream.
        stream: V1StreamId,
        /// One segment without padding, never empty.
        data: Vec<u8>,
    },
    /// A stream has ended. One that could not be opened ends without having been open.
    StreamClosed {
        /// The stream.
        stream: V1StreamId,
        /// Why.
        reason: V1CloseReason,
    },
}
