//! Puts the pieces of a byte stream back in order.

use std::collections::VecDeque;

use super::ranges::RangeSet;

/// Pieces with more gaps between them than this are refused, so that a peer cannot make the bookkeeping cost many times
/// the data. A sender that fills its packets stays far below.
const MAX_GAPS: usize = 4096;

/// A buffer that stays this large after it has been drained is given back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// There are more than [`MAX_GAPS`] gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFragmented;

/// Received bytes from the read position on, with gaps. The caller bounds the highest offset (by flow control or a fixed
/// limit), and with it the memory.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Bytes from `base` on; gaps hold zeros.
    buffer: VecDeque<u8>,
    base: u64,
    received: RangeSet,
}

impl Assembler {
    /// Offset of the next byte to read.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Takes a piece. What was read already is ignored.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) -> Result<(), TooFragmented> {
        let end = offset + data.len() as u64;
        if end <= self.base {
            return Ok(());
        }
        let skip = self.base.saturating_sub(offset) as usize;
        let data = data.get(skip..).unwrap_or_default();
        let start = offset.max(self.base);
        let at = (start - self.base) as usize;
        if self.buffer.len() < at + data.len() {
            self.buffer.resize(at + data.len(), 0);
        }
        overwrite(&mut self.buffer, at, data);
        self.received.insert(start..end);
        if self.received.len() > MAX_GAPS { Err(TooFragmented) } else { Ok(()) }
    }

    /// How many bytes can be read now.
    pub(super) fn readable(&self) -> usize {
        match self.received.first() {
            Some(range) if range.start == self.base => (range.end - range.start) as usize,
            _ => 0,
        }
    }

    /// Whether pieces behind a gap are left, which cannot be read yet.
    pub(super) fn has_rest(&self) -> bool {
        !self.received.is_empty()
    }

    /// Appends up to `limit` readable bytes to `into`; returns how many.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, limit: usize) -> usize {
        let len = self.readable().min(limit);
        into.extend(self.buffer.drain(..len));
        let end = self.base + len as u64;
        self.received.remove(self.base..end);
        self.base = end;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_CAPACITY {
            self.buffer = VecDeque::new();
        }
        len
    }
}

/// Copies `data` over the bytes of `buffer` from `at` on, which must exist.
fn overwrite(buffer: &mut VecDeque<u8>, at: usize, data: &[u8]) {
    let (front, back) = buffer.as_mut_slices();
    let in_front = front.len().saturating_sub(at).min(data.len());
    let (head, tail) = data.split_at(in_front);
    if !head.is_empty() {
        front[at..at + head.len()].copy_from_slice(head);
    }
    if !tail.is_empty() {
        let at = at.saturating_sub(front.len());
        back[at..at + tail.len()].copy_from_slice(tail);
    }
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

    proptest! {
        #[test]
        fn pieces_in_any_order_arrive_in_order(
            len in 1usize..2000,
            pieces in proptest::collection::vec((0usize..2000, 1usize..300, 0usize..500), 0..60),
        ) {
            let whole: Vec<u8> = (0..len).map(|index| (index * 7 % 251) as u8).collect();
            let mut assembler = Assembler::default();
            let mut read = Vec::new();
            let all = (0usize, len, len);
            for (start, size, limit) in pieces.into_iter().chain([all]) {
                let start = start.min(len);
                let end = (start + size).min(len);
                prop_assert_eq!(assembler.insert(start as u64, &whole[start..end]), Ok(()));
                let readable = assembler.readable();
                prop_assert_eq!(assembler.read(&mut read, limit), readable.min(limit));
                prop_assert_eq!(assembler.base(), read.len() as u64);
                prop_assert_eq!(&read[..], &whole[..read.len()]);
            }
            assembler.read(&mut read, usize::MAX);
            prop_assert_eq!(read, whole);
        }
    }
}
