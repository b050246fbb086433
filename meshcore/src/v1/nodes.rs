//! The nodes that send handshakes.

use std::collections::BTreeMap;

use super::config::{ACCEPTED, ANSWER_INTERVAL, ESTABLISHED, MAX_NODES, NEWCOMERS, NODE_LIFETIME};
use super::error::DropReason;
use super::event::V1Node;
use crate::types::{Instant, TokenBucket, V1Address};

#[derive(Debug)]
struct Node {
    found_at: Instant,
    heard_at: Instant,
    /// When a frame came from the node itself.
    direct_at: Option<Instant>,
    /// When it was sent a handshake of its own.
    answered_at: Option<Instant>,
    /// When it is to be sent one.
    answer_at: Option<Instant>,
    accepted: TokenBucket,
}

impl Node {
    fn lost_at(&self) -> Instant {
        self.heard_at + NODE_LIFETIME
    }

    fn is_direct(&self, now: Instant) -> bool {
        self.direct_at.is_some_and(|at| now - at < NODE_LIFETIME)
    }
}

/// What a handshake changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Known,
    New { evicted: Option<V1Address> },
}

#[derive(Debug)]
pub(super) struct Nodes {
    table: BTreeMap<V1Address, Node>,
    newcomers: TokenBucket,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self { table: BTreeMap::new(), newcomers: TokenBucket::new(NEWCOMERS.0, NEWCOMERS.1) }
    }

    pub(super) fn contains(&self, node: V1Address) -> bool {
        self.table.contains_key(&node)
    }

    pub(super) fn is_direct(&self, now: Instant, node: V1Address) -> bool {
        self.table.get(&node).is_some_and(|node| node.is_direct(now))
    }

    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = V1Node> {
        self.table
            .iter()
            .map(move |(address, node)| V1Node { address: *address, direct: node.is_direct(now) })
    }

    /// A frame of `origin` came; `direct`: from the station of that address.
    pub(super) fn heard(&mut self, now: Instant, origin: V1Address, direct: bool) {
        if let Some(node) = self.table.get_mut(&origin) {
            node.heard_at = now;
            if direct {
                node.direct_at = Some(now);
            }
        }
    }

    /// Takes in a node that sent a handshake. When the table is full, the one of the newcomers leaves that was silent
    /// for longest: an established node, or one with which this node talks (`in_use`), cannot be pushed out.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        address: V1Address,
        in_use: impl Fn(V1Address) -> bool,
    ) -> Result<Admission, DropReason> {
        if self.contains(address) {
            return Ok(Admission::Known);
        }
        // First, for the search is long.
        if !self.newcomers.take(now) {
            return Err(DropReason::RateLimited);
        }
        let evicted = if self.table.len() < MAX_NODES {
            None
        } else {
            let newcomers = self
                .table
                .iter()
                .filter(|(address, node)| node.heard_at - node.found_at < ESTABLISHED && !in_use(**address));
            let silent = newcomers.min_by_key(|(_, node)| node.heard_at).map(|(address, _)| *address);
            Some(silent.ok_or(DropReason::TableFull)?)
        };
        if let Some(evicted) = evicted {
            self.table.remove(&evicted);
        }
        let node = Node {
            found_at: now,
            heard_at: now,
            direct_at: None,
            answered_at: None,
            answer_at: None,
            accepted: TokenBucket::new(ACCEPTED.0, ACCEPTED.1),
        };
        self.table.insert(address, node);
        Ok(Admission::New { evicted })
    }

    /// Takes a token of a known node; `None`: it is not known.
    pub(super) fn accept(&mut self, now: Instant, origin: V1Address) -> Option<bool> {
        self.table.get_mut(&origin).map(|node| node.accepted.take(now))
    }

    /// Plans a handshake to a node.
    pub(super) fn answer(&mut self, address: V1Address, at: Instant) {
        if let Some(node) = self.table.get_mut(&address) {
            node.answer_at = Some(node.answer_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// A node that is to be sent a handshake now, and had none within [`ANSWER_INTERVAL`].
    pub(super) fn take_answer(&mut self, now: Instant) -> Option<V1Address> {
        for (address, node) in &mut self.table {
            if node.answer_at.is_some_and(|at| at <= now) {
                node.answer_at = None;
                if node.answered_at.is_none_or(|at| now - at >= ANSWER_INTERVAL) {
                    node.answered_at = Some(now);
                    return Some(*address);
                }
            }
        }
        None
    }

    /// Removes a node that was silent for too long.
    pub(super) fn take_lost(&mut self, now: Instant) -> Option<V1Address> {
        let lost = self.table.iter().find(|(_, node)| node.lost_at() <= now).map(|(address, _)| *address)?;
        self.table.remove(&lost);
        Some(lost)
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.table
            .values()
            .map(|node| node.answer_at.map_or(node.lost_at(), |at| at.min(node.lost_at())))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(index: u32) -> V1Address {
        let [a, b, c, d] = index.to_be_bytes();
        V1Address([2, 0, a, b, c, d])
    }

    #[test]
    fn newcomers_push_out_newcomers_only() {
        let mut nodes = Nodes::new();
        let mut now = Instant::from_micros(1);
        for index in 0..100 {
            nodes.admit(now, address(index), |_| false).unwrap_or(Admission::Known);
            now += Duration::from_millis(100);
        }
        for index in 0..100 {
            nodes.heard(now, address(index), true);
        }
        now += ESTABLISHED;
        for index in 0..50 {
            nodes.heard(now, address(index), true);
        }
        let friend = address(1000);
        for index in 1000..100_000 {
            let _ = nodes.admit(now, address(index), |node| node == friend);
            now += Duration::from_millis(1);
            assert!(nodes.table.len() <= MAX_NODES);
        }
        assert!((0..50).all(|index| nodes.contains(address(index))), "an established node was pushed out");
        assert!(nodes.contains(friend));
        assert!(!nodes.contains(address(1001)));
    }

    #[test]
    fn a_table_of_established_nodes_is_full() {
        let mut nodes = Nodes::new();
        let mut now = Instant::from_micros(1);
        for index in 0..MAX_NODES as u32 {
            now += Duration::from_millis(100);
            assert_eq!(nodes.admit(now, address(index), |_| false), Ok(Admission::New { evicted: None }));
        }
        now += ESTABLISHED;
        for index in 0..MAX_NODES as u32 {
            nodes.heard(now, address(index), true);
        }
        assert_eq!(nodes.admit(now, address(9999), |_| false), Err(DropReason::TableFull));
        assert_eq!(nodes.admit(now, address(3), |_| false), Ok(Admission::Known));
        now += NODE_LIFETIME;
        let mut lost = 0;
        while nodes.take_lost(now).is_some() {
            lost += 1;
        }
        assert_eq!((lost, nodes.next()), (MAX_NODES, None));
    }

    #[test]
    fn the_flood_of_newcomers_leaves_time_for_a_second_handshake() {
        let mut nodes = Nodes::new();
        let mut now = Instant::from_micros(1);
        nodes.admit(now, address(0), |_| false).unwrap();
        for index in 1..5000 {
            now += Duration::from_millis(1);
            let _ = nodes.admit(now, address(index), |_| false);
        }
        assert!(nodes.contains(address(0)));
    }
}
