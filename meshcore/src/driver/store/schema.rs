//! The tables, and how older ones become newer ones.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::sqlite_error;
use crate::message::store::StoreError;

/// One step a version, in order; a step that was released is never changed. `user_version` counts those done.
///
/// Times and numbers are unsigned 64-bit integers kept in SQLite's signed ones.
pub(super) const MIGRATIONS: &[&str] =
    &[RELEASED_0_1, DELIVERY, FILES, ROOMS, HISTORY, TRUST, LOOKUPS, HELD_SIZES];

/// A message with a status below 25 (`Status::Expired`) is pending.
const RELEASED_0_1: &str = "
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
";

/// Mailboxes. A message of another kind than 1 (text) has its content in a column of its own, and an empty text. `told`: of which
/// messages from others a receipt in the outbox tells.
const DELIVERY: &str = "
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
";

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
/// of a text to a room, `version` the version of it that the text belongs to. In `waiting` are texts of versions that are not known yet; those
/// without a version and text were refused. The kind of a room is 1 for an invitation, 2 for one that is over and shown no more, else 0.
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
    CREATE TABLE rooms (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, room BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE waiting (
        number INTEGER PRIMARY KEY,
        room BLOB NOT NULL,
        version INTEGER,
        sender BLOB NOT NULL,
        id BLOB NOT NULL,
        text TEXT NOT NULL,
        sent INTEGER NOT NULL,
        received INTEGER NOT NULL,
        UNIQUE (sender, id)
    ) STRICT;
    CREATE INDEX waiting_by_room ON waiting (room, version);
";

/// Who searches and lists messages reads `history`, a row for each text in the order in which this node got to know of
/// them: one numbering for both directions, which no clock that is set back disturbs. `peer` is the room of a text to a room, whose first
/// copy stands for all. `words` is its index; it keeps no
/// text of its own, and forgets the words of a row that is deleted. It has the rows up to the position `indexed` in `meta`;
/// later ones are added many at once (`index.rs`).
const HISTORY: &str = "
    CREATE TABLE history (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        peer BLOB NOT NULL,
        time INTEGER NOT NULL,
        arrival INTEGER,
        seq INTEGER
    ) STRICT;
    INSERT INTO history (peer, time, arrival, seq)
        SELECT sender, received, arrival, NULL FROM incoming
        UNION ALL SELECT peer, created, NULL, seq FROM outgoing WHERE kind = 1
        ORDER BY 2, 3, 4;
    CREATE INDEX history_of_peer ON history (peer, position);

    CREATE VIRTUAL TABLE words USING fts5(
        text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
    );
    INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
    INSERT INTO words (rowid, text)
        SELECT history.position, coalesce(incoming.text, outgoing.text) FROM history
        LEFT JOIN incoming ON incoming.arrival = history.arrival
        LEFT JOIN outgoing ON outgoing.seq = history.seq
        ORDER BY history.position;
    INSERT INTO meta SELECT 'indexed', coalesce(max(position), 0) FROM history;

    CREATE TRIGGER incoming_into_history AFTER INSERT ON incoming BEGIN
        INSERT INTO history (peer, time, arrival) VALUES (coalesce(new.room, new.sender), new.received, new.arrival);
    END;
    CREATE TRIGGER outgoing_into_history AFTER INSERT ON outgoing WHEN new.kind = 1 BEGIN
        INSERT INTO history (peer, time, seq) VALUES (new.peer, new.created, new.seq);
    END;
    CREATE TRIGGER outgoing_to_room_into_history AFTER INSERT ON outgoing WHEN new.kind = 5
        AND NOT EXISTS (SELECT 1 FROM outgoing WHERE id = new.id AND seq < new.seq)
    BEGIN
        INSERT INTO history (peer, time, seq) VALUES (new.room, new.created, new.seq);
    END;
    CREATE TRIGGER history_out_of_words BEFORE DELETE ON history
        WHEN old.position <= (SELECT value FROM meta WHERE key = 'indexed')
    BEGIN
        INSERT INTO words (words, rowid, text)
            SELECT 'delete', old.position, text FROM incoming WHERE arrival = old.arrival
            UNION ALL SELECT 'delete', old.position, text FROM outgoing WHERE seq = old.seq;
    END;
";

const TRUST: &str = "
    ALTER TABLE peers ADD COLUMN trust INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE peers ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE peers ADD COLUMN nickname TEXT;
    UPDATE peers SET ties = 1 WHERE id IN (SELECT sender FROM incoming);
    UPDATE peers SET ties = 2 WHERE id IN (SELECT peer FROM outgoing WHERE kind = 1);
";

/// What is looked up with each message that a mailbox gets, or a session brings: the text before it, and those set aside that were written
/// before it. Without these the whole backlog would be searched. And receipts end, also those of before: after 90 days.
const LOOKUPS: &str = "
    UPDATE outgoing SET expires = created + 7776000000 WHERE kind = 3 AND status < 25;
    CREATE INDEX followed ON outgoing (peer, kind, room, seq) WHERE status < 25 AND expires IS NULL;
    CREATE INDEX held_by_time ON held (sender, sent);
";

/// How much is set aside for each sender, and, for the empty one, for all.
const HELD_SIZES: &str = "
    CREATE TABLE held_sizes (
        sender BLOB PRIMARY KEY,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO held_sizes SELECT sender, count(*), sum(octet_length(text)) FROM held GROUP BY sender;
    INSERT INTO held_sizes SELECT x'', count(*), coalesce(sum(octet_length(text)), 0) FROM held;
    CREATE TRIGGER held_grows AFTER INSERT ON held BEGIN
        INSERT INTO held_sizes VALUES (NEW.sender, 1, octet_length(NEW.text)), (x'', 1, octet_length(NEW.text))
            ON CONFLICT (sender) DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER held_shrinks AFTER DELETE ON held BEGIN
        UPDATE held_sizes SET messages = messages - 1, bytes = bytes - octet_length(OLD.text)
            WHERE sender IN (OLD.sender, x'');
        DELETE FROM held_sizes WHERE sender = OLD.sender AND messages <= 0;
    END;
";

/// Latest schema version.
pub(super) const LATEST: u32 = MIGRATIONS.len() as u32;

/// Version of the tables; a later one than this program knows is refused.
pub(super) fn version(connection: &Connection, file: &Path) -> Result<u32, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found = found.map_err(|error| sqlite_error(file, error))?;
    if found > LATEST {
        return Err(StoreError::Newer { file: file.to_owned(), found, supported: LATEST });
    }
    Ok(found)
}

/// Prepares a connection and brings the tables up to date.
pub(super) fn prepare(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error| sqlite_error(file, error);
    // Before anything is written: a file of a later version stays as it is.
    version(connection, file)?;
    // What is deleted is overwritten with zeros.
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;";
    connection.execute_batch(pragmas).map_err(failed)?;
    // A plan that depends on the values would have to be made anew for each message.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    upgrade(connection, file, MIGRATIONS)
}

/// Does those of `steps` that were not done yet, each with its number or not at all.
fn upgrade(connection: &mut Connection, file: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let failed = |error| sqlite_error(file, error);
    let found = version(connection, file)?;
    for (version, step) in (1u32..).zip(steps).skip(found as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
