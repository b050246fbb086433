//! What the messenger asks of its store, and what it is told: plain data, executed by the driver.
//!
//! The store executes operations strictly in the order given and replies in that order, and only after the commit that
//! makes them durable. An operation is atomic. The messenger relies on all three.

use std::path::PathBuf;

use super::directory::Ties;
use super::messenger::SessionId;
use crate::types::{MessageId, Nickname, NodeId, Status, Trust, UnixTime};

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
    #[error("{}: the database is damaged or not a database; move it away or restore it from a backup", file.display())]
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
    /// The text.
    pub text: String,
    /// How far it has come.
    pub status: Status,
}

/// A message from another node, safely on this node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// Place in the order of arrival at this node; grows, starts at 1, may have gaps.
    pub arrival: u64,
    /// The sender, proven by the encrypted session.
    pub from: NodeId,
    /// The id that the sender gave; unique together with the sender.
    pub id: MessageId,
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
    /// As in [`IncomingMessage`].
    pub text: String,
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

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Adds a message to the outbox. Answered by [`StoreReply::Enqueued`] or [`StoreReply::NotEnqueued`].
    Enqueue {
        /// Its id; refused when it was used before.
        id: MessageId,
        /// Recipient.
        to: NodeId,
        /// When it was accepted.
        created: UnixTime,
        /// The text.
        text: String,
    },
    /// Raises the status of messages to one peer; a status never falls. Answered by [`StoreReply::StatusSaved`] or
    /// [`StoreReply::StatusNotSaved`].
    SetStatus {
        /// Recipient; a message to somebody else is left alone.
        to: NodeId,
        /// The messages.
        ids: Vec<MessageId>,
        /// Their new status.
        status: Status,
    },
    /// Reads undelivered messages to `peer` in order. Answered by [`StoreReply::OutboxPage`] or
    /// [`StoreReply::OutboxPageFailed`].
    LoadOutbox {
        /// Recipient.
        peer: NodeId,
        /// Only those with a larger `seq`.
        after: u64,
        /// Size of the page.
        limit: PageLimit,
        /// Comes back in the answer.
        token: u64,
    },
    /// Stores messages from one session, those not known by (sender, id), in order. Answered by
    /// [`StoreReply::Stored`] or [`StoreReply::NotStored`].
    StoreIncoming {
        /// Session that they came by.
        session: SessionId,
        /// Sender.
        from: NodeId,
        /// In the order of arrival.
        messages: Vec<ReceivedMessage>,
    },
    /// Reads incoming messages in order of arrival. Answered by [`StoreReply::IncomingPage`] or
    /// [`StoreReply::IncomingPageFailed`].
    LoadIncoming {
        /// Only those with a larger arrival number.
        after: u64,
        /// Size of the page.
        limit: PageLimit,
    },
    /// The application has confirmed all messages up to this arrival number. Not answered when it succeeds.
    Confirmed {
        /// The number.
        arrival: u64,
    },
    /// Keeps a node, replacing what was kept for its id. Not answered when it succeeds.
    SavePeer(StoredPeer),
    /// Forgets a node; messages stay. Not answered when it succeeds.
    RemovePeer(NodeId),
}

/// What a fresh messenger has to know of an old store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenedOutboxes {
    /// Peers with undelivered messages.
    pub backlog: Vec<NodeId>,
    /// The application has confirmed all incoming messages up to this one.
    pub confirmed: u64,
    /// The last incoming message, 0 when there was none.
    pub last_arrival: u64,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// The first reply of all.
    Opened(OpenedOutboxes),
    /// The message is on disk.
    Enqueued {
        /// Recipient.
        to: NodeId,
        /// The message.
        message: OutgoingMessage,
    },
    /// The message was not accepted.
    NotEnqueued {
        /// Its id.
        id: MessageId,
        /// Length of its text in bytes.
        len: usize,
        /// Why.
        error: StoreError,
    },
    /// The status is on disk.
    StatusSaved {
        /// Recipient.
        to: NodeId,
        /// Those messages whose status rose by this.
        ids: Vec<MessageId>,
        /// Their status.
        status: Status,
    },
    /// The status is not on disk.
    StatusNotSaved {
        /// As in the operation.
        to: NodeId,
        /// As in the operation.
        ids: Vec<MessageId>,
        /// As in the operation.
        status: Status,
        /// Why.
        error: StoreError,
    },
    /// Undelivered messages.
    OutboxPage {
        /// Recipient.
        peer: NodeId,
        /// From the operation.
        token: u64,
        /// In order.
        messages: Vec<OutgoingMessage>,
        /// Nothing follows.
        complete: bool,
    },
    /// The outbox could not be read.
    OutboxPageFailed {
        /// Recipient.
        peer: NodeId,
        /// From the operation.
        token: u64,
        /// Why.
        error: StoreError,
    },
    /// The messages of a [`StoreOp::StoreIncoming`] are on disk.
    Stored {
        /// Session that they came by.
        session: SessionId,
        /// Every id of the operation, duplicates too, in order.
        ids: Vec<MessageId>,
        /// Those that were new, in order.
        new: Vec<IncomingMessage>,
    },
    /// None of the messages of a [`StoreOp::StoreIncoming`] is on disk.
    NotStored {
        /// Session that they came by.
        session: SessionId,
        /// Why.
        error: StoreError,
    },
    /// Incoming messages.
    IncomingPage {
        /// In order of arrival.
        messages: Vec<IncomingMessage>,
        /// Nothing follows.
        complete: bool,
    },
    /// Incoming messages could not be read.
    IncomingPageFailed {
        /// Why.
        error: StoreError,
    },
    /// An operation that is not answered otherwise failed. Nothing is lost by it but convenience; for the log.
    NotSaved {
        /// What was to be saved.
        what: &'static str,
        /// Why.
        error: StoreError,
    },
}

impl StoreOp {
    /// Whether the operation only reads.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::LoadOutbox { .. } | Self::LoadIncoming { .. })
    }

    /// The answer when the operation has failed.
    pub fn failed(self, error: StoreError) -> StoreReply {
        match self {
            Self::Enqueue { id, text, .. } => StoreReply::NotEnqueued { id, len: text.len(), error },
            Self::SetStatus { to, ids, status } => StoreReply::StatusNotSaved { to, ids, status, error },
            Self::LoadOutbox { peer, token, .. } => StoreReply::OutboxPageFailed { peer, token, error },
            Self::StoreIncoming { session, .. } => StoreReply::NotStored { session, error },
            Self::LoadIncoming { .. } => StoreReply::IncomingPageFailed { error },
            Self::Confirmed { .. } => StoreReply::NotSaved { what: "the confirmed arrival number", error },
            Self::SavePeer(_) => StoreReply::NotSaved { what: "a known node", error },
            Self::RemovePeer(_) => StoreReply::NotSaved { what: "that a node was forgotten", error },
        }
    }
}

mod memory;
#[cfg(test)]
pub(crate) mod testing;

pub use memory::MemoryStore;
