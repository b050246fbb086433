//! Bytes <-> typed values, and nothing else: no state, no policy, no cryptography.
//!
//! Parsing checks bounds and structure only; whether a value makes sense now is decided by the layer that asked.
//! Every emitter writes every byte it accounts for. The formats are specified in `docs/PROTOCOL.md`.

pub mod broadcast;
pub(crate) mod cbor;
pub mod content;
pub mod echo;
pub mod file;
pub mod frame;
pub mod hello;
pub mod identity;
pub mod length;
pub mod packet;
pub mod post;
pub mod probe;
pub mod reader;
pub mod record;
pub mod sealed;
pub mod segment;
pub mod update;
pub mod v1;
pub mod varint;

#[cfg(test)]
mod vectors;

/// Bytes that are not what they claim to be. Always the sender's fault; the receiver drops and counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The input ends before the value does.
    #[error("the input is cut short")]
    Truncated,
    /// Bytes are left over where the value must end the input.
    #[error("there are bytes after the end")]
    TrailingBytes,
    /// A version that this program does not speak.
    #[error("version {0} is not supported")]
    Version(u8),
    /// A field holds a value that the format forbids.
    #[error("the field {0} holds a forbidden value")]
    Field(&'static str),
}
