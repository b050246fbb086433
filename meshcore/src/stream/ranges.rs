//! A set of integers as disjoint ranges.

use std::collections::VecDeque;
use std::ops::Range;

/// Ranges for which an empty set keeps memory.
const KEPT: usize = 8;

/// A set of `u64`, kept as half-open ranges that neither overlap nor touch, in ascending order. Cheap at both ends, where
/// nearly all changes happen; linear in the number of ranges in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet(VecDeque<Range<u64>>);

impl RangeSet {
    /// Number of ranges.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in ascending order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + Clone {
        self.0.iter().cloned()
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.front().cloned()
    }

    /// Removes and returns the lowest range.
    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        let first = self.0.pop_front();
        // Many gaps once are no reason to keep the memory.
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
        first
    }

    pub(super) fn contains(&self, value: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= value);
        after.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|range| value < range.end)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.0.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(last) if last.end > range.start => self.merge(range),
            _ => self.0.push_back(range),
        }
    }

    /// Inserts a range somewhere before the end: everything that overlaps or touches melts into it.
    fn merge(&mut self, mut range: Range<u64>) {
        let from = self.0.partition_point(|other| other.end < range.start);
        let to = self.0.partition_point(|other| other.start <= range.end);
        if from >= to {
            return self.0.insert(from, range);
        }
        if let (Some(low), Some(high)) = (self.0.get(from), self.0.get(to - 1)) {
            range = range.start.min(low.start)..range.end.max(high.end);
        }
        self.0.drain(from + 1..to);
        if let Some(slot) = self.0.get_mut(from) {
            *slot = range;
        }
    }

    pub(super) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() || self.0.is_empty() {
            return;
        }
        let from = self.0.partition_point(|other| other.end <= range.start);
        let to = self.0.partition_point(|other| other.start < range.end);
        if from >= to {
            return;
        }
        let (Some(low), Some(high)) = (self.0.get(from), self.0.get(to - 1)) else { return };
        let rest = [low.start..range.start, range.end..high.end];
        self.0.drain(from..to);
        for rest in rest.into_iter().rev().filter(|rest| !rest.is_empty()) {
            self.0.insert(from, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(operations in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..60)) {
            let mut ranges = RangeSet::default();
            let mut model = BTreeSet::new();
            for (insert, start, len) in operations {
                if insert {
                    ranges.insert(start..start + len);
                    model.extend(start..start + len);
                } else {
                    ranges.remove(start..start + len);
                    model.retain(|value| !(start..start + len).contains(value));
                }
                prop_assert_eq!(ranges.iter().flatten().collect::<BTreeSet<_>>(), model.clone());
                prop_assert!(ranges.iter().all(|range| range.start < range.end));
                let bounds: Vec<_> = ranges.iter().collect();
                prop_assert!(bounds.windows(2).all(|pair| pair[0].end < pair[1].start), "not merged: {:?}", bounds);
                for value in 0..80 {
                    prop_assert_eq!(ranges.contains(value), model.contains(&value));
                }
            }
        }
    }
}
