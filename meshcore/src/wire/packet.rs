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
//!
//!  0             1                       9                    17
//! +-------------+-----------------------+--------------------+------------------
//! | ver=2 | kind| destination connection| original connection| token (24)         Retry, in clear
//! +-------------+-----------------------+--------------------+------------------
//! ```
//!
//! A client that was told a token by a Retry repeats it in its Initial packets, between packet number and ciphertext.

use super::{Malformed, reader::Reader};

/// Version that this module reads and writes: the high nibble of the first byte.
pub const VERSION: u8 = 2;

/// Length of the authentication tag behind the ciphertext; the same for every AEAD of TLS 1.3 in use.
pub const TAG_LEN: usize = 16;

/// Length of the header of Initial and Handshake packets.
pub const LONG_HEADER_LEN: usize = 21;

/// Length of the header of Data packets.
pub const SHORT_HEADER_LEN: usize = 13;

/// Length of the token of a Retry.
pub const TOKEN_LEN: usize = 24;

/// What a server gives to a client, to see it again from the same address (RFC 9000 §8.1.2).
pub type Token = [u8; TOKEN_LEN];

const INITIAL: u8 = 0;
const INITIAL_WITH_TOKEN: u8 = 4;
const RETRY: u8 = 3;
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
        /// From the server's Retry.
        token: Option<Token>,
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
            INITIAL | INITIAL_WITH_TOKEN => Kind::Initial { source: reader.u64()?, token: None },
            HANDSHAKE => Kind::Handshake { source: reader.u64()? },
            DATA => Kind::Data { phase: false },
            flags if flags == DATA | KEY_PHASE => Kind::Data { phase: true },
            _ => return Err(Malformed::Field("packet kind")),
        };
        let number = reader.u32()?;
        let kind = match kind {
            Kind::Initial { source, .. } if first & 0x0f == INITIAL_WITH_TOKEN => {
                Kind::Initial { source, token: Some(reader.array()?) }
            }
            kind => kind,
        };
        if reader.rest().len() < TAG_LEN {
            return Err(Malformed::Truncated);
        }
        Ok((Self { kind, destination, number }, packet.len() - reader.rest().len()))
    }

    /// Length of the header in bytes.
    pub const fn encoded_len(&self) -> usize {
        match self.kind {
            Kind::Initial { token: Some(_), .. } => LONG_HEADER_LEN + TOKEN_LEN,
            Kind::Initial { .. } | Kind::Handshake { .. } => LONG_HEADER_LEN,
            Kind::Data { .. } => SHORT_HEADER_LEN,
        }
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let (flags, source) = match self.kind {
            Kind::Initial { source, token: None } => (INITIAL, Some(source)),
            Kind::Initial { source, token: Some(_) } => (INITIAL_WITH_TOKEN, Some(source)),
            Kind::Handshake { source } => (HANDSHAKE, Some(source)),
            Kind::Data { phase } => (if phase { DATA | KEY_PHASE } else { DATA }, None),
        };
        out.push(VERSION << 4 | flags);
        out.extend_from_slice(&self.destination.to_be_bytes());
        if let Some(source) = source {
            out.extend_from_slice(&source.to_be_bytes());
        }
        out.extend_from_slice(&self.number.to_be_bytes());
        if let Kind::Initial { token: Some(token), .. } = self.kind {
            out.extend_from_slice(&token);
        }
    }
}

/// A server's request to come again with a token, which proves the client's address. Whoever has not seen the client's first
/// packet cannot know the ids in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The client's connection id.
    pub destination: u64,
    /// The destination of the client's first packet.
    pub original: u64,
    /// To be repeated.
    pub token: Token,
}

impl Retry {
    /// Length of the packet.
    pub const LEN: usize = 1 + 8 + 8 + TOKEN_LEN;

    /// Reads the packet; `None` when it is another kind.
    pub fn parse(packet: &[u8]) -> Option<Result<Self, Malformed>> {
        (packet.first() == Some(&(VERSION << 4 | RETRY))).then(|| Self::read(packet))
    }

    fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(packet);
        reader.u8()?;
        let retry = Self { destination: reader.u64()?, original: reader.u64()?, token: reader.array()? };
        reader.finish()?;
        Ok(retry)
    }

    /// Appends the packet.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(VERSION << 4 | RETRY);
        out.extend_from_slice(&self.destination.to_be_bytes());
        out.extend_from_slice(&self.original.to_be_bytes());
        out.extend_from_slice(&self.token);
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
            (any::<u64>(), any::<Option<Token>>())
                .prop_map(|(source, token)| Kind::Initial { source, token }),
            any::<u64>().prop_map(|source| Kind::Handshake { source }),
            any::<bool>().prop_map(|phase| Kind::Data { phase }),
        ]
    }

    #[test]
    fn other_versions_and_reserved_bits_are_refused() {
        let mut packet = [0; 80];
        for first in 0..=255u8 {
            packet[0] = first;
            let allowed = [0x20, 0x21, 0x22, 0x24, 0x26].contains(&first);
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
        fn a_retry_is_read_back(destination: u64, original: u64, token: Token) {
            let retry = Retry { destination, original, token };
            let mut out = Vec::new();
            retry.emit(&mut out);
            prop_assert_eq!(out.len(), Retry::LEN);
            prop_assert_eq!(Retry::parse(&out), Some(Ok(retry)));
            prop_assert!(Header::parse(&out).is_err());
            prop_assert_eq!(Retry::parse(&out[..out.len() - 1]), Some(Err(Malformed::Truncated)));
            out.push(0);
            prop_assert_eq!(Retry::parse(&out), Some(Err(Malformed::TrailingBytes)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Retry::parse(&bytes);
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
