//! The sender's end of an exchange.

use bytes::Bytes;

use super::Violation;
use crate::types::FileReason;
use crate::wire::file::{FileRecord, MAX_CHUNK, Offer};

/// Bytes that are sent beyond what the recipient has told to have, of a file of this size: what is on its way when the recipient
/// dies is sent again.
fn window(size: u64) -> u64 {
    (size / 64).clamp(1 << 20, 16 << 20)
}

/// What the recipient's record means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// The recipient has the offer on disk, and asks for the file once it is accepted.
    Noted,
    /// It was accepted: chunks are to be sent.
    Accepted,
    /// The recipient has so many bytes.
    Progress(u64),
    /// The recipient has it whole and verified. To be saved, then answered with [`FileRecord::Noted`].
    Finished,
    /// The recipient will not take it. To be saved, then answered with [`FileRecord::Noted`].
    Ended(FileReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Offered,
    Noted,
    Sending { next: u64 },
    Over,
}

/// One file, offered on one stream. [`Offering::new`] gives the record to begin with.
#[derive(Debug)]
pub struct Offering {
    offer: Offer,
    state: State,
    acknowledged: u64,
}

impl Offering {
    /// Begins the exchange.
    pub fn new(offer: Offer) -> (Self, FileRecord) {
        let record = FileRecord::Offer(offer.clone());
        (Self { offer, state: State::Offered, acknowledged: 0 }, record)
    }

    /// Takes a record of the recipient.
    pub fn handle(&mut self, record: FileRecord) -> Result<Heard, Violation> {
        let heard = match (record, self.state) {
            (FileRecord::Unknown(_), _) => Heard::Nothing,
            (FileRecord::Noted, State::Offered | State::Noted) => {
                self.state = State::Noted;
                Heard::Noted
            }
            (FileRecord::Accept(offset), State::Offered | State::Noted) => {
                if offset > self.offer.size {
                    return Err(Violation::OutOfRange);
                }
                (self.state, self.acknowledged) = (State::Sending { next: offset }, offset);
                Heard::Accepted
            }
            (FileRecord::Progress(offset), State::Sending { next }) => {
                if offset < self.acknowledged || offset > next {
                    return Err(Violation::OutOfRange);
                }
                self.acknowledged = offset;
                Heard::Progress(offset)
            }
            (FileRecord::Finished, state) => {
                // It may have it from an earlier exchange, but not before this one has sent all of it.
                if matches!(state, State::Over)
                    || matches!(state, State::Sending { next } if next < self.offer.size)
                {
                    return Err(Violation::Unexpected);
                }
                self.state = State::Over;
                Heard::Finished
            }
            (FileRecord::Cancel { id, reason }, State::Offered | State::Noted | State::Sending { .. })
                if id == self.offer.id =>
            {
                self.state = State::Over;
                Heard::Ended(reason)
            }
            _ => return Err(Violation::Unexpected),
        };
        Ok(heard)
    }

    /// Whether the recipient has not said anything yet.
    pub fn is_unanswered(&self) -> bool {
        self.state == State::Offered
    }

    /// Whether chunks are asked for, or were sent.
    pub fn is_sending(&self) -> bool {
        matches!(self.state, State::Sending { .. })
    }

    /// Offset and length of what is to be read from the file next.
    pub fn next_read(&self) -> Option<(u64, usize)> {
        match self.state {
            State::Sending { next }
                if next < self.offer.size && next - self.acknowledged < window(self.offer.size) =>
            {
                let left = usize::try_from(self.offer.size - next).unwrap_or(usize::MAX);
                Some((next, left.min(MAX_CHUNK)))
            }
            _ => None,
        }
    }

    /// What was read, as asked for: the record to send.
    pub fn on_read(&mut self, data: Bytes) -> Result<FileRecord, Violation> {
        let Some((offset, len)) = self.next_read() else { return Err(Violation::Unexpected) };
        if data.is_empty() || data.len() > len {
            return Err(Violation::OutOfRange);
        }
        self.state = State::Sending { next: offset + data.len() as u64 };
        Ok(FileRecord::Chunk { offset, data })
    }

    /// This side gives the file up: the record to send. The recipient answers [`FileRecord::Noted`].
    pub fn cancel(&mut self, reason: FileReason) -> FileRecord {
        self.state = State::Over;
        FileRecord::Cancel { id: self.offer.id, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileId;

    fn offering(size: u64) -> Offering {
        let offer = Offer { id: FileId([1; 16]), size, sha256: [2; 32], name: "x".into() };
        let (offering, record) = Offering::new(offer.clone());
        assert_eq!(record, FileRecord::Offer(offer));
        offering
    }

    #[test]
    fn chunks_follow_the_accepted_offset() {
        let mut offering = offering(300_000);
        assert_eq!(offering.next_read(), None);
        assert_eq!(offering.handle(FileRecord::Noted), Ok(Heard::Noted));
        assert_eq!(offering.handle(FileRecord::Accept(100_000)), Ok(Heard::Accepted));
        assert_eq!(offering.next_read(), Some((100_000, MAX_CHUNK)));
        let record = offering.on_read(vec![0; MAX_CHUNK].into()).unwrap();
        assert!(matches!(record, FileRecord::Chunk { offset: 100_000, .. }));
        assert_eq!(offering.handle(FileRecord::Finished), Err(Violation::Unexpected));
        assert_eq!(offering.handle(FileRecord::Progress(100_001)), Ok(Heard::Progress(100_001)));
        assert_eq!(offering.handle(FileRecord::Progress(100_000)), Err(Violation::OutOfRange));
        assert_eq!(offering.next_read(), Some((100_000 + MAX_CHUNK as u64, 200_000 - MAX_CHUNK)));
        offering.on_read(vec![0; 200_000 - MAX_CHUNK].into()).unwrap();
        assert_eq!(offering.next_read(), None);
        assert_eq!(offering.handle(FileRecord::Progress(300_001)), Err(Violation::OutOfRange));
        assert_eq!(offering.handle(FileRecord::Finished), Ok(Heard::Finished));
        assert_eq!(offering.handle(FileRecord::Finished), Err(Violation::Unexpected));
    }

    #[test]
    fn little_is_on_its_way() {
        for size in [10 << 20, 64 << 20, 1 << 30, 1 << 40] {
            let mut offering = offering(size);
            offering.handle(FileRecord::Accept(1000)).unwrap();
            let mut sent = 0;
            while let Some((_, len)) = offering.next_read() {
                offering.on_read(vec![0; len].into()).unwrap();
                sent += len as u64;
            }
            assert!((window(size)..window(size) + MAX_CHUNK as u64).contains(&sent));
            assert!(window(size) == 1 << 20 || window(size) <= size / 50);
            offering.handle(FileRecord::Progress(1000 + sent / 2)).unwrap();
            assert!(offering.next_read().is_some());
        }
    }

    #[test]
    fn what_does_not_belong_there_is_refused() {
        let other = FileRecord::Cancel { id: FileId([9; 16]), reason: FileReason::Refused };
        for record in [
            FileRecord::Accept(11),
            FileRecord::Progress(0),
            FileRecord::Want(FileId([1; 16])),
            FileRecord::Chunk { offset: 0, data: vec![1].into() },
            other,
        ] {
            assert!(offering(10).handle(record.clone()).is_err(), "{record:?}");
        }
        let mut twice = offering(10);
        twice.handle(FileRecord::Accept(0)).unwrap();
        assert_eq!(twice.handle(FileRecord::Accept(5)), Err(Violation::Unexpected));
        assert_eq!(twice.handle(FileRecord::Unknown(77)), Ok(Heard::Nothing));
    }
}
