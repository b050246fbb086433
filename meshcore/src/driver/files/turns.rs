//! Who may receive a file now: few at the same time, and of each peer still fewer, so that none of them holds all others up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::NodeId;

/// Files that are received at the same time; others wait for their turn.
const RECEIVING: usize = 16;

/// Files of one peer among them.
const OF_PEER: usize = 4;

/// Places, and those who wait for one.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), waiting: AtomicUsize::new(0) })
    }

    /// Waits for a place; nothing is left of that when the future is dropped. `None`: never.
    async fn take(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(self);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    fn are_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Waiting(Arc<Places>);

impl Waiting {
    fn new(places: &Arc<Places>) -> Self {
        places.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(places))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The turns of all peers.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Places>,
    peers: Mutex<HashMap<NodeId, Arc<Places>>>,
}

/// The right to receive a file.
#[derive(Debug)]
pub(super) struct Permit {
    all: Arc<Places>,
    of_peer: Arc<Places>,
    _places: [OwnedSemaphorePermit; 2],
}

impl Permit {
    /// Whether somebody waits for the place of this one.
    pub(super) fn is_awaited(&self) -> bool {
        self.all.are_awaited() || self.of_peer.are_awaited()
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { all: Places::new(RECEIVING), peers: Mutex::default() }
    }

    /// A permit, if there is one now.
    pub(super) fn try_take(&self, peer: NodeId) -> Option<Permit> {
        let of_peer = self.of_peer(peer);
        let places = [of_peer.try_take()?, self.all.try_take()?];
        Some(Permit { all: Arc::clone(&self.all), of_peer, _places: places })
    }

    /// Waits for a permit; nothing is left of that when the future is dropped. `None`: there will be none.
    pub(super) async fn take(&self, peer: NodeId) -> Option<Permit> {
        let of_peer = self.of_peer(peer);
        let places = [of_peer.take().await?, self.all.take().await?];
        Some(Permit { all: Arc::clone(&self.all), of_peer, _places: places })
    }

    fn of_peer(&self, peer: NodeId) -> Arc<Places> {
        let mut peers = self.peers.lock();
        peers.retain(|_, places| Arc::strong_count(places) > 1);
        Arc::clone(peers.entry(peer).or_insert_with(|| Places::new(OF_PEER)))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn peer(n: usize) -> NodeId {
        NodeId([n as u8; 32])
    }

    #[test]
    fn one_peer_does_not_hold_the_others_up() {
        let turns = Turns::new();
        let greedy: Vec<_> = std::iter::from_fn(|| turns.try_take(peer(0))).collect();
        assert_eq!(greedy.len(), OF_PEER);
        let mut others: Vec<_> = (OF_PEER..RECEIVING).map(|n| turns.try_take(peer(n)).unwrap()).collect();
        assert!(turns.try_take(peer(1)).is_none(), "all are taken");
        drop(others.pop());
        assert!(turns.try_take(peer(0)).is_none() && turns.try_take(peer(1)).is_some());
        drop((greedy, others));
        drop(turns.try_take(peer(1)));
        assert_eq!(turns.peers.lock().len(), 1, "nothing is left of those who have no turn");
    }

    #[test]
    fn whoever_has_a_turn_learns_that_it_is_awaited() {
        let turns = Turns::new();
        let greedy: Vec<_> = std::iter::from_fn(|| turns.try_take(peer(0))).collect();
        let other = turns.try_take(peer(1)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut fifth = pin!(turns.take(peer(0)));
        assert!(!greedy[0].is_awaited());
        assert!(fifth.as_mut().poll(&mut cx).is_pending());
        assert!(greedy[0].is_awaited() && !other.is_awaited());
        drop(greedy);
        let Poll::Ready(Some(fifth)) = fifth.as_mut().poll(&mut cx) else { panic!("there are places") };
        assert!(!fifth.is_awaited());
        // When all are taken, all of them are awaited, until nobody waits any more.
        let rest: Vec<_> = (2..RECEIVING).map(|n| turns.try_take(peer(n)).unwrap()).collect();
        {
            let mut late = pin!(turns.take(peer(1)));
            assert!(late.as_mut().poll(&mut cx).is_pending());
            assert!(other.is_awaited() && fifth.is_awaited() && rest[0].is_awaited());
        }
        assert!(!other.is_awaited() && !rest[0].is_awaited());
    }
}
