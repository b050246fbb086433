//! What the disk refuses, told once and not with every attempt.

use std::time::Duration;

use super::stack::Stack;
use super::{Event, Warning};
use crate::message::store::{StoreError, StoreReply};
use crate::types::{Instant, Now};

/// Least time between two warnings: a peer decides how often the disk is tried.
const WARNING_GAP: Duration = Duration::from_secs(60);

/// Whether the person knows that the disk refuses.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: bool,
    told_at: Option<Instant>,
}

impl Trouble {
    /// Whether this failure is to be told.
    fn on_failure(&mut self, now: Instant) -> bool {
        let tell = !self.told && self.told_at.is_none_or(|at| now - at >= WARNING_GAP);
        if tell {
            *self = Self { told: true, told_at: Some(now) };
        }
        tell
    }

    fn on_success(&mut self) {
        self.told = false;
    }
}

impl Stack {
    pub(super) fn note_store_reply(&mut self, now: Now, reply: &StoreReply) {
        match outcome(reply) {
            Outcome::Failed(error) => {
                if self.storage_trouble.on_failure(now.monotonic) {
                    self.events.push_back(Event::Warning(Warning::Storage(error.to_string())));
                }
            }
            Outcome::Written => self.storage_trouble.on_success(),
            Outcome::Other => {}
        }
    }
}

enum Outcome<'a> {
    Failed(&'a StoreError),
    Written,
    Other,
}

fn outcome(reply: &StoreReply) -> Outcome<'_> {
    match reply {
        StoreReply::StatusNotSaved { error, .. }
        | StoreReply::OutboxPageFailed { error, .. }
        | StoreReply::DepositPageFailed { error, .. }
        | StoreReply::LetterPageFailed { error, .. }
        | StoreReply::LetterNotKept { error, .. }
        | StoreReply::NotStored { error, .. }
        | StoreReply::IncomingPageFailed { error }
        | StoreReply::NotSaved { error, .. } => Outcome::Failed(error),
        StoreReply::Enqueued { .. }
        | StoreReply::RoomDone { .. }
        | StoreReply::StatusSaved { .. }
        | StoreReply::Stored { .. }
        | StoreReply::MarkedRead { .. }
        | StoreReply::LetterKept { .. } => Outcome::Written,
        // Whoever sends a message that is refused is told by the answer.
        StoreReply::NotEnqueued { .. }
        | StoreReply::Written { .. }
        | StoreReply::Opened(_)
        | StoreReply::OutboxPage { .. }
        | StoreReply::DepositPage { .. }
        | StoreReply::LetterPage { .. }
        // Mostly there is nothing to write.
        | StoreReply::Swept { .. }
        | StoreReply::RoomsChanged(_)
        | StoreReply::IncomingPage { .. } => Outcome::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_again_after_a_recovery() {
        let at = |seconds| Instant::default() + Duration::from_secs(seconds);
        let mut trouble = Trouble::default();
        assert_eq!([0, 1, 100].map(|second| trouble.on_failure(at(second))), [true, false, false]);
        trouble.on_success();
        assert!(trouble.on_failure(at(101)));
        trouble.on_success();
        assert_eq!([102, 160, 161].map(|second| trouble.on_failure(at(second))), [false, false, true]);
    }
}
