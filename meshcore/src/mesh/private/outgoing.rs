//! What this node sends on one link.

use aws_lc_rs::error::Unspecified;
use rand::RngExt;
use rand::rngs::StdRng;

use super::config::MAX_BLOCKS;
use super::schedule::{Schedule, SessionKey};
use crate::mesh::DropReason;
use crate::wire::sealed::{Content, SealedHeader, SessionId};

/// A session of this node. Not `Clone`: two of them would use the same nonces.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: SessionId,
    key: SessionKey,
    /// Counter of the next frame.
    next: u64,
    /// Blocks of AES encrypted so far.
    pub(super) blocks: u64,
}

impl Outgoing {
    pub(super) fn new(schedule: &Schedule, rng: &mut StdRng) -> Result<Self, Unspecified> {
        let id = SessionId(rng.random());
        Ok(Self { id, key: schedule.session_key(id)?, next: 0, blocks: 0 })
    }

    /// Whether the key has protected as much as one key may.
    pub(super) fn is_spent(&self) -> bool {
        self.blocks >= MAX_BLOCKS
    }

    /// Appends the sealed frame. A failure leaves `out` as it was.
    pub(super) fn seal(&mut self, content: &Content<&[u8]>, out: &mut Vec<u8>) -> Result<(), DropReason> {
        let length = content.sealed_len().ok_or(DropReason::Unsealable)?;
        let header = SealedHeader { session: self.id, counter: self.next };
        // Whatever happens below: this counter is used up.
        self.next += 1;
        // One block for the tag, and one for a last block that is not full.
        self.blocks += u64::from(length) / 16 + 2;
        let clear = header.emit(length);
        let start = out.len();
        out.extend(clear);
        let plaintext = out.len();
        content.emit(out);
        match self.key.seal(&header, &clear, &mut out[plaintext..]) {
            Ok(tag) => {
                out.extend(tag.as_ref());
                Ok(())
            }
            Err(Unspecified) => {
                out.truncate(start);
                Err(DropReason::Unsealable)
            }
        }
    }
}
