//! Blocks of memory that are used again and again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Size of a block.
pub(super) const BLOCK: usize = 16 * 1024;

/// Blocks that are kept at the most: 1 MiB.
const KEPT: usize = 64;

/// Blocks that nobody uses at present, of one endpoint. What an allocator is given back it often gives to the system, and the system's memory
/// is cleared page by page before it is used again: at high rates that takes longer than the copying.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

/// A block in use.
struct Lent {
    block: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.block));
    }
}

impl Pool {
    /// An empty block.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    /// Takes a block back. Memory of another size is no block.
    pub(super) fn put(&self, mut block: Vec<u8>) {
        if block.capacity() != BLOCK {
            return;
        }
        block.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(block);
        }
    }

    /// The block as shared bytes, which comes back when the last of them is dropped.
    pub(super) fn share(&self, block: Vec<u8>) -> Bytes {
        if block.capacity() != BLOCK {
            return block.into();
        }
        Bytes::from_owner(Lent { block, pool: self.clone() })
    }
}
