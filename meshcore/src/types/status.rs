//! Status of a message that this node sent.

/// How far a message has come. Only ever grows; `Delivered` is proven by the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Status {
    /// Safely on this node's disk.
    Queued = 0,
    /// Handed to an encrypted session with the recipient.
    Sent = 10,
    /// Safely on the recipient's disk, and acknowledged by the recipient.
    Delivered = 30,
}

impl Status {
    /// The status with this number, as stored on disk and passed through the C ABI.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Queued, Self::Sent, Self::Delivered].into_iter().find(|s| s.code() == code)
    }

    /// The number of this status; larger numbers are further on.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Lower-case name: `queued`, `sent`, `delivered`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
        }
    }
}
