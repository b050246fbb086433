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
pub const DEFAULT_HOP_LIMIT: u8 = 128;

/// What a frame carries. Unknown codes survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Neighbour discovery ([`super::hello`]).
    Hello,
    /// Asks a neighbour for a node's identity record ([`super::identity`]).
    IdentityRequest,
    /// Carries a node's identity record ([`super::identity`]).
    IdentityRecord,
    /// An AlexStream packet ([`super::packet`]).
    Stream,
    /// Routes of the sender ([`super::update`]).
    Update,
    /// Asks a neighbour for updates that were missed ([`super::update`]).
    UpdateRequest,
    /// Asks for a newer seqno of a destination ([`super::update`]).
    SeqnoRequest,
    /// Is the neighbour still there ([`super::probe`])?
    Probe,
    /// Ping and trace across the mesh ([`super::echo`]).
    Echo,
    /// For every node of the mesh ([`super::broadcast`]).
    Broadcast,
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
            5 => Self::Update,
            6 => Self::UpdateRequest,
            7 => Self::SeqnoRequest,
            8 => Self::Probe,
            9 => Self::Echo,
            10 => Self::Broadcast,
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
            FrameType::Update => 5,
            FrameType::UpdateRequest => 6,
            FrameType::SeqnoRequest => 7,
            FrameType::Probe => 8,
            FrameType::Echo => 9,
            FrameType::Broadcast => 10,
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

    /// Changes the hop limit of a frame that is passed on.
    pub fn set_hop_limit(frame: &mut [u8], hop_limit: u8) {
        if let Some(field) = frame.get_mut(2) {
            *field = hop_limit;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_round_trip(code: u8) {
            prop_assert_eq!(u8::from(FrameType::from(code)), code);
            prop_assert_eq!(u8::from(TrafficClass::from(code)), code);
        }

        #[test]
        fn frames_round_trip(
            kind: u8, hop_limit in 1u8.., class: u8, source: [u8; 16], destination: [u8; 16], flags: u16,
            payload in proptest::collection::vec(any::<u8>(), 0..100), padding in 0..50usize,
        ) {
            prop_assume!(source != [0xff; 16]);
            let header = FrameHeader {
                kind: kind.into(),
                hop_limit,
                class: class.into(),
                source: Address(source),
                destination: Address(destination),
            };
            let mut frame = header.emit(payload.len() as u16).to_vec();
            frame[6..8].copy_from_slice(&flags.to_be_bytes());
            frame.extend(&payload);
            for cut in 0..frame.len() {
                prop_assert_eq!(FrameHeader::parse(&frame[..cut]), Err(Malformed::Truncated));
            }
            frame.resize(frame.len() + padding, 0xa5);
            prop_assert_eq!(FrameHeader::parse(&frame), Ok((header, &payload[..])));
        }

        #[test]
        fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), version: bool) {
            let mut bytes = bytes;
            if let (Some(first), true) = (bytes.first_mut(), version) {
                *first = VERSION;
            }
            if let Ok((header, payload)) = FrameHeader::parse(&bytes) {
                let again = header.emit(payload.len() as u16);
                prop_assert_eq!(&again[..6], &bytes[..6]);
                prop_assert_eq!(&again[8..], &bytes[8..HEADER_LEN]);
            }
        }
    }
}
