//! Frames that fetch identity records from neighbours, which have them of every node that they announce.
//!
//! ```text
//! request: seqno of the latest hello heard from the neighbour (2), node (16)
//! answer:  node (16), its signed record, which only the layer that verifies it looks into
//! ```
//!
//! The seqno shows that the request comes from where the answer will go.

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Longest identity record in bytes.
pub const MAX_RECORD_LEN: usize = 1300;

/// Asks for the identity record of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityRequest {
    /// Seqno of the latest hello heard from the neighbour.
    pub heard: u16,
    /// Whose record.
    pub node: Address,
}

impl IdentityRequest {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let request = Self { heard: reader.u16()?, node: Address(reader.array()?) };
        reader.finish().map(|()| request)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.heard.to_be_bytes());
        out.extend(self.node.as_bytes());
    }
}

/// The node and its record in the payload of an identity record frame.
pub fn parse_record(payload: &[u8]) -> Result<(Address, &[u8]), Malformed> {
    let mut reader = Reader::new(payload);
    let node = Address(reader.array()?);
    match reader.rest() {
        [] => Err(Malformed::Truncated),
        record if record.len() <= MAX_RECORD_LEN => Ok((node, record)),
        _ => Err(Malformed::TrailingBytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        let request = IdentityRequest { heard: 0x1234, node: Address([7; 16]) };
        let mut bytes = Vec::new();
        request.emit(&mut bytes);
        assert_eq!(IdentityRequest::parse(&bytes), Ok(request));
        assert_eq!(IdentityRequest::parse(&bytes[1..]), Err(Malformed::Truncated));
        bytes.push(0);
        assert_eq!(IdentityRequest::parse(&bytes), Err(Malformed::TrailingBytes));
    }

    #[test]
    fn the_length_of_a_record_is_bounded() {
        let node = Address([7; 16]);
        assert_eq!(parse_record(&[7; 16]), Err(Malformed::Truncated));
        assert_eq!(parse_record(&[7; 17]), Ok((node, &[7][..])));
        assert!(parse_record(&[7; 16 + MAX_RECORD_LEN]).is_ok());
        assert_eq!(parse_record(&[7; 17 + MAX_RECORD_LEN]), Err(Malformed::TrailingBytes));
    }
}
