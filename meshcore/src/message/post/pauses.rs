//! Who is left alone, and until when.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::types::Instant;

/// How long whoever refuses, or says nothing, is left alone; doubled each time, up to the second.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// How long after a pause the next one is a longer one. Who says nothing is noticed late.
const REMEMBERED: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    /// It is over then; and some time later forgotten, if there is no other one.
    until: Instant,
    is_over: bool,
}

/// Those that are left alone: mailboxes, or routes. What is known of them stays when there is nothing for them in between.
#[derive(Debug)]
pub(super) struct Pauses<K>(BTreeMap<K, Pause>);

impl<K> Default for Pauses<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Copy + Ord> Pauses<K> {
    /// Begins a pause, longer than the one before; until when. `None`: one is going on already.
    pub(super) fn begin(&mut self, now: Instant, rng: &mut StdRng, key: K) -> Option<Instant> {
        let before = self.0.get(&key).copied();
        if before.is_some_and(|pause| !pause.is_over) {
            return None;
        }
        let length = before.map_or(PAUSE.0, |pause| (2 * pause.length).min(PAUSE.1));
        let until = now + jittered(rng, length);
        self.0.insert(key, Pause { length, until, is_over: false });
        Some(until)
    }

    /// Begins a pause until then.
    pub(super) fn begin_until(&mut self, until: Instant, key: K) {
        let pause = self.0.entry(key).or_insert(Pause { length: PAUSE.0, until, is_over: false });
        (pause.until, pause.is_over) = (pause.until.max(until), false);
    }

    /// Until when a pause goes on.
    pub(super) fn until(&self, key: &K) -> Option<Instant> {
        self.0.get(key).filter(|pause| !pause.is_over).map(|pause| pause.until)
    }

    /// All is well: the next pause is a short one. One that goes on is not ended by it.
    pub(super) fn forget(&mut self, key: &K) {
        if self.until(key).is_none() {
            self.0.remove(key);
        }
    }

    /// Those whose pause is over now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<K> {
        let ending = self.0.iter_mut().filter(|(_, pause)| !pause.is_over && pause.until <= now);
        let ended = ending.map(|(key, pause)| {
            pause.is_over = true;
            *key
        });
        let ended = ended.collect();
        self.0.retain(|_, pause| now < pause.until + REMEMBERED);
        ended
    }

    /// When there is something to do.
    pub(super) fn changes(&self) -> impl Iterator<Item = Instant> {
        self.0.values().map(|pause| if pause.is_over { pause.until + REMEMBERED } else { pause.until })
    }
}

/// Up to a quarter more or less, so that those who were refused together do not come back together.
pub(super) fn jittered(rng: &mut StdRng, length: Duration) -> Duration {
    length.mul_f64(rng.random_range(0.75..1.25))
}
