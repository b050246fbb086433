//! The one error of the public API.

use std::fmt;

use super::home::HomeError;
use super::link::{LinkError, ParseLinkError};
use crate::file::DecideError;
use crate::message::directory::KeepError;
use crate::message::directory::ResolveError;
use crate::message::identity::KeyError;
use crate::message::messenger;
use crate::message::room::{ResolveRoomError, RoomError};
use crate::message::store::StoreError;
use crate::node::connections::OpenError;
use crate::node::{BroadcastError, EchoError, InsecureError, SendError, TrustError};
use crate::stream::DatagramError;
use crate::types::{NicknameError, ParseIdError, ParseV1AddressError};
use crate::v1::V1Error;

/// What went wrong, as a program can act on it. The C ABI and the Python package map each kind to a code or a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument makes no sense (an id that is none, a nickname with spaces, a link that cannot be parsed).
    InvalidArgument,
    /// The message is empty.
    EmptyMessage,
    /// The message is longer than the limit.
    MessageTooLong,
    /// Nobody of that name or id is known.
    UnknownNode,
    /// No file with this id is known.
    UnknownFile,
    /// No room with this id is known.
    UnknownRoom,
    /// The room does not allow it: this node is not its owner or no member, or it is full or closed.
    Room,
    /// A name or id prefix fits several nodes, or a nickname is used by several keys.
    AmbiguousNode,
    /// The person has blocked the node.
    Blocked,
    /// There is no way to the node now.
    OutOfReach,
    /// No answer came in time.
    TimedOut,
    /// Too much of this is under way: try again in a moment.
    Busy,
    /// The stream is not open, or no more.
    StreamClosed,
    /// The other side takes no connection now.
    Refused,
    /// The connection is over.
    Disconnected,
    /// The home is in use by another running node.
    HomeInUse,
    /// There is no key in the home.
    NoKey,
    /// There is a key in the home already.
    KeyExists,
    /// The key file is readable by others.
    KeyTooOpen,
    /// The key file is not a key that can be used.
    KeyCorrupt,
    /// The key file is protected and no passphrase was given.
    PassphraseNeeded,
    /// The passphrase is wrong.
    WrongPassphrase,
    /// The disk or the database refuses (full, read-only, corrupt, of a newer version).
    Storage,
    /// No link could be opened.
    Link,
    /// A link needs a privilege that this process lacks.
    Permission,
    /// The node has been stopped.
    Stopped,
    /// A defect of this program.
    Internal,
}

/// Why a call failed. Its text names the thing and the remedy.
pub struct Error {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into() }
    }

    pub(crate) fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "the node has been stopped; start it again")
    }

    pub(crate) fn disconnected(reason: &str) -> Self {
        Self::new(ErrorKind::Disconnected, reason.to_owned())
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Each error of the layers below belongs to one kind.
macro_rules! kinds {
    ($($error:ty: $pattern:pat_param => $kind:expr),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                let $pattern = &error;
                Self::new($kind, error)
            }
        })*
    };
}

kinds! {
    NicknameError: _ => ErrorKind::InvalidArgument,
    ParseIdError: _ => ErrorKind::InvalidArgument,
    ParseLinkError: _ => ErrorKind::InvalidArgument,
    ParseV1AddressError: _ => ErrorKind::InvalidArgument,
    KeyError: _ => ErrorKind::KeyCorrupt,
    StoreError: store => match store {
        StoreError::Room(RoomError::Unknown) => ErrorKind::UnknownRoom,
        StoreError::Room(_) => ErrorKind::Room,
        _ => ErrorKind::Storage,
    },
    HomeError: home => home_kind(home),
    LinkError: link => match link {
        LinkError::Permission { .. } => ErrorKind::Permission,
        _ => ErrorKind::Link,
    },
    ResolveError: resolve => match resolve {
        ResolveError::Unknown { .. } => ErrorKind::UnknownNode,
        ResolveError::Ambiguous { .. } | ResolveError::SharedName { .. } => ErrorKind::AmbiguousNode,
    },
    TrustError: trust => match trust {
        TrustError::Myself | TrustError::Keep(KeepError::AddressTaken(_)) => ErrorKind::InvalidArgument,
        TrustError::Blocked(_) => ErrorKind::Blocked,
        TrustError::Keep(KeepError::NoRoom(_)) => ErrorKind::Busy,
    },
    ResolveRoomError: resolve => match resolve {
        ResolveRoomError::Unknown { .. } => ErrorKind::UnknownRoom,
        ResolveRoomError::Ambiguous { .. } => ErrorKind::InvalidArgument,
    },
    DecideError: decide => match decide {
        DecideError::Unknown(_) => ErrorKind::UnknownFile,
        DecideError::TooMany => ErrorKind::Busy,
        _ => ErrorKind::InvalidArgument,
    },
    BroadcastError: broadcast => match broadcast {
        BroadcastError::Empty => ErrorKind::EmptyMessage,
        BroadcastError::TooLong(_) => ErrorKind::MessageTooLong,
        BroadcastError::TooMany => ErrorKind::Busy,
    },
    EchoError: echo => match echo {
        EchoError::Myself => ErrorKind::InvalidArgument,
        EchoError::OutOfReach(_) => ErrorKind::OutOfReach,
        EchoError::Busy => ErrorKind::Busy,
    },
    OpenError: open => match open {
        OpenError::Myself => ErrorKind::InvalidArgument,
        OpenError::Blocked(_) => ErrorKind::Blocked,
        OpenError::OutOfReach(_) => ErrorKind::OutOfReach,
        OpenError::TooMany => ErrorKind::Busy,
        OpenError::Transport(_) => ErrorKind::Internal,
    },
    DatagramError: datagram => match datagram {
        DatagramError::UnknownConnection | DatagramError::NotConnected => ErrorKind::Disconnected,
        _ => ErrorKind::InvalidArgument,
    },
    InsecureError: insecure => match insecure {
        InsecureError::NoInterface => ErrorKind::OutOfReach,
        InsecureError::UnknownStream(_) => ErrorKind::StreamClosed,
        InsecureError::V1(error) => v1_kind(*error),
    },
    SendError: send => match send {
        SendError::Myself => ErrorKind::InvalidArgument,
        SendError::UnknownNode(_) => ErrorKind::UnknownNode,
        SendError::Blocked(_) => ErrorKind::Blocked,
        SendError::Name(_) => ErrorKind::AmbiguousNode,
        SendError::Message(messenger::SendError::Empty) => ErrorKind::EmptyMessage,
        SendError::Message(messenger::SendError::TooLong { .. }) => ErrorKind::MessageTooLong,
        SendError::Message(messenger::SendError::Busy) => ErrorKind::Storage,
    },
}

fn v1_kind(error: V1Error) -> ErrorKind {
    match error {
        V1Error::NotAStation | V1Error::OwnAddress | V1Error::ControlCharacter => ErrorKind::InvalidArgument,
        V1Error::Empty => ErrorKind::EmptyMessage,
        V1Error::TooLong { .. } => ErrorKind::MessageTooLong,
        V1Error::Busy | V1Error::TooManyStreams => ErrorKind::Busy,
        V1Error::UnknownStream | V1Error::NotOpen => ErrorKind::StreamClosed,
    }
}

fn home_kind(error: &HomeError) -> ErrorKind {
    match error {
        HomeError::InUse { .. } => ErrorKind::HomeInUse,
        HomeError::TooOpen { .. } => ErrorKind::KeyTooOpen,
        HomeError::NoKey { .. } => ErrorKind::NoKey,
        HomeError::KeyExists { .. } => ErrorKind::KeyExists,
        HomeError::PassphraseNeeded { .. } => ErrorKind::PassphraseNeeded,
        HomeError::WrongPassphrase { .. } => ErrorKind::WrongPassphrase,
        HomeError::BadKey { .. } => ErrorKind::KeyCorrupt,
        HomeError::NoHome | HomeError::ReadOnly { .. } | HomeError::Io { .. } => ErrorKind::Storage,
    }
}
