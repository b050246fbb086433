//! Frames that fetch a neighbour's identity record. The payload of a request is reserved: sent empty, ignored when
//! received. The payload of an answer is the signed record, which only the layer that verifies it looks into.

use super::Malformed;

/// Longest identity record in bytes.
pub const MAX_RECORD_LEN: usize = 1400;

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
    fn the_length_of_a_record_is_bounded() {
        assert_eq!(parse_record(&[]), Err(Malformed::Truncated));
        assert_eq!(parse_record(&[1]), Ok(&[1][..]));
        assert!(parse_record(&[0; MAX_RECORD_LEN]).is_ok());
        assert_eq!(parse_record(&[0; MAX_RECORD_LEN + 1]), Err(Malformed::TrailingBytes));
    }
}
