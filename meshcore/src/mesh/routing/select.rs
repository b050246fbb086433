//! Route selection (RFC 8966, section 3.6), with hysteresis (appendix A.3).

use super::hops::HopId;
use crate::wire::update::INFINITE;

/// A better route replaces a working one only if it is better by this much, half of a link without loss: measured
/// costs tremble, and every change of a route costs updates.
pub(super) const HYSTERESIS: u16 = 48;

/// A route that could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) via: HopId,
    /// Cost of the whole way; [`INFINITE`]: it does not work now.
    pub(super) metric: u16,
    /// The feasibility condition holds.
    pub(super) feasible: bool,
    /// Frames were lost on it without a trace: anything else is better.
    pub(super) avoided: bool,
}

/// The route to use: the best feasible one, or the current one while it is almost as good.
///
/// The current route may stay although its neighbour's latest announcement is not feasible: that neighbour's feasible
/// distance cannot have risen with its metric, so it still lies below ours, and no loop can arise (RFC 8966, section
/// 3.5.3, allows to ignore such an update).
pub(super) fn select(candidates: impl Iterator<Item = Candidate>, current: Option<HopId>) -> Option<HopId> {
    let mut best: Option<Candidate> = None;
    let mut held: Option<Candidate> = None;
    for candidate in candidates.filter(|candidate| candidate.metric < INFINITE) {
        if Some(candidate.via) == current {
            held = Some(candidate);
        }
        let rank = |c: &Candidate| (c.avoided, c.metric, c.via);
        if candidate.feasible && best.is_none_or(|best| rank(&candidate) < rank(&best)) {
            best = Some(candidate);
        }
    }
    match (best, held) {
        (Some(best), Some(held)) => {
            let stays = held.avoided <= best.avoided && held.metric < best.metric.saturating_add(HYSTERESIS);
            Some(if stays { held.via } else { best.via })
        }
        (best, held) => held.or(best).map(|candidate| candidate.via),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hops::{Hop, Hops};
    use super::*;
    use crate::types::{Address, LinkId};

    fn hops() -> [HopId; 3] {
        let mut hops = Hops::default();
        [0, 1, 2].map(|_| {
            hops.add(Hop { link: LinkId(1), node: Address([1; 16]), cost: 96, mtu: 1, wired: false })
        })
    }

    fn candidate(via: HopId, metric: u16) -> Candidate {
        Candidate { via, metric, feasible: true, avoided: false }
    }

    #[test]
    fn the_best_feasible_route_wins() {
        let [a, b, c] = hops();
        let infeasible = Candidate { feasible: false, ..candidate(a, 10) };
        assert_eq!(select([infeasible, candidate(b, 300), candidate(c, 200)].into_iter(), None), Some(c));
        assert_eq!(select([infeasible, candidate(b, INFINITE)].into_iter(), None), None);
    }

    #[test]
    fn the_current_route_stays_while_it_is_almost_as_good() {
        let [a, b, _] = hops();
        let choose = |held, other| select([candidate(a, held), candidate(b, other)].into_iter(), Some(a));
        assert_eq!(choose(247, 200), Some(a));
        assert_eq!(choose(248, 200), Some(b));
        assert_eq!(choose(INFINITE, 65534), Some(b));
        let infeasible = Candidate { feasible: false, ..candidate(a, 300) };
        assert_eq!(select([infeasible].into_iter(), Some(a)), Some(a));
    }

    #[test]
    fn an_avoided_route_is_the_last_resort() {
        let [a, b, _] = hops();
        let avoided = Candidate { avoided: true, ..candidate(a, 100) };
        assert_eq!(select([avoided, candidate(b, 60000)].into_iter(), Some(a)), Some(b));
        assert_eq!(select([avoided].into_iter(), Some(a)), Some(a));
    }
}
