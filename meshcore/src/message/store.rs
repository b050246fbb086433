//! What the messenger asks of its store, and what it is told: plain data, executed by the driver.
//!
//! The store executes operations strictly in the order given and replies in that order, and only after the commit that
//! makes them durable, but for [`StoreReply::Written`]. An operation is atomic. The messenger relies on all three.

use std::path::PathBuf;
use std::time::Duration;

use super::directory::Ties;
use super::messenger::SessionId;
use super::room::{Room, RoomError};
use crate::types::{MessageId, Nickname, NodeId, RoomId, Status, Trust, UnixTime};
pub use crate::wire::content::{Content, KIND_ROOM_TEXT, KIND_TEXT, MAX_RECEIPT_IDS, Stamp};

/// Why the store could not do something. Each text names the file and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space is left.
    #[error("{}: the disk is full; free some space, nothing that was accepted is lost", file.display())]
    Full {
        /// The database.
        file: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("{}: the database cannot be written; check the owner, the permissions (chmod u+rw) and the mount", file.display())]
    ReadOnly {
        /// The database.
        file: PathBuf,
    },
    /// Not a database, or a damaged one.
    #[error("{}: the database is damaged or not a database; move it away, with its -wal and -shm if there are, and put a backup in its place if there is one", file.display())]
    Corrupt {
        /// The database.
        file: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("{}: the database has schema {found}, this program knows up to {supported}; update MeshChat", file.display())]
    Newer {
        /// The database.
        file: PathBuf,
        /// Schema version of the file.
        found: u32,
        /// Latest schema version that this program knows.
        supported: u32,
    },
    /// A message with this id was accepted before.
    #[error("a message with this id was sent before; choose a new id")]
    DuplicateId,
    /// The room does not allow it.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The store has been closed.
    #[error("{}: the database is closed", file.display())]
    Closed {
        /// The database.
        file: PathBuf,
    },
    /// Anything else.
    #[error("{}: the database failed ({reason}); check the disk and the permissions", file.display())]
    Failed {
        /// The database.
        file: PathBuf,
        /// What the database said.
        reason: String,
    },
}

/// How much one page may hold. A page is never empty when there is something: the first message always fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of text.
    pub bytes: usize,
}

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Place in the outbox; grows with every message of this node, over all peers.
    pub seq: u64,
    /// Its id.
    pub id: MessageId,
    /// When it was accepted.
    pub created: UnixTime,
    /// When it is given up; `None`: never.
    pub expires: Option<UnixTime>,
    /// What it says.
    pub content: Content,
    /// How far it has come.
    pub status: Status,
}

/// A message in the outbox that a mailbox shall keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// The message.
    pub message: OutgoingMessage,
    /// The pending text of the same conversation before it, so that the recipient shows them in this order. What is no text neither
    /// follows nor is followed; and nothing follows what may be given up.
    pub after: Option<MessageId>,
}

/// A message from another node, safely on this node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// Place in the order of arrival at this node; grows, starts at 1, may have gaps.
    pub arrival: u64,
    /// The sender, proven by the encrypted session or the signature in the envelope.
    pub from: NodeId,
    /// The id that the sender gave; unique together with the sender.
    pub id: MessageId,
    /// The room that it was written to; `None`: to this node alone.
    pub room: Option<RoomId>,
    /// The text.
    pub text: String,
    /// The sender's clock when it was written.
    pub sent_at: UnixTime,
    /// This node's clock when it arrived.
    pub received_at: UnixTime,
}

/// A message from another node on its way to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// As in [`IncomingMessage`].
    pub id: MessageId,
    /// What it says.
    pub content: Content,
    /// As in [`IncomingMessage`].
    pub sent_at: UnixTime,
    /// As in [`IncomingMessage`].
    pub received_at: UnixTime,
}

/// A known node as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPeer {
    /// The node.
    pub id: NodeId,
    /// Its identity record as it came, verified again when loaded; empty for a contact that was never seen.
    pub record: Vec<u8>,
    /// When it was first seen.
    pub first_seen: UnixTime,
    /// When it was last seen.
    pub last_seen: UnixTime,
    /// How far it is trusted.
    pub trust: Trust,
    /// What this node has to do with it.
    pub ties: Ties,
    /// Its name: that of the record, without one that of the contact.
    pub nickname: Option<Nickname>,
}

impl StoredPeer {
    /// A node with a record, of which nothing else is known yet.
    pub fn new(id: NodeId, record: Vec<u8>, seen: UnixTime) -> Self {
        let (trust, ties, nickname) = Default::default();
        Self { id, record, first_seen: seen, last_seen: seen, trust, ties, nickname }
    }
}

/// The way that messages from a node came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A session with the sender itself.
    Session(SessionId),
    /// Sealed envelopes that somebody handed over.
    Envelopes {
        /// The session that they came by.
        session: SessionId,
        /// Their numbers in that session.
        numbers: Vec<u64>,
    },
}

/// A sealed envelope that a mailbox keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who brought it.
    pub sender: NodeId,
    /// Whom it is for.
    pub recipient: NodeId,
    /// The id of the message, unique together with the sender.
    pub id: MessageId,
    /// When the mailbox drops it.
    pub expires: UnixTime,
    /// The envelope.
    pub envelope: Vec<u8>,
}

/// How much a mailbox keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of envelopes of all senders.
    pub total: u64,
    /// Bytes of envelopes of one sender.
    pub sender: u64,
}

/// What a mailbox did with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is on disk, or was already.
    Kept,
    /// There is no room at all.
    Full,
    /// There is no room for this sender.
    SenderFull,
}

/// An incoming message that the application has not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Its arrival number.
    pub arrival: u64,
    /// Its sender.
    pub from: NodeId,
    /// Bytes of its text.
    pub len: usize,
}

/// What a fresh messenger has to know of an old store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenedOutboxes {
    /// Peers with pending messages.
    pub backlog: Vec<NodeId>,
    /// Those of them for whom texts are pending.
    pub texts_for: Vec<NodeId>,
    /// Nodes for whom the mailbox keeps letters.
    pub letters_for: Vec<NodeId>,
    /// The application has confirmed all incoming messages up to this one.
    pub confirmed: u64,
    /// The last incoming message, 0 when there was none.
    pub last_arrival: u64,
    /// What the application has not confirmed, as far as the database knows, in order of arrival.
    pub unconfirmed: Vec<Unconfirmed>,
    /// The rooms.
    pub rooms: Vec<Room>,
}

/// How long a message waits at the recipient for one that its sender wrote before it. Then it is shown without, and the
/// other one when it comes.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long a receipt, or an answer about a room, that a node gives by itself waits for its recipient: as long as mailboxes keep it. Who
/// was not told that a text is delivered sends it again, and is told again.
pub const ANSWER_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The same for a receipt of what was read, which is told once.
pub const READ_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a text to a room waits for the version in which it was written; then it is dropped, for its owner has never signed that.
pub const ROOM_PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Messages of one sender that wait for others at most. One more is shown without waiting.
pub const MAX_HELD: u32 = 1024;

/// The same in bytes of text.
pub const MAX_HELD_BYTES: u64 = 16 << 20;

/// The same for all senders together.
pub const MAX_HELD_TOTAL: u64 = 256 << 20;

pub(crate) mod held;
mod memory;
mod operations;
#[cfg(test)]
pub(crate) mod testing;

pub use memory::MemoryStore;
pub use operations::{StoreOp, StoreReply};
