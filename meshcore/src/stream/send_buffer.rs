//! Bytes on their way to the peer: kept until acknowledged, sent again when lost.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::ranges::RangeSet;

/// Copied bytes are collected in chunks of this size.
const CHUNK: usize = 16 * 1024;

/// Entries (of 48 bytes) that an empty list of chunks keeps.
const KEPT: usize = 8;

/// Bytes that were written.
#[derive(Debug)]
enum Data {
    Copied(Vec<u8>),
    /// Handed over by the application: never copied but into packets.
    Shared(Bytes),
}

impl Data {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(data) => data,
            Self::Shared(data) => data,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    data: Data,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.data.as_slice().len() as u64
    }
}

/// The unacknowledged part of a byte stream.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// Bytes from `base` on at the latest, without gaps up to `end`.
    chunks: VecDeque<Chunk>,
    /// Index of the chunk that was copied from last: nearly always that of the next bytes too.
    cursor: usize,
    /// Everything below is acknowledged and forgotten.
    base: u64,
    /// Everything below was sent at least once.
    next: u64,
    end: u64,
    /// Acknowledged above `base`.
    acked: RangeSet,
    /// To be sent again.
    lost: RangeSet,
}

impl SendBuffer {
    /// Takes a copy.
    pub(super) fn write(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if let Some(Chunk { data: Data::Copied(last), .. }) = self.chunks.back_mut()
                && last.len() < CHUNK
            {
                let (head, tail) = data.split_at(data.len().min(CHUNK - last.len()));
                last.extend_from_slice(head);
                self.end += head.len() as u64;
                data = tail;
                continue;
            }
            // A lone short message does not need a whole chunk.
            let capacity = if self.chunks.is_empty() { data.len().min(CHUNK) } else { CHUNK };
            let chunk = Chunk { start: self.end, data: Data::Copied(Vec::with_capacity(capacity)) };
            self.chunks.push_back(chunk);
        }
    }

    /// Takes bytes as they are.
    pub(super) fn write_shared(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let start = self.end;
        self.end += data.len() as u64;
        self.chunks.push_back(Chunk { start, data: Data::Shared(data) });
    }

    /// Number of bytes kept.
    pub(super) fn len(&self) -> usize {
        (self.end - self.base) as usize
    }

    /// Offset behind the last byte written.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Offset behind the last byte ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.next
    }

    /// Whether all that was written is acknowledged.
    pub(super) fn is_acked(&self) -> bool {
        self.base == self.end
    }

    /// Whether something waits to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether bytes wait that were never sent.
    pub(super) fn has_new(&self) -> bool {
        self.next < self.end
    }

    /// Where the next piece to send starts.
    pub(super) fn next_start(&self) -> u64 {
        self.lost.first().map_or(self.next, |range| range.start)
    }

    /// The next piece to send, of at most `len` bytes; lost bytes go first. New bytes only below the offset `limit`.
    pub(super) fn take(&mut self, len: usize, limit: u64) -> Option<Range<u64>> {
        let len = len as u64;
        let range = if let Some(lost) = self.lost.first() {
            let range = lost.start..lost.end.min(lost.start + len);
            self.lost.remove(range.clone());
            range
        } else {
            let range = self.next..self.end.min(limit).min(self.next + len);
            self.next = self.next.max(range.end);
            range
        };
        (range.start < range.end).then_some(range)
    }

    /// Appends the bytes of a range that [`SendBuffer::take`] returned.
    pub(super) fn copy(&mut self, range: &Range<u64>, out: &mut Vec<u8>) {
        let mut start = range.start;
        let is_there = |chunk: &Chunk| chunk.start <= start && start < chunk.end();
        let mut index = self.cursor;
        if !self.chunks.get(index).is_some_and(is_there) {
            index = self.chunks.partition_point(|chunk| chunk.end() <= start);
        }
        while let Some(chunk) = self.chunks.get(index) {
            self.cursor = index;
            let end = chunk.end().min(range.end);
            let [from, to] = [start, end].map(|offset| offset.saturating_sub(chunk.start) as usize);
            out.extend_from_slice(chunk.data.as_slice().get(from..to).unwrap_or_default());
            start = end;
            if start >= range.end {
                break;
            }
            index += 1;
        }
    }

    /// The peer has this range. Returns how many bytes of memory that freed.
    pub(super) fn on_acked(&mut self, range: Range<u64>) -> usize {
        let range = range.start.max(self.base)..range.end;
        self.lost.remove(range.clone());
        if range.start == self.base && self.acked.is_empty() {
            return self.forget(range.end.max(self.base));
        }
        self.acked.insert(range);
        match self.acked.first() {
            Some(first) if first.start == self.base => {
                self.acked.pop_first();
                self.forget(first.end.min(self.end))
            }
            _ => 0,
        }
    }

    /// Everything below `base` is acknowledged.
    fn forget(&mut self, base: u64) -> usize {
        let freed = (base - self.base) as usize;
        self.base = base;
        if base == self.end {
            self.chunks.clear();
            self.chunks.shrink_to(KEPT);
            self.cursor = 0;
        }
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= base) {
            self.chunks.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
        freed
    }

    /// This range is to be sent again, except for what is acknowledged.
    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        let mut start = range.start.max(self.base);
        for acked in self.acked.iter() {
            if acked.start >= range.end {
                break;
            }
            self.lost.insert(start..acked.start);
            start = start.max(acked.end);
        }
        self.lost.insert(start..range.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_arrives_whatever_is_lost(
            len in 0usize..40_000,
            steps in proptest::collection::vec((1usize..2000, 0u8..3, any::<proptest::sample::Index>()), 0..200),
        ) {
            let whole: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
            let mut buffer = SendBuffer::default();
            for (index, piece) in whole.chunks(700).enumerate() {
                if index % 3 == 2 {
                    buffer.write_shared(Bytes::copy_from_slice(piece));
                } else {
                    buffer.write(piece);
                }
            }
            let mut arrived = vec![None; len];
            let mut flying: Vec<Range<u64>> = Vec::new();
            let send = |buffer: &mut SendBuffer, size| {
                let start = buffer.next_start();
                let range = buffer.take(size, u64::MAX)?;
                assert_eq!(range.start, start);
                let mut bytes = Vec::new();
                buffer.copy(&range, &mut bytes);
                assert_eq!(bytes.len() as u64, range.end - range.start);
                Some((range, bytes))
            };
            let deliver = |arrived: &mut Vec<Option<u8>>, range: &Range<u64>, bytes: &[u8]| {
                for (offset, byte) in range.clone().zip(bytes) {
                    arrived[offset as usize] = Some(*byte);
                }
            };
            for (size, what, which) in steps {
                if what == 0 || flying.is_empty() {
                    if let Some((range, bytes)) = send(&mut buffer, size) {
                        deliver(&mut arrived, &range, &bytes);
                        flying.push(range);
                    }
                } else if what == 1 {
                    let range = flying.swap_remove(which.index(flying.len()));
                    buffer.on_acked(range);
                } else {
                    let range = flying.swap_remove(which.index(flying.len()));
                    buffer.on_lost(range);
                }
            }
            for range in flying {
                buffer.on_lost(range);
            }
            while let Some((range, bytes)) = send(&mut buffer, 100) {
                deliver(&mut arrived, &range, &bytes);
                buffer.on_acked(range);
            }
            prop_assert!(buffer.is_acked() && !buffer.has_lost() && !buffer.has_new());
            prop_assert!(buffer.chunks.is_empty() && buffer.chunks.capacity() <= KEPT);
            prop_assert_eq!(arrived.into_iter().flatten().collect::<Vec<_>>(), whole);
        }
    }
}
