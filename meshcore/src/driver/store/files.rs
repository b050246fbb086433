//! Files on disk: the entries of the ledger, in the database beside the messages.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rusqlite::{Connection, Row, params};
use tokio::sync::oneshot;

use super::{Command, time, unsigned};
use crate::file::{Direction, Offer, Transfer};
use crate::message::store::StoreError;
use crate::types::{FileId, FileReason, FileState, NodeId, UnixTime};

/// A change of the ledger.
#[derive(Debug)]
pub(in crate::driver) enum FileOp {
    /// Keeps a file, replacing what was kept for its id.
    Save(Box<Transfer>),
    /// Forgets a file.
    Remove(FileId),
}

/// The part of the store that the files use. The store ends when this is gone, too.
#[derive(Debug, Clone)]
pub(in crate::driver) struct FileStore {
    pub(super) file: PathBuf,
    pub(super) commands: mpsc::Sender<Command>,
}

/// What came of a change; the store's order is the order of the calls.
pub(in crate::driver) type Saved = oneshot::Receiver<Result<(), StoreError>>;

impl FileStore {
    /// Queues a change; never waits.
    pub(in crate::driver) fn submit(&self, op: FileOp) -> Saved {
        let (reply, saved) = oneshot::channel();
        if let Err(mpsc::SendError(Command::File { reply, .. })) =
            self.commands.send(Command::File { op, reply })
        {
            let _ = reply.send(Err(StoreError::Closed { file: self.file.clone() }));
        }
        saved
    }
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Transfer>> {
    let mut statement = connection.prepare(
        "SELECT id, incoming, peer, offer, size, sha256, name, state, reason, told, created, path, modified, part,
            folder, done FROM files",
    )?;
    let files = statement.query_map([], transfer)?;
    files.collect()
}

pub(super) fn run(connection: &Connection, op: &FileOp) -> rusqlite::Result<()> {
    match op {
        FileOp::Save(file) => save(connection, file),
        FileOp::Remove(id) => {
            connection.prepare_cached("DELETE FROM files WHERE id = ?")?.execute([id.0]).map(drop)
        }
    }
}

fn save(connection: &Connection, file: &Transfer) -> rusqlite::Result<()> {
    let bytes = |path: &Option<PathBuf>| path.as_deref().map(|path| path_bytes(path).to_owned());
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO files (id, incoming, peer, offer, size, sha256, name, state, reason, told, created,
                path, modified, part, folder, done) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            file.id.0,
            file.direction == Direction::Incoming,
            file.peer.0,
            file.offer.id.0,
            file.offer.size.cast_signed(),
            file.offer.sha256,
            file.offer.name,
            file.state.code(),
            file.reason.map(FileReason::code),
            file.told,
            file.created.as_millis().cast_signed(),
            bytes(&file.path),
            file.modified,
            bytes(&file.part),
            bytes(&file.folder),
            file.done.cast_signed(),
        ])
        .map(drop)
}

fn transfer(row: &Row<'_>) -> rusqlite::Result<Transfer> {
    let code: u8 = row.get(7)?;
    let path = |column| -> rusqlite::Result<Option<PathBuf>> {
        Ok(row.get::<_, Option<Vec<u8>>>(column)?.map(|bytes| OsString::from_vec(bytes).into()))
    };
    let created: UnixTime = time(row, 10)?;
    Ok(Transfer {
        id: FileId(row.get(0)?),
        direction: if row.get(1)? { Direction::Incoming } else { Direction::Outgoing },
        peer: NodeId(row.get(2)?),
        offer: Offer {
            id: FileId(row.get(3)?),
            size: unsigned(row, 4)?,
            sha256: row.get(5)?,
            name: row.get(6)?,
        },
        state: FileState::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(7, code.into()))?,
        reason: row.get::<_, Option<u8>>(8)?.map(FileReason::from_code),
        told: row.get(9)?,
        created,
        path: path(11)?,
        modified: row.get(12)?,
        part: path(13)?,
        folder: path(14)?,
        done: unsigned(row, 15)?,
    })
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::store::{KeepHistory, Store};

    fn transfer(number: u8) -> Transfer {
        Transfer {
            id: FileId([number; 16]),
            direction: if number.is_multiple_of(2) { Direction::Incoming } else { Direction::Outgoing },
            peer: NodeId([9; 32]),
            offer: Offer {
                id: FileId([number + 100; 16]),
                size: 1 << 53,
                sha256: [7; 32],
                name: "Kůň.txt".into(),
            },
            state: FileState::Accepted,
            reason: None,
            told: false,
            created: UnixTime::from_millis(12345),
            path: Some(OsString::from_vec(b"/not/\xff/UTF-8".to_vec()).into()),
            modified: -5,
            part: None,
            folder: Some("/folder".into()),
            done: 1 << 40,
        }
    }

    #[test]
    fn files_survive_a_restart_as_they_were_saved_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages.db");
        let (store, opened) = Store::open(&path, KeepHistory::Everything, Box::new(|_| ())).unwrap();
        assert_eq!(opened.files, []);
        let files = store.files().unwrap();
        let ended = Transfer {
            state: FileState::Failed,
            reason: Some(FileReason::Other(200)),
            told: true,
            ..transfer(1)
        };
        let ops = [
            FileOp::Save(Box::new(transfer(1))),
            FileOp::Save(Box::new(transfer(2))),
            FileOp::Save(Box::new(transfer(3))),
            FileOp::Save(Box::new(ended.clone())),
            FileOp::Remove(FileId([3; 16])),
        ];
        for saved in ops.map(|op| files.submit(op)) {
            saved.blocking_recv().unwrap().unwrap();
        }
        drop(files);
        store.close();
        let (store, mut opened) = Store::open(&path, KeepHistory::Everything, Box::new(|_| ())).unwrap();
        opened.files.sort_by_key(|file| file.id);
        assert_eq!(opened.files, [ended, transfer(2)]);
        let files = store.files().unwrap();
        // The store waits for who can still ask it.
        let closing = std::thread::spawn(move || store.close());
        files.submit(FileOp::Remove(FileId([1; 16]))).blocking_recv().unwrap().unwrap();
        drop(files);
        closing.join().unwrap();
    }
}
