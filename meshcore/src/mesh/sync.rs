//! Has this node all updates of a neighbour? What it missed, it asks for.

use std::collections::BTreeMap;

use super::config::{GAP_WAIT, STALE, SYNC_RETRY};
use crate::types::{Address, Instant};
use crate::wire::update::{Advert, Update};

/// Times that damaged entries are asked for again before one is passed over.
const MAX_FLAWS: u32 = 2;

/// Group hellos in a row that contradict what was taken in.
const MAX_CONTRADICTIONS: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Sync {
    /// Version of the neighbour's table up to which everything was taken in.
    version: u64,
    /// The neighbour's floor when it began to tell its whole table: of what it forgot before, nothing is known here.
    floor: u64,
    /// Something was taken in that the next whole table may lack.
    holds: bool,
    /// Latest version that it announced.
    announced: u64,
    asked_at: Option<Instant>,
    /// Since when updates are missing, or the last progress.
    behind_since: Option<Instant>,
    /// Requests since the last progress.
    asked: u32,
    /// Entries with a bad signature that were asked for again.
    flaws: u32,
    /// Hellos in a row that announced less than what was taken in.
    contradictions: u32,
    /// Routes whose destination's identity is not known yet.
    pub(super) pending: BTreeMap<Address, Advert>,
}

/// What to do with an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take its entries in, then [`Sync::on_applied`]. `whole`: it begins the whole table anew.
    Apply { whole: bool },
    /// Something before it is missing: ask.
    Gap,
    /// It says nothing new.
    Old,
}

impl Sync {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// A hello tells how far everybody on the link was told. What it says is believed, however little: a larger number
    /// that came before may have been forged. Whether the neighbour contradicts what was taken in, twice: then everything
    /// begins anew, and the routes known are void.
    pub(super) fn on_hello(&mut self, version: u64, group: bool) -> bool {
        self.announced = version.max(self.version);
        if group {
            // Once may be a hello that was overtaken by an update.
            self.contradictions = if version < self.version { self.contradictions + 1 } else { 0 };
        }
        let void = self.contradictions >= MAX_CONTRADICTIONS;
        if void {
            *self = Self { announced: version, ..Self::default() };
        }
        void
    }

    /// Entries are taken in without a gap and in order only: then none can replace a newer one.
    pub(super) fn judge(&mut self, update: &Update) -> Verdict {
        self.announced = self.announced.max(update.to);
        let Update { floor, from, to, .. } = *update;
        // A retraction of what the neighbour has forgotten would be missing.
        let complete = self.version.max(self.floor) >= floor;
        match () {
            // A repetition of what is current, or a reminder.
            () if from == to && to == self.version => Verdict::Apply { whole: false },
            () if to <= self.version && complete => Verdict::Old,
            () if from == 0 => Verdict::Apply { whole: std::mem::replace(&mut self.holds, true) },
            () if from > self.version || !complete => Verdict::Gap,
            () => Verdict::Apply { whole: false },
        }
    }

    pub(super) fn on_applied(&mut self, now: Instant, update: &Update) {
        let begins = update.from == 0 && update.to != self.version;
        if begins {
            self.floor = update.floor;
        }
        if begins || update.to > self.version {
            self.flaws *= u32::from(begins);
            self.version = update.to;
            self.asked = 0;
            self.behind_since = self.is_behind().then_some(now);
            // More is probably on its way.
            self.asked_at = self.asked_at.map(|_| now);
        }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.version < self.announced
    }

    /// When to ask next, if something is missing.
    pub(super) fn due(&self, now: Instant, gap: bool) -> Option<Instant> {
        self.is_behind().then(|| {
            let wait = if gap { GAP_WAIT } else { SYNC_RETRY.wait(self.asked.saturating_sub(1)) };
            self.asked_at.map_or(now, |asked| asked + wait)
        })
    }

    /// Whether updates have been missing for too long. Then everything begins anew, and the routes known are void.
    pub(super) fn start_over(&mut self, now: Instant) -> bool {
        let stale = self.version > 0 && self.behind_since.is_some_and(|since| now - since >= STALE);
        if stale {
            *self = Self { announced: self.announced, behind_since: Some(now), ..Self::default() };
        }
        stale
    }

    /// Whether a damaged entry is to be asked for again. Not for ever: it may have been sent like that, and what comes
    /// behind it must not wait.
    pub(super) fn tolerates_flaw(&mut self) -> bool {
        self.flaws += 1;
        self.flaws <= MAX_FLAWS
    }

    /// The whole table is to be told again; what is known stays until then.
    pub(super) fn begin_anew(&mut self) {
        (self.announced, self.version, self.floor) = (self.announced.max(self.version), 0, 0);
        self.ask_now();
    }

    /// What hindered taking updates in is gone.
    pub(super) fn ask_now(&mut self) {
        (self.asked_at, self.asked) = (None, 0);
    }

    pub(super) fn on_asked(&mut self, now: Instant) {
        self.asked_at = Some(now);
        self.behind_since.get_or_insert(now);
        self.asked = self.asked.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(from: u64, to: u64) -> Update {
        Update { instance: 1, floor: 0, from, to }
    }

    fn synced(to: u64) -> Sync {
        let mut sync = Sync::default();
        assert_eq!(sync.judge(&update(0, to)), Verdict::Apply { whole: false });
        sync.on_applied(Instant::from_micros(0), &update(0, to));
        sync
    }

    #[test]
    fn updates_are_taken_in_order() {
        let mut sync = synced(10);
        assert_eq!(sync.judge(&update(12, 20)), Verdict::Gap);
        assert!(sync.is_behind());
        assert_eq!(sync.judge(&update(10, 12)), Verdict::Apply { whole: false });
        sync.on_applied(Instant::from_micros(0), &update(10, 12));
        assert_eq!(sync.judge(&update(11, 20)), Verdict::Apply { whole: false });
        sync.on_applied(Instant::from_micros(0), &update(11, 20));
        assert!(!sync.is_behind());
        assert_eq!(sync.judge(&update(10, 12)), Verdict::Old);
        assert_eq!(sync.judge(&update(19, 19)), Verdict::Old);
        assert_eq!(sync.judge(&update(20, 20)), Verdict::Apply { whole: false });
        assert_eq!(sync.judge(&update(0, 30)), Verdict::Apply { whole: true });
    }

    #[test]
    fn nothing_counts_that_a_forgotten_retraction_may_be_missing_from() {
        let now = Instant::from_micros(0);
        let update = |floor, from, to| Update { instance: 1, floor, from, to };
        let mut sync = synced(10);
        assert_eq!(sync.judge(&update(15, 10, 20)), Verdict::Gap);
        assert!(sync.is_behind());
        // The whole table comes in parts, of which the first ends before what is known.
        assert_eq!(sync.judge(&update(15, 0, 5)), Verdict::Apply { whole: true });
        sync.on_applied(now, &update(15, 0, 5));
        assert_eq!((sync.version(), sync.floor()), (5, 15));
        assert_eq!(sync.judge(&update(15, 0, 5)), Verdict::Old);
        // Something is forgotten meanwhile.
        assert_eq!(sync.judge(&update(16, 5, 20)), Verdict::Gap);
        assert_eq!(sync.judge(&update(15, 5, 20)), Verdict::Apply { whole: false });
        sync.on_applied(now, &update(15, 5, 20));
        assert!(!sync.is_behind());
        assert_eq!(sync.judge(&update(20, 20, 21)), Verdict::Apply { whole: false });
    }

    #[test]
    fn forged_numbers_are_forgotten() {
        let mut sync = synced(10);
        assert_eq!(sync.judge(&update(u64::MAX - 1, u64::MAX)), Verdict::Gap);
        assert!(sync.is_behind() && !sync.on_hello(10, true) && !sync.is_behind());
        sync.on_applied(Instant::from_micros(0), &update(10, u64::MAX));
        assert_eq!(sync.judge(&update(10, 11)), Verdict::Old);
        assert!(!sync.on_hello(11, true) && !sync.on_hello(11, false) && sync.on_hello(11, true));
        assert_eq!((sync.version(), sync.is_behind()), (0, true));
    }

    #[test]
    fn damage_is_asked_about_twice() {
        let mut sync = synced(10);
        assert_eq!([(); 3].map(|()| sync.tolerates_flaw()), [true, true, false]);
        sync.on_applied(Instant::from_micros(0), &update(10, 11));
        assert!(sync.tolerates_flaw());
        sync.begin_anew();
        assert!(sync.is_behind());
        assert_eq!(sync.judge(&update(0, 11)), Verdict::Apply { whole: true }, "it may lack what is known");
    }

    #[test]
    fn what_is_missing_is_asked_for_ever_more_rarely() {
        let mut sync = synced(10);
        let mut now = Instant::from_micros(1000);
        assert_eq!(sync.due(now, false), None);
        sync.on_hello(11, true);
        let mut waits = Vec::new();
        for _ in 0..15 {
            let due = sync.due(now, false).unwrap();
            waits.push((due - now).as_millis());
            now = due;
            sync.on_asked(now);
        }
        assert_eq!(waits, [[0].as_slice(), &[150; 8], &[300, 600, 1200, 2400, 4000, 4000]].concat());
        assert_eq!(sync.due(now, true), Some(now + GAP_WAIT));
    }
}
