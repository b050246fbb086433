//! Files on their way from one node to another.

use std::path::PathBuf;

use super::{FileId, NodeId, UnixTime};

/// A file that this node sends or receives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Its id on this node.
    pub id: FileId,
    /// The node at the other end.
    pub peer: NodeId,
    /// Whether this node receives it.
    pub incoming: bool,
    /// Its name, without any folder. That of an incoming file is safe to use.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that the recipient has.
    pub done: u64,
    /// How far it is.
    pub state: FileState,
    /// Why it will not arrive, if it will not.
    pub reason: Option<FileReason>,
    /// Where it lies on this node; of an incoming file, once it has arrived.
    pub path: Option<PathBuf>,
    /// When it was offered.
    pub offered_at: UnixTime,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileState {
    /// It was offered, and the recipient has not decided.
    Waiting,
    /// The recipient wants it: it is on its way whenever both are in reach of each other.
    Accepted,
    /// It is whole at the recipient, and its SHA-256 is the one that was offered.
    Done,
    /// The recipient does not want it.
    Refused,
    /// One of the two gave it up.
    Cancelled,
    /// It cannot be transferred.
    Failed,
}

impl FileState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Accepted, Self::Done, Self::Refused, Self::Cancelled, Self::Failed];

    /// The number that stands for it on disk and in the C ABI.
    pub const fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Accepted => 10,
            Self::Done => 20,
            Self::Refused => 30,
            Self::Cancelled => 31,
            Self::Failed => 32,
        }
    }

    /// The state with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether nothing follows.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Accepted)
    }
}

/// Why a file will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FileReason {
    /// The recipient does not want it.
    #[error("the recipient refused it")]
    Refused,
    /// The sender took it back.
    #[error("the sender cancelled it")]
    SenderCancelled,
    /// The recipient gave it up after it had accepted it.
    #[error("the recipient cancelled it")]
    RecipientCancelled,
    /// The file is another one than when it was offered.
    #[error("the file has changed on the sender's disk since it was offered; send it again")]
    Changed,
    /// The file is gone, or the sender may not read it any more.
    #[error("the sender cannot read the file any more; send it again from where it is now")]
    Unreadable,
    /// What arrived is not what was offered.
    #[error("what arrived has another SHA-256 than what was offered; send it again")]
    Mismatch,
    /// Too many offers of this sender, or of all, wait at the recipient.
    #[error("too many offers wait at the recipient; send it again when some are decided")]
    TooMany,
    /// The other side has forgotten it.
    #[error("the other side does not know this file any more; send it again")]
    Unknown,
    /// A reason of a later version.
    #[error("the other side ended it for a reason that this version does not know ({0})")]
    Other(u8),
}

impl FileReason {
    const KNOWN: [Self; 8] = [
        Self::Refused,
        Self::SenderCancelled,
        Self::RecipientCancelled,
        Self::Changed,
        Self::Unreadable,
        Self::Mismatch,
        Self::TooMany,
        Self::Unknown,
    ];

    /// The number that stands for it on the wire and on disk.
    pub const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::SenderCancelled => 2,
            Self::RecipientCancelled => 3,
            Self::Changed => 4,
            Self::Unreadable => 5,
            Self::Mismatch => 6,
            Self::TooMany => 7,
            Self::Unknown => 8,
            Self::Other(code) => code,
        }
    }

    /// The reason with this number.
    pub fn from_code(code: u8) -> Self {
        Self::KNOWN.into_iter().find(|reason| reason.code() == code).unwrap_or(Self::Other(code))
    }

    /// The state of a file that ended for this reason.
    pub const fn state(self) -> FileState {
        match self {
            Self::Refused => FileState::Refused,
            Self::SenderCancelled | Self::RecipientCancelled => FileState::Cancelled,
            _ => FileState::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        for code in 0..=u8::MAX {
            assert_eq!(FileReason::from_code(code).code(), code);
            assert!(FileState::from_code(code).is_none_or(|state| state.code() == code));
        }
        assert!(FileState::ALL.iter().all(|state| FileState::from_code(state.code()) == Some(*state)));
    }
}
