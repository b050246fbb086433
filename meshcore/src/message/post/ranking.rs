//! Which mailboxes keep the letters for a node.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::types::NodeId;

const DOMAIN: &[u8] = b"MeshChat mailbox v1";

/// So many are remembered for each recipient. When those that go have used them up, all are weighed again.
const DEPTH: usize = 8;

type Weight = [u8; 32];

/// Highest random weight, also called rendezvous hashing (Thaler and Ravishankar, 1998). Whoever knows the same mailboxes gets the
/// same order; one that comes or goes changes the places of the others in no order.
fn weight(recipient: NodeId, mailbox: NodeId) -> Weight {
    #[cfg(test)]
    tests::WEIGHED.set(tests::WEIGHED.get() + 1);
    Sha256::new().chain_update(DOMAIN).chain_update(recipient.0).chain_update(mailbox.0).finalize().into()
}

/// The mailboxes that can be used, and the first ones of them for each of some recipients.
#[derive(Debug, Default)]
pub(super) struct Rankings {
    mailboxes: BTreeSet<NodeId>,
    rankings: BTreeMap<NodeId, Ranking>,
}

impl Rankings {
    /// Other mailboxes can be used; gives the recipients for which the first `count` may have changed.
    pub(super) fn set_mailboxes(&mut self, mailboxes: BTreeSet<NodeId>, count: usize) -> Vec<NodeId> {
        let before = std::mem::replace(&mut self.mailboxes, mailboxes);
        let gone: Vec<_> = before.difference(&self.mailboxes).collect();
        let come: Vec<_> = self.mailboxes.difference(&before).copied().collect();
        let has_changed = |ranking: &mut Ranking| {
            let before = ranking.first(count);
            gone.iter().for_each(|mailbox| ranking.remove(mailbox));
            come.iter().for_each(|mailbox| ranking.insert(*mailbox));
            before != ranking.first(count)
        };
        let changed = self
            .rankings
            .iter_mut()
            .filter_map(|(recipient, ranking)| has_changed(ranking).then_some(*recipient));
        changed.collect()
    }

    /// The first `count` for a recipient, which is remembered.
    pub(super) fn first(&mut self, recipient: NodeId, count: usize) -> Vec<NodeId> {
        if let Some(first) = self.rankings.get(&recipient).and_then(|ranking| ranking.first(count)) {
            return first;
        }
        let ranking = Ranking::new(recipient, self.mailboxes.iter().copied());
        let first = ranking.first(count).unwrap_or_default();
        self.rankings.insert(recipient, ranking);
        first
    }

    pub(super) fn forget(&mut self, recipient: &NodeId) {
        self.rankings.remove(recipient);
    }
}

/// The mailboxes in the order in which they are to be used for a recipient.
#[derive(Debug)]
struct Ranking {
    recipient: NodeId,
    /// The first ones, with the greatest weights.
    first: Vec<(Weight, NodeId)>,
    /// There are, or were, others behind them.
    more: bool,
}

impl Ranking {
    fn new(recipient: NodeId, mailboxes: impl Iterator<Item = NodeId>) -> Self {
        let mut ranking = Self { recipient, first: Vec::new(), more: false };
        mailboxes.for_each(|mailbox| ranking.insert(mailbox));
        ranking
    }

    fn insert(&mut self, mailbox: NodeId) {
        if mailbox == self.recipient {
            return;
        }
        let entry = (weight(self.recipient, mailbox), mailbox);
        let at = self.first.partition_point(|other| *other > entry);
        // Behind the last one its place among the others is not known.
        if at == self.first.len() && self.more {
            return;
        }
        self.first.insert(at, entry);
        self.more |= self.first.len() > DEPTH;
        self.first.truncate(DEPTH);
    }

    fn remove(&mut self, mailbox: &NodeId) {
        self.first.retain(|(_, other)| other != mailbox);
    }

    /// `None` when so many are not known any more.
    fn first(&self, count: usize) -> Option<Vec<NodeId>> {
        let is_known = self.first.len() >= count || !self.more;
        is_known.then(|| self.first.iter().take(count).map(|(_, mailbox)| *mailbox).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// How often a weight was worked out.
        pub(super) static WEIGHED: Cell<usize> = const { Cell::new(0) };
    }

    /// All, in order.
    fn ranked(recipient: NodeId, mailboxes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        let mut ranked: Vec<_> = mailboxes.filter(|mailbox| *mailbox != recipient).collect();
        ranked.sort_by_cached_key(|mailbox| std::cmp::Reverse(weight(recipient, *mailbox)));
        ranked
    }

    proptest! {
        #[test]
        fn mailboxes_that_come_and_go_leave_the_order_right(
            steps in prop::collection::vec(prop::collection::btree_set(0u8..40, 0..30), 1..20),
        ) {
            let mut rankings = Rankings::default();
            let recipients = [0, 1, 2].map(|n| node(7 * n));
            let before = recipients.map(|recipient| rankings.first(recipient, 2));
            let mut before: Vec<_> = recipients.into_iter().zip(before).collect();
            for mailboxes in steps {
                let mailboxes: BTreeSet<_> = mailboxes.into_iter().map(node).collect();
                let changed = rankings.set_mailboxes(mailboxes.clone(), 2);
                for (recipient, before) in &mut before {
                    let mut first = ranked(*recipient, mailboxes.iter().copied());
                    first.truncate(2);
                    prop_assert!(*before == first || changed.contains(recipient));
                    prop_assert_eq!(rankings.first(*recipient, 2), first.clone());
                    *before = first;
                }
            }
        }
    }

    #[test]
    fn a_change_does_not_weigh_all_of_them_again() {
        let wide = |n: u16| NodeId(std::array::from_fn(|at| n.to_be_bytes()[at % 2]));
        let mut mailboxes: BTreeSet<_> = (1000..2000).map(wide).collect();
        let recipients: Vec<_> = (0..50).map(wide).collect();
        let mut rankings = Rankings::default();
        let mut weighed = |mailboxes: &BTreeSet<NodeId>| {
            let before = WEIGHED.get();
            rankings.set_mailboxes(mailboxes.clone(), 2);
            let first: Vec<_> = recipients.iter().map(|recipient| rankings.first(*recipient, 2)[0]).collect();
            (WEIGHED.get() - before, first[0])
        };
        assert_eq!(weighed(&mailboxes).0, 50 * 1000);
        mailboxes.insert(wide(2000));
        assert_eq!(weighed(&mailboxes).0, 50);
        mailboxes.remove(&wide(2000));
        let (mut sum, mut first) = weighed(&mailboxes);
        assert!(sum <= 1000);
        for _ in 0..70 {
            mailboxes.remove(&first);
            let (count, next) = weighed(&mailboxes);
            (sum, first) = (sum + count, next);
        }
        // Among a thousand most of those are among the first eight of no other recipient.
        assert!(sum <= 50 * 1000 / 2, "{sum}");
    }

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    #[test]
    fn all_agree_and_others_keep_their_places() {
        for recipient in 100..200 {
            let all = ranked(node(recipient), (1..20).map(node));
            assert_eq!(all, ranked(node(recipient), (1..20).rev().map(node)));
            let without = ranked(node(recipient), (1..20).filter(|n| *n != 7).map(node));
            assert_eq!(without, all.into_iter().filter(|mailbox| *mailbox != node(7)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_mailbox_gets_its_share() {
        let mut first: BTreeMap<NodeId, u32> = BTreeMap::new();
        for recipient in 0..=255u8 {
            *first.entry(ranked(NodeId([recipient; 32]), (1..5).map(node))[0]).or_default() += 1;
        }
        assert!(first.len() == 4 && first.values().all(|count| (32..=96).contains(count)), "{first:?}");
    }

    /// Worked out by another program from the definition.
    #[test]
    fn golden() {
        assert_eq!(ranked(node(9), (1..6).map(node)), GOLDEN.map(node));
    }

    const GOLDEN: [u8; 5] = [4, 3, 5, 2, 1];
}
