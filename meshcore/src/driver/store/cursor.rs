//! The confirmation cursor: how far the application has confirmed the incoming messages.
//!
//! An application prints a message and then confirms it. For "shown exactly once" to hold when it is killed right after
//! that, confirming must neither wait for a disk nor for the writer of the database. So the cursor has a file of its
//! own, written by one system call: from then on it is in the kernel's page cache, which survives the process. It is
//! not synced. After a power cut the cursor can be older than it was: messages that were shown are shown again, none
//! is lost. The database gets a copy with its next commit.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

const NUMBER_LEN: usize = 8;
const LEN: usize = 2 * NUMBER_LEN;
const DOMAIN: &[u8] = b"MeshChat confirmation cursor v1";

/// The cursor. Any thread may move it.
#[derive(Debug)]
pub struct Cursor {
    file: File,
    confirmed: Mutex<u64>,
}

impl Cursor {
    /// Opens or creates the file. `stored` is what the database knows; the larger of the two counts, but never more
    /// than `last_arrival`: when an older database was put back, its next messages must not count as confirmed.
    pub fn open(path: &Path, stored: u64, last_arrival: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = [0; LEN];
        let own = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let confirmed = own.unwrap_or(0).max(stored).min(last_arrival);
        if own != Some(confirmed) {
            file.write_all_at(&encode(confirmed), 0)?;
        }
        Ok(Self { file, confirmed: Mutex::new(confirmed) })
    }

    /// Everything up to this arrival number is confirmed.
    pub fn confirmed(&self) -> u64 {
        *self.confirmed.lock()
    }

    /// Confirms everything up to `arrival`; a smaller number than before changes nothing. The caller makes sure that
    /// the number was handed to the application.
    pub fn confirm(&self, arrival: u64) -> io::Result<()> {
        let mut confirmed = self.confirmed.lock();
        if arrival > *confirmed {
            self.file.write_all_at(&encode(arrival), 0)?;
            *confirmed = arrival;
        }
        Ok(())
    }
}

/// The number big-endian, and the first eight bytes of a digest: a half-written file of a power cut counts as none.
fn encode(number: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let (value, check) = bytes.split_at_mut(NUMBER_LEN);
    value.copy_from_slice(&number.to_be_bytes());
    check.copy_from_slice(&Sha256::new().chain_update(DOMAIN).chain_update(&*value).finalize()[..NUMBER_LEN]);
    bytes
}

fn decode(bytes: &[u8; LEN]) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    (encode(number) == *bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confirmed");
        let cursor = Cursor::open(&path, 0, 100).unwrap();
        assert_eq!(cursor.confirmed(), 0);
        cursor.confirm(7).unwrap();
        cursor.confirm(5).unwrap();
        assert_eq!(cursor.confirmed(), 7);
        assert_eq!(Cursor::open(&path, 3, 100).unwrap().confirmed(), 7);
        assert_eq!(Cursor::open(&path, 9, 100).unwrap().confirmed(), 9);
    }

    #[test]
    fn a_cursor_beyond_the_database_is_taken_back_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confirmed");
        Cursor::open(&path, 0, 100).unwrap().confirm(90).unwrap();
        assert_eq!(Cursor::open(&path, 0, 10).unwrap().confirmed(), 10);
        assert_eq!(Cursor::open(&path, 0, 50).unwrap().confirmed(), 10);
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confirmed");
        for damaged in [&b""[..], b"short", &[0xa5; LEN], &encode(9)[..LEN - 1], &[0; LEN]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(Cursor::open(&path, 4, 100).unwrap().confirmed(), 4, "{damaged:?}");
        }
    }

    #[test]
    fn threads_may_confirm_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confirmed");
        let cursor = Cursor::open(&path, 0, 1000).unwrap();
        std::thread::scope(|scope| {
            for start in 0..4 {
                let cursor = &cursor;
                scope.spawn(move || (start..=1000).step_by(4).for_each(|n| cursor.confirm(n).unwrap()));
            }
        });
        assert_eq!(cursor.confirmed(), 1000);
        assert_eq!(Cursor::open(&path, 0, 1000).unwrap().confirmed(), 1000);
    }
}
