//! What a link costs (RFC 8966, appendix A.2.2: ETX): the inverse of the share of frames that pass both ways.

use crate::wire::update::INFINITE;

/// Cost of a link that loses nothing (babeld's for wired links).
pub(super) const MIN_COST: u16 = 96;

/// rxcost of a link that loses nothing.
const NOTHING_LOST: u32 = 256;

/// 1 in the fixed-point numbers below.
const ALL: u32 = 1 << 16;

/// Each hello weighs 1/8 of what was known before.
const WEIGHT: u32 = 8;

/// More missing hellos in a row than these tell nothing new.
const MAX_MISSED: u16 = 16;

/// Share of hellos that come through, and the cost that follows.
#[derive(Debug, Clone)]
pub(super) struct Quality {
    /// Share of the neighbour's hellos that were heard, lately.
    heard: u32,
    /// What the neighbour says about our hellos.
    txcost: u16,
    /// Cost in use: changes only when the measured one has clearly changed.
    cost: u16,
}

impl Quality {
    pub(super) fn new() -> Self {
        Self { heard: ALL, txcost: NOTHING_LOST as u16, cost: MIN_COST }
    }

    /// A hello came, after `missed` that did not.
    pub(super) fn on_hello(&mut self, missed: u16) {
        for _ in 0..missed.min(MAX_MISSED) {
            self.heard -= self.heard / WEIGHT;
        }
        self.heard += (ALL - self.heard) / WEIGHT;
    }

    /// The neighbour tells how it hears us.
    pub(super) fn on_report(&mut self, rxcost: u16) {
        self.txcost = rxcost.max(NOTHING_LOST as u16);
    }

    /// What is reported to the neighbour.
    pub(super) fn rxcost(&self) -> u16 {
        // The average comes close to ALL and never reaches it: a link without loss is to cost the minimum.
        let heard = if self.heard > ALL - ALL / 64 { ALL } else { self.heard.max(1) };
        (NOTHING_LOST * ALL / heard).min(INFINITE.into()) as u16
    }

    /// Cost of the link.
    pub(super) fn cost(&mut self) -> u16 {
        let product = u64::from(MIN_COST) * u64::from(self.rxcost()) * u64::from(self.txcost);
        let measured = (product / u64::from(NOTHING_LOST * NOTHING_LOST)).min(u64::from(INFINITE) - 1) as u16;
        if measured == MIN_COST || measured.abs_diff(self.cost) > self.cost / 4 {
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
        pattern.for_each(|missed| quality.on_hello(missed));
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
        let mut quality = Quality::new();
        quality.on_report(280);
        assert_eq!(quality.cost(), MIN_COST);
        quality.on_report(400);
        assert_eq!(quality.cost(), 150);
        quality.on_report(350);
        assert_eq!(quality.cost(), 150);
        quality.on_report(256);
        assert_eq!(quality.cost(), MIN_COST);
    }
}
