//! Seqno requests (RFC 8966, section 3.8.2): how a node whose routes are all infeasible gets one again.
//!
//! Every node on the way repeats the request to the next one until it is satisfied or given up, so that a lost frame is
//! made good where it was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::{Address, Instant};
use crate::wire::update::Seqno;

/// Requests that are under way; then the oldest makes room.
pub(super) const CAPACITY: usize = 1024;

/// First time between two repetitions; doubled each time.
const RETRY: Duration = Duration::from_millis(120);

/// How often a request is sent on for another node. This node's own goes on, ever as seldom as after the last of these,
/// as long as nothing else helps.
const TRIES: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Pending {
    seqno: Seqno,
    hop_limit: u8,
    tries: u32,
    due: Instant,
}

/// A request that is to be sent on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) struct Due {
    pub(in crate::mesh) destination: Address,
    pub(in crate::mesh) seqno: Seqno,
    pub(in crate::mesh) hop_limit: u8,
    /// How often it was sent on before.
    pub(in crate::mesh) tries: u32,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: BTreeMap<Address, Pending>,
    due: BTreeSet<(Instant, Address)>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Starts a request, unless one at least as new is under way.
    pub(super) fn start(&mut self, now: Instant, destination: Address, seqno: Seqno, hop_limit: u8) -> bool {
        if self.pending.get(&destination).is_some_and(|pending| pending.seqno >= seqno) {
            return false;
        }
        self.end(destination);
        if self.pending.len() >= CAPACITY
            && let Some((_, oldest)) = self.due.first().copied()
        {
            self.end(oldest);
        }
        self.pending.insert(destination, Pending { seqno, hop_limit, tries: 0, due: now });
        self.due.insert((now, destination));
        true
    }

    /// Whether this announcement of the destination satisfies a request.
    pub(super) fn is_asked(&self, destination: Address, seqno: Seqno) -> bool {
        self.pending.get(&destination).is_some_and(|pending| pending.seqno <= seqno)
    }

    /// The destination has announced itself anew: requests for that are satisfied.
    pub(super) fn on_seqno(&mut self, destination: Address, seqno: Seqno) {
        if self.is_asked(destination, seqno) {
            self.end(destination);
        }
    }

    pub(super) fn end(&mut self, destination: Address) {
        if let Some(pending) = self.pending.remove(&destination) {
            self.due.remove(&(pending.due, destination));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The next request that is due at `now`. `starves` tells whether this node itself has no other way to a destination.
    pub(super) fn pop(&mut self, now: Instant, starves: impl Fn(Address) -> bool) -> Option<Due> {
        while let Some((due, destination)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, destination));
            let Some(pending) = self.pending.get_mut(&destination) else { continue };
            if pending.tries >= TRIES && !starves(destination) {
                self.pending.remove(&destination);
                continue;
            }
            let Pending { seqno, hop_limit, tries, .. } = *pending;
            pending.due = now + RETRY * (1 << tries.min(TRIES));
            pending.tries = tries.saturating_add(1);
            self.due.insert((pending.due, destination));
            return Some(Due { destination, seqno, hop_limit, tries });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Address = Address([1; 16]);

    fn seqno(count: u32) -> Seqno {
        Seqno { record: 1, count }
    }

    #[test]
    fn a_request_is_repeated_and_given_up() {
        let mut requests = Requests::default();
        let start = Instant::from_micros(1000);
        assert!(requests.start(start, NODE, seqno(2), 9));
        assert!(!requests.start(start, NODE, seqno(2), 9));
        let mut waits = Vec::new();
        let mut last = start;
        while let Some(due) = requests.next() {
            waits.push((due - last).as_millis());
            last = due;
            while let Some(popped) = requests.pop(due, |_| false) {
                assert_eq!((popped.destination, popped.seqno, popped.hop_limit), (NODE, seqno(2), 9));
            }
        }
        assert_eq!(waits, [0, 120, 240, 480, 960, 1920, 3840]);
        assert_eq!(requests.len(), 0);
    }

    #[test]
    fn who_has_no_other_way_goes_on_asking() {
        let mut requests = Requests::default();
        requests.start(Instant::from_micros(1000), NODE, seqno(2), 9);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let due = requests.next().unwrap();
            assert!(requests.pop(due, |node| node == NODE).is_some());
            waits.push((requests.next().unwrap() - due).as_millis());
        }
        assert_eq!(waits, [120, 240, 480, 960, 1920, 3840, 7680, 7680, 7680]);
        let due = requests.next().unwrap();
        assert!(requests.pop(due, |_| false).is_none() && requests.len() == 0);
    }

    #[test]
    fn a_newer_announcement_satisfies_it() {
        let mut requests = Requests::default();
        requests.start(Instant::from_micros(0), NODE, seqno(2), 9);
        requests.on_seqno(NODE, seqno(1));
        assert_eq!(requests.len(), 1);
        requests.on_seqno(NODE, seqno(2));
        assert_eq!((requests.len(), requests.next()), (0, None));
    }

    #[test]
    fn the_number_of_requests_is_bounded() {
        let mut requests = Requests::default();
        for number in 0..2 * CAPACITY as u128 {
            let now = Instant::from_micros(number as u64);
            assert!(requests.start(now, Address(number.to_be_bytes()), seqno(1), 9));
        }
        assert_eq!(requests.len(), CAPACITY);
        assert_eq!(requests.due.len(), CAPACITY);
    }
}
