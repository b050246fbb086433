//! Messages from others.

use rusqlite::{OptionalExtension, Row, params};

use super::{Outcome, Stored, Writer, number, page, signed, time, unsigned};
use crate::message::room::ledger;
use crate::message::store::held::{Size, first_of_chain, has_room};
use crate::message::store::{
    Content, IncomingMessage, MAX_RECEIPT_IDS, Origin, OutgoingMessage, PATIENCE, PageLimit, ReceivedMessage,
    Stamp,
};
use crate::types::{MessageId, NodeId, RoomId, Status, UnixTime};

/// A text on its way to the table.
pub(super) struct Text {
    pub(super) id: MessageId,
    /// The room that it was written to, if it was.
    pub(super) stamp: Option<Stamp>,
    pub(super) text: String,
    pub(super) sent_at: UnixTime,
    pub(super) received_at: UnixTime,
}

/// What a sender wrote before a time and is set aside.
pub(in crate::driver::store) const WRITTEN_BEFORE: &str =
    "SELECT id FROM held WHERE sender = ? AND sent < ? ORDER BY number";

impl Writer {
    pub(super) fn store_incoming(
        &self,
        origin: &Origin,
        (from, own): (&NodeId, &NodeId),
        messages: &[ReceivedMessage],
        receipt: Option<&MessageId>,
    ) -> rusqlite::Result<Stored> {
        let (mut stored, mut told) = (Stored::default(), Vec::new());
        for ReceivedMessage { id, content, sent_at, received_at } in messages {
            let text = |stamp: Option<Stamp>, text: &String| Text {
                id: *id,
                stamp,
                text: text.clone(),
                sent_at: *sent_at,
                received_at: *received_at,
            };
            match content {
                Content::Receipts { status, ids } => {
                    let raised = self.raise(from, ids, *status)?;
                    stored.raised.extend(raised.into_iter().map(|id| (id, *status)));
                    continue;
                }
                Content::Text(words) => {
                    self.arrive_in_order(origin, from, text(None, words), &mut stored.new)?;
                }
                Content::RoomText { stamp, text: words } => {
                    self.arrive_in_order(origin, from, text(Some(*stamp), words), &mut stored.new)?;
                }
                Content::Room(bytes) => {
                    stored.rooms.extend(self.meet_room(
                        (from, own),
                        (bytes, *received_at),
                        &mut stored.new,
                    )?);
                }
                Content::RoomRequest { stamp, request } => {
                    stored.rooms.extend(ledger::answer(&mut &*self, *from, *stamp, *request, *received_at)?);
                }
                Content::Following { after, stamp, text: words } => {
                    let text = text(*stamp, words);
                    if self.must_wait(from, after, &text)? {
                        self.hold(from, after, &text)?;
                    } else {
                        self.arrive(from, text, &mut stored.new)?;
                    }
                }
                Content::Unknown(_) => continue,
            }
            if receipt.is_some() && !told.contains(id) && !self.is_told(from, id)? {
                told.push(*id);
            }
        }
        if let (Some(id), Some(first)) = (receipt, messages.first())
            && !told.is_empty()
        {
            let receipts = (Status::Delivered, told.clone());
            let message = self.enqueue_receipt(id, from, first.received_at, receipts)?;
            let seq = message.as_ref().map_or(0, |message| message.seq);
            let sql = "INSERT OR REPLACE INTO told VALUES (?, ?, ?)";
            let mut statement = self.connection.prepare_cached(sql)?;
            for id in told {
                statement.execute(params![from.0, id.0, number(seq)])?;
            }
            stored.receipt = message;
        }
        Ok(stored)
    }

    /// Whether a message in the outbox tells the sender of this one.
    fn is_told(&self, from: &NodeId, id: &MessageId) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM told WHERE sender = ? AND id = ?";
        self.connection.prepare_cached(sql)?.exists(params![from.0, id.0])
    }

    /// Takes a text that its sender has not bound to an earlier one.
    fn arrive_in_order(
        &self,
        origin: &Origin,
        from: &NodeId,
        text: Text,
        new: &mut Vec<IncomingMessage>,
    ) -> rusqlite::Result<()> {
        if matches!(origin, Origin::Session(_)) && self.any("held")? {
            self.release_before(from, text.sent_at, new)?;
        }
        self.arrive(from, text, new)
    }

    /// Stores a text, if it is new and its room admits it, and those that have waited for it.
    pub(super) fn arrive(
        &self,
        from: &NodeId,
        text: Text,
        new: &mut Vec<IncomingMessage>,
    ) -> rusqlite::Result<()> {
        let has_held = self.any("held")?;
        let mut next = vec![text];
        while let Some(text) = next.pop() {
            let is_due = !self.is_waiting(from, &text.id)?
                && match text.stamp {
                    Some(stamp) => self.admit(from, stamp, &text)?,
                    None => true,
                };
            let Text { id, stamp, text, sent_at, received_at } = text;
            let room = stamp.map(|stamp| stamp.room);
            // Not "ON CONFLICT DO NOTHING": that would use up an arrival number for every duplicate. "OR ROLLBACK", here and in
            // the outbox: a failure takes the batch with it anyway, and so nothing is kept to undo this statement alone.
            let sql =
                "INSERT OR ROLLBACK INTO incoming (sender, id, text, sent, received, room) SELECT ?1, ?2, ?3, ?4, ?5, ?6
                     WHERE NOT EXISTS (SELECT 1 FROM incoming WHERE sender = ?1 AND id = ?2)";
            let mut statement = self.connection.prepare_cached(sql)?;
            let (sent, received) = (signed(sent_at), signed(received_at));
            let parameters = params![from.0, id.0, text, sent, received, room.map(|room| room.0)];
            if is_due && statement.execute(parameters)? > 0 {
                let arrival = self.connection.last_insert_rowid().cast_unsigned();
                new.push(IncomingMessage { arrival, from: *from, id, room, text, sent_at, received_at });
            }
            if !has_held {
                continue;
            }
            let sql = "DELETE FROM held WHERE sender = ? AND id = ?";
            self.connection.prepare_cached(sql)?.execute(params![from.0, id.0])?;
            let mut waiting = self.connection.prepare_cached(
                "SELECT id, text, sent, received, room, version FROM held
                 WHERE sender = ? AND follows = ? ORDER BY number DESC",
            )?;
            let rows = waiting.query_map(params![from.0, id.0], |row| text_of(row, 0))?;
            next.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(())
    }

    /// Whether a message is set aside: it is new, and the one before it is not there.
    fn must_wait(&self, from: &NodeId, after: &MessageId, text: &Text) -> rusqlite::Result<bool> {
        let id = &text.id;
        // It would wait for ever.
        if after == id {
            return Ok(false);
        }
        let sql = "SELECT count(*) FROM incoming WHERE sender = ?1 AND id IN (?2, ?3)";
        let known: u32 = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![from.0, after.0, id.0], |row| row.get(0))?;
        if known > 0 || !has_room(self.held_size(&from.0)?, self.held_size(&[])?, text.text.len()) {
            return Ok(false);
        }
        Ok(!(self.is_waiting(from, after)? || self.is_waiting(from, id)?))
    }

    /// What is set aside for a sender, or for the empty one: for all.
    fn held_size(&self, sender: &[u8]) -> rusqlite::Result<Size> {
        let sql = "SELECT messages, bytes FROM held_sizes WHERE sender = ?";
        let size = |row: &Row<'_>| Ok(Size { messages: unsigned(row, 0)?, bytes: unsigned(row, 1)? });
        let found = self.connection.prepare_cached(sql)?.query_row([sender], size).optional()?;
        Ok(found.unwrap_or_default())
    }

    fn hold(&self, from: &NodeId, after: &MessageId, text: &Text) -> rusqlite::Result<()> {
        let Text { id, stamp, text, sent_at, received_at } = text;
        let sql = "INSERT INTO held (sender, follows, id, text, sent, received, room, version)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                   WHERE NOT EXISTS (SELECT 1 FROM held WHERE sender = ?1 AND id = ?3)";
        let (room, version) = (stamp.map(|stamp| stamp.room.0), stamp.map(|stamp| number(stamp.version)));
        let (sent, received) = (signed(*sent_at), signed(*received_at));
        let parameters = params![from.0, after.0, id.0, text, sent, received, room, version];
        self.connection.prepare_cached(sql)?.execute(parameters).map(drop)
    }

    /// Stores what has waited long enough for the message before it. A clock that was set back must not make it wait for that
    /// time again.
    pub(super) fn release(&self, now: UnixTime) -> rusqlite::Result<Vec<IncomingMessage>> {
        let (past, future) =
            (signed(now).saturating_sub(PATIENCE.as_millis() as i64), signed(now + PATIENCE));
        let sql = "SELECT sender, id FROM held WHERE received <= ? OR received >= ? ORDER BY sender, number";
        let mut statement = self.connection.prepare_cached(sql)?;
        let due = statement
            .query_map([past, future], |row| Ok((NodeId(row.get(0)?), MessageId(row.get(1)?))))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut released = Vec::new();
        for (from, id) in due {
            if let Some(first) = self.first_of_chain(&from, id)? {
                self.arrive(&from, first, &mut released)?;
            }
        }
        Ok(released)
    }

    /// Stores what its sender wrote before this time and was set aside. A session brings all that is not given up, in order: what
    /// those wait for does not come any more.
    fn release_before(
        &self,
        from: &NodeId,
        sent_at: UnixTime,
        new: &mut Vec<IncomingMessage>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(WRITTEN_BEFORE)?;
        let ids = statement.query_map(params![from.0, signed(sent_at)], |row| row.get(0).map(MessageId))?;
        for id in ids.collect::<rusqlite::Result<Vec<_>>>()? {
            if let Some(first) = self.first_of_chain(from, id)? {
                self.arrive(from, first, new)?;
            }
        }
        Ok(())
    }

    /// The message that this one waits for, or one before it in the chain, if that is set aside too.
    fn first_of_chain(&self, from: &NodeId, id: MessageId) -> rusqlite::Result<Option<Text>> {
        let sql = "SELECT follows FROM held WHERE sender = ? AND id = ?";
        let mut follows = self.connection.prepare_cached(sql)?;
        let follows = |id: MessageId| {
            follows.query_row(params![from.0, id.0], |row| row.get(0).map(MessageId)).optional()
        };
        let Some(first) = first_of_chain(id, follows)? else { return Ok(None) };
        let sql = "SELECT id, text, sent, received, room, version FROM held WHERE sender = ? AND id = ?";
        let mut text = self.connection.prepare_cached(sql)?;
        text.query_row(params![from.0, first.0], |row| text_of(row, 0)).optional()
    }

    pub(super) fn load_incoming(&self, after: u64, limit: PageLimit) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(
            "SELECT arrival, sender, id, text, sent, received, room FROM incoming WHERE arrival > ? ORDER BY arrival",
        )?;
        let rows = statement.query_map([number(after)], |row| {
            Ok(IncomingMessage {
                arrival: unsigned(row, 0)?,
                from: NodeId(row.get(1)?),
                id: MessageId(row.get(2)?),
                text: row.get(3)?,
                sent_at: time(row, 4)?,
                received_at: time(row, 5)?,
                room: row.get::<_, Option<_>>(6)?.map(RoomId),
            })
        })?;
        let (messages, complete) = page(rows, limit, |message| message.text.len())?;
        Ok(Outcome::Incoming { messages, complete })
    }

    pub(super) fn mark_read(
        &self,
        from: &NodeId,
        arrival: u64,
        receipt: &MessageId,
        now: UnixTime,
    ) -> rusqlite::Result<Option<OutgoingMessage>> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE incoming SET read = 1 WHERE arrival IN
                (SELECT arrival FROM incoming WHERE read = 0 AND sender = ?1 AND arrival <= ?2
                    AND room IS (SELECT room FROM incoming WHERE arrival = ?2) ORDER BY arrival LIMIT ?3)
             RETURNING arrival, id",
        )?;
        let parameters = params![from.0, number(arrival), MAX_RECEIPT_IDS as u32];
        let rows = statement.query_map(parameters, |row| Ok((unsigned(row, 0)?, MessageId(row.get(1)?))))?;
        let mut read = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        if read.is_empty() {
            return Ok(None);
        }
        read.sort_unstable();
        let ids = read.into_iter().map(|(_, id)| id).collect();
        self.enqueue_receipt(receipt, from, now, (Status::Read, ids))
    }
}

/// Reads id, text, times, room and version from this column on.
pub(super) fn text_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Text> {
    let room: Option<[u8; RoomId::LEN]> = row.get(first + 4)?;
    let stamp = |room| unsigned(row, first + 5).map(|version| Stamp { room: RoomId(room), version });
    Ok(Text {
        id: MessageId(row.get(first)?),
        stamp: room.map(stamp).transpose()?,
        text: row.get(first + 1)?,
        sent_at: time(row, first + 2)?,
        received_at: time(row, first + 3)?,
    })
}
