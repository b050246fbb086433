//! Messages and known nodes on disk: SQLite behind one writer thread with group commit.
//!
//! Operations queue up while a commit syncs the disk; the next commit takes all of them at once. So many messages share
//! one sync, and a single one waits for no timer.

mod before_sync;
mod cursor;
mod files;
mod index;
mod peers;
mod reader;
mod retention;
mod schema;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::ffi::{SQLITE_ERROR, SQLITE_IOERR_SHMSIZE};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

pub use cursor::Cursor;
pub(super) use files::{FileOp, FileStore, Saved};
pub use reader::{Found, Reader, Wanted};
pub use retention::KeepHistory;

use crate::file::Transfer;
use crate::message::store::{OpenedOutboxes, StoreError, StoreOp, StoreReply, StoredPeer};
use crate::types::UnixTime;
use writer::{Writer, time, unsigned};

/// Gets the replies to a batch, on the writer's thread, some of them while it commits; must not wait for the store.
pub type ReplyHandler = Box<dyn Fn(Vec<StoreReply>) + Send + Sync>;

/// What was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The known nodes.
    pub peers: Vec<StoredPeer>,
    /// The files, sent and received.
    pub files: Vec<Transfer>,
    /// For [`StoreReply::Opened`]. The [`Cursor`] may know a larger confirmed number: put it here.
    pub outboxes: OpenedOutboxes,
}

/// What the writer is asked for.
enum Command {
    Op(StoreOp),
    RecordNumber { now: UnixTime, reply: oneshot::Sender<Result<u64, StoreError>> },
    File { op: FileOp, reply: oneshot::Sender<Result<(), StoreError>> },
}

/// The store. Dropping it, like [`Store::close`], waits until everything submitted is on disk.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the database and starts the writer.
    pub fn open(file: &Path, keep: KeepHistory, deliver: ReplyHandler) -> Result<(Self, Opened), StoreError> {
        let writer = Writer::open(file, keep)?;
        let opened = writer.load()?;
        let (commands, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("meshchat-store".into())
            .spawn(move || writer.run(&queue, &deliver))
            .map_err(|error| io_error(file, &error))?;
        Ok((Self { file: file.to_owned(), commands: Some(commands), thread: Some(thread) }, opened))
    }

    /// Brings an existing database up to date.
    pub fn upgrade(file: &Path) -> Result<(), StoreError> {
        Writer::open(file, KeepHistory::Everything).map(drop)
    }

    /// Queues an operation; never waits. Its reply goes to the [`ReplyHandler`]. The messenger bounds how many can be
    /// under way.
    pub fn submit(&self, op: StoreOp) -> Result<(), StoreError> {
        self.command(Command::Op(op))
    }

    /// A number for a new identity record: larger than any before, and not below the time, so that it also grows when
    /// the database was lost. Waits for the disk.
    pub fn next_record_number(&self, now: UnixTime) -> Result<u64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::RecordNumber { now, reply })?;
        answer.blocking_recv().unwrap_or_else(|_| Err(self.closed()))
    }

    /// The store as the files use it; to be dropped before the store is closed.
    pub(super) fn files(&self) -> Result<FileStore, StoreError> {
        let commands = self.commands.clone().ok_or_else(|| self.closed())?;
        Ok(FileStore { file: self.file.clone(), commands })
    }

    /// Writes what is queued and closes the database.
    pub fn close(self) {}

    fn command(&self, command: Command) -> Result<(), StoreError> {
        let is_sent = self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok());
        if is_sent { Ok(()) } else { Err(self.closed()) }
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed { file: self.file.clone() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The writer ends when the channel is closed and empty.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens the database file, private to its owner from the first moment on; SQLite gives its other files the same mode.
fn connect(file: &Path) -> Result<Connection, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(file).map_err(|error| io_error(file, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).map_err(|error| sqlite_error(file, error))
}

fn io_error(file: &Path, error: &io::Error) -> StoreError {
    let file = file.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { file },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { file },
        _ => StoreError::Failed { file, reason: error.to_string() },
    }
}

fn sqlite_error(file: &Path, error: rusqlite::Error) -> StoreError {
    let file = file.to_owned();
    match error.sqlite_error().map(|error| error.extended_code) {
        // No room for the index of the write-ahead log is told as a failure of the disk.
        Some(SQLITE_IOERR_SHMSIZE) => return StoreError::Full { file },
        // Our statements are right where the tables are as we made them.
        Some(SQLITE_ERROR) => {
            tracing::warn!(%error, "the tables are not as they were made");
            return StoreError::Corrupt { file };
        }
        _ => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { file },
        // The file itself could be opened: what cannot is a file beside it, in a directory without write permission.
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { file }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { file },
        Some(_) => StoreError::Failed { file, reason: error.to_string() },
        // Not SQLite's complaint but ours: a value that this program does not write.
        None => StoreError::Corrupt { file },
    }
}

#[cfg(test)]
mod tests;
