//! Reads the messages of a database, also while its writer works: with a connection of its own that cannot write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params_from_iter};

use super::index::make_tail;
use super::peers::{load_peer, load_peers};
use super::writer::load_rooms;
use super::{schema, sqlite_error};
use crate::message::room::Room;
use crate::message::store::{StoreError, StoredPeer};
use crate::types::{MessageId, NodeId, RoomId, RoomInfo, Status, UnixTime};

/// How long the few operations that lock readers out may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which messages are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those from and to this node alone.
    pub with: Option<NodeId>,
    /// Those to this room.
    pub room: Option<RoomId>,
    /// Those with all these words, or words that begin so.
    pub words: Vec<String>,
    /// Those written or received from this time on.
    pub since: Option<UnixTime>,
    /// Those written or received before this time.
    pub until: Option<UnixTime>,
    /// Those before this position.
    pub before: Option<u64>,
    /// Those behind this position, the oldest of them first.
    pub after: Option<u64>,
    /// So many.
    pub limit: usize,
    /// As much text, unless the first message is longer.
    pub max_bytes: usize,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Place in the order in which this node got to know of its messages.
    pub position: u64,
    /// The other node; of a message of this node's own to a room one of the others.
    pub peer: NodeId,
    /// The room that it was written to, if it was.
    pub room: Option<RoomId>,
    /// The message's id.
    pub id: MessageId,
    /// The text.
    pub text: String,
    /// When it was written, by the clock of who wrote it.
    pub sent_at: UnixTime,
    /// When it arrived here; `None` for a message of this node's own.
    pub received_at: Option<UnixTime>,
    /// How far a message of this node's own has come: in a room, the copy that is least far.
    pub status: Option<Status>,
}

/// A database that is only read.
#[derive(Debug)]
pub struct Reader {
    file: PathBuf,
    connection: Connection,
}

impl Reader {
    /// Opens a database; `None` when it is of an earlier version, see [`super::Store::upgrade`].
    pub fn open(file: &Path) -> Result<Option<Self>, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |error| sqlite_error(file, error);
        let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        // What is made to search is of no use to anybody else.
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
        let is_current = schema::version(&connection, file)? == schema::LATEST;
        Ok(is_current.then(|| Self { file: file.to_owned(), connection }))
    }

    /// Messages in their order, and whether there are more: newer ones when `after` was asked for, else older ones.
    pub fn messages(&self, wanted: &Wanted) -> Result<(Vec<Found>, bool), StoreError> {
        self.try_messages(wanted).map_err(|error| sqlite_error(&self.file, error))
    }

    fn try_messages(&self, wanted: &Wanted) -> rusqlite::Result<(Vec<Found>, bool)> {
        if wanted.words.is_empty() {
            return self.page(wanted, &[None]);
        }
        // What is indexed and what is not is of one moment; and when it is over, the tail is gone.
        let transaction = self.connection.unchecked_transaction()?;
        make_tail(&transaction)?;
        match wanted.after {
            Some(_) => self.page(wanted, &[Some("words"), Some("tail")]),
            None => self.page(wanted, &[Some("tail"), Some("words")]),
        }
    }

    /// The messages that several indices find, one after the other; without an index: all.
    fn page(&self, wanted: &Wanted, indices: &[Option<&str>]) -> rusqlite::Result<(Vec<Found>, bool)> {
        let (mut found, mut bytes, mut more) = (Vec::new(), 0, false);
        for index in indices {
            let (sql, arguments) = statement(wanted, *index);
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(arguments))?;
            while !more && let Some(row) = rows.next()? {
                let message = message(row)?;
                bytes += message.text.len();
                more = found.len() >= wanted.limit || (bytes > wanted.max_bytes && !found.is_empty());
                if !more {
                    found.push(message);
                }
            }
        }
        if wanted.after.is_none() {
            found.reverse();
        }
        Ok((found, more))
    }

    /// The rooms.
    pub fn rooms(&self) -> Result<Vec<RoomInfo>, StoreError> {
        let rooms = load_rooms(&self.connection).map_err(|error| sqlite_error(&self.file, error))?;
        Ok(rooms.iter().filter_map(Room::info).collect())
    }

    /// The known nodes, this node's own record among them.
    pub fn peers(&self) -> Result<Vec<StoredPeer>, StoreError> {
        load_peers(&self.connection).map_err(|error| sqlite_error(&self.file, error))
    }

    /// One of them.
    pub fn peer(&self, id: NodeId) -> Result<Option<StoredPeer>, StoreError> {
        load_peer(&self.connection, id).map_err(|error| sqlite_error(&self.file, error))
    }
}

/// The words in FTS5's language: each in quotation marks, where nothing means anything but itself, as the beginning of a
/// word.
fn match_expression(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("\"{}\"*", word.replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(" ")
}

fn statement(wanted: &Wanted, index: Option<&str>) -> (String, Vec<Value>) {
    let (mut conditions, mut arguments) = (Vec::new(), Vec::new());
    let mut add = |condition: String, value: Value| {
        conditions.push(condition);
        arguments.push(value);
    };
    let number = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    // The index is read in the order of its rows, so that nothing is sorted, and nothing read that is not shown.
    let (from, position) = match index {
        None => ("history".to_owned(), "history.position".to_owned()),
        Some(index) => {
            add(format!("{index} MATCH ?"), Value::Text(match_expression(&wanted.words)));
            let from = format!("{index} CROSS JOIN history ON history.position = {index}.rowid");
            (from, format!("{index}.rowid"))
        }
    };
    let (below, above) = (format!("{position} < ?"), format!("{position} > ?"));
    wanted.before.into_iter().for_each(|before| add(below.clone(), number(before)));
    wanted.after.into_iter().for_each(|after| add(above.clone(), number(after)));
    wanted.with.into_iter().for_each(|peer| add("history.peer = ?".into(), Value::Blob(peer.0.to_vec())));
    wanted.room.into_iter().for_each(|room| add("history.peer = ?".into(), Value::Blob(room.0.to_vec())));
    wanted.since.into_iter().for_each(|since| add("history.time >= ?".into(), number(since.as_millis())));
    wanted.until.into_iter().for_each(|until| add("history.time < ?".into(), number(until.as_millis())));
    conditions.push("(incoming.id IS NOT NULL OR outgoing.id IS NOT NULL)".into());
    let order = if wanted.after.is_some() { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT history.position, coalesce(incoming.sender, outgoing.peer), coalesce(incoming.id, outgoing.id),
                coalesce(incoming.text, outgoing.text), coalesce(incoming.sent, outgoing.created),
                incoming.received, (SELECT min(status) FROM outgoing AS copy WHERE copy.id = outgoing.id),
                coalesce(incoming.room, outgoing.room)
         FROM {from}
         LEFT JOIN incoming ON incoming.arrival = history.arrival
         LEFT JOIN outgoing ON outgoing.seq = history.seq
         WHERE {} ORDER BY {position} {order}",
        conditions.join(" AND ")
    );
    (sql, arguments)
}

fn message(row: &Row<'_>) -> rusqlite::Result<Found> {
    let time = |millis: i64| UnixTime::from_millis(millis.cast_unsigned());
    let code: Option<u8> = row.get(6)?;
    let unknown = |code: u8| rusqlite::Error::IntegralValueOutOfRange(6, code.into());
    let status = code.map(|code| Status::from_code(code).ok_or_else(|| unknown(code))).transpose()?;
    Ok(Found {
        position: row.get::<_, i64>(0)?.cast_unsigned(),
        peer: NodeId(row.get(1)?),
        room: row.get::<_, Option<_>>(7)?.map(RoomId),
        id: MessageId(row.get(2)?),
        text: row.get(3)?,
        sent_at: time(row.get(4)?),
        received_at: row.get::<_, Option<i64>>(5)?.map(time),
        status,
    })
}

#[cfg(test)]
mod tests;
