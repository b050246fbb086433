//! What a link costs (RFC 8966, appendix A.2.2: ETX): the inverse of the share of frames that pass both ways.

use crate::wire::update::INFINITE;

/// Cost of a link that loses nothing (babeld's for wired links).
pub(super) const MIN_COST: u16 = 96;

/// rxcost of a link that loses nothing.
const NOTHING_LOST: u32 = 256;

/// 1 in the fixed-point numbers below.
const ALL: u32 = 1 << 16;

/// Hellos that the fast average looks back on: each weighs 1/8.
const FAST: u32 = 8;

/// Hellos that the slow average looks back on in the end, four minutes. A fast one alone trembles by a tenth on a link
/// that loses a fifth, and every change of a cost makes updates.
const SLOW: u32 = 64;

/// Standard deviations of the fast average by which the two differ when the link has changed.
const CLEAR: u64 = 4;

/// Least share of losses that chance is held to cause: two hellos in a row may be lost on a good link.
const LEAST_LOSS: u32 = ALL / 16;

/// A smaller share of losses counts as none: one hello lost in four minutes tells nothing.
const NEGLIGIBLE: u32 = ALL / 32;

/// More missing hellos in a row than these tell nothing new.
const MAX_MISSED: u16 = 16;

/// Share of hellos that come through: a slow average, which begins anew from a fast one when the two clearly differ.
#[derive(Debug, Clone, Copy)]
struct Share {
    fast: u32,
    slow: u32,
    /// Hellos that the slow average rests on.
    of: u32,
}

impl Share {
    /// What a link that nothing is known of is held to be: as good as if all of the latest hellos had come.
    const NEW: Self = Self { fast: ALL, slow: ALL, of: FAST };

    /// A hello came, or did not.
    fn count(&mut self, came: bool) {
        let toward = |average: u32, of: u32| match came {
            true => average + (ALL - average) / of,
            false => average - average / of,
        };
        self.of = (self.of + 1).min(SLOW);
        self.fast = toward(self.fast, FAST);
        self.slow = toward(self.slow, self.of);
        if self.has_changed() {
            // As many tell as much as the fast average.
            (self.slow, self.of) = (self.fast, 2 * FAST);
        }
    }

    /// Whether the averages differ by more than chance explains, if one of them is the truth. The variance of an
    /// exponential average with weight w is that of one hello times w / (2 - w).
    fn has_changed(&self) -> bool {
        let variance = |share: u32| {
            let share = share.clamp(LEAST_LOSS, ALL - LEAST_LOSS);
            u64::from(share) * u64::from(ALL - share) / u64::from(2 * FAST - 1)
        };
        let variance = variance(self.slow).min(variance(self.fast));
        u64::from(self.fast.abs_diff(self.slow)).pow(2) > CLEAR * CLEAR * variance
    }
}

/// What is known of both directions, and the cost that follows.
#[derive(Debug, Clone)]
pub(super) struct Quality {
    /// Of the neighbour's hellos.
    heard: Share,
    /// What the neighbour says about our hellos.
    txcost: u16,
    /// Cost in use: changes only when the measured one has clearly changed.
    cost: u16,
}

impl Quality {
    pub(super) fn new() -> Self {
        Self { heard: Share::NEW, txcost: NOTHING_LOST as u16, cost: MIN_COST }
    }

    /// A group hello came.
    pub(super) fn on_hello(&mut self) {
        self.heard.count(true);
    }

    /// So many did not come.
    pub(super) fn on_missed(&mut self, missed: u16) {
        (0..missed.min(MAX_MISSED)).for_each(|_| self.heard.count(false));
    }

    /// The neighbour tells how it hears us.
    pub(super) fn on_report(&mut self, rxcost: u16) {
        self.txcost = rxcost.max(NOTHING_LOST as u16);
    }

    /// What is reported to the neighbour.
    pub(super) fn rxcost(&self) -> u16 {
        // The average comes close to ALL and never reaches it: a link without loss is to cost the minimum.
        let heard = if self.heard.slow > ALL - NEGLIGIBLE { ALL } else { self.heard.slow.max(1) };
        (NOTHING_LOST * ALL / heard).min(INFINITE.into()) as u16
    }

    /// Cost of the link.
    pub(super) fn cost(&mut self) -> u16 {
        let product = u64::from(MIN_COST) * u64::from(self.rxcost()) * u64::from(self.txcost);
        let measured = (product / u64::from(NOTHING_LOST * NOTHING_LOST)).min(u64::from(INFINITE) - 1) as u16;
        // A quarter, and the more the less is known: otherwise the cost of a new link goes up in steps.
        let lesser = u32::from(measured.min(self.cost));
        let margin = lesser / 4 + lesser * 4 / self.heard.of;
        if measured == MIN_COST || u32::from(measured.abs_diff(self.cost)) > margin {
            self.cost = measured;
        }
        self.cost
    }

    /// Share of questions and answers that get lost, in percent.
    pub(super) fn round_trip_loss(&self) -> u32 {
        let passes = u64::from(NOTHING_LOST * NOTHING_LOST) * 100;
        100 - (passes / (u64::from(self.rxcost()) * u64::from(self.txcost))).min(100) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pattern: impl Iterator<Item = u16>) -> Quality {
        let mut quality = Quality::new();
        pattern.for_each(|missed| {
            quality.on_missed(missed);
            quality.on_hello();
        });
        quality
    }

    #[test]
    fn a_link_without_loss_costs_the_minimum() {
        let mut quality = after([1].into_iter().chain([0; 40]));
        assert_eq!((quality.cost(), quality.rxcost(), quality.round_trip_loss()), (MIN_COST, 256, 0));
    }

    #[test]
    fn half_of_the_hellos_lost_one_way_doubles_the_cost() {
        let mut quality = after([1; 40].into_iter());
        assert!((450..600).contains(&quality.rxcost()), "{}", quality.rxcost());
        assert!((170..230).contains(&quality.cost()), "{}", quality.cost());
        quality.on_report(512);
        assert!((340..460).contains(&quality.cost()), "{}", quality.cost());
        assert!((65..85).contains(&quality.round_trip_loss()));
    }

    #[test]
    fn extremes_stay_in_range() {
        let mut quality = after([u16::MAX; 100].into_iter());
        quality.on_report(u16::MAX);
        assert!(quality.cost() < INFINITE);
        quality.on_report(0);
        assert!(quality.cost() >= MIN_COST);
    }

    #[test]
    fn small_changes_do_not_change_the_cost() {
        let mut quality = after([0; 60].into_iter());
        quality.on_report(280);
        assert_eq!(quality.cost(), MIN_COST);
        quality.on_report(400);
        assert_eq!(quality.cost(), 150);
        quality.on_report(350);
        assert_eq!(quality.cost(), 150);
        quality.on_report(256);
        assert_eq!(quality.cost(), MIN_COST);
    }

    /// Group hellos of a link that loses `loss` percent, by a generator that needs no luck.
    fn lossy(quality: &mut Quality, loss: u32, hellos: u32, changes: &mut u32) {
        let mut state = 0x2545_f491_u32;
        for _ in 0..hellos {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (state >> 16) % 100 < loss {
                true => quality.on_missed(1),
                false => quality.on_hello(),
            }
            let before = quality.cost;
            *changes += u32::from(quality.cost() != before);
        }
    }

    #[test]
    fn the_cost_of_a_steadily_lossy_link_settles() {
        for (loss, cost) in [(5, 96..=110), (20, 105..=145), (40, 130..=190)] {
            let (mut quality, mut changes) = (Quality::new(), 0);
            lossy(&mut quality, loss, 200, &mut changes);
            assert!(changes <= 4, "{loss} %: {changes} changes at first");
            // Ten hours.
            lossy(&mut quality, loss, 9_000, &mut changes);
            assert!(changes <= 20, "{loss} %: {changes} changes");
            assert!(cost.contains(&quality.cost()), "{loss} %: {}", quality.cost());
        }
    }

    #[test]
    fn a_link_that_has_clearly_changed_begins_anew() {
        let mut quality = after([0; 100].into_iter());
        quality.on_missed(2);
        assert_eq!((quality.cost(), quality.rxcost()), (MIN_COST, 256), "two may be lost by chance");
        quality.on_missed(2);
        assert!(quality.cost() > 150, "{}", quality.cost());
        // And back again.
        (0..20).for_each(|_| quality.on_missed(1));
        assert!(quality.cost() > 400, "{}", quality.cost());
        (0..20).for_each(|_| quality.on_hello());
        assert!(quality.cost() < 120, "{}", quality.cost());
    }
}
