//! Bytes on their way to the peer: kept until acknowledged, sent again when lost.

use std::collections::VecDeque;
use std::ops::Range;

use super::ranges::RangeSet;

/// The unacknowledged part of a byte stream.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// Bytes from `base` on.
    data: VecDeque<u8>,
    /// Everything below is acknowledged and forgotten.
    base: u64,
    /// Everything below was sent at least once.
    next: u64,
    /// Acknowledged above `base`.
    acked: RangeSet,
    /// To be sent again.
    lost: RangeSet,
}

impl SendBuffer {
    pub(super) fn write(&mut self, data: &[u8]) {
        self.data.extend(data);
    }

    /// Number of bytes kept.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Offset behind the last byte written.
    pub(super) fn end(&self) -> u64 {
        self.base + self.data.len() as u64
    }

    /// Offset behind the last byte ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.next
    }

    /// Whether all that was written is acknowledged.
    pub(super) fn is_acked(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether something waits to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether bytes wait that were never sent.
    pub(super) fn has_new(&self) -> bool {
        self.next < self.end()
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
            let range = self.next..self.end().min(limit).min(self.next + len);
            self.next = self.next.max(range.end);
            range
        };
        (range.start < range.end).then_some(range)
    }

    /// Appends the bytes of a range that [`SendBuffer::take`] returned.
    pub(super) fn copy(&self, range: &Range<u64>, out: &mut Vec<u8>) {
        let start = range.start.saturating_sub(self.base) as usize;
        let end = range.end.saturating_sub(self.base) as usize;
        let (front, back) = self.data.as_slices();
        let split = front.len();
        out.extend_from_slice(&front[start.min(split)..end.min(split)]);
        out.extend_from_slice(&back[start.max(split) - split..end.max(split) - split]);
    }

    /// The peer has this range. Returns how many bytes of memory that freed.
    pub(super) fn on_acked(&mut self, range: Range<u64>) -> usize {
        let range = range.start.max(self.base)..range.end;
        self.lost.remove(range.clone());
        self.acked.insert(range);
        match self.acked.first() {
            Some(first) if first.start == self.base => {
                self.acked.pop_first();
                let len = ((first.end - self.base) as usize).min(self.data.len());
                self.data.drain(..len);
                self.base = first.end;
                len
            }
            _ => 0,
        }
    }

    /// This range is to be sent again, except for what is acknowledged.
    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        let range = range.start.max(self.base)..range.end;
        self.lost.insert(range.clone());
        let acked: Vec<_> = self
            .acked
            .iter()
            .take_while(|acked| acked.start < range.end)
            .filter(|acked| acked.end > range.start)
            .collect();
        for acked in acked {
            self.lost.remove(acked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_arrives_whatever_is_lost(
            len in 0usize..3000,
            steps in proptest::collection::vec((1usize..200, 0u8..3, any::<proptest::sample::Index>()), 0..200),
        ) {
            let whole: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
            let mut buffer = SendBuffer::default();
            buffer.write(&whole);
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
            prop_assert_eq!(arrived.into_iter().flatten().collect::<Vec<_>>(), whole);
        }
    }
}
