//! Puts the pieces of a byte stream back in order.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::pool::{BLOCK, Pool};
use super::ranges::RangeSet;

/// Pieces with more gaps between them than this are refused, so that a peer cannot make the bookkeeping cost many times
/// the data. A sender that fills its packets stays far below.
const MAX_GAPS: usize = 4096;

/// Entries (of 24 bytes) that an empty list of blocks keeps.
const KEPT: usize = 8;

/// There are more than [`MAX_GAPS`] gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFragmented;

/// Received bytes from the read position on, with gaps. The caller bounds the highest offset (by flow control or a fixed
/// limit), and with it the memory: the bytes that the limit allows, and one block.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Blocks of [`BLOCK`] bytes from `origin` on, which can be handed to the application as they are; each as long as the
    /// last of them that arrived. Gaps hold zeros. The first is the one with `base` in it. None are kept when everything was read.
    blocks: VecDeque<Vec<u8>>,
    /// Where everything had been read last.
    origin: u64,
    /// What came between the last two times: a guess of what comes next.
    expected: usize,
    /// Everything below was read.
    base: u64,
    /// Everything below arrived.
    end: u64,
    /// What arrived behind a gap.
    ahead: RangeSet,
    /// Where whole blocks come from, and go to.
    pool: Pool,
}

impl Assembler {
    /// With whole blocks from `pool`.
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, ..Self::default() }
    }

    /// Offset of the next byte to read.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Takes a piece. What arrived already is ignored.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) -> Result<(), TooFragmented> {
        let end = offset + data.len() as u64;
        if end <= self.end {
            return Ok(());
        }
        let skip = self.end.saturating_sub(offset) as usize;
        let data = data.get(skip..).unwrap_or_default();
        let start = offset.max(self.end);
        self.store(start, data);
        if start > self.end {
            self.ahead.insert(start..end);
            return if self.ahead.len() > MAX_GAPS { Err(TooFragmented) } else { Ok(()) };
        }
        self.end = end;
        while let Some(next) = self.ahead.first().filter(|next| next.start <= self.end) {
            self.end = self.end.max(next.end);
            self.ahead.pop_first();
        }
        Ok(())
    }

    fn store(&mut self, start: u64, mut data: &[u8]) {
        let (number, mut at) = self.place(start);
        let mut index = number - self.place(self.base).0;
        while !data.is_empty() {
            let (head, tail) = data.split_at(data.len().min(BLOCK - at));
            // Short messages need no whole block.
            let capacity = if number == 0 { (at + head.len()).max(self.expected.min(BLOCK)) } else { BLOCK };
            if self.blocks.len() <= index {
                self.blocks.resize_with(index + 1, Vec::new);
            }
            if let Some(block) = self.blocks.get_mut(index) {
                if block.capacity() == 0 {
                    *block = if capacity == BLOCK { self.pool.take() } else { Vec::with_capacity(capacity) };
                }
                put(block, at, head);
            }
            (data, at, index) = (tail, 0, index + 1);
        }
    }

    /// Number of the block, counted from the origin, and position in it of an offset.
    fn place(&self, offset: u64) -> (usize, usize) {
        let distance = (offset - self.origin) as usize;
        (distance / BLOCK, distance % BLOCK)
    }

    /// How many bytes can be read now.
    pub(super) fn readable(&self) -> usize {
        (self.end - self.base) as usize
    }

    /// Whether pieces behind a gap are left, which cannot be read yet.
    pub(super) fn has_rest(&self) -> bool {
        self.end > self.base || !self.ahead.is_empty()
    }

    /// The readable bytes of the first block.
    fn front(&self) -> Range<usize> {
        let at = self.place(self.base).1;
        at..(at + self.readable()).min(BLOCK)
    }

    fn advance(&mut self, len: usize) {
        let before = self.place(self.base).0;
        self.base += len as u64;
        if self.base == self.end && self.ahead.is_empty() {
            self.blocks.drain(..).for_each(|block| self.pool.put(block));
            self.blocks.shrink_to(KEPT);
            self.expected = (self.base - self.origin) as usize;
            self.origin = self.base;
        } else if self.place(self.base).0 > before {
            self.pool.put(self.blocks.pop_front().unwrap_or_default());
        }
    }

    /// Appends up to `limit` readable bytes to `into`; returns how many.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, limit: usize) -> usize {
        let total = self.readable().min(limit);
        let mut left = total;
        while left > 0 {
            let range = self.front();
            let len = range.len().min(left);
            let block = self.blocks.front().map(Vec::as_slice).unwrap_or_default();
            into.extend_from_slice(block.get(range.start..range.start + len).unwrap_or_default());
            self.advance(len);
            left -= len;
        }
        total
    }

    /// Takes readable bytes, up to `limit`, as they lie in memory when a block is complete; empty when there are none.
    pub(super) fn take(&mut self, limit: usize) -> Bytes {
        let range = self.front();
        let len = range.len().min(limit);
        let range = range.start..range.start + len;
        let is_last = self.is_last(len);
        let Some(block) = self.blocks.front_mut().filter(|block| range.end <= block.len()) else {
            return Bytes::new();
        };
        // Nothing more will be written to a block that is read to its end.
        let is_whole = range.end == BLOCK || len > BLOCK / 2 && range.end == block.len() && is_last;
        let taken = if is_whole {
            self.pool.share(std::mem::take(block)).slice(range)
        } else {
            Bytes::copy_from_slice(&block[range])
        };
        self.advance(len);
        taken
    }

    /// Whether nothing is left once `len` bytes more were read: the blocks are given up then anyway.
    fn is_last(&self, len: usize) -> bool {
        self.base + len as u64 == self.end && self.ahead.is_empty()
    }
}

/// Copies `data` into a block at a position, which may lie behind its end.
fn put(block: &mut Vec<u8>, at: usize, data: &[u8]) {
    if at == block.len() {
        return block.extend_from_slice(data);
    }
    let end = at + data.len();
    if block.len() < end {
        block.resize(end, 0);
    }
    block[at..end].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_many_gaps_are_refused() {
        let mut assembler = Assembler::default();
        for index in 0..MAX_GAPS as u64 {
            assert_eq!(assembler.insert(1 + 2 * index, b"x"), Ok(()));
        }
        assert_eq!(assembler.insert(1 + 2 * MAX_GAPS as u64, b"x"), Err(TooFragmented));
    }

    #[test]
    fn short_messages_cost_little_and_read_ones_nothing() {
        let mut assembler = Assembler::default();
        for number in 0..1000 {
            assembler.insert(100 * number, &[1; 100]).unwrap();
            assert_eq!(assembler.blocks.iter().map(Vec::capacity).sum::<usize>(), 100);
            assembler.read(&mut Vec::new(), 100);
            assert!(assembler.blocks.is_empty());
        }
    }

    #[test]
    fn whole_blocks_are_handed_over_without_a_copy() {
        let mut assembler = Assembler::default();
        for offset in (0..2 * BLOCK).step_by(1024) {
            assembler.insert(offset as u64, &[1; 1024]).unwrap();
        }
        let blocks: Vec<_> = assembler.blocks.iter().map(|block| block.as_ptr()).collect();
        let taken = [assembler.take(usize::MAX), assembler.take(usize::MAX)];
        assert!(
            taken.iter().zip(blocks).all(|(taken, block)| taken.len() == BLOCK && taken.as_ptr() == block)
        );
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_arrive_in_order(
            len in 1usize..80_000,
            pieces in proptest::collection::vec(
                (0usize..80_000, 1usize..30_000, 0usize..30_000, any::<bool>()), 0..60),
        ) {
            let whole: Vec<u8> = (0..len).map(|index| (index * 7 % 251) as u8).collect();
            let mut assembler = Assembler::default();
            let mut read = Vec::new();
            let all = (0usize, len, len, false);
            for (start, size, limit, owned) in pieces.into_iter().chain([all]) {
                let start = start.min(len);
                let end = (start + size).min(len);
                prop_assert_eq!(assembler.insert(start as u64, &whole[start..end]), Ok(()));
                let readable = assembler.readable();
                if owned {
                    let taken = assembler.take(limit);
                    prop_assert!(taken.len() <= limit && (taken.is_empty() == (limit.min(readable) == 0)));
                    read.extend(taken);
                } else {
                    prop_assert_eq!(assembler.read(&mut read, limit), readable.min(limit));
                }
                prop_assert_eq!(assembler.base(), read.len() as u64);
                prop_assert_eq!(&read[..], &whole[..read.len()]);
            }
            assembler.read(&mut read, usize::MAX);
            prop_assert_eq!(read, whole);
            prop_assert!(assembler.blocks.is_empty() && assembler.blocks.capacity() <= KEPT && !assembler.has_rest());
        }
    }
}
