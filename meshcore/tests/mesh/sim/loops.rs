//! The invariant of the whole protocol: following next hops towards a destination never comes back.

use std::fmt;

/// A node and the port by which it sends.
pub(crate) type Hop = (usize, usize);

/// Nodes that send a frame round and round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loop {
    pub destination: usize,
    pub nodes: Vec<usize>,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frames for node {} circle among nodes {:?}", self.destination, self.nodes)
    }
}

/// Next hops of all nodes to all nodes. Between two calls, one node changes: a loop that was not there before goes
/// through it, so one walk for each changed destination finds it.
#[derive(Debug, Clone)]
pub(crate) struct NextHops {
    /// For each destination, the next node and the port towards it of every node.
    of: Vec<Vec<Option<(u32, u32)>>>,
    /// Entries that are not empty.
    known: usize,
}

impl NextHops {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { of: vec![vec![None; nodes]; nodes], known: 0 }
    }

    pub(crate) fn get(&self, destination: usize, node: usize) -> Option<Hop> {
        self.of[destination][node].map(|(next, port)| (next as usize, port as usize))
    }

    /// How many pairs of nodes have a next hop.
    pub(crate) fn known(&self) -> usize {
        self.known
    }

    /// Notes the next hop of `node`, and looks for a loop that it closes.
    pub(crate) fn set(&mut self, destination: usize, node: usize, hop: Option<Hop>) -> Result<(), Loop> {
        let entry = &mut self.of[destination][node];
        self.known -= usize::from(entry.is_some());
        *entry = hop.map(|(next, port)| (next as u32, port as u32));
        self.known += usize::from(entry.is_some());
        if hop.is_some() { self.walk(destination, node).map(|_| ()) } else { Ok(()) }
    }

    /// Nodes on the way from `node`, itself first, to the destination or to where nobody knows the way.
    pub(crate) fn walk(&self, destination: usize, node: usize) -> Result<Vec<usize>, Loop> {
        let mut way = vec![node];
        let mut at = node;
        while at != destination
            && let Some((next, _)) = self.get(destination, at)
        {
            if let Some(start) = way.iter().position(|passed| *passed == next) {
                return Err(Loop { destination, nodes: way[start..].to_vec() });
            }
            way.push(next);
            at = next;
        }
        Ok(way)
    }

    /// Walks from everywhere to everywhere: what the incremental check must never miss. One loop a destination.
    pub(crate) fn check_all(&self) -> Vec<Loop> {
        let nodes = self.of.len();
        let mut good_for = vec![usize::MAX; nodes];
        let mut found = Vec::new();
        for destination in 0..nodes {
            for node in 0..nodes {
                if good_for[node] == destination {
                    continue;
                }
                match self.walk(destination, node) {
                    Ok(way) => way.into_iter().for_each(|passed| good_for[passed] = destination),
                    Err(circle) => {
                        found.push(circle);
                        break;
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_found_when_it_closes() {
        let mut hops = NextHops::new(5);
        for (node, next) in [(0, 1), (1, 2), (2, 4)] {
            hops.set(4, node, Some((next, 0))).unwrap();
        }
        assert_eq!((hops.walk(4, 0), hops.known()), (Ok(vec![0, 1, 2, 4]), 3));
        let found = hops.set(4, 2, Some((0, 0))).unwrap_err();
        assert_eq!((found.destination, found.nodes.len()), (4, 3));
        assert_eq!(
            hops.set(4, 3, Some((0, 0))).unwrap_err().nodes,
            [0, 1, 2],
            "who leads into a loop is not in it"
        );
        assert_eq!(hops.check_all().len(), 1);
        hops.set(4, 2, None).unwrap();
        assert_eq!((hops.check_all(), hops.known()), (Vec::new(), 3));
        assert_eq!(hops.walk(4, 3), Ok(vec![3, 0, 1, 2]));
    }

    #[test]
    fn two_nodes_that_point_at_each_other_are_a_loop() {
        let mut hops = NextHops::new(3);
        hops.set(2, 0, Some((1, 0))).unwrap();
        assert!(hops.set(2, 1, Some((0, 0))).is_err());
    }
}
