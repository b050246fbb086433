//! The order in which destinations changed, so that a neighbour can be told what it missed.
//!
//! Every change of what this node announces gets the next *version*; a destination stands in the journal once, at its
//! latest change. "Everything behind version n" is then the state of a table, not a log, and its size is bounded.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crate::types::Address;

#[derive(Debug, Default)]
pub(super) struct Journal {
    latest: u64,
    /// Latest version of a destination that was removed from the journal.
    floor: u64,
    entries: BTreeMap<u64, Address>,
}

impl Journal {
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Who has a version below this one cannot be told all changes: it needs the whole table.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Notes a change; `old` is the version of the destination's last one, 0 for none. Gives the new version.
    pub(super) fn note(&mut self, destination: Address, old: u64) -> u64 {
        self.entries.remove(&old);
        self.latest += 1;
        self.entries.insert(self.latest, destination);
        self.latest
    }

    /// Forgets a destination.
    pub(super) fn remove(&mut self, version: u64) {
        if self.entries.remove(&version).is_some() {
            self.floor = self.floor.max(version);
        }
    }

    /// The first change behind `version`.
    pub(super) fn next_after(&self, version: u64) -> Option<(u64, Address)> {
        let next = self.entries.range((Excluded(version), Unbounded)).next();
        next.map(|(version, destination)| (*version, *destination))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_stands_at_its_latest_change() {
        let [a, b, c] = [1, 2, 3].map(|byte| Address([byte; 16]));
        let mut journal = Journal::default();
        let first = journal.note(a, 0);
        journal.note(b, 0);
        journal.note(c, 0);
        journal.note(a, first);
        let walk = |journal: &Journal| {
            let mut at = 0;
            std::iter::from_fn(move || journal.next_after(at).inspect(|(version, _)| at = *version))
                .collect::<Vec<_>>()
        };
        assert_eq!(walk(&journal), [(2, b), (3, c), (4, a)]);
        assert_eq!((journal.latest(), journal.floor()), (4, 0));
        journal.remove(2);
        assert_eq!((walk(&journal).len(), journal.floor()), (2, 2));
    }
}
