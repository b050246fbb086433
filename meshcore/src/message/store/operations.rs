//! Operations on the store, and their outcomes.

use super::{
    Deposit, IncomingMessage, Keeping, Letter, OpenedOutboxes, Origin, OutgoingMessage, PageLimit, Quota,
    ReceivedMessage, StoreError, StoredPeer,
};
use crate::message::SessionId;
use crate::message::room::{RoomCommand, RoomOutcome};
use crate::types::{MessageId, NodeId, RoomId, Status, UnixTime};

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Adds a text to the outbox. Answered by [`StoreReply::Enqueued`] or [`StoreReply::NotEnqueued`].
    Enqueue {
        /// Its id; refused when it was used before.
        id: MessageId,
        /// Recipient.
        to: NodeId,
        /// When it was accepted. It counts as written no earlier than what is pending for this recipient.
        created: UnixTime,
        /// When it is given up; `None`: never.
        expires: Option<UnixTime>,
        /// The text.
        text: String,
    },
    /// Does something with a room; to write to it adds a copy for each member to the outbox. Answered by [`StoreReply::RoomDone`] or
    /// [`StoreReply::NotEnqueued`].
    Room {
        /// This node.
        own: NodeId,
        /// The id of the messages that this sends; refused when it was used before.
        id: MessageId,
        /// When.
        now: UnixTime,
        /// What.
        command: RoomCommand,
    },
    /// Puts a version of a room into force that this node has signed as the owner, and adds it to the outbox for all who are to know.
    /// Answered by [`StoreReply::RoomsChanged`] or [`StoreReply::NotSaved`].
    PublishRoom {
        /// The room.
        room: RoomId,
        /// The version.
        signed: Vec<u8>,
        /// When.
        now: UnixTime,
    },
    /// Raises the status of messages to one peer; a status never falls. Receipts that are delivered are forgotten.
    /// Answered by [`StoreReply::StatusSaved`] or [`StoreReply::StatusNotSaved`].
    SetStatus {
        /// Recipient; a message to somebody else is left alone.
        to: NodeId,
        /// The messages.
        ids: Vec<MessageId>,
        /// Their new status.
        status: Status,
    },
    /// Reads pending messages to `peer` in order. Answered by [`StoreReply::OutboxPage`] or
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
    /// Reads pending messages to `peer` of which `mailbox` has no copy, in order. Answered by
    /// [`StoreReply::DepositPage`] or [`StoreReply::DepositPageFailed`].
    LoadDeposits {
        /// Recipient.
        peer: NodeId,
        /// The mailbox.
        mailbox: NodeId,
        /// Only those with a larger `seq`.
        after: u64,
        /// Copies that end before are none.
        now: UnixTime,
        /// Size of the page.
        limit: PageLimit,
        /// Comes back in the answer.
        token: u64,
    },
    /// A mailbox has copies of these messages; their status is [`Status::Stored`] at least. Answered like
    /// [`StoreOp::SetStatus`].
    Deposited {
        /// Recipient.
        to: NodeId,
        /// The messages.
        ids: Vec<MessageId>,
        /// The mailbox.
        mailbox: NodeId,
        /// When it drops them.
        until: UnixTime,
    },
    /// Takes messages from one sender in, in order: new texts are stored, those that follow one that is missing, or were written in a
    /// later version of their room, aside; receipts raise the status of messages of this node; what is about rooms changes these. Answered by [`StoreReply::Stored`] or
    /// [`StoreReply::NotStored`].
    StoreIncoming {
        /// The way that they came.
        origin: Origin,
        /// Sender.
        from: NodeId,
        /// Recipient: this node.
        to: NodeId,
        /// In the order of arrival.
        messages: Vec<ReceivedMessage>,
        /// The id of the message that tells the sender, by whatever way, that its texts are delivered; but for those of which a
        /// message that has not arrived yet tells already.
        receipt: Option<MessageId>,
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
    /// All messages of one sender up to this arrival number were read: adds a message to the outbox that tells the sender of those
    /// it was not told of, of the first [`MAX_RECEIPT_IDS`](super::MAX_RECEIPT_IDS) if there are more. Answered by [`StoreReply::MarkedRead`] or [`StoreReply::NotSaved`].
    MarkRead {
        /// The sender.
        from: NodeId,
        /// The number.
        arrival: u64,
        /// Id of the message that tells.
        receipt: MessageId,
        /// When.
        now: UnixTime,
    },
    /// Keeps an envelope for somebody else. Answered by [`StoreReply::LetterKept`] or [`StoreReply::LetterNotKept`].
    KeepLetter {
        /// The session that it came by.
        session: SessionId,
        /// Its number there.
        number: u64,
        /// The letter; of one with the same recipient, sender and id the time is made longer, if it is, and nothing else.
        letter: Letter,
        /// What the mailbox may hold.
        quota: Quota,
    },
    /// Reads the letters for a node in the order in which they were kept. Answered by [`StoreReply::LetterPage`] or
    /// [`StoreReply::LetterPageFailed`].
    LoadLetters {
        /// The node.
        recipient: NodeId,
        /// Only those with a larger number.
        after: u64,
        /// Size of the page.
        limit: PageLimit,
        /// Comes back in the answer.
        token: u64,
    },
    /// Letters have arrived. Not answered when it succeeds.
    RemoveLetters {
        /// Their recipient.
        recipient: NodeId,
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// What is due by the clock: gives up messages and letters whose time has passed, and those set aside that have waited long
    /// enough. Answered by [`StoreReply::Swept`] or [`StoreReply::NotSaved`].
    Sweep {
        /// The time.
        now: UnixTime,
    },
    /// Keeps a node, replacing what was kept for its id. Not answered when it succeeds.
    SavePeer(StoredPeer),
    /// Forgets a node; messages stay. Not answered when it succeeds.
    RemovePeer(NodeId),
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// The first reply of all.
    Opened(OpenedOutboxes),
    /// The disk has taken a text, and has yet to keep it: it can be sent, but is not accepted. [`StoreReply::Enqueued`] or
    /// [`StoreReply::NotEnqueued`] follows. A store need not say so.
    Written {
        /// Recipient.
        to: NodeId,
        /// The message.
        message: OutgoingMessage,
    },
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
    /// What was done with a room is on disk.
    RoomDone {
        /// From the operation.
        id: MessageId,
        /// Length of its text in bytes.
        len: usize,
        /// What has changed.
        outcome: Box<RoomOutcome>,
    },
    /// Rooms have changed.
    RoomsChanged(Vec<RoomOutcome>),
    /// The status is on disk.
    StatusSaved {
        /// Recipient.
        to: NodeId,
        /// Those texts whose status rose by this.
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
    /// Pending messages.
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
    /// Messages for a mailbox.
    DepositPage {
        /// From the operation.
        token: u64,
        /// In order.
        deposits: Vec<Deposit>,
        /// Nothing follows.
        complete: bool,
    },
    /// The outbox could not be read.
    DepositPageFailed {
        /// From the operation.
        token: u64,
        /// Why.
        error: StoreError,
    },
    /// The messages of a [`StoreOp::StoreIncoming`] are on disk.
    Stored {
        /// The way that they came.
        origin: Origin,
        /// Sender.
        from: NodeId,
        /// Every id of the operation, duplicates too, in order.
        ids: Vec<MessageId>,
        /// The texts that were new, and those that had waited for them, in order.
        new: Vec<IncomingMessage>,
        /// Messages of this node whose status rose by receipts.
        raised: Vec<(MessageId, Status)>,
        /// The message to the sender that acknowledges.
        receipt: Option<OutgoingMessage>,
        /// What has changed in rooms.
        rooms: Vec<RoomOutcome>,
    },
    /// None of the messages of a [`StoreOp::StoreIncoming`] is on disk.
    NotStored {
        /// The way that they came.
        origin: Origin,
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
    /// What was read is marked.
    MarkedRead {
        /// Whose messages.
        from: NodeId,
        /// From the operation.
        arrival: u64,
        /// The message that tells; `None` when there was nothing new to tell.
        receipt: Option<OutgoingMessage>,
    },
    /// The fate of a letter.
    LetterKept {
        /// From the operation.
        session: SessionId,
        /// From the operation.
        number: u64,
        /// Whom it is for.
        recipient: NodeId,
        /// What happened.
        keeping: Keeping,
    },
    /// A letter could not be kept.
    LetterNotKept {
        /// From the operation.
        session: SessionId,
        /// From the operation.
        number: u64,
        /// Why.
        error: StoreError,
    },
    /// Letters for a node, with their numbers.
    LetterPage {
        /// From the operation.
        token: u64,
        /// In order.
        letters: Vec<(u64, Letter)>,
        /// Nothing follows.
        complete: bool,
    },
    /// The letters could not be read.
    LetterPageFailed {
        /// From the operation.
        token: u64,
        /// Why.
        error: StoreError,
    },
    /// What was due is done.
    Swept {
        /// Texts that were given up, with their recipients.
        expired: Vec<(NodeId, MessageId)>,
        /// Those to whom something was given up, and nothing is pending any more.
        idle: Vec<NodeId>,
        /// Messages that wait no more for others.
        released: Vec<IncomingMessage>,
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
        matches!(
            self,
            Self::LoadOutbox { .. }
                | Self::LoadDeposits { .. }
                | Self::LoadIncoming { .. }
                | Self::LoadLetters { .. }
        )
    }

    /// The answer when the operation has failed.
    pub fn failed(self, error: StoreError) -> StoreReply {
        match self {
            Self::Enqueue { id, text, .. } => StoreReply::NotEnqueued { id, len: text.len(), error },
            Self::Room { id, command, .. } => StoreReply::NotEnqueued { id, len: command.weight(), error },
            Self::PublishRoom { .. } => StoreReply::NotSaved { what: "a signed room", error },
            Self::SetStatus { to, ids, status } => StoreReply::StatusNotSaved { to, ids, status, error },
            Self::Deposited { to, ids, .. } => {
                StoreReply::StatusNotSaved { to, ids, status: Status::Stored, error }
            }
            Self::LoadOutbox { peer, token, .. } => StoreReply::OutboxPageFailed { peer, token, error },
            Self::LoadDeposits { token, .. } => StoreReply::DepositPageFailed { token, error },
            Self::StoreIncoming { origin, .. } => StoreReply::NotStored { origin, error },
            Self::LoadIncoming { .. } => StoreReply::IncomingPageFailed { error },
            Self::KeepLetter { session, number, .. } => StoreReply::LetterNotKept { session, number, error },
            Self::LoadLetters { token, .. } => StoreReply::LetterPageFailed { token, error },
            Self::Confirmed { .. } => StoreReply::NotSaved { what: "the confirmed arrival number", error },
            Self::MarkRead { .. } => StoreReply::NotSaved { what: "what was read", error },
            Self::RemoveLetters { .. } => StoreReply::NotSaved { what: "that letters have arrived", error },
            Self::Sweep { .. } => StoreReply::NotSaved { what: "what is due by the clock", error },
            Self::SavePeer(_) => StoreReply::NotSaved { what: "a known node", error },
            Self::RemovePeer(_) => StoreReply::NotSaved { what: "that a node was forgotten", error },
        }
    }
}
