//! The mailbox.

use rusqlite::{OptionalExtension, params};

use super::{Outcome, Writer, number, page, signed, time, unsigned};
use crate::message::store::{Keeping, Letter, PageLimit, Quota};
use crate::types::{MessageId, NodeId, UnixTime};

impl Writer {
    pub(super) fn keep_letter(&self, letter: &Letter, quota: Quota) -> rusqlite::Result<Keeping> {
        let Letter { sender, recipient, id, expires, envelope } = letter;
        let sql =
            "UPDATE letters SET expires = max(expires, ?) WHERE recipient = ? AND sender = ? AND id = ?";
        let same = params![signed(*expires), recipient.0, sender.0, id.0];
        if self.connection.prepare_cached(sql)?.execute(same)? > 0 {
            return Ok(Keeping::Kept);
        }
        let len = envelope.len() as u64;
        if self.letter_bytes(&[])? + len > quota.total {
            return Ok(Keeping::Full);
        }
        if self.letter_bytes(&sender.0)? + len > quota.sender {
            return Ok(Keeping::SenderFull);
        }
        let sql = "INSERT INTO letters (recipient, sender, id, expires, envelope) VALUES (?, ?, ?, ?, ?)";
        let parameters = params![recipient.0, sender.0, id.0, signed(*expires), envelope];
        self.connection.prepare_cached(sql)?.execute(parameters)?;
        Ok(Keeping::Kept)
    }

    /// Bytes of the envelopes of one sender; of all, if it is empty.
    fn letter_bytes(&self, sender: &[u8]) -> rusqlite::Result<u64> {
        let mut statement =
            self.connection.prepare_cached("SELECT bytes FROM letter_sizes WHERE sender = ?")?;
        Ok(statement.query_row([sender], |row| unsigned(row, 0)).optional()?.unwrap_or(0))
    }

    pub(super) fn load_letters(
        &self,
        recipient: &NodeId,
        after: u64,
        limit: PageLimit,
    ) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, sender, id, expires, envelope FROM letters
             WHERE recipient = ? AND number > ? ORDER BY number",
        )?;
        let rows = statement.query_map(params![recipient.0, number(after)], |row| {
            let letter = Letter {
                sender: NodeId(row.get(1)?),
                recipient: *recipient,
                id: MessageId(row.get(2)?),
                expires: time(row, 3)?,
                envelope: row.get(4)?,
            };
            Ok((unsigned(row, 0)?, letter))
        })?;
        let (letters, complete) = page(rows, limit, |(_, letter)| letter.envelope.len())?;
        Ok(Outcome::Letters { letters, complete })
    }

    pub(super) fn remove_letters(&self, recipient: &NodeId, numbers: &[u64]) -> rusqlite::Result<Outcome> {
        let mut statement =
            self.connection.prepare_cached("DELETE FROM letters WHERE number = ? AND recipient = ?")?;
        for letter in numbers {
            statement.execute(params![number(*letter), recipient.0])?;
        }
        Ok(Outcome::Done)
    }

    /// Drops letters whose time has passed.
    pub(super) fn drop_letters(&self, now: UnixTime) -> rusqlite::Result<()> {
        let sql = "DELETE FROM letters WHERE expires <= ?";
        self.connection.prepare_cached(sql)?.execute([signed(now)]).map(drop)
    }
}
