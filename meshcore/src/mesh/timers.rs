//! A set of named alarms; every operation takes O(log n).

use std::collections::{BTreeMap, BTreeSet};

use crate::types::Instant;

#[derive(Debug)]
pub(super) struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    set_for: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(super) fn new() -> Self {
        Self { queue: BTreeSet::new(), set_for: BTreeMap::new() }
    }

    pub(super) fn is_set(&self, key: K) -> bool {
        self.set_for.contains_key(&key)
    }

    /// Sets the alarm `key`, instead of an earlier setting.
    pub(super) fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.set_for.insert(key, at) {
            self.queue.remove(&(old, key));
        }
        self.queue.insert((at, key));
    }

    pub(super) fn cancel(&mut self, key: K) {
        if let Some(old) = self.set_for.remove(&key) {
            self.queue.remove(&(old, key));
        }
    }

    /// When the next alarm is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes an alarm that is due at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_go_off_in_order_and_once() {
        let at = Instant::from_micros;
        let mut timers = Timers::new();
        timers.set('a', at(5));
        timers.set('b', at(3));
        timers.set('a', at(1));
        timers.set('c', at(2));
        timers.cancel('c');
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop(at(0)), None);
        assert_eq!(timers.pop(at(9)), Some('a'));
        assert_eq!(timers.pop(at(9)), Some('b'));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.next(), None);
    }
}
