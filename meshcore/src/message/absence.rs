//! Who cannot be reached while messages for it wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::{Instant, NodeId};

/// How long a node that is out of reach is waited for before its messages go to mailboxes: it may only have changed its way, or
/// this node may have just started.
const OUT_OF_REACH: Duration = Duration::from_secs(3);

/// The same for a node in reach with which no session comes about.
const NO_SESSION: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Absence {
    reachable: BTreeSet<NodeId>,
    /// Messages wait for these, and no session brings them there, since.
    waiting: BTreeMap<NodeId, Instant>,
    absent: BTreeSet<NodeId>,
    /// Not after the first of them becomes absent.
    next: Option<Instant>,
}

impl Absence {
    pub(super) fn reachable(&self) -> &BTreeSet<NodeId> {
        &self.reachable
    }

    /// Whether that is news.
    pub(super) fn set_reachable(&mut self, node: NodeId, reachable: bool) -> bool {
        let is_news = if reachable { self.reachable.insert(node) } else { self.reachable.remove(&node) };
        if let Some(since) =
            self.waiting.get(&node).copied().filter(|_| is_news && !self.absent.contains(&node))
        {
            self.expect(self.due(node, since));
        }
        is_news
    }

    pub(super) fn is_reachable(&self, node: NodeId) -> bool {
        self.reachable.contains(&node)
    }

    /// Whether messages wait for a node to which no session brings them. Gives what that changes: whether the node is absent.
    pub(super) fn set_waiting(&mut self, now: Instant, node: NodeId, waiting: bool) -> Option<bool> {
        if waiting {
            let since = *self.waiting.entry(node).or_insert(now);
            if !self.absent.contains(&node) {
                self.expect(self.due(node, since));
            }
            return None;
        }
        self.waiting.remove(&node);
        self.absent.remove(&node).then_some(false)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Those that have become absent.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<NodeId> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let due = |(node, since): (&NodeId, &Instant)| (*node, self.due(*node, *since));
        let dues: Vec<_> =
            self.waiting.iter().map(due).filter(|(node, _)| !self.absent.contains(node)).collect();
        self.next = dues.iter().map(|(_, due)| *due).filter(|due| now < *due).min();
        let become_absent: Vec<_> =
            dues.into_iter().filter(|(_, due)| *due <= now).map(|(node, _)| node).collect();
        self.absent.extend(&become_absent);
        become_absent
    }

    fn due(&self, node: NodeId, since: Instant) -> Instant {
        since + if self.reachable.contains(&node) { NO_SESSION } else { OUT_OF_REACH }
    }

    fn expect(&mut self, due: Instant) {
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 32]);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn absence_takes_a_while_and_ends_with_a_session() {
        let mut absence = Absence::default();
        assert_eq!(absence.poll_timeout(), None);
        assert_eq!(absence.set_waiting(at(10), NODE, true), None);
        assert_eq!(absence.poll_timeout(), Some(at(13)));
        assert_eq!(absence.handle_timeout(at(12)), []);
        assert_eq!(absence.set_waiting(at(12), NODE, true), None, "it waits since 10");
        assert_eq!(absence.handle_timeout(at(13)), [NODE]);
        assert_eq!((absence.handle_timeout(at(14)), absence.poll_timeout()), (vec![], None));
        assert_eq!(absence.set_waiting(at(20), NODE, false), Some(false));
        assert_eq!(absence.set_waiting(at(20), NODE, false), None);
    }

    #[test]
    fn a_node_in_reach_is_given_more_time() {
        let mut absence = Absence::default();
        assert!(absence.set_reachable(NODE, true) && !absence.set_reachable(NODE, true));
        absence.set_waiting(at(10), NODE, true);
        assert_eq!(absence.handle_timeout(at(13)), []);
        assert_eq!(absence.poll_timeout(), Some(at(40)));
        absence.set_reachable(NODE, false);
        assert_eq!(absence.poll_timeout(), Some(at(13)));
        assert_eq!(absence.handle_timeout(at(20)), [NODE]);
        absence.set_waiting(at(21), NODE, true);
        absence.set_reachable(NODE, true);
        assert_eq!(absence.poll_timeout(), None, "it is absent already");
    }
}
