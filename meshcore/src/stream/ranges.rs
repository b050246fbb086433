//! A set of integers as disjoint ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of `u64`, kept as half-open ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Number of ranges.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in ascending order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.first_key_value().map(|(&start, &end)| start..end)
    }

    /// Removes and returns the lowest range.
    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        self.0.pop_first().map(|(start, end)| start..end)
    }

    pub(super) fn contains(&self, value: u64) -> bool {
        self.0.range(..=value).next_back().is_some_and(|(_, &end)| value < end)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        // Everything that overlaps or touches melts into the new range.
        while let Some((&low, &high)) = self.0.range(..=end).next_back() {
            if high < start {
                break;
            }
            start = start.min(low);
            end = end.max(high);
            self.0.remove(&low);
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        while let Some((&low, &high)) = self.0.range(..end).next_back() {
            if high <= start {
                break;
            }
            self.0.remove(&low);
            if high > end {
                self.0.insert(end, high);
            }
            if low < start {
                self.0.insert(low, start);
            }
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
