//! What the messenger is told, and what it tells.

use crate::message::post::MailboxConfig;
use crate::message::store::{IncomingMessage, PageLimit, StoreError};
use crate::types::{MessageId, Nickname, NodeId, RoomChange, RoomId, Status};
use crate::wire::Malformed;
use crate::wire::content::{MAX_ROOM_TEXT, MAX_TEXT};
use crate::wire::post::Outcome;

/// An encrypted connection with a peer. Numbers are given by the composer and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Which of the streams of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The stream that this node opened: it writes messages and reads receipts.
    Outgoing,
    /// The stream that the peer opened: this node reads messages and writes receipts.
    Incoming,
    /// The stream that this node opened for sealed envelopes: it writes those and reads answers.
    Letters,
    /// The stream that the peer opened for sealed envelopes: this node reads those and writes answers.
    Deposits,
}

/// Settings, and limits of the messenger's memory.
#[derive(Debug, Clone)]
pub struct MessengerConfig {
    /// Undelivered messages in memory for each peer with a sending session. Default: 1024, 4 MiB. It also limits what
    /// is on its way to a peer, so a small window makes long paths slow.
    pub outbox_window: PageLimit,
    /// Messages that the application has and has not confirmed. Default: 1024, 16 MiB.
    pub hand_over_window: PageLimit,
    /// Messages of one session that wait for their commit; beyond, the session is not read. Default: 1024, 4 MiB.
    pub commit_window: PageLimit,
    /// Messages of the application that wait for their commit; beyond, it is refused. Default: 65,536, 64 MiB.
    pub send_queue: PageLimit,
    /// Messages on disk that the application has not confirmed; beyond, no text is taken of anybody. Default: 16,384, 1 GiB.
    pub unconfirmed: PageLimit,
    /// Those of one sender; beyond, no text of this sender is taken. Default: 4096, 64 MiB.
    pub unconfirmed_of_sender: PageLimit,
    /// The mailbox that this node offers. Default: none.
    pub mailbox: Option<MailboxConfig>,
}

impl Default for MessengerConfig {
    fn default() -> Self {
        let limit = |messages, mebibytes: usize| PageLimit { messages, bytes: mebibytes << 20 };
        Self {
            outbox_window: limit(1024, 4),
            hand_over_window: limit(1024, 16),
            commit_window: limit(1024, 4),
            send_queue: limit(65_536, 64),
            unconfirmed: limit(16_384, 1024),
            unconfirmed_of_sender: limit(4096, 64),
            mailbox: None,
        }
    }
}

/// Why a message is not taken. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No text.
    #[error("a message needs at least one character")]
    Empty,
    /// Too much text.
    #[error("a message has at most {limit} bytes of UTF-8; send the text in parts")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The disk does not keep up with the application.
    #[error("too many messages wait for the disk; wait until some are accepted, then send again")]
    Busy,
}

/// Whether a text can be a message.
pub fn check_text(text: &str) -> Result<(), SendError> {
    check_len(text, MAX_TEXT)
}

/// Whether a text can be a message to a room.
pub fn check_room_text(text: &str) -> Result<(), SendError> {
    check_len(text, MAX_ROOM_TEXT)
}

fn check_len(text: &str, limit: usize) -> Result<(), SendError> {
    match text.len() {
        0 => Err(SendError::Empty),
        len if len <= limit => Ok(()),
        _ => Err(SendError::TooLong { limit }),
    }
}

/// What a peer must not do. The session is finished by it: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolViolation {
    /// Bytes that are no record.
    #[error("malformed record: {0}")]
    Malformed(#[from] Malformed),
    /// A message where receipts belong, or a receipt where messages belong.
    #[error("a record of this kind does not belong on this stream")]
    WrongStream,
}

/// What the application should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessengerEvent {
    /// A message of the application is on disk, or a command on a room is carried out; followed by the status `Queued` for each recipient.
    Accepted {
        /// Its id.
        id: MessageId,
    },
    /// A message of the application could not be stored, or a command not be carried out.
    Refused {
        /// Its id.
        id: MessageId,
        /// Why.
        error: StoreError,
    },
    /// A message has come further, and the disk knows it.
    Status {
        /// Its id.
        id: MessageId,
        /// Its recipient.
        to: NodeId,
        /// How far it has come.
        status: Status,
    },
    /// A message for the application, in order of arrival. Those not confirmed come again after a restart.
    Received(IncomingMessage),
    /// A room has changed, and the disk knows it.
    Room {
        /// The room.
        room: RoomId,
        /// Its name.
        name: Nickname,
        /// What has changed.
        change: RoomChange,
    },
    /// Messages that came by this session could not be stored, or those to be sent on it could not be loaded: close it.
    /// Their sender keeps them; another session is another attempt.
    StorageFailed {
        /// The session.
        session: SessionId,
        /// Why.
        error: StoreError,
    },
    /// A mailbox does not take messages; they are kept, and offered to others and later again.
    MailboxRefused {
        /// The mailbox.
        mailbox: NodeId,
        /// What it said.
        outcome: Outcome,
    },
}
