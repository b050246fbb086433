//! The outbox.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params};

use super::{Outcome, Writer, number, page, signed, time, unsigned};
use crate::message::room::ledger::NewMessage;
use crate::message::store::{
    ANSWER_LIFE, Content, Deposit, KIND_ROOM_TEXT, KIND_TEXT, OutgoingMessage, PageLimit, READ_LIFE, Stamp,
    StoreError,
};
use crate::types::{MessageId, NodeId, RoomId, Status, UnixTime};

/// What [`message`] reads.
macro_rules! columns {
    () => {
        "seq, id, created, expires, status, kind, text, content, room, version"
    };
}

/// Messages to a peer (1) behind a place in the outbox (2) of which a mailbox (3) has no copy now (4), each with the text of the same
/// conversation before it.
pub(in crate::driver::store) const DEPOSITS: &str = concat!(
    "SELECT ",
    columns!(),
    ", CASE WHEN kind IN (1, 5) THEN (SELECT id FROM outgoing AS earlier
         WHERE status < 25 AND expires IS NULL AND peer = ?1 AND kind = outgoing.kind AND room IS outgoing.room
         AND seq < outgoing.seq ORDER BY seq DESC LIMIT 1) END
      FROM outgoing WHERE status < 25 AND peer = ?1 AND seq > ?2 AND NOT EXISTS
        (SELECT 1 FROM copies WHERE copies.seq = outgoing.seq AND mailbox = ?3 AND until > ?4)
      ORDER BY seq"
);

/// Texts with their recipients, and peers.
type GivenUp = (Vec<(NodeId, MessageId)>, Vec<NodeId>);

impl Writer {
    pub(super) fn enqueue_text(
        &self,
        id: &MessageId,
        to: &NodeId,
        now: UnixTime,
        expires: Option<UnixTime>,
        text: &str,
    ) -> rusqlite::Result<Outcome> {
        let created = self.created(to, now)?;
        // Not "ON CONFLICT DO NOTHING": that would use up a place for every duplicate.
        let added = self
            .connection
            .prepare_cached(
                "INSERT OR ROLLBACK INTO outgoing (id, peer, text, created, expires, status) SELECT ?1, ?2, ?3, ?4, ?5, ?6
                 WHERE NOT EXISTS (SELECT 1 FROM outgoing WHERE id = ?1)",
            )?
            .execute(params![
                id.0,
                to.0,
                text,
                signed(created),
                expires.map(signed),
                Status::Queued.code()
            ])?;
        let seq = self.connection.last_insert_rowid().cast_unsigned();
        Ok(if added == 0 {
            Outcome::Refused(StoreError::DuplicateId)
        } else {
            Outcome::Enqueued { seq, created }
        })
    }

    /// When a message that is accepted now counts as written: not before what is pending for this peer, even if the clock was set back.
    /// Recipients tell by that which was first.
    fn created(&self, to: &NodeId, now: UnixTime) -> rusqlite::Result<UnixTime> {
        let sql = "SELECT created FROM outgoing WHERE status < 25 AND peer = ? ORDER BY seq DESC LIMIT 1";
        let mut latest = self.connection.prepare_cached(sql)?;
        let latest = latest.query_row([to.0], |row| time(row, 0)).optional()?;
        Ok(latest.map_or(now, |latest| latest.max(now)))
    }

    /// Adds receipts for `to` to its outbox.
    pub(super) fn enqueue_receipt(
        &self,
        id: &MessageId,
        to: &NodeId,
        created: UnixTime,
        (status, ids): (Status, Vec<MessageId>),
    ) -> rusqlite::Result<Option<OutgoingMessage>> {
        let life = if status == Status::Read { READ_LIFE } else { ANSWER_LIFE };
        let (expires, content) = (Some(created + life), Content::Receipts { status, ids });
        self.enqueue(NewMessage { id: *id, to: *to, created, expires, content })
    }

    /// Adds a message to the outbox; `None` when it is there, with this id and recipient.
    pub(super) fn enqueue(&self, message: NewMessage) -> rusqlite::Result<Option<OutgoingMessage>> {
        let NewMessage { id, to, created, expires, content } = message;
        let created = self.created(&to, created)?;
        let (text, bytes, stamp) = match &content {
            Content::Text(text) => (text.as_str(), None, None),
            Content::RoomText { stamp, text } => (text.as_str(), None, Some(*stamp)),
            other => ("", Some(other.bytes()), None),
        };
        let added = self
            .connection
            .prepare_cached(
                "INSERT OR ROLLBACK INTO outgoing (id, peer, text, created, expires, status, kind, content, room, version)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
                 WHERE NOT EXISTS (SELECT 1 FROM outgoing WHERE id = ?1 AND peer = ?2)",
            )?
            .execute(params![
                id.0,
                to.0,
                text,
                signed(created),
                expires.map(signed),
                Status::Queued.code(),
                content.kind(),
                bytes,
                stamp.map(|stamp| stamp.room.0),
                stamp.map(|stamp| number(stamp.version))
            ])?;
        let seq = self.connection.last_insert_rowid().cast_unsigned();
        let message = OutgoingMessage { seq, id, created, expires, content, status: Status::Queued };
        Ok((added > 0).then_some(message))
    }

    /// Raises the status of messages; gives the texts of which it rose. Other messages are forgotten when they are
    /// pending no more.
    pub(super) fn raise(
        &self,
        to: &NodeId,
        ids: &[MessageId],
        status: Status,
    ) -> rusqlite::Result<Vec<MessageId>> {
        // Two statements: SQLite gathers what one with RETURNING gives in a table that it makes for each.
        let sql = "SELECT seq, kind FROM outgoing WHERE id = ? AND peer = ? AND status < ?";
        let mut lower = self.connection.prepare_cached(sql)?;
        let mut update = self.connection.prepare_cached("UPDATE outgoing SET status = ? WHERE seq = ?")?;
        let has_copies = !status.is_pending() && self.any("copies")?;
        let mut raised = Vec::new();
        for id in ids {
            let row = lower.query_row(params![id.0, to.0, status.code()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?))
            });
            let Some((seq, kind)) = row.optional()? else { continue };
            update.execute(params![status.code(), seq])?;
            let is_text = matches!(kind, KIND_TEXT | KIND_ROOM_TEXT);
            if is_text {
                raised.push(*id);
            }
            if status.is_pending() {
                continue;
            }
            if has_copies {
                self.connection.prepare_cached("DELETE FROM copies WHERE seq = ?")?.execute([seq])?;
            }
            if !is_text {
                self.connection.prepare_cached("DELETE FROM outgoing WHERE seq = ?")?.execute([seq])?;
                self.connection.prepare_cached("DELETE FROM told WHERE seq = ?")?.execute([seq])?;
            }
        }
        Ok(raised)
    }

    pub(super) fn load_outbox(
        &self,
        peer: &NodeId,
        after: u64,
        limit: PageLimit,
    ) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM outgoing WHERE status < 25 AND peer = ? AND seq > ? ORDER BY seq"
        ))?;
        let rows = statement.query_map(params![peer.0, number(after)], message)?;
        let (messages, complete) = page(rows, limit, |message| message.content.weight())?;
        Ok(Outcome::Outgoing { messages, complete })
    }

    pub(super) fn load_deposits(
        &self,
        (peer, mailbox): (&NodeId, &NodeId),
        after: u64,
        now: UnixTime,
        limit: PageLimit,
    ) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(DEPOSITS)?;
        let parameters = params![peer.0, number(after), mailbox.0, signed(now)];
        let rows = statement.query_map(parameters, |row| {
            let after = row.get::<_, Option<[u8; MessageId::LEN]>>(10)?.map(MessageId);
            Ok(Deposit { message: message(row)?, after })
        })?;
        let (deposits, complete) = page(rows, limit, |deposit| deposit.message.content.weight())?;
        Ok(Outcome::Deposits { deposits, complete })
    }

    pub(super) fn deposited(
        &self,
        to: &NodeId,
        ids: &[MessageId],
        mailbox: &NodeId,
        until: UnixTime,
    ) -> rusqlite::Result<Vec<MessageId>> {
        let mut statement = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO copies SELECT seq, ?1, ?2 FROM outgoing
             WHERE id = ?3 AND peer = ?4 AND status < 25",
        )?;
        for id in ids {
            statement.execute(params![mailbox.0, signed(until), id.0, to.0])?;
        }
        self.raise(to, ids, Status::Stored)
    }

    /// Gives up messages whose time has passed: the texts among them, and the peers to whom nothing is pending any more by that.
    pub(super) fn give_up(&self, now: UnixTime) -> rusqlite::Result<GivenUp> {
        let sql = "SELECT peer, id FROM outgoing WHERE status < 25 AND expires IS NOT NULL AND expires <= ? ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let due =
            statement.query_map([signed(now)], |row| Ok((NodeId(row.get(0)?), MessageId(row.get(1)?))))?;
        let due = due.collect::<rusqlite::Result<Vec<_>>>()?;
        let (mut expired, mut idle, mut peers) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (to, id) in due {
            let raised = self.raise(&to, &[id], Status::Expired)?;
            expired.extend(raised.into_iter().map(|id| (to, id)));
            peers.insert(to);
        }
        let sql = "SELECT 1 FROM outgoing WHERE status < 25 AND peer = ? LIMIT 1";
        let mut pending = self.connection.prepare_cached(sql)?;
        for peer in peers {
            if !pending.exists([peer.0])? {
                idle.push(peer);
            }
        }
        Ok((expired, idle))
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<OutgoingMessage> {
    let (code, kind): (u8, u8) = (row.get(4)?, row.get(5)?);
    let expires: Option<i64> = row.get(3)?;
    Ok(OutgoingMessage {
        seq: unsigned(row, 0)?,
        id: MessageId(row.get(1)?),
        created: time(row, 2)?,
        expires: expires.map(|at| UnixTime::from_millis(at.cast_unsigned())),
        content: match kind {
            KIND_TEXT => Content::Text(row.get(6)?),
            KIND_ROOM_TEXT => {
                let stamp = Stamp { room: RoomId(row.get(8)?), version: unsigned(row, 9)? };
                Content::RoomText { stamp, text: row.get(6)? }
            }
            kind => match row.get(7)? {
                Value::Blob(bytes) => Content::parse(kind, &bytes).map_err(|_| foreign(7, kind))?,
                _ => return Err(foreign(7, kind)),
            },
        },
        status: Status::from_code(code).ok_or(foreign(4, code))?,
    })
}

/// A value that this program does not write.
pub(super) fn foreign(column: usize, value: u8) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, value.into())
}
