//! Frames that fetch a neighbour's identity record.
//!
//! The payload of a request is the seqno of the latest hello heard from the neighbour (2 bytes): it shows that the
//! request comes from where the answer will go. What follows is reserved: not sent, and ignored. The payload of an
//! answer is the signed record, which only the layer that verifies it looks into.

use super::{Malformed, reader::Reader};

/// Longest identity record in bytes.
pub const MAX_RECORD_LEN: usize = 1400;

/// The seqno in the payload of an identity request frame.
pub fn parse_request(payload: &[u8]) -> Result<u16, Malformed> {
    Reader::new(payload).u16()
}

/// The payload of an identity request frame.
pub fn emit_request(seqno: u16) -> [u8; 2] {
    seqno.to_be_bytes()
}

/// The record in the payload of an identity record frame.
pub fn parse_record(payload: &[u8]) -> Result<&[u8], Malformed> {
    match payload.len() {
        0 => Err(Malformed::Truncated),
        1..=MAX_RECORD_LEN => Ok(payload),
        _ => Err(Malformed::TrailingBytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        assert_eq!(parse_request(&emit_request(0x1234)), Ok(0x1234));
        assert_eq!(parse_request(&[0x12, 0x34, 0x56]), Ok(0x1234));
        assert_eq!(parse_request(&[0x12]), Err(Malformed::Truncated));
    }

    #[test]
    fn the_length_of_a_record_is_bounded() {
        assert_eq!(parse_record(&[]), Err(Malformed::Truncated));
        assert_eq!(parse_record(&[1]), Ok(&[1][..]));
        assert!(parse_record(&[0; MAX_RECORD_LEN]).is_ok());
        assert_eq!(parse_record(&[0; MAX_RECORD_LEN + 1]), Err(Malformed::TrailingBytes));
    }
}
