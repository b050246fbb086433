//! What the fuzz targets do with their input. The package `meshcore` has this as a test too, so that it cannot rot.

pub mod frames;
mod rogue;
pub mod stream_operations;
pub mod stream_packets;
#[cfg(test)]
mod tests;
mod wire;

const ALICE: &[u8] = include_bytes!("../../tests/keys/alice.der");
const BOB: &[u8] = include_bytes!("../../tests/keys/bob.der");
