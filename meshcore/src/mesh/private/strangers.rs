//! Sessions that are not proven, or not at that station: whom to challenge, and when again.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::config::{ANSWER_GAP, BURST, CHALLENGE_GAP, CHALLENGE_LIFE, MAX_STRANGERS, PERIOD};
use crate::types::{Instant, LinkAddr, TokenBucket};
use crate::wire::sealed::{Nonce, SessionId};

/// A session at a station.
pub(super) type Claim = (SessionId, LinkAddr);

/// Why a stranger is taken notice of. Each cause has its own budget: a flood of one kind of replays leaves the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A frame of an unknown session; it may be of any age.
    Unknown,
    /// A frame of a proven session from another station.
    Moved,
    /// A challenge that names our session: it cannot be older than that.
    Named,
}

#[derive(Debug)]
struct Stranger {
    challenge: Nonce,
    drawn_at: Instant,
    challenged_at: Option<Instant>,
    /// Challenges sent without success.
    tries: u32,
    answered_at: Option<Instant>,
    /// When a token was spent on it last.
    noticed_at: Instant,
}

impl Stranger {
    fn new(now: Instant, rng: &mut StdRng) -> Self {
        let challenge = Nonce(rng.random());
        Self { challenge, drawn_at: now, challenged_at: None, tries: 0, answered_at: None, noticed_at: now }
    }

    fn is_challenge_due(&self, now: Instant) -> bool {
        let (first, longest) = CHALLENGE_GAP;
        let doublings = self.tries.saturating_sub(1).min(16);
        is_past(self.challenged_at, (first * (1 << doublings)).min(longest), now)
    }

    /// The challenge to be sent now.
    fn challenge(&mut self, now: Instant, rng: &mut StdRng) -> Nonce {
        if now - self.drawn_at > CHALLENGE_LIFE / 2 {
            (self.challenge, self.drawn_at) = (Nonce(rng.random()), now);
        }
        self.challenged_at = Some(now);
        self.tries = self.tries.saturating_add(1);
        self.challenge
    }
}

fn is_past(last: Option<Instant>, gap: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now - last >= gap)
}

/// The strangers of one link.
#[derive(Debug)]
pub(super) struct Strangers {
    entries: BTreeMap<Claim, Stranger>,
    budgets: [TokenBucket; 3],
}

impl Strangers {
    pub(super) fn new() -> Self {
        let budget = || TokenBucket::new(BURST, PERIOD);
        Self { entries: BTreeMap::new(), budgets: [budget(), budget(), budget()] }
    }

    /// The challenge to be sent to a stranger, unless it has one that is young, or the budget is used up.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        claim: Claim,
        cause: Cause,
        rng: &mut StdRng,
    ) -> Option<Nonce> {
        if self.entries.get(&claim).is_some_and(|stranger| !stranger.is_challenge_due(now)) {
            return None;
        }
        Some(self.notice(now, claim, cause, rng)?.challenge(now, rng))
    }

    /// Whether a stranger that names our session may have an answer, and the challenge that goes with it.
    pub(super) fn may_answer(
        &mut self,
        now: Instant,
        claim: Claim,
        rng: &mut StdRng,
    ) -> Option<Option<Nonce>> {
        let answered_at = self.entries.get(&claim).and_then(|stranger| stranger.answered_at);
        if !is_past(answered_at, ANSWER_GAP, now) {
            return None;
        }
        let stranger = self.notice(now, claim, Cause::Named, rng)?;
        stranger.answered_at = Some(now);
        Some(stranger.is_challenge_due(now).then(|| stranger.challenge(now, rng)))
    }

    /// Whether the answer is right; then the stranger is none any more.
    pub(super) fn settle(&mut self, now: Instant, claim: Claim, answer: Nonce) -> bool {
        let right = self.entries.get(&claim).is_some_and(|stranger| {
            let sent = stranger.challenged_at.is_some();
            sent && stranger.challenge == answer && now - stranger.drawn_at <= CHALLENGE_LIFE
        });
        if right {
            self.entries.remove(&claim);
        }
        right
    }

    /// The entry of a stranger, made if need be. Costs a token.
    fn notice(
        &mut self,
        now: Instant,
        claim: Claim,
        cause: Cause,
        rng: &mut StdRng,
    ) -> Option<&mut Stranger> {
        if !self.budgets[cause as usize].take(now) {
            return None;
        }
        if !self.entries.contains_key(&claim) && self.entries.len() >= MAX_STRANGERS {
            let oldest = self.entries.iter().min_by_key(|(_, stranger)| stranger.noticed_at);
            if let Some(oldest) = oldest.map(|(claim, _)| *claim) {
                self.entries.remove(&oldest);
            }
        }
        let stranger = self.entries.entry(claim).or_insert_with(|| Stranger::new(now, rng));
        stranger.noticed_at = now;
        Some(stranger)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
