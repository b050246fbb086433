//! Known nodes in the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::writer::{signed, time};
use crate::message::directory::Ties;
use crate::message::store::StoredPeer;
use crate::types::{Nickname, NodeId, Trust};

const COLUMNS: &str = "id, record, first_seen, last_seen, trust, ties, nickname";

pub(super) fn save_peer(connection: &Connection, peer: &StoredPeer) -> rusqlite::Result<()> {
    let StoredPeer { id, record, first_seen, last_seen, trust, ties, nickname } = peer;
    let sql = format!("INSERT OR REPLACE INTO peers ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)");
    let times = (signed(*first_seen), signed(*last_seen));
    let name = nickname.as_ref().map(Nickname::as_str);
    let row = params![id.0, record, times.0, times.1, trust.code(), ties.code(), name];
    connection.prepare_cached(&sql)?.execute(row).map(drop)
}

pub(super) fn load_peers(connection: &Connection) -> rusqlite::Result<Vec<StoredPeer>> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM peers"))?;
    let peers = statement.query_map([], peer)?;
    peers.collect()
}

pub(super) fn load_peer(connection: &Connection, id: NodeId) -> rusqlite::Result<Option<StoredPeer>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM peers WHERE id = ?"))?;
    statement.query_row([id.0], peer).optional()
}

fn peer(row: &Row<'_>) -> rusqlite::Result<StoredPeer> {
    let nickname: Option<String> = row.get(6)?;
    Ok(StoredPeer {
        id: NodeId(row.get(0)?),
        record: row.get(1)?,
        first_seen: time(row, 2)?,
        last_seen: time(row, 3)?,
        trust: code(row, 4, Trust::from_code)?,
        ties: code(row, 5, Ties::from_code)?,
        nickname: nickname.and_then(|name| Nickname::kept(&name).ok()),
    })
}

fn code<T>(row: &Row<'_>, column: usize, known: impl Fn(u8) -> Option<T>) -> rusqlite::Result<T> {
    let code: u8 = row.get(column)?;
    known(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code.into()))
}
