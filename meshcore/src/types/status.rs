//! Status of a message that this node sent.

/// How far a message has come. Only ever grows. [`Status::Delivered`] and [`Status::Read`] are proven by the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Status {
    /// Safely on this node's disk.
    Queued = 0,
    /// Handed to an encrypted session with the recipient.
    Sent = 10,
    /// Sealed, and safely on the disk of a mailbox, where the recipient will find it.
    Stored = 20,
    /// Given up: the time that its sender gave it has passed. When it has arrived all the same, its recipient may still prove
    /// that.
    Expired = 25,
    /// Safely on the recipient's disk, and acknowledged by the recipient.
    Delivered = 30,
    /// Shown to a person, or processed, as the recipient says.
    Read = 40,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Queued, Self::Sent, Self::Stored, Self::Expired, Self::Delivered, Self::Read];

    /// The status with this number, as stored on disk and passed through the C ABI.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// The number of this status; larger numbers are further on.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Lower-case name, for example `queued`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Expired => "expired",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// Whether only the recipient can tell it.
    pub fn is_proven(self) -> bool {
        self >= Self::Delivered
    }

    /// Whether the message is to be sent, or sent again until the recipient acknowledges it.
    pub fn is_pending(self) -> bool {
        self < Self::Expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_the_order() {
        assert!(Status::ALL.is_sorted_by(|a, b| a < b && a.code() < b.code()));
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(15), None);
    }
}
