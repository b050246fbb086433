//! The index of the words in messages, which follows them at a distance.
//!
//! To index a message costs several times as much as to store it, and less when many are indexed at once; most are never
//! searched for. So no commit of messages waits for it: the writer indexes between commits, as soon as enough have come
//! together, and who searches makes an index of the few that are missing for himself ([`TAIL`]). `indexed` in `meta` is
//! changed together with the index, so that a crash leaves no message out and none twice.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::Command;
use crate::message::store::StoreOp;

/// So many messages, or bytes in them, may be missing: what a search has to read. Also what is indexed at once: what a
/// message that is to be stored waits for at the most.
const MISSING: (usize, usize) = (1024, 2 << 20);

/// Messages that the index does not have.
const UNINDEXED: &str = "
     SELECT position, coalesce(incoming.text, outgoing.text) AS text FROM history
     LEFT JOIN incoming ON incoming.arrival = history.arrival
     LEFT JOIN outgoing ON outgoing.seq = history.seq
     WHERE position > (SELECT value FROM meta WHERE key = 'indexed')";

/// Makes an index `tail` of the messages that `words` does not have, for this connection alone and in its memory.
pub(super) fn make_tail(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE temp.tail USING fts5(
             text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
         );
         INSERT INTO temp.tail (rowid, text) {UNINDEXED};"
    ))
}

/// What the writer remembers of it.
#[derive(Debug)]
pub(super) struct Indexer {
    /// Messages and their bytes that came since, at most.
    missing: (usize, usize),
}

impl Indexer {
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = format!("SELECT count(*), coalesce(sum(octet_length(text)), 0) FROM ({UNINDEXED})");
        let missing: (u32, u32) = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { missing: (missing.0 as usize, missing.1 as usize) })
    }

    pub(super) fn on_committed(&mut self, batch: &[Command]) {
        for (messages, bytes) in batch.iter().map(texts) {
            self.missing = (self.missing.0 + messages, self.missing.1 + bytes);
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.missing.0 >= MISSING.0 || self.missing.1 >= MISSING.1
    }

    /// Indexes what is missing, up to a limit.
    pub(super) fn step(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        // If it fails: not again with every message.
        let missing = std::mem::take(&mut self.missing);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (messages, bytes) = index(&transaction)?;
        transaction.commit()?;
        // Less than was counted: some were repetitions.
        if messages >= MISSING.0 || bytes >= MISSING.1 {
            self.missing = (missing.0.saturating_sub(messages), missing.1.saturating_sub(bytes));
        }
        Ok(())
    }
}

fn index(transaction: &Transaction<'_>) -> rusqlite::Result<(usize, usize)> {
    let (mut messages, mut bytes, mut last) = (0, 0, None);
    let mut unindexed = transaction.prepare_cached(&format!("{UNINDEXED} ORDER BY position"))?;
    let mut insert = transaction.prepare_cached("INSERT INTO words (rowid, text) VALUES (?, ?)")?;
    let mut rows = unindexed.query([])?;
    while messages < MISSING.0 && bytes < MISSING.1 {
        let Some(row) = rows.next()? else { break };
        let (position, text): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
        insert.execute(params![position, text])?;
        (messages, bytes, last) = (messages + 1, bytes + text.map_or(0, |text| text.len()), Some(position));
    }
    if let Some(last) = last {
        let sql = "UPDATE meta SET value = ? WHERE key = 'indexed'";
        transaction.prepare_cached(sql)?.execute([last])?;
    }
    Ok((messages, bytes))
}

/// Texts, and bytes in them, that a command brings.
fn texts(command: &Command) -> (usize, usize) {
    match command {
        Command::Op(StoreOp::Enqueue { text, .. }) => (1, text.len()),
        Command::Op(StoreOp::Room { command, .. }) => (1, command.weight()),
        Command::Op(StoreOp::StoreIncoming { messages, .. }) => {
            (messages.len(), messages.iter().map(|message| message.content.weight()).sum())
        }
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests;
