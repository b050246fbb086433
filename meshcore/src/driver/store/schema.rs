//! The tables, and how older ones become newer ones.

use std::path::Path;

use rusqlite::Connection;

use super::sqlite_error;
use crate::message::store::StoreError;

/// One step a version, in order; a step that was released is never changed. `user_version` counts those done.
///
/// Times and numbers are unsigned 64-bit integers kept in SQLite's signed ones. A message with a status below 25
/// (`Status::Expired`) is pending.
pub(super) const MIGRATIONS: &[&str] = &[
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
    // Mailboxes. A message of another kind than 1 (text) has its content in a column of its own, and an empty text. `told`: of which
    // messages from others a receipt in the outbox tells.
    "
    ALTER TABLE outgoing ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE outgoing ADD COLUMN content BLOB;
    ALTER TABLE outgoing ADD COLUMN expires INTEGER;
    DROP INDEX backlog;
    CREATE INDEX backlog ON outgoing (peer, seq) WHERE status < 25;
    CREATE INDEX expiring ON outgoing (expires) WHERE status < 25 AND expires IS NOT NULL;
    CREATE TABLE copies (
        seq INTEGER NOT NULL,
        mailbox BLOB NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (seq, mailbox)
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE incoming ADD COLUMN read INTEGER NOT NULL DEFAULT 0;
    UPDATE incoming SET read = 1;
    CREATE INDEX unread ON incoming (sender, arrival) WHERE read = 0;
    CREATE TABLE held (
        number INTEGER PRIMARY KEY,
        sender BLOB NOT NULL,
        follows BLOB NOT NULL,
        id BLOB NOT NULL,
        text TEXT NOT NULL,
        sent INTEGER NOT NULL,
        received INTEGER NOT NULL,
        UNIQUE (sender, id)
    ) STRICT;
    CREATE INDEX held_by_follows ON held (sender, follows);
    CREATE TABLE told (
        sender BLOB NOT NULL,
        id BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (sender, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX told_by_receipt ON told (seq);
    CREATE TABLE letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        recipient BLOB NOT NULL,
        sender BLOB NOT NULL,
        id BLOB NOT NULL,
        expires INTEGER NOT NULL,
        envelope BLOB NOT NULL,
        UNIQUE (recipient, sender, id)
    ) STRICT;
    CREATE INDEX letters_by_recipient ON letters (recipient, number);
    CREATE INDEX letters_by_expiry ON letters (expires);
    CREATE TABLE letter_sizes (sender BLOB PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER letter_kept AFTER INSERT ON letters BEGIN
        INSERT INTO letter_sizes VALUES (NEW.sender, length(NEW.envelope)), (x'', length(NEW.envelope))
            ON CONFLICT (sender) DO UPDATE SET bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER letter_gone AFTER DELETE ON letters BEGIN
        UPDATE letter_sizes SET bytes = bytes - length(OLD.envelope) WHERE sender IN (OLD.sender, x'');
        DELETE FROM letter_sizes WHERE sender = OLD.sender AND bytes <= 0;
    END;
",
    FILES,
    ROOMS,
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

/// Rooms. An id in the outbox is now used once for each recipient: a message to a room has a copy for each of its members. `room` is that
/// of a text to a room, `version` the version of it that the text belongs to.
const ROOMS: &str = "
    CREATE TABLE outgoing_anew (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        peer BLOB NOT NULL,
        text TEXT NOT NULL,
        created INTEGER NOT NULL,
        status INTEGER NOT NULL,
        kind INTEGER NOT NULL DEFAULT 1,
        content BLOB,
        expires INTEGER,
        room BLOB,
        version INTEGER,
        UNIQUE (id, peer)
    ) STRICT;
    INSERT INTO sqlite_sequence SELECT 'outgoing_anew', seq FROM sqlite_sequence WHERE name = 'outgoing';
    INSERT INTO outgoing_anew SELECT seq, id, peer, text, created, status, kind, content, expires, NULL, NULL FROM outgoing;
    DROP TABLE outgoing;
    ALTER TABLE outgoing_anew RENAME TO outgoing;
    CREATE INDEX backlog ON outgoing (peer, seq) WHERE status < 25;
    CREATE INDEX expiring ON outgoing (expires) WHERE status < 25 AND expires IS NOT NULL;

    ALTER TABLE incoming ADD COLUMN room BLOB;
    ALTER TABLE held ADD COLUMN room BLOB;
    ALTER TABLE held ADD COLUMN version INTEGER;
    CREATE TABLE rooms (id BLOB PRIMARY KEY, invitation INTEGER NOT NULL, room BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE waiting (
        number INTEGER PRIMARY KEY,
        room BLOB NOT NULL,
        version INTEGER NOT NULL,
        sender BLOB NOT NULL,
        id BLOB NOT NULL,
        text TEXT NOT NULL,
        sent INTEGER NOT NULL,
        received INTEGER NOT NULL,
        UNIQUE (sender, id)
    ) STRICT;
    CREATE INDEX waiting_by_room ON waiting (room, version);
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
