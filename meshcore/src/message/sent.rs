//! Messages that were handed to a session. Most are acknowledged at once, and then it is not worth a commit that they were
//! sent: the disk, and the application, hear of it only when no receipt has come for a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::store::StoreOp;
use crate::types::{Instant, MessageId, NodeId, Status};

/// How long a receipt is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Sent {
    waiting: BTreeMap<NodeId, VecDeque<MessageId>>,
    due: Option<Instant>,
}

impl Sent {
    pub(super) fn add(&mut self, now: Instant, to: NodeId, ids: impl IntoIterator<Item = MessageId>) {
        self.waiting.entry(to).or_default().extend(ids);
        self.due.get_or_insert(now + PATIENCE);
    }

    /// A message has come further than that.
    pub(super) fn remove(&mut self, to: NodeId, id: MessageId) {
        let Some(waiting) = self.waiting.get_mut(&to) else { return };
        // Receipts come in order: the search ends at once.
        if let Some(at) = waiting.iter().position(|sent| *sent == id) {
            waiting.remove(at);
        }
        if waiting.is_empty() {
            self.waiting.remove(&to);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What the disk is to be told.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> impl Iterator<Item = StoreOp> {
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        let waiting = if is_due { std::mem::take(&mut self.waiting) } else { BTreeMap::new() };
        waiting.into_iter().map(|(to, ids)| StoreOp::SetStatus { to, ids: ids.into(), status: Status::Sent })
    }
}
