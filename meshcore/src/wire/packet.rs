//! The header of an AlexStream packet. What follows it is AEAD ciphertext and a tag of [`TAG_LEN`] bytes; the header is
//! the associated data.
//!
//! ```text
//!  0             1                       9                    17              21
//! +-------------+-----------------------+--------------------+---------------+------------------
//! | ver=2 | kind| destination connection| source connection  | packet number | ciphertext, tag     Initial, Handshake
//! +-------------+-----------------------+--------------------+---------------+------------------
//!
//!  0             1                       9               13
//! +-------------+-----------------------+---------------+------------------
//! | ver=2 | kind| destination connection| packet number | ciphertext, tag                          Data
//! +-------------+-----------------------+---------------+------------------
//! ```

use super::{Malformed, reader::Reader};

/// Version that this module reads and writes: the high nibble of the first byte.
pub const VERSION: u8 = 2;

/// Length of the authentication tag behind the ciphertext; the same for every AEAD of TLS 1.3 in use.
pub const TAG_LEN: usize = 16;

/// Length of the header of Initial and Handshake packets.
pub const LONG_HEADER_LEN: usize = 21;

/// Length of the header of Data packets.
pub const SHORT_HEADER_LEN: usize = 13;

const INITIAL: u8 = 0;
const HANDSHAKE: u8 = 1;
const DATA: u8 = 2;
const KEY_PHASE: u8 = 0x04;

/// Which keys protect the packet, and what the header carries because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys that anybody can derive from the client's first destination connection id.
    Initial {
        /// Connection id by which the sender wants to be addressed.
        source: u64,
    },
    /// Keys of the TLS handshake.
    Handshake {
        /// Connection id by which the sender wants to be addressed.
        source: u64,
    },
    /// Keys of the established connection.
    Data {
        /// Flips with every key update (RFC 9001 §6).
        phase: bool,
    },
}

/// The header of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Kind of the packet.
    pub kind: Kind,
    /// Connection id chosen by the receiver (by the client for it, in its first Initial packets).
    pub destination: u64,
    /// The low 32 bits of the packet number; [`expand_number`] restores the rest.
    pub number: u32,
}

impl Header {
    /// Reads the header; the second value is its length, where the ciphertext starts.
    pub fn parse(packet: &[u8]) -> Result<(Self, usize), Malformed> {
        let mut reader = Reader::new(packet);
        let first = reader.u8()?;
        if first >> 4 != VERSION {
            return Err(Malformed::Version(first >> 4));
        }
        let destination = reader.u64()?;
        let kind = match first & 0x0f {
            INITIAL => Kind::Initial { source: reader.u64()? },
            HANDSHAKE => Kind::Handshake { source: reader.u64()? },
            DATA => Kind::Data { phase: false },
            flags if flags == DATA | KEY_PHASE => Kind::Data { phase: true },
            _ => return Err(Malformed::Field("packet kind")),
        };
        let number = reader.u32()?;
        if reader.rest().len() < TAG_LEN {
            return Err(Malformed::Truncated);
        }
        Ok((Self { kind, destination, number }, packet.len() - reader.rest().len()))
    }

    /// Length of the header in bytes.
    pub const fn encoded_len(&self) -> usize {
        match self.kind {
            Kind::Initial { .. } | Kind::Handshake { .. } => LONG_HEADER_LEN,
            Kind::Data { .. } => SHORT_HEADER_LEN,
        }
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let (flags, source) = match self.kind {
            Kind::Initial { source } => (INITIAL, Some(source)),
            Kind::Handshake { source } => (HANDSHAKE, Some(source)),
            Kind::Data { phase } => (if phase { DATA | KEY_PHASE } else { DATA }, None),
        };
        out.push(VERSION << 4 | flags);
        out.extend_from_slice(&self.destination.to_be_bytes());
        if let Some(source) = source {
            out.extend_from_slice(&source.to_be_bytes());
        }
        out.extend_from_slice(&self.number.to_be_bytes());
    }
}

/// The full packet number nearest to `expected` (the largest received plus one) whose low 32 bits are `truncated`
/// (RFC 9000 appendix A.3).
pub fn expand_number(truncated: u32, expected: u64) -> u64 {
    const WINDOW: u64 = 1 << 32;
    let candidate = expected & !(WINDOW - 1) | u64::from(truncated);
    if candidate + WINDOW / 2 <= expected && candidate + WINDOW <= super::varint::MAX {
        candidate + WINDOW
    } else if candidate > expected + WINDOW / 2 && candidate >= WINDOW {
        candidate - WINDOW
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            any::<u64>().prop_map(|source| Kind::Initial { source }),
            any::<u64>().prop_map(|source| Kind::Handshake { source }),
            any::<bool>().prop_map(|phase| Kind::Data { phase }),
        ]
    }

    #[test]
    fn other_versions_and_reserved_bits_are_refused() {
        let mut packet = [0; 64];
        for first in 0..=255u8 {
            packet[0] = first;
            let allowed = [0x20, 0x21, 0x22, 0x26].contains(&first);
            assert_eq!(Header::parse(&packet).is_ok(), allowed, "{first:#x}");
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back(kind in any_kind(), destination: u64, number: u32) {
            let header = Header { kind, destination, number };
            let mut out = Vec::new();
            header.emit(&mut out);
            prop_assert_eq!(out.len(), header.encoded_len());
            for cut in 0..TAG_LEN {
                let packet = [out.clone(), vec![0; cut]].concat();
                prop_assert_eq!(Header::parse(&packet), Err(Malformed::Truncated));
            }
            out.extend([0; TAG_LEN]);
            prop_assert_eq!(Header::parse(&out), Ok((header, header.encoded_len())));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Header::parse(&bytes);
        }

        #[test]
        fn a_number_near_the_expected_one_is_restored(expected in 0u64..1 << 60, ahead in -(1i64 << 31) + 1..1 << 31) {
            let number = expected.saturating_add_signed(ahead);
            prop_assert_eq!(expand_number(number as u32, expected), number);
        }

        #[test]
        fn any_number_is_expanded_without_overflow(truncated: u32, expected in 0..=super::super::varint::MAX) {
            prop_assert!(expand_number(truncated, expected) <= super::super::varint::MAX);
        }
    }
}
