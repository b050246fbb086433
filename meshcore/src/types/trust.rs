//! What a person thinks of another node's key.

/// How far a node is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum Trust {
    /// Its key was remembered when it was seen first; nobody has compared safety words.
    #[default]
    Seen = 0,
    /// The person has compared safety words with the other one, and says that they are the same.
    Verified = 1,
    /// The person wants to hear nothing of it.
    Blocked = 2,
}

impl Trust {
    /// The trust with this number, as stored on disk and passed through the C ABI.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Seen, Self::Verified, Self::Blocked].into_iter().find(|trust| trust.code() == code)
    }

    /// The number of this trust.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Lower-case name: `seen`, `verified`, `blocked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Verified => "verified",
            Self::Blocked => "blocked",
        }
    }
}
