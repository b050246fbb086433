//! What can go wrong, by who is to blame.

use crate::wire::Malformed;

/// A call that cannot be carried out. It has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum V1Error {
    /// The address is that of everyone or of a group.
    #[error("that is not the address of one node")]
    NotAStation,
    /// The address is that of this node.
    #[error("that is the address of this node")]
    OwnAddress,
    /// There is nothing to send.
    #[error("the text is empty")]
    Empty,
    /// The text does not fit into one frame.
    #[error("the text has {len} bytes, a v1 frame carries {max}")]
    TooLong {
        /// Bytes of the text.
        len: usize,
        /// Bytes that a frame carries.
        max: usize,
    },
    /// The text holds a control character other than tab, line feed and carriage return. v1 tells text from stream
    /// segments by them.
    #[error("v1 carries no control characters in a text")]
    ControlCharacter,
    /// Too much waits to be sent or to be acknowledged. It passes.
    #[error("too much is under way: try again in a moment")]
    Busy,
    /// There are 64 streams already, or 4 with this peer.
    #[error("too many streams are open")]
    TooManyStreams,
    /// There is no such stream, or no more.
    #[error("the stream does not exist any more")]
    UnknownStream,
    /// The stream is being opened or closed.
    #[error("the stream is not open")]
    NotOpen,
}

/// Why a received frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// It is no v1 frame, or its payload is not what its type says.
    #[error("malformed")]
    Malformed,
    /// Its type is not known.
    #[error("unknown type")]
    UnknownType,
    /// This node made it: an echo, or a forgery.
    #[error("the origin is this node")]
    OwnAddress,
    /// It was taken, or rebroadcast, before.
    #[error("duplicate")]
    Duplicate,
    /// It is for another node and has travelled far enough.
    #[error("ttl exhausted")]
    TtlExhausted,
    /// It is for another node and longer than what this interface sends.
    #[error("too long to be rebroadcast")]
    TooLong,
    /// More than its origin, or all unknown ones together, may cause.
    #[error("rate limited")]
    RateLimited,
    /// The table of nodes or of streams is full of what must not be pushed out.
    #[error("table is full")]
    TableFull,
    /// A status that acknowledges nothing that was sent to its origin.
    #[error("unexpected status")]
    UnexpectedStatus,
    /// A segment of a stream that does not exist.
    #[error("unknown stream")]
    UnknownStream,
    /// A segment that the state of its stream does not allow.
    #[error("unexpected segment")]
    UnexpectedSegment,
    /// Its answer finds the send queue full.
    #[error("send queue is full")]
    QueueFull,
}

impl From<Malformed> for DropReason {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
