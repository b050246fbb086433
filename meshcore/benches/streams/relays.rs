//! A chain of nodes, each in a namespace of its own: what relays make of a stream between the ends.

use std::time::Duration;

use meshcore::Node;
use tempfile::TempDir;

use crate::namespaces::{Namespace, Side, World, cable};
use crate::nodes;

pub(crate) const RELAYS: usize = 2;

/// Two ends, and what is between them.
pub(crate) struct Chain {
    ends: World,
    relays: [(Namespace, TempDir); RELAYS],
}

impl Chain {
    pub(crate) fn new() -> Self {
        let ends = World::apart();
        let relays = [(); RELAYS].map(|()| (Namespace::new(), tempfile::tempdir().unwrap()));
        let mut from = (ends.namespace(Side::Left), Side::Left.interface());
        for (relay, _) in &relays {
            cable([from, (relay, "near0")]);
            from = (relay, "far0");
        }
        cable([from, (ends.namespace(Side::Right), Side::Right.interface())]);
        Self { ends, relays }
    }

    /// As [`nodes::bulk`], from one end to the other.
    pub(crate) fn bulk(&self, time: Duration) -> Vec<f64> {
        let start = |(namespace, home): &(Namespace, TempDir)| {
            namespace.enter();
            // The first start makes a key.
            let node = Node::builder().home(home.path()).key_bits(2048);
            node.link("ethernet:near0").link("ethernet:far0").start_blocking().unwrap()
        };
        let _relays: Vec<Node> = self.relays.iter().map(start).collect();
        nodes::bulk(&self.ends, "ethernet", time)
    }
}

/// What is to be expected of the chain beside one hop: busy nodes share the cores in both.
pub(crate) fn fair_share(cores: usize) -> f64 {
    let speed = |nodes: usize| (cores as f64 / nodes as f64).min(1.0);
    speed(2 + RELAYS) / speed(2)
}
