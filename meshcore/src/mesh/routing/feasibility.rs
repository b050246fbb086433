//! The feasibility condition (RFC 8966, sections 2.4 and 3.5.1): what keeps the mesh free of loops.
//!
//! For each destination the table remembers the *feasible distance*: the best pair of seqno and metric that this node
//! has ever announced. A neighbour's route is used only if it is better than that; then the neighbour cannot be using
//! this node, directly or through others. The state is kept apart from the routes and outlives them: forgetting it while
//! stale announcements are about could make a loop.

use std::time::Duration;

use crate::types::{Address, AddressMap, HashKey, Instant};
use crate::wire::update::Seqno;

/// Distances that are remembered; then those unused longest make room.
pub(super) const CAPACITY: usize = 8192;

/// How long an unused distance is remembered (RFC 8966, appendix B: source GC time 3 minutes). Announcements of routes
/// do not outlive their neighbour's hold time, 210 s at most.
pub(super) const LIFE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distance {
    seqno: Seqno,
    metric: u16,
    used_at: Instant,
}

impl Distance {
    /// Whether a route that a neighbour announces with this seqno and metric may be used.
    pub(super) fn allows(&self, seqno: Seqno, metric: u16) -> bool {
        seqno > self.seqno || (seqno == self.seqno && metric < self.metric)
    }

    /// The announcement that makes every route feasible again.
    pub(super) fn next_seqno(&self) -> Seqno {
        Seqno { count: self.seqno.count.saturating_add(1), ..self.seqno }
    }
}

#[derive(Debug)]
pub(super) struct FeasibilityTable {
    distances: AddressMap<Distance>,
}

impl FeasibilityTable {
    pub(super) fn new(key: HashKey) -> Self {
        Self { distances: key.map() }
    }

    pub(super) fn len(&self) -> usize {
        self.distances.len()
    }

    /// The feasible distance; `None`: this node has not announced the destination, and every route is feasible.
    pub(super) fn distance(&self, destination: Address) -> Option<&Distance> {
        self.distances.get(&destination)
    }

    /// The seqno of the feasible distance: a route with a newer one is always feasible.
    pub(super) fn seqno(&self, destination: Address) -> Option<Seqno> {
        self.distances.get(&destination).map(|distance| distance.seqno)
    }

    /// This node announces the destination (RFC 8966, section 3.7.3). When there are too many, one that is not `kept`
    /// makes room.
    pub(super) fn on_announced(
        &mut self,
        now: Instant,
        destination: Address,
        (seqno, metric): (Seqno, u16),
        kept: impl Fn(&Address) -> bool,
    ) {
        let new = Distance { seqno, metric, used_at: now };
        let distance = self.distances.entry(destination).or_insert(new);
        distance.used_at = now;
        if seqno > distance.seqno || (seqno == distance.seqno && metric < distance.metric) {
            *distance = new;
        }
        if self.distances.len() > CAPACITY {
            let oldest = self.distances.iter().filter(|(node, _)| **node != destination && !kept(node));
            let oldest = oldest.min_by_key(|(_, distance)| distance.used_at).map(|(node, _)| *node);
            oldest.map(|node| self.distances.remove(&node));
        }
    }

    /// Forgets what has not been used for [`LIFE`]; destinations with a route are `kept`.
    pub(super) fn forget(&mut self, now: Instant, kept: impl Fn(&Address) -> bool) {
        self.distances.retain(|node, distance| now - distance.used_at < LIFE || kept(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Address = Address([1; 16]);
    const NOW: Instant = Instant::from_micros(0);
    const KEY: HashKey = HashKey::new([7; 16]);

    fn allows(table: &FeasibilityTable, seqno: Seqno, metric: u16) -> bool {
        table.distance(NODE).is_none_or(|distance| distance.allows(seqno, metric))
    }

    fn seqno(count: u32) -> Seqno {
        Seqno { record: 1, count }
    }

    #[test]
    fn only_newer_or_nearer_is_feasible() {
        let mut table = FeasibilityTable::new(KEY);
        assert!(allows(&table, seqno(0), 65534));
        table.on_announced(NOW, NODE, (seqno(5), 200), |_| false);
        for (count, metric, feasible) in
            [(5, 199, true), (5, 200, false), (4, 0, false), (6, 65534, true), (5, 65534, false)]
        {
            assert_eq!(allows(&table, seqno(count), metric), feasible, "{count} {metric}");
        }
    }

    #[test]
    fn the_distance_falls_and_never_rises_under_one_seqno() {
        let mut table = FeasibilityTable::new(KEY);
        table.on_announced(NOW, NODE, (seqno(5), 200), |_| false);
        table.on_announced(NOW, NODE, (seqno(5), 300), |_| false);
        assert!(!allows(&table, seqno(5), 200));
        table.on_announced(NOW, NODE, (seqno(5), 100), |_| false);
        assert!(!allows(&table, seqno(5), 100));
        table.on_announced(NOW, NODE, (seqno(4), 1), |_| false);
        assert_eq!(table.seqno(NODE), Some(seqno(5)));
        table.on_announced(NOW, NODE, (seqno(6), 900), |_| false);
        assert!(allows(&table, seqno(6), 899));
    }

    #[test]
    fn it_outlives_the_route_and_is_bounded() {
        let mut table = FeasibilityTable::new(KEY);
        table.on_announced(NOW, NODE, (seqno(5), 200), |_| false);
        table.forget(NOW + LIFE / 2, |_| false);
        assert_eq!(table.len(), 1);
        table.forget(NOW + LIFE, |_| true);
        assert_eq!(table.len(), 1);
        table.forget(NOW + LIFE, |_| false);
        assert_eq!(table.len(), 0);
        for number in 0..=CAPACITY as u128 {
            let node = Address(number.to_be_bytes());
            table.on_announced(NOW + Duration::from_micros(number as u64), node, (seqno(0), 1), |_| false);
        }
        assert_eq!(table.len(), CAPACITY);
        assert_eq!(table.seqno(Address([0; 16])), None);
        // What is in use stays, however long ago it was announced.
        let oldest = Address(1u128.to_be_bytes());
        table.on_announced(NOW + LIFE, NODE, (seqno(0), 1), |node| *node == oldest);
        assert_eq!((table.len(), table.seqno(oldest)), (CAPACITY, Some(seqno(0))));
    }
}
