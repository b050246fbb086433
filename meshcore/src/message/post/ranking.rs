//! Which mailboxes keep the letters for a node.

use sha2::{Digest, Sha256};

use crate::types::NodeId;

const DOMAIN: &[u8] = b"MeshChat mailbox v1";

/// The mailboxes in the order in which they are to be used for `recipient`: highest random weight, also called rendezvous hashing
/// (Thaler and Ravishankar, 1998). Whoever knows the same mailboxes gets the same order; one that comes or goes changes the
/// places of the others in no order.
pub(super) fn ranked(recipient: NodeId, mailboxes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let weight = |mailbox: &NodeId| -> [u8; 32] {
        Sha256::new().chain_update(DOMAIN).chain_update(recipient.0).chain_update(mailbox.0).finalize().into()
    };
    let mut ranked: Vec<_> = mailboxes.collect();
    ranked.sort_by_cached_key(|mailbox| std::cmp::Reverse(weight(mailbox)));
    ranked
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

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
