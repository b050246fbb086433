//! How long delivered messages stay, and forgetting them bit by bit.
//!
//! Forgotten is what the application is done with alone: a message to somebody that was delivered or given up, a message
//! from somebody that was confirmed. Of the latter the sender and the id stay for good (some 120 bytes, without text and times): the
//! sender, should it never have heard the receipt, may repeat the message after years, and nothing else tells then
//! that it came before.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

/// Messages looked at in one step: what a message that is to be stored waits for at the most.
const STEP: u32 = 256;

/// Pause between two steps of a sweep: the disk belongs to new messages.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// Time between the end of a sweep and the next.
const SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Which messages stay in the history. Whatever is chosen, messages that are still to be delivered, and received ones that
/// the application has not confirmed, stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeepHistory {
    /// All of them.
    #[default]
    Everything,
    /// Those that were written or received less than so long ago, by this node's clock.
    For(Duration),
    /// The newest, so many of them.
    Messages(u64),
}

/// What a sweep looks at.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Messages behind this position stay.
    last_position: i64,
    /// Messages from this time on stay.
    from: i64,
    now: i64,
}

#[derive(Debug)]
struct Sweep {
    limits: Limits,
    /// The position that was looked at last.
    position: i64,
    forgotten: bool,
}

/// A message that a step looks at.
struct Candidate {
    position: i64,
    time: i64,
    arrival: Option<i64>,
    seq: Option<i64>,
    is_done: bool,
}

/// Forgets in small steps, one sweep an hour.
#[derive(Debug)]
pub(super) struct Sweeper {
    keep: KeepHistory,
    sweep: Option<Sweep>,
    due: Option<Instant>,
}

impl Sweeper {
    pub(super) fn new(keep: KeepHistory) -> Self {
        let due = (keep != KeepHistory::Everything).then(Instant::now);
        Self { keep, sweep: None, due }
    }

    /// How long to wait for something else before the next step; `None`: for ever.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The next step. Messages that arrived up to `confirmed` are done with.
    pub(super) fn step(&mut self, connection: &mut Connection, confirmed: u64) -> rusqlite::Result<()> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stepped = self.step_at(connection, confirmed, millis(wall));
        let pause = if self.sweep.is_some() { STEP_PAUSE } else { SWEEP_PAUSE };
        self.due = Some(Instant::now() + pause);
        stepped
    }

    fn step_at(&mut self, connection: &mut Connection, confirmed: u64, now: i64) -> rusqlite::Result<()> {
        let mut sweep = match self.sweep.take() {
            Some(sweep) => sweep,
            None => Sweep { limits: limits(connection, self.keep, now)?, position: 0, forgotten: false },
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_over = sweep.step(&transaction, confirmed)?;
        transaction.commit()?;
        if !is_over {
            self.sweep = Some(sweep);
        } else if sweep.forgotten {
            // What was forgotten leaves the write-ahead log as well; a reader may be in the way, then a later one does it.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }
}

impl Sweep {
    /// Whether the sweep is over.
    fn step(&mut self, transaction: &Transaction<'_>, confirmed: u64) -> rusqlite::Result<bool> {
        let candidates = self.candidates(transaction, confirmed)?;
        let is_last = candidates.len() < STEP as usize;
        for candidate in candidates {
            self.position = candidate.position;
            if candidate.time >= self.limits.from {
                // Later ones are younger, but for those from a time when the clock was wrong.
                if candidate.time <= self.limits.now {
                    return Ok(true);
                }
            } else if candidate.is_done {
                forget(transaction, &candidate)?;
                self.forgotten = true;
            }
        }
        Ok(is_last)
    }

    fn candidates(&self, transaction: &Transaction<'_>, confirmed: u64) -> rusqlite::Result<Vec<Candidate>> {
        let mut statement = transaction.prepare_cached(
            "SELECT position, time, history.arrival, history.seq,
                    coalesce(history.arrival <= ?3, outgoing.status >= 25, 1) AND NOT EXISTS
                        (SELECT 1 FROM outgoing AS copy WHERE copy.id = outgoing.id AND copy.status < 25)
             FROM history LEFT JOIN outgoing ON outgoing.seq = history.seq
             WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?4",
        )?;
        let confirmed = i64::try_from(confirmed).unwrap_or(i64::MAX);
        let arguments = params![self.position, self.limits.last_position, confirmed, STEP];
        let rows = statement.query_map(arguments, |row| {
            Ok(Candidate {
                position: row.get(0)?,
                time: row.get(1)?,
                arrival: row.get(2)?,
                seq: row.get(3)?,
                is_done: row.get(4)?,
            })
        })?;
        rows.collect()
    }
}

fn limits(connection: &Connection, keep: KeepHistory, now: i64) -> rusqlite::Result<Limits> {
    let all = Limits { last_position: i64::MAX, from: i64::MAX, now };
    Ok(match keep {
        KeepHistory::Everything => Limits { last_position: 0, ..all },
        KeepHistory::For(age) => Limits { from: now.saturating_sub(millis(age)), ..all },
        KeepHistory::Messages(count) => {
            let sql =
                "SELECT coalesce((SELECT position FROM history ORDER BY position DESC LIMIT 1 OFFSET ?), 0)";
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            Limits { last_position: connection.query_row(sql, [count], |row| row.get(0))?, ..all }
        }
    })
}

/// First the row of the history: its words are found by the text.
fn forget(transaction: &Transaction<'_>, candidate: &Candidate) -> rusqlite::Result<()> {
    let run = |sql: &str, row| transaction.prepare_cached(sql)?.execute([row]).map(drop);
    run("DELETE FROM history WHERE position = ?", candidate.position)?;
    if let Some(arrival) = candidate.arrival {
        run("UPDATE incoming SET text = '', sent = 0, received = 0 WHERE arrival = ?", arrival)?;
    }
    if let Some(seq) = candidate.seq {
        // All copies of a message to a room.
        const SAME: &str = "id = (SELECT id FROM outgoing WHERE seq = ?)";
        run(&format!("DELETE FROM copies WHERE seq IN (SELECT seq FROM outgoing WHERE {SAME})"), seq)?;
        run(&format!("DELETE FROM outgoing WHERE {SAME}"), seq)?;
    }
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
