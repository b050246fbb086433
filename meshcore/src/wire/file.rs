//! Records of the file protocol: deterministic CBOR (RFC 8949, section 4.2.1) behind a length.
//!
//! ```text
//! record = length u32 big-endian, body of that length
//! body   = [1, id bstr .size 16, size uint, sha256 bstr .size 32, name tstr]   offer
//!        / [2, id bstr .size 16]                                               want
//!        / [3]                                                                 noted
//!        / [4, offset uint]                                                    accept
//!        / [5, offset uint, data bstr]                                         chunk
//!        / [6, offset uint]                                                    progress
//!        / [7]                                                                 finished
//!        / [8, id bstr .size 16, reason uint .le 255]                          cancel
//!        / [kind uint .le 255, *any]                                           unknown kind: skipped
//! ```
//!
//! The heads of the items are read and written here rather than by a decoder: the data of a chunk stays where it arrived, and
//! only the shortest form of a head is known, so that other encodings of the same values are refused without being compared.

use bytes::{Bytes, BytesMut};

use super::Malformed;
use super::length::{self, LENGTH_LEN};
use crate::types::{FileId, FileReason};

/// Largest file in bytes, so that every program can count them.
pub const MAX_SIZE: u64 = 1 << 53;

/// Longest name in an offer, in bytes of UTF-8. The recipient makes a file's name of it that its system can take.
pub const MAX_NAME: usize = 1024;

/// Most data in one chunk.
pub const MAX_CHUNK: usize = 128 * 1024;

/// Longest body. A chunk has up to 16 bytes beside its data; the rest is left for later kinds.
pub const MAX_BODY: usize = MAX_CHUNK + 64;

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

/// What is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Chosen at random by the sender.
    pub id: FileId,
    /// 0 to [`MAX_SIZE`] bytes.
    pub size: u64,
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
    /// 1 to [`MAX_NAME`] bytes, as the sender calls it.
    pub name: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRecord {
    /// The sender has a file for the recipient.
    Offer(Offer),
    /// The recipient wants an accepted file: it asks to be offered it again.
    Want(FileId),
    /// What was told is safely on disk.
    Noted,
    /// The recipient wants what follows this offset.
    Accept(u64),
    /// Bytes of the file.
    Chunk {
        /// Where they belong.
        offset: u64,
        /// 1 to [`MAX_CHUNK`] bytes.
        data: Bytes,
    },
    /// The recipient has everything up to this offset.
    Progress(u64),
    /// The recipient has all of it, verified and under its final name.
    Finished,
    /// Whoever says it will not go on with this file.
    Cancel {
        /// The file.
        id: FileId,
        /// Why.
        reason: FileReason,
    },
    /// A kind that this version does not know.
    Unknown(u8),
}

/// Reads the length in front of a body and checks it, before anything is buffered.
pub fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed> {
    length::parse(bytes, MAX_BODY)
}

impl FileRecord {
    /// Parses a body, of whose memory a chunk keeps a share.
    pub fn parse(body: &Bytes) -> Result<Self, Malformed> {
        let mut rest = body.clone();
        let items = head(&mut rest, ARRAY)?;
        let kind = head(&mut rest, UINT)?;
        let kind = u8::try_from(kind).map_err(|_| Malformed::Field("kind"))?;
        let record = match (kind, items) {
            (1, 5) => Self::Offer(offer(&mut rest)?),
            (2, 2) => Self::Want(FileId(array(&mut rest)?)),
            (3, 1) => Self::Noted,
            (4, 2) => Self::Accept(offset(&mut rest)?),
            (5, 3) => {
                let (offset, data) = (offset(&mut rest)?, string(&mut rest, BYTES)?);
                if data.is_empty() || data.len() > MAX_CHUNK {
                    return Err(Malformed::Field("data"));
                }
                Self::Chunk { offset, data }
            }
            (6, 2) => Self::Progress(offset(&mut rest)?),
            (7, 1) => Self::Finished,
            (8, 3) => {
                let id = FileId(array(&mut rest)?);
                let code = u8::try_from(head(&mut rest, UINT)?).map_err(|_| Malformed::Field("reason"))?;
                Self::Cancel { id, reason: FileReason::from_code(code) }
            }
            (1..=8, _) => return Err(Malformed::Field("record")),
            // What else it holds is for those who know it.
            (kind, 1..) => return Ok(Self::Unknown(kind)),
            (_, 0) => return Err(Malformed::Field("record")),
        };
        if rest.is_empty() { Ok(record) } else { Err(Malformed::TrailingBytes) }
    }

    /// Length and body.
    pub fn emit(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(LENGTH_LEN + 64 + self.data_len());
        out.extend_from_slice(&[0; LENGTH_LEN]);
        match self {
            Self::Offer(Offer { id, size, sha256, name }) => {
                put_kind(&mut out, 1, 5);
                put_string(&mut out, BYTES, id.as_bytes());
                put_head(&mut out, UINT, *size);
                put_string(&mut out, BYTES, sha256);
                put_string(&mut out, TEXT, name.as_bytes());
            }
            Self::Want(id) => {
                put_kind(&mut out, 2, 2);
                put_string(&mut out, BYTES, id.as_bytes());
            }
            Self::Noted => put_kind(&mut out, 3, 1),
            Self::Accept(offset) => {
                put_kind(&mut out, 4, 2);
                put_head(&mut out, UINT, *offset);
            }
            Self::Chunk { offset, data } => {
                put_kind(&mut out, 5, 3);
                put_head(&mut out, UINT, *offset);
                put_string(&mut out, BYTES, data);
            }
            Self::Progress(offset) => {
                put_kind(&mut out, 6, 2);
                put_head(&mut out, UINT, *offset);
            }
            Self::Finished => put_kind(&mut out, 7, 1),
            Self::Cancel { id, reason } => {
                put_kind(&mut out, 8, 3);
                put_string(&mut out, BYTES, id.as_bytes());
                put_head(&mut out, UINT, reason.code().into());
            }
            Self::Unknown(kind) => put_kind(&mut out, *kind, 1),
        }
        let len = out.len() - LENGTH_LEN;
        out[..LENGTH_LEN].copy_from_slice(&length::emit(len, MAX_BODY));
        out.freeze()
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Offer(offer) => offer.name.len(),
            Self::Chunk { data, .. } => data.len(),
            _ => 0,
        }
    }
}

fn offer(rest: &mut Bytes) -> Result<Offer, Malformed> {
    let (id, size) = (FileId(array(rest)?), offset(rest)?);
    let (sha256, name) = (array(rest)?, string(rest, TEXT)?);
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Malformed::Field("name"));
    }
    let name = std::str::from_utf8(&name).map_err(|_| Malformed::Field("name"))?.to_owned();
    Ok(Offer { id, size, sha256, name })
}

fn offset(rest: &mut Bytes) -> Result<u64, Malformed> {
    let offset = head(rest, UINT)?;
    if offset <= MAX_SIZE { Ok(offset) } else { Err(Malformed::Field("offset")) }
}

fn array<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], Malformed> {
    string(rest, BYTES)?[..].try_into().map_err(|_| Malformed::Field("length"))
}

fn string(rest: &mut Bytes, major: u8) -> Result<Bytes, Malformed> {
    let len = usize::try_from(head(rest, major)?).map_err(|_| Malformed::Truncated)?;
    take(rest, len)
}

fn take(rest: &mut Bytes, len: usize) -> Result<Bytes, Malformed> {
    if len <= rest.len() { Ok(rest.split_to(len)) } else { Err(Malformed::Truncated) }
}

/// The argument of the next item's head, which must be of this major type and in the shortest form.
fn head(rest: &mut Bytes, major: u8) -> Result<u64, Malformed> {
    let first = *rest.first().ok_or(Malformed::Truncated)?;
    if first >> 5 != major {
        return Err(Malformed::Field("type"));
    }
    take(rest, 1)?;
    let (len, least) = match first & 0x1f {
        small @ 0..=23 => return Ok(small.into()),
        24 => (1, 24),
        25 => (2, 1 << 8),
        26 => (4, 1 << 16),
        27 => (8, 1 << 32),
        _ => return Err(Malformed::Field("head")),
    };
    let value = take(rest, len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    if value >= least { Ok(value) } else { Err(Malformed::Field("head")) }
}

fn put_kind(out: &mut BytesMut, kind: u8, items: u64) {
    put_head(out, ARRAY, items);
    put_head(out, UINT, kind.into());
}

fn put_string(out: &mut BytesMut, major: u8, bytes: &[u8]) {
    put_head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_head(out: &mut BytesMut, major: u8, value: u64) {
    let bytes = value.to_be_bytes();
    let (info, len) = match value {
        0..=23 => (value as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.extend_from_slice(&[major << 5 | info]);
    out.extend_from_slice(&bytes[bytes.len() - len..]);
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
