//! The AlexMesh v2 frame: a fixed header of 40 bytes, then the payload.
//!
//! ```text
//!  0       1       2          3              4               6        8            24                40
//! +-------+-------+----------+--------------+---------------+--------+------------+-----------------+---------
//! | ver=2 | type  | hop limit| traffic class| payload length| flags  | source     | destination     | payload
//! +-------+-------+----------+--------------+---------------+--------+------------+-----------------+---------
//! ```

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Version that this module reads and writes.
pub const VERSION: u8 = 2;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 40;

/// Hop limit of a frame that no relay may pass on.
pub const ONE_HOP: u8 = 1;

/// Hop limit of frames that travel.
pub const DEFAULT_HOP_LIMIT: u8 = 64;

/// What a frame carries. Unknown codes survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Neighbour discovery ([`super::hello`]).
    Hello,
    /// Asks for the identity record of the destination ([`super::identity`]).
    IdentityRequest,
    /// Carries the identity record of the source ([`super::identity`]).
    IdentityRecord,
    /// An AlexStream packet ([`super::packet`]).
    Stream,
    /// A code that this version does not know.
    Unknown(u8),
}

impl From<u8> for FrameType {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Hello,
            2 => Self::IdentityRequest,
            3 => Self::IdentityRecord,
            4 => Self::Stream,
            other => Self::Unknown(other),
        }
    }
}

impl From<FrameType> for u8 {
    fn from(kind: FrameType) -> Self {
        match kind {
            FrameType::Hello => 1,
            FrameType::IdentityRequest => 2,
            FrameType::IdentityRecord => 3,
            FrameType::Stream => 4,
            FrameType::Unknown(code) => code,
        }
    }
}

/// How urgent a frame is. Unknown codes survive a round trip and are treated as [`TrafficClass::Bulk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrafficClass {
    /// Everything that can wait.
    Bulk,
    /// Frames that keep the mesh and its connections alive.
    Control,
    /// A code that this version does not know.
    Unknown(u8),
}

impl From<u8> for TrafficClass {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Bulk,
            1 => Self::Control,
            other => Self::Unknown(other),
        }
    }
}

impl From<TrafficClass> for u8 {
    fn from(class: TrafficClass) -> Self {
        match class {
            TrafficClass::Bulk => 0,
            TrafficClass::Control => 1,
            TrafficClass::Unknown(code) => code,
        }
    }
}

/// The header of a frame. The flags field is not represented: it is sent as zero and ignored when received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameType,
    /// How many more links the frame may cross; 1 on its last.
    pub hop_limit: u8,
    /// How urgent the frame is.
    pub class: TrafficClass,
    /// Node that made the frame.
    pub source: Address,
    /// Node that the frame is for.
    pub destination: Address,
}

impl FrameHeader {
    /// Splits a frame as received into header and payload. Padding behind the payload, as Ethernet adds it to short
    /// frames, is cut off.
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(frame);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let kind = reader.u8()?.into();
        let hop_limit = reader.u8()?;
        let class = reader.u8()?.into();
        let payload_len = reader.u16()?;
        let _flags = reader.u16()?;
        let source = Address(reader.array()?);
        let destination = Address(reader.array()?);
        if hop_limit == 0 {
            return Err(Malformed::Field("hop limit"));
        }
        if source == Address::EVERYONE {
            return Err(Malformed::Field("source"));
        }
        let payload = reader.bytes(payload_len.into())?;
        Ok((Self { kind, hop_limit, class, source, destination }, payload))
    }

    /// The header's bytes in front of a payload of `payload_len` bytes.
    pub fn emit(&self, payload_len: u16) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = VERSION;
        out[1] = self.kind.into();
        out[2] = self.hop_limit;
        out[3] = self.class.into();
        out[4..6].copy_from_slice(&payload_len.to_be_bytes());
        out[8..24].copy_from_slice(self.source.as_bytes());
        out[24..40].copy_from_slice(self.destination.as_bytes());
        out
    }
}
