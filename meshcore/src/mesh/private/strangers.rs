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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::time::Duration;

    fn claim(number: u32) -> Claim {
        let mut session = SessionId([0; 16]);
        session.0[..4].copy_from_slice(&number.to_be_bytes());
        (session, LinkAddr::new(&[1]).unwrap())
    }

    /// As many strangers of one cause as are noticed at once.
    fn exhaust(strangers: &mut Strangers, now: Instant, cause: Cause, rng: &mut StdRng, first: u32) -> u32 {
        (first..).take_while(|number| strangers.challenge(now, claim(*number), cause, rng).is_some()).count()
            as u32
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_their_budget() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (mut strangers, now) = (Strangers::new(), Instant::from_micros(1));
        assert_eq!(exhaust(&mut strangers, now, Cause::Unknown, &mut rng, 0), BURST);
        assert_eq!(exhaust(&mut strangers, now, Cause::Moved, &mut rng, 1000), BURST);
        for number in 2000..2000 + BURST {
            assert!(strangers.may_answer(now, claim(number), &mut rng).is_some_and(|own| own.is_some()));
        }
        assert_eq!(strangers.may_answer(now, claim(3000), &mut rng), None);
    }

    #[test]
    fn whoever_is_challenged_has_time_to_answer_in_spite_of_any_flood() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (mut strangers, mut now) = (Strangers::new(), Instant::from_micros(1));
        // The worst case: the budgets are full, then everything that they give is used by others.
        let honest = claim(u32::MAX);
        let challenge = strangers.challenge(now, honest, Cause::Unknown, &mut rng).unwrap();
        for number in 0..430 {
            for cause in [Cause::Unknown, Cause::Moved, Cause::Named] {
                exhaust(&mut strangers, now, cause, &mut rng, 1000 * (3 * number + cause as u32));
            }
            now += Duration::from_millis(1);
        }
        assert!(strangers.len() > 1000);
        assert!(strangers.settle(now, honest, challenge));
        assert!(!strangers.settle(now, honest, challenge));
        // The oldest make room, not the latest.
        let challenge = strangers.may_answer(now + PERIOD, honest, &mut rng).flatten().unwrap();
        for number in 0..50 {
            now += Duration::from_millis(1);
            exhaust(&mut strangers, now, Cause::Unknown, &mut rng, 10_000_000 + number);
        }
        assert_eq!(strangers.len(), MAX_STRANGERS);
        assert!(strangers.settle(now, honest, challenge));
    }
}
