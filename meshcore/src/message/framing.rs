//! Cutting a stream of bytes into records, and keeping what is still to be written.

use std::marker::PhantomData;

use crate::wire::Malformed;
use crate::wire::length::LENGTH_LEN;
use crate::wire::post::{self, PostRecord};
use crate::wire::record::{self, Record};

/// A record behind its length.
pub(super) trait Framed: Sized {
    fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed>;
    fn parse(body: &[u8]) -> Result<Self, Malformed>;
    /// Appends length and body.
    fn emit(&self, out: &mut Vec<u8>);
}

impl Framed for Record {
    fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed> {
        record::parse_length(bytes)
    }

    fn parse(body: &[u8]) -> Result<Self, Malformed> {
        Self::parse(body)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.emit(out);
    }
}

impl Framed for PostRecord {
    fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed> {
        post::parse_length(bytes)
    }

    fn parse(body: &[u8]) -> Result<Self, Malformed> {
        Self::parse(body)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.emit(out);
    }
}

/// Puts records together from pieces of any size. Memory follows what has arrived, not what was announced.
#[derive(Debug)]
pub(super) struct RecordReader<R> {
    buffer: Vec<u8>,
    record: PhantomData<R>,
}

impl<R> Default for RecordReader<R> {
    fn default() -> Self {
        Self { buffer: Vec::new(), record: PhantomData }
    }
}

impl<R: Framed> RecordReader<R> {
    /// Takes bytes from the front of `data` up to the end of the next record; `None` when it is not complete yet.
    pub(super) fn next(&mut self, data: &mut &[u8]) -> Result<Option<R>, Malformed> {
        if !self.fill(data, LENGTH_LEN) {
            return Ok(None);
        }
        let Some((length, _)) = self.buffer.split_first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let length = R::parse_length(*length)?;
        if !self.fill(data, LENGTH_LEN + length) {
            return Ok(None);
        }
        let record = self.buffer.get(LENGTH_LEN..).map_or(Err(Malformed::Truncated), R::parse)?;
        // A single long record does not keep its memory for the rest of the session.
        self.buffer = Vec::new();
        Ok(Some(record))
    }

    /// Fills the buffer up to `len` bytes; whether it got there.
    fn fill(&mut self, data: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.buffer.len()).min(data.len());
        let (taken, rest) = data.split_at(missing);
        self.buffer.extend_from_slice(taken);
        *data = rest;
        self.buffer.len() >= len
    }
}

/// So many written bytes stay in front of those that are not, so that not every few that are written move the rest.
const WRITTEN: usize = 64 * 1024;

/// Bytes that a stream has not taken yet.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that were written before, and are kept no longer.
    dropped: usize,
}

impl WriteBuffer {
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Appends a record; returns where it ends, to be compared with [`WriteBuffer::on_written`].
    pub(super) fn push(&mut self, record: &impl Framed) -> usize {
        record.emit(&mut self.bytes);
        self.dropped + self.bytes.len()
    }

    /// The stream took `n` bytes; returns how far the buffer has been written. An empty buffer starts again at 0.
    pub(super) fn on_written(&mut self, n: usize) -> usize {
        self.written = self.written.saturating_add(n).min(self.bytes.len());
        let written = self.dropped + self.written;
        if self.pending().is_empty() {
            *self = Self::default();
        } else if self.written >= WRITTEN.max(self.bytes.len() / 2) {
            // A new one: the old one would keep its memory.
            self.bytes = self.bytes.split_off(self.written);
            (self.written, self.dropped) = (0, written);
        }
        written
    }

    /// Bytes in memory, those included that were written.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{MessageId, UnixTime};
    use crate::wire::content::Content;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fragmentation_does_not_matter(
            texts in prop::collection::vec("[a-z]{1,40}", 1..8),
            pieces in prop::collection::vec(1usize..20, 1..200),
        ) {
            let records: Vec<_> = texts
                .into_iter()
                .map(|text| Record::Message { id: MessageId([7; 16]), sent_at: UnixTime::from_millis(1), content: Content::Text(text) })
                .collect();
            let mut stream = WriteBuffer::default();
            for record in &records {
                stream.push(record);
            }
            let (mut reader, mut seen, mut pieces) = (RecordReader::<Record>::default(), Vec::new(), pieces.into_iter().cycle());
            while !stream.pending().is_empty() {
                let len = pieces.next().unwrap().min(stream.pending().len());
                let mut data = &stream.pending()[..len];
                while !data.is_empty() {
                    seen.extend(reader.next(&mut data).unwrap());
                }
                stream.on_written(len);
            }
            prop_assert_eq!(seen, records);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (mut reader, mut data) = (RecordReader::<Record>::default(), &bytes[..]);
            while let Ok(Some(_)) = reader.next(&mut data) {}
        }
    }

    #[test]
    fn what_was_written_is_dropped_and_where_records_end_stays_right() {
        let (mut buffer, mut ends, mut written) = (WriteBuffer::default(), Vec::new(), 0);
        for n in 0..200u32 {
            let content = Content::Text("x".repeat(10_000));
            let (id, sent_at) = (MessageId([7; 16]), UnixTime::from_millis(n.into()));
            ends.push(buffer.push(&Record::Message { id, sent_at, content }));
            // One byte of the record is always left.
            let n = buffer.pending().len() - 1;
            written = buffer.on_written(n);
            assert_eq!((written + 1, buffer.pending().len()), (ends[ends.len() - 1], 1));
            assert!(buffer.in_memory() <= 4 * WRITTEN, "{}", buffer.in_memory());
        }
        assert!(ends.is_sorted() && written > 2_000_000);
        assert_eq!(buffer.on_written(1), written + 1);
        assert_eq!(buffer.in_memory(), 0);
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut reader = RecordReader::<Record>::default();
        assert_eq!(reader.next(&mut &[0, 0x10, 0, 0, 0x84][..]), Ok(None));
        assert!(reader.buffer.capacity() < 100);
        assert!(RecordReader::<Record>::default().next(&mut &[0xff; 4][..]).is_err());
    }
}
