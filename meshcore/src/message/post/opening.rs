//! Envelopes for this node that wait to be opened. Each costs an operation with the private key, whatever is in it, so there is a
//! bound to how often, and each node that brings some gets its turn.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Job, Out};
use crate::message::messenger::SessionId;
use crate::types::{Instant, NodeId, TokenBucket};
use crate::wire::post::Outcome;

/// Envelopes that are opened: at once, and one more each time this has passed.
const ALL: (u32, Duration) = (512, Duration::from_millis(10));

/// Envelopes of one node that may turn out to be no letters. Real letters do not count.
const JUNK: (u32, Duration) = (64, Duration::from_millis(50));

/// Envelopes that are being opened at a time: what this node seals or signs itself waits for no more than these.
pub(super) const MAX_OPENING: usize = 8;

/// Beyond this many nodes those that have brought nothing of late are forgotten.
const MAX_NODES: usize = 1024;

/// Envelopes of which it is remembered what came of them.
const MAX_KNOWN: usize = 1024;

/// SHA-256 of an envelope.
pub(super) type EnvelopeHash = [u8; 32];

pub(super) fn hash(envelope: &[u8]) -> EnvelopeHash {
    Sha256::digest(envelope).into()
}

/// What an envelope is known by, until it is answered.
pub(super) type Number = (SessionId, u64);

#[derive(Debug)]
pub(super) struct Openings {
    waiting: BTreeMap<NodeId, VecDeque<(Number, Vec<u8>)>>,
    /// Whose turn it was last.
    served: Option<NodeId>,
    /// By the token of the job.
    opening: BTreeMap<u64, (NodeId, Number)>,
    all: TokenBucket,
    junk: BTreeMap<NodeId, TokenBucket>,
    known: BTreeMap<EnvelopeHash, Outcome>,
    /// The hashes of these, the oldest first.
    oldest: VecDeque<EnvelopeHash>,
    /// When the next one may be opened, if one waits for that.
    next: Option<Instant>,
}

impl Openings {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            served: None,
            opening: BTreeMap::new(),
            all: TokenBucket::new(ALL.0, ALL.1),
            junk: BTreeMap::new(),
            known: BTreeMap::new(),
            oldest: VecDeque::new(),
            next: None,
        }
    }

    /// What came of an envelope before.
    pub(super) fn known(&self, hash: &EnvelopeHash) -> Option<Outcome> {
        self.known.get(hash).copied()
    }

    pub(super) fn remember(&mut self, hash: EnvelopeHash, outcome: Outcome) {
        if self.known.insert(hash, outcome).is_none() {
            self.oldest.push_back(hash);
        }
        if self.oldest.len() > MAX_KNOWN
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn push(&mut self, from: NodeId, number: Number, envelope: Vec<u8>) {
        self.waiting.entry(from).or_default().push_back((number, envelope));
    }

    /// Gives the numbers of the envelopes that are not opened any more.
    pub(super) fn session_closed(&mut self, session: SessionId) -> Vec<Number> {
        let mut numbers = Vec::new();
        for waiting in self.waiting.values_mut() {
            numbers.extend(waiting.iter().map(|(number, _)| *number).filter(|(of, _)| *of == session));
            waiting.retain(|((of, _), _)| *of != session);
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        numbers
    }

    /// Opens what may be opened now.
    pub(super) fn open(&mut self, now: Instant, out: &mut Out<'_>) {
        self.next = None;
        while self.opening.len() < MAX_OPENING
            && let Some(from) = self.whose_turn(now)
        {
            self.served = Some(from);
            let Some(waiting) = self.waiting.get_mut(&from) else { return };
            if let Some((number, envelope)) = waiting.pop_front() {
                let token = out.token();
                self.opening.insert(token, (from, number));
                out.openings.push_back(Job::Open { token, envelope });
            }
            if waiting.is_empty() {
                self.waiting.remove(&from);
            }
        }
    }

    /// The next node, after the one that was served last, with an envelope that may be opened; takes the tokens for it.
    fn whose_turn(&mut self, now: Instant) -> Option<NodeId> {
        let after = self.served.map_or(Bound::Unbounded, Bound::Excluded);
        let until = self.served.map_or(Bound::Unbounded, Bound::Included);
        let behind = self.waiting.range((after, Bound::Unbounded)).map(|(node, _)| *node);
        let before = self.waiting.range((Bound::Unbounded, until)).map(|(node, _)| *node);
        let due = |node: &NodeId| {
            self.junk.get(node).map_or(now, TokenBucket::ready_at).max(self.all.ready_at()).max(now)
        };
        let (due, node) = behind.chain(before).map(|node| (due(&node), node)).min_by_key(|(due, _)| *due)?;
        if due > now {
            self.next = Some(due);
            return None;
        }
        if self.junk.len() >= MAX_NODES {
            self.junk.retain(|_, bucket| !bucket.is_full(now));
        }
        self.all.take(now);
        self.junk.entry(node).or_insert_with(|| TokenBucket::new(JUNK.0, JUNK.1)).take(now);
        Some(node)
    }

    /// An envelope has been opened, or not.
    pub(super) fn on_opened(&mut self, token: u64) -> Option<(NodeId, Number)> {
        self.opening.remove(&token)
    }

    /// What this node brought was no junk.
    pub(super) fn was_a_letter(&mut self, from: NodeId) {
        self.junk.entry(from).and_modify(TokenBucket::give_back);
    }

    /// When [`Openings::open`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
