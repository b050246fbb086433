//! The thread that owns the database.

pub(super) mod incoming;
mod letters;
pub(super) mod outgoing;
mod rooms;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) use self::rooms::load_rooms;
use super::before_sync::BeforeSync;
use super::index::Indexer;
use super::peers::{load_peers, save_peer};
use super::retention::{KeepHistory, Sweeper};
use super::{Command, Opened, ReplyHandler, connect, files, schema, sqlite_error};
use crate::message::room::RoomOutcome;
use crate::message::store::{
    Content, Deposit, IncomingMessage, Keeping, Letter, OpenedOutboxes, OutgoingMessage, PageLimit,
    StoreError, StoreOp, StoreReply, Unconfirmed,
};
use crate::types::{MessageId, NodeId, Status, UnixTime};

/// Most commands in one commit: what a failing commit takes with it, and how long the first waits for the last.
const MAX_BATCH: usize = 512;

/// More than there are different statements: to prepare one anew takes longer than to run it.
const STATEMENTS: usize = 80;

const CONFIRMED: &str = "confirmed";
const RECORD_NUMBER: &str = "record_number";

/// What an operation brought, until the commit allows to tell.
enum Outcome {
    Enqueued { seq: u64, created: UnixTime },
    Refused(StoreError),
    Room(Box<RoomOutcome>),
    Rooms(Vec<RoomOutcome>),
    Raised(Vec<MessageId>),
    Outgoing { messages: Vec<OutgoingMessage>, complete: bool },
    Deposits { deposits: Vec<Deposit>, complete: bool },
    Stored(Stored),
    Incoming { messages: Vec<IncomingMessage>, complete: bool },
    Read(Option<OutgoingMessage>),
    Kept(Keeping),
    Letters { letters: Vec<(u64, Letter)>, complete: bool },
    Swept { expired: Vec<(NodeId, MessageId)>, idle: Vec<NodeId>, released: Vec<IncomingMessage> },
    Number(u64),
    Done,
}

/// What a [`StoreOp::StoreIncoming`] brought.
#[derive(Default)]
struct Stored {
    new: Vec<IncomingMessage>,
    raised: Vec<(MessageId, Status)>,
    receipt: Option<OutgoingMessage>,
    rooms: Vec<RoomOutcome>,
}

type Answer = Result<Outcome, StoreError>;

pub(super) struct Writer {
    file: PathBuf,
    connection: Connection,
    before_sync: BeforeSync,
    /// The application's cursor, and what the database knows of it: written along with the next commit.
    confirmed: u64,
    saved_confirmed: u64,
    indexer: Indexer,
    sweeper: Sweeper,
}

impl Writer {
    pub(super) fn open(file: &Path, keep: KeepHistory) -> Result<Self, StoreError> {
        let mut connection = connect(file)?;
        schema::prepare(&mut connection, file)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let indexer = Indexer::open(&connection).map_err(|error| sqlite_error(file, error))?;
        let before_sync = BeforeSync::install(&connection).map_err(|error| sqlite_error(file, error))?;
        let (file, sweeper) = (file.to_owned(), Sweeper::new(keep));
        let mut writer =
            Self { file, connection, before_sync, confirmed: 0, saved_confirmed: 0, indexer, sweeper };
        let file = &writer.file;
        writer.confirmed = writer.meta(CONFIRMED).map_err(|error| sqlite_error(file, error))?;
        writer.saved_confirmed = writer.confirmed;
        Ok(writer)
    }

    pub(super) fn load(&self) -> Result<Opened, StoreError> {
        self.try_load().map_err(|error| sqlite_error(&self.file, error))
    }

    fn try_load(&self) -> rusqlite::Result<Opened> {
        let nodes = |sql: &str| -> rusqlite::Result<Vec<NodeId>> {
            self.connection.prepare(sql)?.query_map([], |row| row.get(0).map(NodeId))?.collect()
        };
        // Not the largest number that is left: numbers are never used again.
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'incoming'";
        let last_arrival =
            self.connection.query_row(sql, [], |row| unsigned(row, 0)).optional()?.unwrap_or(0);
        // What is no text has an empty one. Its length is told without reading it.
        let sql =
            "SELECT DISTINCT peer FROM outgoing WHERE status < 25 AND octet_length(text) > 0 ORDER BY peer";
        let outboxes = OpenedOutboxes {
            backlog: nodes("SELECT DISTINCT peer FROM outgoing WHERE status < 25 ORDER BY peer")?,
            texts_for: nodes(sql)?,
            letters_for: nodes("SELECT DISTINCT recipient FROM letters ORDER BY recipient")?,
            confirmed: self.confirmed,
            last_arrival,
            unconfirmed: self.unconfirmed()?,
            rooms: load_rooms(&self.connection)?,
        };
        Ok(Opened { peers: load_peers(&self.connection)?, files: files::load(&self.connection)?, outboxes })
    }

    fn unconfirmed(&self) -> rusqlite::Result<Vec<Unconfirmed>> {
        let sql =
            "SELECT arrival, sender, octet_length(text) FROM incoming WHERE arrival > ? ORDER BY arrival";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([number(self.confirmed)], |row| {
            let len = row.get::<_, u32>(2)? as usize;
            Ok(Unconfirmed { arrival: unsigned(row, 0)?, from: NodeId(row.get(1)?), len })
        })?;
        rows.collect()
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
            let replies = self.execute(batch, deliver);
            if !replies.is_empty() {
                deliver(replies);
            }
            if self.indexer.is_due() {
                self.index();
            }
            if self.sweeper.is_due(Instant::now()) {
                self.sweep();
            }
        }
        // The cursor's own file has it as well; and a database that cannot be written now is mended at the next start.
        let _ = self.commit(&[], deliver);
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Executes commands in order and commits them together; a failure fails all that wanted to write. `written` gets what can be
    /// told before the disk has synced them.
    pub(super) fn execute(&mut self, mut batch: Vec<Command>, written: &ReplyHandler) -> Vec<StoreReply> {
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
            self.commit(&batch, written).unwrap_or_else(|error| {
                // What the reads saw may have been rolled back.
                let answer =
                    |command| if is_read(command) { self.run_alone(command) } else { Err(error.clone()) };
                batch.iter().map(answer).collect()
            })
        };
        batch.into_iter().zip(answers).filter_map(|(command, answer)| reply(command, answer)).collect()
    }

    /// A step of indexing. What the disk refuses now is tried again when as many messages have come once more.
    pub(super) fn index(&mut self) {
        if let Err(error) = self.indexer.step(&mut self.connection) {
            let error = sqlite_error(&self.file, error);
            tracing::warn!(%error, "the words of messages could not be indexed");
        }
    }

    /// A step of forgetting. What the disk refuses now is tried again with the next sweep.
    pub(super) fn sweep(&mut self) {
        if let Err(error) = self.sweeper.step(&mut self.connection, self.confirmed) {
            let error = sqlite_error(&self.file, error);
            tracing::warn!(%error, "old messages could not be forgotten");
        }
    }

    fn run_alone(&self, command: &Command) -> Answer {
        self.run_command(command).map_err(|error| sqlite_error(&self.file, error))
    }

    /// Runs commands in one transaction; nothing of it stays when it fails.
    fn commit(&mut self, batch: &[Command], written: &ReplyHandler) -> Result<Vec<Answer>, StoreError> {
        self.try_commit(batch, written).map_err(|error| {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            sqlite_error(&self.file, error)
        })
    }

    fn try_commit(&mut self, batch: &[Command], written: &ReplyHandler) -> rusqlite::Result<Vec<Answer>> {
        if batch.is_empty() && self.confirmed <= self.saved_confirmed {
            return Ok(Vec::new());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let answers = batch
            .iter()
            .map(|command| self.run_command(command).map(Ok))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if self.confirmed > self.saved_confirmed {
            self.set_meta(CONFIRMED, self.confirmed)?;
        }
        let mut texts = new_texts(batch, &answers);
        let tell = || texts.take().into_iter().for_each(written);
        self.before_sync.during(tell, || self.connection.execute_batch("COMMIT"))?;
        self.saved_confirmed = self.confirmed;
        self.indexer.on_committed(batch);
        Ok(answers)
    }

    fn run_command(&self, command: &Command) -> rusqlite::Result<Outcome> {
        match command {
            Command::RecordNumber { now, .. } => self.next_record_number(*now),
            Command::Op(op) => self.run_op(op),
            Command::File { op, .. } => files::run(&self.connection, op).map(|()| Outcome::Done),
        }
    }

    fn run_op(&self, op: &StoreOp) -> rusqlite::Result<Outcome> {
        match op {
            StoreOp::Enqueue { id, to, created, expires, text } => {
                self.enqueue_text(id, to, *created, *expires, text)
            }
            StoreOp::Room { own, id, now, command } => self.room_command(*own, *id, *now, command),
            StoreOp::PublishRoom { room, signed, now } => self.publish_room(*room, signed, *now),
            StoreOp::SetStatus { to, ids, status } => self.raise(to, ids, *status).map(Outcome::Raised),
            StoreOp::LoadOutbox { peer, after, limit, .. } => self.load_outbox(peer, *after, *limit),
            StoreOp::LoadDeposits { peer, mailbox, after, now, limit, .. } => {
                self.load_deposits((peer, mailbox), *after, *now, *limit)
            }
            StoreOp::Deposited { to, ids, mailbox, until } => {
                self.deposited(to, ids, mailbox, *until).map(Outcome::Raised)
            }
            StoreOp::StoreIncoming { origin, from, to, messages, receipt } => {
                self.store_incoming(origin, (from, to), messages, receipt.as_ref()).map(Outcome::Stored)
            }
            StoreOp::LoadIncoming { after, limit } => self.load_incoming(*after, *limit),
            StoreOp::Confirmed { .. } => Ok(Outcome::Done),
            StoreOp::MarkRead { from, arrival, receipt, now } => {
                self.mark_read(from, *arrival, receipt, *now).map(Outcome::Read)
            }
            StoreOp::KeepLetter { letter, quota, .. } => self.keep_letter(letter, *quota).map(Outcome::Kept),
            StoreOp::LoadLetters { recipient, after, limit, .. } => {
                self.load_letters(recipient, *after, *limit)
            }
            StoreOp::RemoveLetters { recipient, numbers } => self.remove_letters(recipient, numbers),
            StoreOp::Sweep { now } => {
                self.drop_letters(*now)?;
                self.drop_waiting(*now)?;
                let (expired, idle) = self.give_up(*now)?;
                Ok(Outcome::Swept { expired, idle, released: self.release(*now)? })
            }
            StoreOp::SavePeer(peer) => save_peer(&self.connection, peer).map(|()| Outcome::Done),
            StoreOp::RemovePeer(id) => {
                self.connection.prepare_cached("DELETE FROM peers WHERE id = ?")?.execute([id.0])?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Whether a table has any row: most have none, and then need not be searched for each message.
    fn any(&self, table: &str) -> rusqlite::Result<bool> {
        self.connection.prepare_cached(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])
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
    pub(super) fn fail_to_sync(&self) {
        self.before_sync.fail();
    }

    /// As [`Writer::fail_to_sync`].
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn is_read(command: &Command) -> bool {
    matches!(command, Command::Op(op) if op.is_read())
}

/// What is told of a batch that does nothing but add texts to the outbox, before it is synced: nothing else in it can contradict that.
fn new_texts(batch: &[Command], answers: &[Answer]) -> Option<Vec<StoreReply>> {
    let written = |(command, answer): (&Command, &Answer)| match (command, answer) {
        (
            Command::Op(StoreOp::Enqueue { id, to, expires, text, .. }),
            Ok(Outcome::Enqueued { seq, created }),
        ) => {
            let message = queued(*seq, *id, *created, *expires, text.clone());
            Some(StoreReply::Written { to: *to, message })
        }
        _ => None,
    };
    batch.iter().zip(answers).map(written).collect()
}

fn queued(
    seq: u64,
    id: MessageId,
    created: UnixTime,
    expires: Option<UnixTime>,
    text: String,
) -> OutgoingMessage {
    OutgoingMessage { seq, id, created, expires, content: Content::Text(text), status: Status::Queued }
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
        Command::File { reply, .. } => {
            // A transfer that has ended meanwhile does not wait for it.
            let _ = reply.send(answer.map(drop));
            return None;
        }
    };
    let outcome = match answer {
        Ok(Outcome::Refused(error)) => return Some(op.failed(error)),
        Ok(outcome) => outcome,
        Err(error) => return Some(op.failed(error)),
    };
    match (op, outcome) {
        (StoreOp::Enqueue { id, to, expires, text, .. }, Outcome::Enqueued { seq, created }) => {
            Some(StoreReply::Enqueued { to, message: queued(seq, id, created, expires, text) })
        }
        (StoreOp::Room { id, command, .. }, Outcome::Room(outcome)) => {
            Some(StoreReply::RoomDone { id, len: command.weight(), outcome })
        }
        (StoreOp::PublishRoom { .. }, Outcome::Rooms(outcomes)) => Some(StoreReply::RoomsChanged(outcomes)),
        (StoreOp::SetStatus { to, status, .. }, Outcome::Raised(ids)) => {
            Some(StoreReply::StatusSaved { to, ids, status })
        }
        (StoreOp::Deposited { to, .. }, Outcome::Raised(ids)) => {
            Some(StoreReply::StatusSaved { to, ids, status: Status::Stored })
        }
        (StoreOp::LoadOutbox { peer, token, .. }, Outcome::Outgoing { messages, complete }) => {
            Some(StoreReply::OutboxPage { peer, token, messages, complete })
        }
        (StoreOp::LoadDeposits { token, .. }, Outcome::Deposits { deposits, complete }) => {
            Some(StoreReply::DepositPage { token, deposits, complete })
        }
        (StoreOp::StoreIncoming { origin, from, messages, .. }, Outcome::Stored(stored)) => {
            let Stored { new, raised, receipt, rooms } = stored;
            let ids = messages.iter().map(|message| message.id).collect();
            Some(StoreReply::Stored { origin, from, ids, new, raised, receipt, rooms })
        }
        (StoreOp::LoadIncoming { .. }, Outcome::Incoming { messages, complete }) => {
            Some(StoreReply::IncomingPage { messages, complete })
        }
        (StoreOp::MarkRead { from, arrival, .. }, Outcome::Read(receipt)) => {
            Some(StoreReply::MarkedRead { from, arrival, receipt })
        }
        (StoreOp::KeepLetter { session, number, letter, .. }, Outcome::Kept(keeping)) => {
            Some(StoreReply::LetterKept { session, number, recipient: letter.recipient, keeping })
        }
        (StoreOp::LoadLetters { token, .. }, Outcome::Letters { letters, complete }) => {
            Some(StoreReply::LetterPage { token, letters, complete })
        }
        (StoreOp::Sweep { .. }, Outcome::Swept { expired, idle, released }) => {
            Some(StoreReply::Swept { expired, idle, released })
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

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixTime> {
    unsigned(row, column).map(UnixTime::from_millis)
}

/// A row number to compare with: larger ones than SQLite has compare like its largest.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
