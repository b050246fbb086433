//! Files between nodes: what is offered to whom, how far each has come, and what the two sides say to each other.
//!
//! An *exchange* is the talk about one file on one stream of its own: [`Offering`] is the sender's end of it, [`Taking`] the
//! recipient's. Connections come and go; what remains is the [`Ledger`], whose entries the driver keeps on disk.
//!
//! # How to drive it
//!
//! 1. Whatever changes an entry of the ledger gives the entry back: it is to be on disk before the peer, or the application,
//!    is told of it.
//! 2. [`Ledger::duties`] tells which exchanges this side has to begin with a peer that is in reach; [`Retry`] when.
//! 3. Records of a stream come out of a [`Reader`] and go to the end of the exchange, whose answer says what to do.
//!
//! The recipient keeps the duty from the moment it has noted an offer: it asks for an accepted file until it has it. So an
//! idle offer costs nothing, and after a crash of either side one of the two knows what is to be done.

mod ledger;
mod name;
mod offering;
mod reader;
mod retry;
mod taking;

#[cfg(test)]
mod tests;

pub use ledger::{Answer, DecideError, Direction, Duty, Ledger, MAX_WAITING, MAX_WAITING_IN_ALL, Transfer};
pub use name::{numbered, part, safe_name};
pub use offering::{Heard, Offering};
pub use reader::Reader;
pub use retry::Retry;
pub use taking::{Taken, Taking, sync_interval};

pub use crate::wire::file::{FileRecord, MAX_CHUNK, MAX_NAME, MAX_SIZE, Offer};

/// The peer broke the rules of the file protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no record.
    #[error("a record of files: {0}")]
    Malformed(#[from] crate::wire::Malformed),
    /// A record that has no place there.
    #[error("a record of files that does not belong there")]
    Unexpected,
    /// An offset or a length outside of what was offered, or twice.
    #[error("a part of a file that does not belong there")]
    OutOfRange,
}
