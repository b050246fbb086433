//! Envelopes that others hand over: those for this node are opened, the others are kept in its mailbox, if it offers one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Job, MailboxConfig, Out};
use crate::message::envelope::{self, OpenError};
use crate::message::framing::WriteBuffer;
use crate::message::messenger::SessionId;
use crate::message::store::{Letter, Origin, ReceivedMessage, StoreOp};
use crate::types::{MessageId, NodeId, Now, TokenBucket, UnixTime};
use crate::wire::content::Content;
use crate::wire::post::{Outcome, PostRecord};

/// Envelopes of one session that wait for the disk, or to be opened; beyond, it is not read.
const WINDOW: (usize, usize) = (32, 4 << 20);

/// More bytes of answers wait only when the peer does not read them; then nothing of it is read either.
const MAX_ANSWERS: usize = 64 * 1024;

/// Envelopes of one session that may turn out to be no letters: at once, and one more each time this has passed. Each costs an
/// operation with the private key; real letters do not count.
const JUNK: (u32, Duration) = (64, Duration::from_millis(50));

/// Nothing shorter is an envelope: it is padded to more. Quotas count bytes of envelopes, and what a mailbox keeps beside each is
/// small only in comparison with them.
const MIN_ENVELOPE: usize = 1536;

/// An envelope that is not answered yet.
#[derive(Debug)]
struct UnderWay {
    len: usize,
    keep: Duration,
}

/// A letter for this node that was opened.
#[derive(Debug)]
struct Opened {
    session: SessionId,
    number: u64,
    sender: NodeId,
    message: ReceivedMessage,
}

#[derive(Debug)]
pub(super) struct Counter {
    own: NodeId,
    mailbox: Option<MailboxConfig>,
    blocked: BTreeSet<NodeId>,
    under_way: BTreeMap<(SessionId, u64), UnderWay>,
    junk: BTreeMap<SessionId, TokenBucket>,
    /// By the token of the job.
    opening: BTreeMap<u64, (SessionId, u64)>,
    opened: Vec<Opened>,
}

impl Counter {
    pub(super) fn new(own: NodeId, mailbox: Option<MailboxConfig>) -> Self {
        Self {
            own,
            mailbox,
            blocked: BTreeSet::new(),
            under_way: BTreeMap::new(),
            junk: BTreeMap::new(),
            opening: BTreeMap::new(),
            opened: Vec::new(),
        }
    }

    pub(super) fn set_blocked(&mut self, node: NodeId, blocked: bool) {
        if blocked {
            self.blocked.insert(node);
        } else {
            self.blocked.remove(&node);
        }
    }

    pub(super) fn is_blocked(&self, node: &NodeId) -> bool {
        self.blocked.contains(node)
    }

    pub(super) fn session_closed(&mut self, session: SessionId) {
        self.under_way.retain(|(of, _), _| *of != session);
        self.junk.remove(&session);
    }

    pub(super) fn has_room(&self, session: SessionId, answers: &WriteBuffer) -> bool {
        let under_way = self.under_way.range((session, 0)..=(session, u64::MAX));
        let (count, bytes) =
            under_way.fold((0, 0), |(count, bytes), (_, envelope)| (count + 1, bytes + envelope.len));
        count < WINDOW.0 && bytes < WINDOW.1 && answers.pending().len() < MAX_ANSWERS
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn on_deposit(
        &mut self,
        now: Now,
        session: SessionId,
        sender: NodeId,
        deposit: PostRecord,
        out: &mut Out<'_>,
    ) {
        let PostRecord::Deposit { number, recipient, id, keep, envelope } = deposit else { return };
        let keep = keep.min(self.mailbox.map_or(Duration::ZERO, |mailbox| mailbox.keep));
        if self.under_way.contains_key(&(session, number)) {
            // Its sender cannot tell the answers apart; that is its own loss.
            return push_answer(session, number, (Outcome::Later, Duration::ZERO), out);
        }
        self.under_way.insert((session, number), UnderWay { len: envelope.len(), keep });
        if envelope.len() < MIN_ENVELOPE || self.is_blocked(&recipient) {
            self.answer(session, number, Outcome::Unreadable, out);
        } else if recipient == self.own {
            let junk = self.junk.entry(session).or_insert_with(|| TokenBucket::new(JUNK.0, JUNK.1));
            if !junk.take(now.monotonic) {
                return self.answer(session, number, Outcome::Later, out);
            }
            let token = out.token();
            self.opening.insert(token, (session, number));
            out.jobs.push_back(Job::Open { token, envelope });
        } else if let Some(mailbox) = self.mailbox {
            let expires = now.wall + keep;
            let letter = Letter { sender, recipient, id, expires, envelope };
            out.ops.push_back(StoreOp::KeepLetter { session, number, letter, quota: mailbox.quota() });
        } else {
            self.answer(session, number, Outcome::NoMailbox, out);
        }
    }

    pub(super) fn on_opened(
        &mut self,
        now: Now,
        token: u64,
        letter: Result<(NodeId, envelope::Letter), OpenError>,
        out: &mut Out<'_>,
    ) {
        let Some((session, number)) = self.opening.remove(&token) else { return };
        match letter {
            // Nobody learns more than that it has arrived: its sender keeps it, for it gets no receipt. It counts as junk.
            Ok((sender, _)) if self.is_blocked(&sender) => {
                self.answer(session, number, Outcome::Taken, out);
            }
            Ok((sender, letter)) if sender != self.own && is_understood(&letter.content) => {
                if let Some(junk) = self.junk.get_mut(&session) {
                    junk.give_back();
                }
                let message = received(letter, now.wall);
                self.opened.push(Opened { session, number, sender, message });
            }
            _ => self.answer(session, number, Outcome::Unreadable, out),
        }
    }

    /// Stores what was opened: letters of one sender that came one after the other together.
    pub(super) fn store(&mut self, out: &mut Out<'_>, rng: &mut StdRng) {
        let mut opened = std::mem::take(&mut self.opened).into_iter().peekable();
        while let Some(Opened { session, number, sender, message }) = opened.next() {
            let (mut numbers, mut messages) = (vec![number], vec![message]);
            while let Some(next) = opened.next_if(|next| next.session == session && next.sender == sender) {
                numbers.push(next.number);
                messages.push(next.message);
            }
            let origin = Origin::Envelopes { session, numbers };
            let receipt = Some(MessageId(rng.random()));
            let to = self.own;
            out.ops.push_back(StoreOp::StoreIncoming { origin, from: sender, to, messages, receipt });
        }
    }

    pub(super) fn answer(&mut self, session: SessionId, number: u64, outcome: Outcome, out: &mut Out<'_>) {
        let Some(UnderWay { keep, .. }) = self.under_way.remove(&(session, number)) else { return };
        let keep = if outcome == Outcome::Taken { keep } else { Duration::ZERO };
        push_answer(session, number, (outcome, keep), out);
    }
}

fn push_answer(session: SessionId, number: u64, (outcome, keep): (Outcome, Duration), out: &mut Out<'_>) {
    if let Some(state) = out.sessions.get_mut(&session) {
        state.answers.push(&PostRecord::Answer { number, outcome, keep });
    }
}

fn is_understood(content: &Content) -> bool {
    !matches!(content, Content::Unknown(_))
}

fn received(letter: envelope::Letter, received_at: UnixTime) -> ReceivedMessage {
    let envelope::Letter { id, sent_at, content } = letter;
    ReceivedMessage { id, content, sent_at, received_at }
}
