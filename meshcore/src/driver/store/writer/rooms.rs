//! Rooms, and texts that wait for them.

use rusqlite::{Connection, OptionalExtension, params};

use super::incoming::{Text, text_of};
use super::outgoing::foreign;
use super::{Outcome, Writer, number, signed, unsigned};
use crate::message::room::ledger::{self, Admission, NewMessage, Tables};
use crate::message::room::{Room, RoomCommand, RoomOutcome};
use crate::message::store::{IncomingMessage, MAX_HELD, OutgoingMessage, ROOM_PATIENCE, Stamp, StoreError};
use crate::types::{MessageId, NodeId, RoomId, UnixTime};

impl Tables for &Writer {
    type Error = rusqlite::Error;

    fn room(&mut self, id: RoomId) -> rusqlite::Result<Option<Room>> {
        let mut statement = self.connection.prepare_cached("SELECT room FROM rooms WHERE id = ?")?;
        statement.query_row([id.0], |row| room(&row.get::<_, Vec<u8>>(0)?)).optional()
    }

    fn count(&mut self) -> rusqlite::Result<(usize, usize)> {
        let sql = "SELECT count(*), coalesce(sum(kind = 1), 0) FROM rooms";
        let count = |row: &rusqlite::Row<'_>, column| row.get::<_, u32>(column).map(|count| count as usize);
        self.connection.prepare_cached(sql)?.query_row([], |row| Ok((count(row, 0)?, count(row, 1)?)))
    }

    fn keep(&mut self, id: RoomId, room: &Room) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO rooms (id, kind, room) VALUES (?, ?, ?)";
        let kind = if room.is_void() { 2 } else { u8::from(room.is_invitation()) };
        let parameters = params![id.0, kind, room.to_bytes()];
        self.connection.prepare_cached(sql)?.execute(parameters).map(drop)
    }

    fn forget_void(&mut self) -> rusqlite::Result<bool> {
        let sql = "DELETE FROM rooms WHERE id = (SELECT id FROM rooms WHERE kind = 2 ORDER BY id LIMIT 1) RETURNING id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let id: Option<[u8; RoomId::LEN]> = statement.query_row([], |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(false) };
        self.connection.prepare_cached("DELETE FROM waiting WHERE room = ?")?.execute([id])?;
        Ok(true)
    }

    fn waiting(&mut self, room: RoomId, sender: NodeId) -> rusqlite::Result<(usize, usize)> {
        let sql = "SELECT coalesce(sum(octet_length(text)) FILTER (WHERE sender = ?2), 0), coalesce(sum(octet_length(text)), 0)
                   FROM waiting WHERE room = ?1";
        let bytes = |row: &rusqlite::Row<'_>, column| row.get::<_, u32>(column).map(|bytes| bytes as usize);
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row(params![room.0, sender.0], |row| Ok((bytes(row, 0)?, bytes(row, 1)?)))
    }

    fn is_used(&mut self, id: MessageId) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM outgoing WHERE id = ?")?.exists([id.0])
    }

    fn enqueue(&mut self, message: NewMessage) -> rusqlite::Result<Option<OutgoingMessage>> {
        Writer::enqueue(self, message)
    }
}

/// All rooms but the void ones.
pub(in crate::driver::store) fn load_rooms(connection: &Connection) -> rusqlite::Result<Vec<Room>> {
    let mut statement = connection.prepare("SELECT room FROM rooms WHERE kind < 2 ORDER BY id")?;
    statement.query_map([], |row| room(&row.get::<_, Vec<u8>>(0)?))?.collect()
}

impl Writer {
    pub(super) fn room_command(
        &self,
        own: NodeId,
        id: MessageId,
        now: UnixTime,
        command: &RoomCommand,
    ) -> rusqlite::Result<Outcome> {
        let done = ledger::command(&mut &*self, own, id, now, command)?;
        Ok(match done {
            Ok(outcome) => Outcome::Room(Box::new(outcome)),
            Err(refusal) => Outcome::Refused(StoreError::from(refusal)),
        })
    }

    pub(super) fn publish_room(&self, id: RoomId, bytes: &[u8], now: UnixTime) -> rusqlite::Result<Outcome> {
        let outcome = ledger::publish(&mut &*self, id, bytes, now)?;
        Ok(Outcome::Rooms(outcome.into_iter().collect()))
    }

    /// Takes a signed room, and stores the texts that have waited for it.
    pub(super) fn meet_room(
        &self,
        (from, own): (&NodeId, &NodeId),
        (bytes, now): (&[u8], UnixTime),
        new: &mut Vec<IncomingMessage>,
    ) -> rusqlite::Result<Option<RoomOutcome>> {
        let Some(outcome) = ledger::meet(&mut &*self, *own, *from, bytes, now)? else { return Ok(None) };
        if let Some(info) = outcome.room.info() {
            let sql = "DELETE FROM waiting WHERE room = ? AND version <= ?
                       RETURNING number, sender, id, text, sent, received, room, version";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![info.id.0, number(info.version)], |row| {
                Ok((unsigned(row, 0)?, NodeId(row.get(1)?), text_of(row, 2)?))
            })?;
            let mut due = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            due.sort_by_key(|(number, ..)| *number);
            for (_, from, text) in due {
                self.arrive(&from, text, new)?;
            }
        }
        Ok(Some(outcome))
    }

    /// Whether a text to a room is stored now; else it waits for it, or is refused, which is remembered.
    pub(super) fn admit(&self, from: &NodeId, stamp: Stamp, text: &Text) -> rusqlite::Result<bool> {
        let Some(admission) = ledger::admit(&mut &*self, *from, stamp, text.text.len())? else {
            return Ok(false);
        };
        if admission != Admission::Admitted {
            let Text { id, text, sent_at, received_at, .. } = text;
            let (version, text) = match admission {
                Admission::TooEarly => (Some(number(stamp.version)), text.as_str()),
                _ => (None, ""),
            };
            let sql = "INSERT INTO waiting (room, version, sender, id, text, sent, received)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE (SELECT count(*) FROM waiting WHERE sender = ?3) < ?8";
            self.connection.prepare_cached(sql)?.execute(params![
                stamp.room.0,
                version,
                from.0,
                id.0,
                text,
                signed(*sent_at),
                signed(*received_at),
                MAX_HELD
            ])?;
        }
        Ok(admission == Admission::Admitted)
    }

    /// Whether a text waits for a version of its room, or was refused.
    pub(super) fn is_waiting(&self, from: &NodeId, id: &MessageId) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM waiting WHERE sender = ? AND id = ?";
        Ok(self.any("waiting")? && self.connection.prepare_cached(sql)?.exists(params![from.0, id.0])?)
    }

    /// Drops texts that have waited in vain, and forgets refusals.
    pub(super) fn drop_waiting(&self, now: UnixTime) -> rusqlite::Result<()> {
        let (past, future) =
            (signed(now).saturating_sub(ROOM_PATIENCE.as_millis() as i64), signed(now + ROOM_PATIENCE));
        let sql = "DELETE FROM waiting WHERE received <= ? OR received >= ?";
        self.connection.prepare_cached(sql)?.execute([past, future]).map(drop)
    }
}

fn room(bytes: &[u8]) -> rusqlite::Result<Room> {
    Room::from_bytes(bytes).ok_or(foreign(0, 0))
}
