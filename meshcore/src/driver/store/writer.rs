//! The thread that owns the database.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::peers::{load_peers, save_peer};
use super::retention::{KeepHistory, Sweeper};
use super::{Command, Opened, ReplyHandler, connect, schema, sqlite_error};
use crate::message::store::{
    IncomingMessage, OpenedOutboxes, OutgoingMessage, PageLimit, ReceivedMessage, StoreError, StoreOp,
    StoreReply,
};
use crate::types::{MessageId, NodeId, Status, UnixTime};

/// Most commands in one commit: what a failing commit takes with it, and how long the first waits for the last.
const MAX_BATCH: usize = 512;

const CONFIRMED: &str = "confirmed";
const RECORD_NUMBER: &str = "record_number";

/// What an operation brought, until the commit allows to tell.
enum Outcome {
    Enqueued { seq: u64 },
    DuplicateId,
    Raised(Vec<MessageId>),
    Arrivals(Vec<Option<u64>>),
    Outgoing { messages: Vec<OutgoingMessage>, complete: bool },
    Incoming { messages: Vec<IncomingMessage>, complete: bool },
    Number(u64),
    Done,
}

type Answer = Result<Outcome, StoreError>;

pub(super) struct Writer {
    file: PathBuf,
    connection: Connection,
    /// The application's cursor, and what the database knows of it: written along with the next commit.
    confirmed: u64,
    saved_confirmed: u64,
    sweeper: Sweeper,
}

impl Writer {
    pub(super) fn open(file: &Path, keep: KeepHistory) -> Result<Self, StoreError> {
        let mut connection = connect(file)?;
        schema::prepare(&mut connection, file)?;
        let (file, sweeper) = (file.to_owned(), Sweeper::new(keep));
        let mut writer = Self { file, connection, confirmed: 0, saved_confirmed: 0, sweeper };
        let file = &writer.file;
        writer.confirmed = writer.meta(CONFIRMED).map_err(|error| sqlite_error(file, error))?;
        writer.saved_confirmed = writer.confirmed;
        Ok(writer)
    }

    pub(super) fn load(&self) -> Result<Opened, StoreError> {
        self.try_load().map_err(|error| sqlite_error(&self.file, error))
    }

    fn try_load(&self) -> rusqlite::Result<Opened> {
        let mut statement =
            self.connection.prepare("SELECT DISTINCT peer FROM outgoing WHERE status < 30 ORDER BY peer")?;
        let backlog = statement.query_map([], |row| row.get(0).map(NodeId))?;
        // Not the largest number that is left: numbers are never used again.
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'incoming'";
        let last_arrival =
            self.connection.query_row(sql, [], |row| unsigned(row, 0)).optional()?.unwrap_or(0);
        let outboxes = OpenedOutboxes {
            backlog: backlog.collect::<Result<_, _>>()?,
            confirmed: self.confirmed,
            last_arrival,
        };
        Ok(Opened { peers: load_peers(&self.connection)?, outboxes })
    }

    /// Works until all senders are gone and the queue is empty.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Command>, deliver: &ReplyHandler) {
        loop {
            let first = match self.sweeper.wait(Instant::now()) {
                Some(pause) => queue.recv_timeout(pause),
                None => queue.recv().map_err(RecvTimeoutError::from),
            };
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                break;
            }
            let batch: Vec<_> = first.into_iter().chain(queue.try_iter()).take(MAX_BATCH).collect();
            let replies = self.execute(batch);
            if !replies.is_empty() {
                deliver(replies);
            }
            if self.sweeper.is_due(Instant::now()) {
                self.sweep();
            }
        }
        // The cursor's own file has it as well; and a database that cannot be written now is mended at the next start.
        let _ = self.commit(&[]);
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Executes commands in order and commits them together; a failure fails all that wanted to write.
    pub(super) fn execute(&mut self, mut batch: Vec<Command>) -> Vec<StoreReply> {
        batch.retain(|command| match command {
            Command::Op(StoreOp::Confirmed { arrival }) => {
                self.confirmed = self.confirmed.max(*arrival);
                false
            }
            _ => true,
        });
        let answers = if batch.iter().all(is_read) {
            batch.iter().map(|command| self.run_alone(command)).collect()
        } else {
            self.commit(&batch).unwrap_or_else(|error| {
                // What the reads saw may have been rolled back.
                let answer =
                    |command| if is_read(command) { self.run_alone(command) } else { Err(error.clone()) };
                batch.iter().map(answer).collect()
            })
        };
        batch.into_iter().zip(answers).filter_map(|(command, answer)| reply(command, answer)).collect()
    }

    /// A step of forgetting. What the disk refuses now is tried again with the next sweep.
    fn sweep(&mut self) {
        if let Err(error) = self.sweeper.step(&mut self.connection, self.confirmed) {
            let error = sqlite_error(&self.file, error);
            tracing::warn!(%error, "old messages could not be forgotten");
        }
    }

    fn run_alone(&self, command: &Command) -> Answer {
        self.run_command(command).map_err(|error| sqlite_error(&self.file, error))
    }

    /// Runs commands in one transaction; nothing of it stays when it fails.
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Answer>, StoreError> {
        self.try_commit(batch).map_err(|error| {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            sqlite_error(&self.file, error)
        })
    }

    fn try_commit(&mut self, batch: &[Command]) -> rusqlite::Result<Vec<Answer>> {
        if batch.is_empty() && self.confirmed <= self.saved_confirmed {
            return Ok(Vec::new());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let answers =
            batch.iter().map(|command| self.run_command(command).map(Ok)).collect::<Result<_, _>>()?;
        if self.confirmed > self.saved_confirmed {
            self.set_meta(CONFIRMED, self.confirmed)?;
        }
        self.connection.execute_batch("COMMIT")?;
        self.saved_confirmed = self.confirmed;
        Ok(answers)
    }

    fn run_command(&self, command: &Command) -> rusqlite::Result<Outcome> {
        match command {
            Command::RecordNumber { now, .. } => self.next_record_number(*now),
            Command::Op(op) => self.run_op(op),
        }
    }

    fn run_op(&self, op: &StoreOp) -> rusqlite::Result<Outcome> {
        match op {
            StoreOp::Enqueue { id, to, created, text } => self.enqueue(id, to, *created, text),
            StoreOp::SetStatus { to, ids, status } => self.set_status(to, ids, *status),
            StoreOp::LoadOutbox { peer, after, limit, .. } => self.load_outbox(peer, *after, *limit),
            StoreOp::StoreIncoming { from, messages, .. } => {
                let arrivals = messages.iter().map(|message| self.store_incoming(from, message));
                arrivals.collect::<Result<_, _>>().map(Outcome::Arrivals)
            }
            StoreOp::LoadIncoming { after, limit } => self.load_incoming(*after, *limit),
            StoreOp::Confirmed { .. } => Ok(Outcome::Done),
            StoreOp::SavePeer(peer) => save_peer(&self.connection, peer).map(|()| Outcome::Done),
            StoreOp::RemovePeer(id) => {
                self.connection.prepare_cached("DELETE FROM peers WHERE id = ?")?.execute([id.0])?;
                Ok(Outcome::Done)
            }
        }
    }

    fn enqueue(
        &self,
        id: &MessageId,
        to: &NodeId,
        created: UnixTime,
        text: &str,
    ) -> rusqlite::Result<Outcome> {
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO outgoing (id, peer, text, created, status) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![id.0, to.0, text, signed(created), Status::Queued.code()])?;
        let seq = self.connection.last_insert_rowid().cast_unsigned();
        Ok(if added == 0 { Outcome::DuplicateId } else { Outcome::Enqueued { seq } })
    }

    fn set_status(&self, to: &NodeId, ids: &[MessageId], status: Status) -> rusqlite::Result<Outcome> {
        let sql = "UPDATE outgoing SET status = ?1 WHERE id = ?2 AND peer = ?3 AND status < ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut raised = Vec::new();
        for id in ids {
            if statement.execute(params![status.code(), id.0, to.0])? > 0 {
                raised.push(*id);
            }
        }
        Ok(Outcome::Raised(raised))
    }

    fn store_incoming(&self, from: &NodeId, message: &ReceivedMessage) -> rusqlite::Result<Option<u64>> {
        let ReceivedMessage { id, text, sent_at, received_at } = message;
        // Not "ON CONFLICT DO NOTHING": that would use up an arrival number for every duplicate.
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO incoming (sender, id, text, sent, received) SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE NOT EXISTS (SELECT 1 FROM incoming WHERE sender = ?1 AND id = ?2)",
            )?
            .execute(params![from.0, id.0, text, signed(*sent_at), signed(*received_at)])?;
        Ok((added > 0).then(|| self.connection.last_insert_rowid().cast_unsigned()))
    }

    fn load_outbox(&self, peer: &NodeId, after: u64, limit: PageLimit) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, id, created, text, status FROM outgoing
             WHERE status < 30 AND peer = ? AND seq > ? ORDER BY seq",
        )?;
        let rows = statement.query_map(params![peer.0, number(after)], |row| {
            let code: u8 = row.get(4)?;
            Ok(OutgoingMessage {
                seq: unsigned(row, 0)?,
                id: MessageId(row.get(1)?),
                created: time(row, 2)?,
                text: row.get(3)?,
                status: Status::from_code(code)
                    .ok_or(rusqlite::Error::IntegralValueOutOfRange(4, code.into()))?,
            })
        })?;
        let (messages, complete) = page(rows, limit, |message| message.text.len())?;
        Ok(Outcome::Outgoing { messages, complete })
    }

    fn load_incoming(&self, after: u64, limit: PageLimit) -> rusqlite::Result<Outcome> {
        let mut statement = self.connection.prepare_cached(
            "SELECT arrival, sender, id, text, sent, received FROM incoming WHERE arrival > ? ORDER BY arrival",
        )?;
        let rows = statement.query_map([number(after)], |row| {
            Ok(IncomingMessage {
                arrival: unsigned(row, 0)?,
                from: NodeId(row.get(1)?),
                id: MessageId(row.get(2)?),
                text: row.get(3)?,
                sent_at: time(row, 4)?,
                received_at: time(row, 5)?,
            })
        })?;
        let (messages, complete) = page(rows, limit, |message| message.text.len())?;
        Ok(Outcome::Incoming { messages, complete })
    }

    fn next_record_number(&self, now: UnixTime) -> rusqlite::Result<Outcome> {
        let next = self.meta(RECORD_NUMBER)?.saturating_add(1).max(now.as_millis());
        self.set_meta(RECORD_NUMBER, next)?;
        Ok(Outcome::Number(next))
    }

    fn meta(&self, key: &str) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
        Ok(statement.query_row([key], |row| unsigned(row, 0)).optional()?.unwrap_or(0))
    }

    fn set_meta(&self, key: &str, value: u64) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![key, value.cast_signed()]).map(drop)
    }

    /// For tests that make the disk fail.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn is_read(command: &Command) -> bool {
    matches!(command, Command::Op(op) if op.is_read())
}

/// What is told about a command once its fate is sealed.
fn reply(command: Command, answer: Answer) -> Option<StoreReply> {
    let op = match command {
        Command::Op(op) => op,
        Command::RecordNumber { reply, .. } => {
            let number = answer.map(|outcome| if let Outcome::Number(number) = outcome { number } else { 0 });
            // Nobody waits any more: the number is lost, and the next one is larger anyway.
            let _ = reply.send(number);
            return None;
        }
    };
    let outcome = match answer {
        Ok(Outcome::DuplicateId) => return Some(op.failed(StoreError::DuplicateId)),
        Ok(outcome) => outcome,
        Err(error) => return Some(op.failed(error)),
    };
    match (op, outcome) {
        (StoreOp::Enqueue { id, to, created, text }, Outcome::Enqueued { seq }) => {
            let message = OutgoingMessage { seq, id, created, text, status: Status::Queued };
            Some(StoreReply::Enqueued { to, message })
        }
        (StoreOp::SetStatus { to, status, .. }, Outcome::Raised(ids)) => {
            Some(StoreReply::StatusSaved { to, ids, status })
        }
        (StoreOp::LoadOutbox { peer, token, .. }, Outcome::Outgoing { messages, complete }) => {
            Some(StoreReply::OutboxPage { peer, token, messages, complete })
        }
        (StoreOp::StoreIncoming { session, from, messages }, Outcome::Arrivals(arrivals)) => {
            let ids = messages.iter().map(|message| message.id).collect();
            let new = messages.into_iter().zip(arrivals).filter_map(|(message, arrival)| {
                let ReceivedMessage { id, text, sent_at, received_at } = message;
                Some(IncomingMessage { arrival: arrival?, from, id, text, sent_at, received_at })
            });
            Some(StoreReply::Stored { session, ids, new: new.collect() })
        }
        (StoreOp::LoadIncoming { .. }, Outcome::Incoming { messages, complete }) => {
            Some(StoreReply::IncomingPage { messages, complete })
        }
        _ => None,
    }
}

/// Takes rows until the page is full; whether these were all.
fn page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    limit: PageLimit,
    len: impl Fn(&T) -> usize,
) -> rusqlite::Result<(Vec<T>, bool)> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += len(&row);
        if messages.len() >= limit.messages || (bytes > limit.bytes && !messages.is_empty()) {
            return Ok((messages, false));
        }
        messages.push(row);
    }
    Ok((messages, true))
}

pub(super) fn signed(time: UnixTime) -> i64 {
    time.as_millis().cast_signed()
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixTime> {
    unsigned(row, column).map(UnixTime::from_millis)
}

/// A row number to compare with: larger ones than SQLite has compare like its largest.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
