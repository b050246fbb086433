//! The sealed frame of a private mesh: a header of 28 bytes in clear, then ciphertext, then the tag of the AEAD.
//!
//! ```text
//!  0       1          2        4            20        28
//! +-------+----------+--------+------------+---------+---------------------+----------+
//! | ver=2 | type=127 | length | session id | counter | ciphertext          | tag (16) |
//! +-------+----------+--------+------------+---------+---------------------+----------+
//!                                                     0      1        3
//!                                          plaintext: +------+--------+---------+-------+
//!                                                     | kind | length | content | zeros |
//!                                                     +------+--------+---------+-------+
//! ```
//!
//! The first length counts ciphertext and tag, so that padding of the link can be told apart; the second one counts the
//! content alone.

use std::fmt;
use std::ops::Range;

use super::{Malformed, frame::VERSION, reader::Reader};

/// Second byte of a sealed frame, where open frames have their type.
pub const TYPE: u8 = 127;

/// Length of the header in bytes; all of it is authenticated.
pub const HEADER_LEN: usize = 28;

/// Length of the tag in bytes.
pub const TAG_LEN: usize = 16;

/// Length of kind and length in front of the content.
const CONTENT_HEADER_LEN: usize = 3;

/// What sealing adds to a frame, padding not counted.
pub const OVERHEAD: usize = HEADER_LEN + CONTENT_HEADER_LEN + TAG_LEN;

/// Short plaintexts are padded to a multiple of this, so that their length tells little.
pub const PADDING: usize = 64;

/// Longest plaintext that is padded. Longer ones would not gain, and full frames have no room for it.
pub const MAX_PADDED: usize = 512;

/// Longest content: what the length field of the header can express.
pub const MAX_CONTENT_LEN: usize = u16::MAX as usize - TAG_LEN - CONTENT_HEADER_LEN;

/// Length of a [`Proof`].
const PROOF_LEN: usize = SessionId::LEN + 2 * Nonce::LEN;

macro_rules! random_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 16;
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }
    };
}

random_bytes! {
    /// Names what one node sends on one link, from its start on. Random, so that no two senders ever use one key.
    SessionId
}

random_bytes! {
    /// A random number that was never used before: whoever repeats it must have seen it after it was drawn.
    Nonce
}

/// The header in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedHeader {
    /// Session of the sender.
    pub session: SessionId,
    /// Frames that the sender has sealed in this session before.
    pub counter: u64,
}

impl SealedHeader {
    /// Reads the header; the range is that of ciphertext and tag. Bytes behind it are padding of the link.
    pub fn parse(frame: &[u8]) -> Result<(Self, Range<usize>), Malformed> {
        let mut reader = Reader::new(frame);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        if reader.u8()? != TYPE {
            return Err(Malformed::Field("type"));
        }
        let length = usize::from(reader.u16()?);
        let header = Self { session: SessionId(reader.array()?), counter: reader.u64()? };
        if length < CONTENT_HEADER_LEN + TAG_LEN {
            return Err(Malformed::Field("length"));
        }
        reader.bytes(length)?;
        Ok((header, HEADER_LEN..HEADER_LEN + length))
    }

    /// The bytes in front of `length` bytes of ciphertext and tag.
    pub fn emit(&self, length: u16) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = VERSION;
        out[1] = TYPE;
        out[2..4].copy_from_slice(&length.to_be_bytes());
        out[4..20].copy_from_slice(&self.session.0);
        out[20..28].copy_from_slice(&self.counter.to_be_bytes());
        out
    }
}

/// A challenge, an answer, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Session that is challenged or whose challenge is answered.
    pub to: SessionId,
    /// To be repeated by `to`. Not zero.
    pub challenge: Option<Nonce>,
    /// The challenge of `to`.
    pub answer: Option<Nonce>,
}

impl Proof {
    fn parse(content: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(content);
        let to = SessionId(reader.array()?);
        let mut nonce = || reader.array().map(|bytes| (bytes != [0; Nonce::LEN]).then_some(Nonce(bytes)));
        let (challenge, answer) = (nonce()?, nonce()?);
        reader.finish()?;
        Ok(Self { to, challenge, answer })
    }

    fn emit(&self) -> [u8; PROOF_LEN] {
        let bytes = |nonce: Option<Nonce>| nonce.map_or([0; Nonce::LEN], |nonce| nonce.0);
        let mut out = [0; PROOF_LEN];
        out[..16].copy_from_slice(&self.to.0);
        out[16..32].copy_from_slice(&bytes(self.challenge));
        out[32..].copy_from_slice(&bytes(self.answer));
        out
    }
}

/// What a sealed frame holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<F> {
    /// A whole open frame.
    Frame {
        /// Sent to every node on the link.
        group: bool,
        /// The frame.
        inner: F,
    },
    /// Shows that the sender is alive, or asks for it.
    Proof(Proof),
}

impl<'a> Content<&'a mut [u8]> {
    /// Reads a plaintext.
    pub fn parse(plaintext: &'a mut [u8]) -> Result<Self, Malformed> {
        let (head, rest) = plaintext.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
        let [kind, high, low]: [u8; CONTENT_HEADER_LEN] = *head;
        let length = u16::from_be_bytes([high, low]);
        let content = rest.get_mut(..usize::from(length)).ok_or(Malformed::Truncated)?;
        match kind {
            0 | 1 => Ok(Self::Frame { group: kind == 1, inner: content }),
            2 => Proof::parse(content).map(Self::Proof),
            _ => Err(Malformed::Field("kind")),
        }
    }
}

impl Content<&[u8]> {
    /// Length of ciphertext and tag; `None` when the content is too long.
    pub fn sealed_len(&self) -> Option<u16> {
        let content = match self {
            Self::Frame { inner, .. } => inner.len(),
            Self::Proof(_) => PROOF_LEN,
        };
        if content > MAX_CONTENT_LEN {
            return None;
        }
        u16::try_from(padded_len(CONTENT_HEADER_LEN + content) + TAG_LEN).ok()
    }

    /// Appends the plaintext, padded. The content must have a [`Content::sealed_len`].
    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut put = |kind: u8, content: &[u8]| {
            debug_assert!(content.len() <= MAX_CONTENT_LEN, "the content does not fit into a sealed frame");
            out.push(kind);
            out.extend((content.len() as u16).to_be_bytes());
            out.extend(content);
        };
        match self {
            Self::Frame { group, inner } => put((*group).into(), inner),
            Self::Proof(proof) => put(2, &proof.emit()),
        }
        out.resize(start + padded_len(out.len() - start), 0);
    }
}

/// Length of a plaintext of `len` bytes with its padding.
const fn padded_len(len: usize) -> usize {
    if len <= MAX_PADDED { len.next_multiple_of(PADDING) } else { len }
}

/// Longest frame that, sealed, still fits into `mtu` bytes; every shorter one fits as well.
pub const fn inner_mtu(mtu: usize) -> usize {
    let room = mtu.saturating_sub(HEADER_LEN + TAG_LEN);
    let plaintext = if room < MAX_PADDED { room / PADDING * PADDING } else { room };
    let content = plaintext.saturating_sub(CONTENT_HEADER_LEN);
    if content < MAX_CONTENT_LEN { content } else { MAX_CONTENT_LEN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_told_exactly() {
        let sealed_len = |inner: &[u8]| {
            let content = Content::Frame { group: false, inner };
            content.sealed_len().map(|length| HEADER_LEN + usize::from(length))
        };
        for mtu in (108..2000).chain([9216]) {
            let inner = vec![0; inner_mtu(mtu) + 1];
            let longest = (0..inner.len()).map(|len| sealed_len(&inner[..len]).unwrap()).max();
            assert!(longest.unwrap() <= mtu, "{mtu}");
            assert!(sealed_len(&inner).unwrap() > mtu, "{mtu}");
        }
        assert_eq!(inner_mtu(1500), 1500 - OVERHEAD);
        assert_eq!((inner_mtu(0), inner_mtu(107)), (0, 0));
        assert_eq!(inner_mtu(1 << 20), MAX_CONTENT_LEN);
        assert_eq!(sealed_len(&vec![0; MAX_CONTENT_LEN]), Some(HEADER_LEN + 65_535));
        assert_eq!(sealed_len(&vec![0; MAX_CONTENT_LEN + 1]), None);
    }

    proptest! {
        #[test]
        fn headers_round_trip(session: [u8; 16], counter: u64, length in 19u16..300, padding in 0..50usize) {
            let header = SealedHeader { session: SessionId(session), counter };
            let mut frame = header.emit(length).to_vec();
            frame.resize(HEADER_LEN + usize::from(length), 0xa5);
            for cut in 0..frame.len() {
                prop_assert_eq!(SealedHeader::parse(&frame[..cut]), Err(Malformed::Truncated));
            }
            let body = HEADER_LEN..frame.len();
            frame.resize(frame.len() + padding, 0xa5);
            prop_assert_eq!(SealedHeader::parse(&frame), Ok((header, body)));
        }

        #[test]
        fn contents_round_trip(group: bool, inner in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let content = Content::Frame { group, inner: &inner[..] };
            let mut out = vec![0xa5];
            content.emit(&mut out);
            prop_assert_eq!(out.len() - 1 + TAG_LEN, usize::from(content.sealed_len().unwrap()));
            prop_assert!(out.len() - 1 > MAX_PADDED || (out.len() - 1) % PADDING == 0);
            let mut copy = inner.clone();
            prop_assert_eq!(Content::parse(&mut out[1..]), Ok(Content::Frame { group, inner: &mut copy[..] }));
        }

        #[test]
        fn proofs_round_trip(to: [u8; 16], challenge: Option<[u8; 16]>, answer: Option<[u8; 16]>) {
            let nonce = |bytes: Option<[u8; 16]>| bytes.filter(|bytes| *bytes != [0; 16]).map(Nonce);
            let proof = Proof { to: SessionId(to), challenge: nonce(challenge), answer: nonce(answer) };
            let mut out = Vec::new();
            Content::<&[u8]>::Proof(proof).emit(&mut out);
            prop_assert_eq!(out.len(), PADDING);
            prop_assert_eq!(Content::parse(&mut out), Ok(Content::Proof(proof)));
        }

        #[test]
        fn arbitrary_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), sealed: bool) {
            let _ = Content::parse(&mut bytes.clone());
            if let (Some(start), true) = (bytes.first_chunk_mut(), sealed) {
                *start = [VERSION, TYPE];
            }
            if let Ok((header, body)) = SealedHeader::parse(&bytes) {
                prop_assert!(body.end <= bytes.len());
                prop_assert_eq!(&header.emit(body.len() as u16)[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
