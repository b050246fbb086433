//! The recipient's end of an exchange, once the file is accepted.

use bytes::Bytes;

use super::Violation;
use crate::types::FileReason;
use crate::wire::file::{FileRecord, Offer};

/// Received bytes after which the sender is told of them at the latest.
const PROGRESS: u64 = 256 << 10;

/// Bytes that may be lost by a crash, for a file of this size: a small part of it, and never so few that the disk does nothing
/// but sync.
pub fn sync_interval(size: u64) -> u64 {
    (size / 128).clamp(512 << 10, 16 << 20)
}

/// What the sender's record means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nothing new.
    Nothing,
    /// Bytes to be written at this offset; [`Taking::on_written`] follows.
    Write {
        /// Where they belong.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// The sender has heard of the end.
    Noted,
    /// The sender will not go on. To be saved, then answered with [`FileRecord::Noted`].
    Ended(FileReason),
}

/// One file that is accepted, received on one stream. [`Taking::new`] gives the record to begin with.
#[derive(Debug)]
pub struct Taking {
    offer: Offer,
    /// Up to here chunks have come.
    came: u64,
    /// Up to here they were written.
    written: u64,
    told: u64,
    over: bool,
}

impl Taking {
    /// Goes on where an earlier exchange ended: `offset` bytes of the file are there.
    pub fn new(offer: Offer, offset: u64) -> (Self, FileRecord) {
        let offset = offset.min(offer.size);
        let taking = Self { offer, came: offset, written: offset, told: offset, over: false };
        (taking, FileRecord::Accept(offset))
    }

    /// Takes a record of the sender.
    pub fn handle(&mut self, record: FileRecord) -> Result<Taken, Violation> {
        match record {
            FileRecord::Unknown(_) => Ok(Taken::Nothing),
            FileRecord::Chunk { offset, data } if !self.over => {
                let end = offset.checked_add(data.len() as u64);
                let end = end.filter(|end| offset == self.came && *end <= self.offer.size);
                self.came = end.ok_or(Violation::OutOfRange)?;
                Ok(Taken::Write { offset, data })
            }
            FileRecord::Noted if self.over => Ok(Taken::Noted),
            FileRecord::Cancel { id, reason } if id == self.offer.id => {
                // Crossing an end of ours, it changes nothing but that the sender need not be told any more.
                if self.over {
                    return Ok(Taken::Noted);
                }
                self.over = true;
                Ok(Taken::Ended(reason))
            }
            _ => Err(Violation::Unexpected),
        }
    }

    /// The oldest chunk that was not written yet is written: what the sender is told of it, if it is time.
    pub fn on_written(&mut self, len: usize) -> Option<FileRecord> {
        self.written += len as u64;
        (self.written - self.told >= PROGRESS || self.is_complete()).then(|| self.progress())
    }

    /// Says how far the file has come; also that this side is alive.
    pub fn progress(&mut self) -> FileRecord {
        self.told = self.written;
        FileRecord::Progress(self.written)
    }

    /// Bytes that are written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether all of it is written, and is to be verified.
    pub fn is_complete(&self) -> bool {
        self.written == self.offer.size
    }

    /// The file is verified and has its final name, and that is saved: the record to send. The sender answers with
    /// [`FileRecord::Noted`].
    pub fn finish(&mut self) -> FileRecord {
        self.over = true;
        FileRecord::Finished
    }

    /// This side gives the file up, which is saved: the record to send. The sender answers with [`FileRecord::Noted`].
    pub fn cancel(&mut self, reason: FileReason) -> FileRecord {
        self.over = true;
        FileRecord::Cancel { id: self.offer.id, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileId;

    fn taking(size: u64, offset: u64) -> Taking {
        let offer = Offer { id: FileId([1; 16]), size, sha256: [2; 32], name: "x".into() };
        let (taking, record) = Taking::new(offer, offset);
        assert_eq!(record, FileRecord::Accept(offset));
        taking
    }

    fn chunk(offset: u64, len: usize) -> FileRecord {
        FileRecord::Chunk { offset, data: vec![0; len].into() }
    }

    #[test]
    fn chunks_come_in_order_and_within_the_file() {
        let mut taking = taking(2 * PROGRESS, PROGRESS / 2);
        for bad in [chunk(0, 5), chunk(PROGRESS / 2 + 1, 5), chunk(PROGRESS / 2, 2 * PROGRESS as usize)] {
            assert_eq!(taking.handle(bad), Err(Violation::OutOfRange));
        }
        assert!(matches!(taking.handle(chunk(PROGRESS / 2, 100)), Ok(Taken::Write { .. })));
        assert_eq!(taking.handle(chunk(PROGRESS / 2, 100)), Err(Violation::OutOfRange));
        assert_eq!(taking.on_written(100), None);
        let rest = 2 * PROGRESS - PROGRESS / 2 - 100;
        assert!(matches!(taking.handle(chunk(PROGRESS / 2 + 100, rest as usize)), Ok(Taken::Write { .. })));
        assert!(!taking.is_complete());
        assert_eq!(taking.on_written(rest as usize), Some(FileRecord::Progress(2 * PROGRESS)));
        assert!(taking.is_complete());
        assert_eq!(taking.handle(FileRecord::Noted), Err(Violation::Unexpected));
        assert_eq!(taking.finish(), FileRecord::Finished);
        assert_eq!(taking.handle(FileRecord::Noted), Ok(Taken::Noted));
    }

    #[test]
    fn little_is_lost_by_a_crash() {
        for size in [0, 1 << 20, 64 << 20, 1 << 30, 1 << 53] {
            let interval = sync_interval(size);
            assert!((512 << 10..=16 << 20).contains(&interval));
            assert!(interval == 512 << 10 || interval <= size / 100);
        }
    }
}
