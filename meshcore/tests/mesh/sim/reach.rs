//! The oracle: who has a path to whom, whatever the nodes believe.

use std::collections::BinaryHeap;

use super::air::Air;

/// Nodes and the media between them at one moment.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Group of nodes with usable paths between them; `None`: the node does not run.
    must: Vec<Option<usize>>,
    /// The same with every path on which anything at all may pass.
    may: Vec<Option<usize>>,
}

impl Reach {
    pub(crate) fn new(air: &Air, is_up: impl Fn(usize) -> bool, nodes: usize) -> Self {
        let usable = complete_ports(air, &is_up);
        let must = |from: usize, to: usize| usable[from] && usable[to] && air.is_usable(from, to);
        Self { must: groups(air, &is_up, nodes, must), may: groups(air, &is_up, nodes, |_, _| true) }
    }

    /// Whether frames between the two must find a way.
    pub(crate) fn must(&self, a: usize, b: usize) -> bool {
        a != b && self.must[a].is_some() && self.must[a] == self.must[b]
    }

    /// Whether a frame could get from one to the other at all.
    pub(crate) fn may(&self, a: usize, b: usize) -> bool {
        a != b && self.may[a].is_some() && self.may[a] == self.may[b]
    }
}

/// On a wire, news is not repeated to those who must have heard it (split horizon): a station that does not hear all
/// those whom it could reach over others of the same wire has no claim to them.
fn complete_ports(air: &Air, is_up: impl Fn(usize) -> bool) -> Vec<bool> {
    let alive = |port: usize| air.ports[port].plugged && is_up(air.ports[port].node);
    let peers = |port: usize| -> Vec<usize> {
        let usable = air.hearers(port).filter(|other| alive(*other) && air.is_usable(port, *other));
        let mut all: Vec<usize> = usable.chain([port]).collect();
        all.sort_unstable();
        all
    };
    let of: Vec<Vec<usize>> =
        (0..air.ports.len()).map(|port| if alive(port) { peers(port) } else { Vec::new() }).collect();
    (0..of.len())
        .map(|port| !air.ports[port].wired || of[port].iter().all(|other| of[*other] == of[port]))
        .collect()
}

fn groups(
    air: &Air,
    is_up: impl Fn(usize) -> bool,
    nodes: usize,
    passes: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut neighbours = vec![Vec::new(); nodes];
    for (from, port) in air.ports.iter().enumerate() {
        for to in air.hearers(from).filter(|to| passes(from, *to)) {
            neighbours[port.node].push(air.ports[to].node);
            neighbours[air.ports[to].node].push(port.node);
        }
    }
    let mut group = vec![None; nodes];
    for start in (0..nodes).filter(|node| is_up(*node)) {
        let mut open = if group[start].is_none() { vec![start] } else { Vec::new() };
        while let Some(node) = open.pop() {
            if group[node].replace(start).is_none() {
                open.extend(neighbours[node].iter().filter(|next| is_up(**next) && group[**next].is_none()));
            }
        }
    }
    group
}

/// Share of frames that arrives from `start` at every node by the way on which most do.
pub(crate) fn best_delivery(
    air: &Air,
    is_up: impl Fn(usize) -> bool,
    nodes: usize,
    start: usize,
) -> Vec<f64> {
    let mut best = vec![0.0; nodes];
    let mut open = BinaryHeap::from([(1_000_000_000_u64, start)]);
    best[start] = 1.0;
    while let Some((share, node)) = open.pop() {
        let share = share as f64 / 1e9;
        if share + 1e-8 < best[node] {
            continue;
        }
        for port in air.ports_of(node) {
            for (to, loss) in air.partners(*port) {
                let next = air.ports[to].node;
                let through = share * (1.0 - f64::from(loss) / 1e6);
                if is_up(next) && through > best[next] + 1e-9 {
                    best[next] = through;
                    open.push(((through * 1e9) as u64, next));
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::format::parse;

    fn air(text: &str) -> Air {
        Air::new(&parse(&format!("node a b c d\n{text}")).unwrap())
    }

    #[test]
    fn paths_need_both_ways_and_running_nodes() {
        let net = air("link a b\noneway b c\nlink c d loss=50%");
        let reach = Reach::new(&net, |_| true, 4);
        assert!(reach.must(0, 1) && !reach.must(1, 2) && !reach.must(2, 3) && !reach.must(0, 0));
        assert!(reach.may(0, 3));
        let reach = Reach::new(&net, |node| node != 2, 4);
        assert!(!reach.may(1, 3) && !reach.must(1, 3));
    }

    #[test]
    fn a_wire_that_carries_to_some_promises_nothing() {
        let mut wire = air("segment a b c\nlink c d");
        assert!(Reach::new(&wire, |_| true, 4).must(0, 3));
        wire.set_cut(0, 2, true);
        let reach = Reach::new(&wire, |_| true, 4);
        assert!(!reach.must(0, 2) && reach.may(0, 2) && reach.must(2, 3));
        wire.set_groups(|node| usize::from(node == 0), true);
        assert!(Reach::new(&wire, |_| true, 4).must(1, 3), "two whole parts");
    }

    #[test]
    fn the_best_way_loses_least() {
        let net = air("link a b loss=20%\nlink a c loss=10%\nlink c b loss=5%");
        let best = best_delivery(&net, |_| true, 4, 0);
        assert!((best[1] - 0.855).abs() < 1e-6 && best[3] == 0.0, "{best:?}");
    }
}
