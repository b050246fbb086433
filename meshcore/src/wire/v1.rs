//! AlexMesh v1 and AlexStream v1: a frame of a 23-byte header and a payload to its end, and in a message frame either
//! text or a stream segment of an 11-byte header and data.
//!
//! ```text
//!  0       1      2        8             14    15           23
//! +-------+------+--------+-------------+-----+------------+---------
//! | ver=1 | type | origin | destination | ttl | message id | payload
//! +-------+------+--------+-------------+-----+------------+---------
//!
//!  0        2       3     7     11
//! +--------+-------+-----+-----+------
//! | stream | flags | seq | ack | data
//! +--------+-------+-----+-----+------
//! ```
//!
//! There is no length, and Ethernet fills short frames up with zero bytes: [`without_padding`].

use super::{Malformed, reader::Reader};
use crate::types::V1Address;

/// Version that this module reads and writes.
pub const VERSION: u8 = 1;

/// Length of the header of a frame in bytes.
pub const HEADER_LEN: usize = 23;

/// Length of the header of a stream segment in bytes.
pub const SEGMENT_HEADER_LEN: usize = 11;

/// What a frame carries. Unknown codes survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// "I am here." The payload means nothing.
    Handshake,
    /// Text or a stream segment for one node.
    Message,
    /// Text for everyone.
    Broadcast,
    /// Answers a message ([`ack_of`]).
    Status,
    /// A code that v1 does not define.
    Unknown(u8),
}

impl From<u8> for FrameType {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Handshake,
            2 => Self::Message,
            3 => Self::Broadcast,
            4 => Self::Status,
            other => Self::Unknown(other),
        }
    }
}

impl From<FrameType> for u8 {
    fn from(kind: FrameType) -> Self {
        match kind {
            FrameType::Handshake => 1,
            FrameType::Message => 2,
            FrameType::Broadcast => 3,
            FrameType::Status => 4,
            FrameType::Unknown(code) => code,
        }
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameType,
    /// Node that made the frame.
    pub origin: V1Address,
    /// Node that the frame is for, or [`V1Address::EVERYONE`].
    pub destination: V1Address,
    /// How often the frame may be rebroadcast.
    pub ttl: u8,
    /// Milliseconds of Unix time at the origin.
    pub id: u64,
}

impl FrameHeader {
    /// Splits a frame as received into header and payload, padding included.
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(frame);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let kind = reader.u8()?.into();
        let origin = V1Address(reader.array()?);
        let destination = V1Address(reader.array()?);
        let header = Self { kind, origin, destination, ttl: reader.u8()?, id: reader.u64()? };
        if !origin.is_station() {
            return Err(Malformed::Field("origin"));
        }
        if destination != V1Address::EVERYONE && !destination.is_station() {
            return Err(Malformed::Field("destination"));
        }
        Ok((header, reader.rest()))
    }

    /// Writes the header.
    pub fn emit(&self, out: &mut [u8; HEADER_LEN]) {
        out[0] = VERSION;
        out[1] = self.kind.into();
        out[2..8].copy_from_slice(self.origin.as_bytes());
        out[8..14].copy_from_slice(self.destination.as_bytes());
        out[14] = self.ttl;
        out[15..23].copy_from_slice(&self.id.to_be_bytes());
    }
}

/// What a stream segment does: the combinations of flags that v1 defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// SYN: opens a stream.
    Syn,
    /// ACK: answers DATA or FIN.
    Ack,
    /// SYN and ACK: answers SYN.
    SynAck,
    /// FIN: ends a stream.
    Fin,
    /// DATA.
    Data,
}

impl SegmentKind {
    fn from_flags(flags: u8) -> Option<Self> {
        match flags {
            1 => Some(Self::Syn),
            2 => Some(Self::Ack),
            3 => Some(Self::SynAck),
            4 => Some(Self::Fin),
            8 => Some(Self::Data),
            _ => None,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Self::Syn => 1,
            Self::Ack => 2,
            Self::SynAck => 3,
            Self::Fin => 4,
            Self::Data => 8,
        }
    }
}

/// The header of a stream segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of the stream, chosen by who opened it.
    pub stream: u16,
    /// What the segment does.
    pub kind: SegmentKind,
    /// Position of the data in the sender's direction; SYN and FIN count as one byte.
    pub seq: u32,
    /// Position that the sender waits for in the other direction.
    pub ack: u32,
}

impl Segment {
    /// Splits the payload of a message frame into segment header and data, padding included. `None`: it is text.
    ///
    /// Nothing in the frame tells the two apart. A segment has 11 bytes at least and as its third one 1, 2, 3, 4 or 8:
    /// control characters that no text holds. Combinations of flags that v1 does not use are not looked for: DATA with
    /// ACK would be a line feed.
    pub fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(payload);
        let stream = reader.u16().ok()?;
        let kind = SegmentKind::from_flags(reader.u8().ok()?)?;
        let seq = reader.u32().ok()?;
        let ack = reader.u32().ok()?;
        Some((Self { stream, kind, seq, ack }, reader.rest()))
    }

    /// Writes the header.
    pub fn emit(&self, out: &mut [u8; SEGMENT_HEADER_LEN]) {
        out[..2].copy_from_slice(&self.stream.to_be_bytes());
        out[2] = self.kind.flags();
        out[3..7].copy_from_slice(&self.seq.to_be_bytes());
        out[7..].copy_from_slice(&self.ack.to_be_bytes());
    }
}

/// Cuts the zero bytes at the end.
pub fn without_padding(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &text[..end]
}

/// The text of the status that acknowledges the message `id`.
pub fn ack_text(id: u64) -> String {
    format!("ACK:{id}")
}

/// The message that a status with this payload acknowledges. `None`: it says something else.
pub fn ack_of(payload: &[u8]) -> Option<u64> {
    let digits = without_padding(payload).strip_prefix(b"ACK:")?;
    // A number in Rust may start with a plus sign.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "v1_tests.rs"]
mod tests;
