//! Whom the mailbox of this node keeps letters for.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::message::store::{PageLimit, StoreOp};
use crate::types::NodeId;

/// Enough to see whether there is something.
const ONE: PageLimit = PageLimit { messages: 1, bytes: 1 };

/// Nodes with letters, as far as is known: letters expire on disk without a word. From time to time those who are not served are
/// looked at, one after the other, so that who has no letters any more does not stay in memory.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    all: BTreeSet<NodeId>,
    /// Where the round goes on.
    round: Option<Bound<NodeId>>,
    /// The question that is asked, and about whom.
    asked: Option<(u64, NodeId)>,
}

impl Recipients {
    /// Whether it was not known before.
    pub(super) fn insert(&mut self, recipient: NodeId) -> bool {
        self.all.insert(recipient)
    }

    pub(super) fn remove(&mut self, recipient: &NodeId) {
        self.all.remove(recipient);
    }

    pub(super) fn contains(&self, recipient: &NodeId) -> bool {
        self.all.contains(recipient)
    }

    /// Looks at all of them.
    pub(super) fn begin_round(&mut self) {
        self.round.get_or_insert(Bound::Unbounded);
    }

    /// The next question of a round.
    pub(super) fn ask(
        &mut self,
        is_served: impl Fn(&NodeId) -> bool,
        token: impl FnOnce() -> u64,
    ) -> Option<StoreOp> {
        let from = self.round.filter(|_| self.asked.is_none())?;
        let next = self.all.range((from, Bound::Unbounded)).find(|recipient| !is_served(recipient)).copied();
        self.round = next.map(Bound::Excluded);
        let (recipient, token) = (next?, token());
        self.asked = Some((token, recipient));
        Some(StoreOp::LoadLetters { recipient, after: 0, limit: ONE, token })
    }

    /// The answer to a question, if it is one: about whom.
    pub(super) fn answered(&mut self, token: u64) -> Option<NodeId> {
        self.asked.take_if(|(asked, _)| *asked == token).map(|(_, recipient)| recipient)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
