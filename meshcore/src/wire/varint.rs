//! Variable-length integers of RFC 9000 §16: the two highest bits of the first byte give the length, 1, 2, 4 or 8 bytes.

use super::{Malformed, reader::Reader};

/// Largest value that the encoding holds.
pub const MAX: u64 = (1 << 62) - 1;

/// Length of the shortest encoding of `value`.
pub const fn len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Appends the shortest encoding of `value`. A value above [`MAX`] is the caller's mistake and is written as [`MAX`].
pub fn emit(value: u64, out: &mut Vec<u8>) {
    debug_assert!(value <= MAX, "{value} does not fit a variable-length integer");
    let value = value.min(MAX);
    match len(value) {
        1 => out.push(value as u8),
        2 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        4 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Reads one integer; encodings longer than necessary are accepted (RFC 9000 §16).
pub fn parse(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let mut ahead = reader.clone();
    let first = ahead.u8()?;
    let mut value = u64::from(first & 0x3f);
    for byte in ahead.bytes((1 << (first >> 6)) - 1)? {
        value = value << 8 | u64::from(*byte);
    }
    *reader = ahead;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_rfc_9000_appendix_a1() {
        let examples: [(u64, &[u8]); 4] = [
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ];
        for (value, bytes) in examples {
            let mut out = Vec::new();
            emit(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(parse(&mut Reader::new(bytes)), Ok(value));
        }
        assert_eq!(parse(&mut Reader::new(&[0x40, 0x25])), Ok(37));
    }

    #[test]
    fn a_failed_read_consumes_nothing() {
        let mut reader = Reader::new(&[0xc0, 1, 2]);
        assert_eq!(parse(&mut reader), Err(Malformed::Truncated));
        assert_eq!(reader.rest().len(), 3);
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back(value in 0..=MAX, shift in 0u32..62) {
            let value = value >> shift;
            let mut out = Vec::new();
            emit(value, &mut out);
            prop_assert_eq!(out.len(), len(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(parse(&mut reader), Ok(value));
            prop_assert!(reader.is_empty());
        }
    }
}
