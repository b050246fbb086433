//! The tables, and how older ones become newer ones.

use std::path::Path;

use rusqlite::Connection;

use super::sqlite_error;
use crate::message::store::StoreError;

/// One step a version, in order; a step that was released is never changed. `user_version` counts those done.
///
/// Times and numbers are unsigned 64-bit integers kept in SQLite's signed ones. A message with a status below 30
/// (`Status::Delivered`) is undelivered.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE peers (
        id BLOB PRIMARY KEY,
        record BLOB NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outgoing (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        peer BLOB NOT NULL,
        text TEXT NOT NULL,
        created INTEGER NOT NULL,
        status INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX backlog ON outgoing (peer, seq) WHERE status < 30;
    CREATE TABLE incoming (
        arrival INTEGER PRIMARY KEY AUTOINCREMENT,
        sender BLOB NOT NULL,
        id BLOB NOT NULL,
        text TEXT NOT NULL,
        sent INTEGER NOT NULL,
        received INTEGER NOT NULL,
        UNIQUE (sender, id)
    ) STRICT;
",
    FILES,
];

/// Files, sent and received. Paths are bytes; a state of 20 (`FileState::Done`) or more is the last one.
const FILES: &str = "
    CREATE TABLE files (
        id BLOB PRIMARY KEY,
        incoming INTEGER NOT NULL,
        peer BLOB NOT NULL,
        offer BLOB NOT NULL,
        size INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        name TEXT NOT NULL,
        state INTEGER NOT NULL,
        reason INTEGER,
        told INTEGER NOT NULL,
        created INTEGER NOT NULL,
        path BLOB,
        modified INTEGER NOT NULL,
        part BLOB,
        folder BLOB,
        done INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Latest schema version.
const LATEST: u32 = MIGRATIONS.len() as u32;

/// Prepares a connection and brings the tables up to date.
pub(super) fn prepare(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error| sqlite_error(file, error);
    // Before anything is written: a file of a later version stays as it is.
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > LATEST {
        return Err(StoreError::Newer { file: file.to_owned(), found, supported: LATEST });
    }
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
    for (version, step) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
