//! The length in front of a record on a stream: u32, big-endian, from 1 up to what the protocol of the stream allows.

use super::Malformed;

/// Bytes that it takes.
pub const LENGTH_LEN: usize = 4;

/// Reads a length and checks it, before anything is buffered.
pub(super) fn parse(bytes: [u8; LENGTH_LEN], max: usize) -> Result<usize, Malformed> {
    let len = u32::from_be_bytes(bytes) as usize;
    if (1..=max).contains(&len) { Ok(len) } else { Err(Malformed::Field("record length")) }
}

/// What stands in front of a body of `len` bytes.
pub(super) fn emit(len: usize, max: usize) -> [u8; LENGTH_LEN] {
    debug_assert!((1..=max).contains(&len));
    (len as u32).to_be_bytes()
}
