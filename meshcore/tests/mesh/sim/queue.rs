//! What is going to happen, in order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::rc::Rc;

use meshcore::types::Instant;

#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A frame that `from` sent arrives at the port `to`.
    Frame { to: usize, from: usize, frame: Rc<[u8]> },
    /// A node may have something due.
    Wake(usize),
    /// A node starts, unless it has crashed since that was planned: then `life` is an older one.
    Start { node: usize, life: u32 },
    /// The event of the scenario with this number.
    Change(usize),
    /// A flow sends.
    Probe(usize),
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    serial: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// Things that happen at the same time happen in the order in which they were planned: a replay is exact.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    serial: u64,
}

impl Queue {
    pub(crate) fn plan(&mut self, at: Instant, what: Happening) {
        self.serial += 1;
        self.heap.push(Reverse(Entry { at, serial: self.serial, what }));
    }

    /// The next thing, unless it lies behind `end`.
    pub(crate) fn next(&mut self, end: Instant) -> Option<(Instant, Happening)> {
        let Reverse(first) = self.heap.peek()?;
        if first.at > end {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}
