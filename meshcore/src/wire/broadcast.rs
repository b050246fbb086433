//! The broadcast: a few words of one node for every node of the mesh, signed and readable by all.
//!
//! Payload: record number (8), sequence (8), signature (64), content (1 to 1000 bytes).

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Length of what stands before the content.
pub const BROADCAST_HEAD: usize = 80;

/// Longest content in bytes.
pub const MAX_CONTENT: usize = 1000;

/// A received broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broadcast<'a> {
    /// Number of the identity record whose subkey signs it.
    pub record: u64,
    /// Counts the broadcasts of the node under that record, from 1.
    pub sequence: u64,
    /// Signature of the node.
    pub signature: [u8; 64],
    /// What it says.
    pub content: &'a [u8],
}

impl<'a> Broadcast<'a> {
    /// Reads the payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let (record, sequence, signature) = (reader.u64()?, reader.u64()?, reader.array()?);
        match reader.rest() {
            [] => Err(Malformed::Truncated),
            content if content.len() <= MAX_CONTENT => Ok(Self { record, sequence, signature, content }),
            _ => Err(Malformed::TrailingBytes),
        }
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.record.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.signature);
        out.extend(self.content);
    }

    /// What `origin` signs.
    pub fn signed_message(&self, origin: Address) -> Vec<u8> {
        let mut message = b"MeshChat broadcast 1".to_vec();
        message.extend(origin.as_bytes());
        message.extend(self.record.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(self.content);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn broadcasts_round_trip(
            record: u64, sequence: u64, half: [u8; 32], content in proptest::collection::vec(any::<u8>(), 1..1001),
        ) {
            let mut signature = [0; 64];
            signature[32..].copy_from_slice(&half);
            let broadcast = Broadcast { record, sequence, signature, content: &content };
            let mut bytes = Vec::new();
            broadcast.emit(&mut bytes);
            prop_assert_eq!(bytes.len(), BROADCAST_HEAD + content.len());
            prop_assert_eq!(Broadcast::parse(&bytes), Ok(broadcast));
            prop_assert_eq!(Broadcast::parse(&bytes[..BROADCAST_HEAD]), Err(Malformed::Truncated));
        }

        #[test]
        fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            if let Ok(broadcast) = Broadcast::parse(&bytes) {
                let mut again = Vec::new();
                broadcast.emit(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
