//! One link of a private mesh.

use std::collections::VecDeque;

use aws_lc_rs::error::Unspecified;
use rand::rngs::StdRng;

use super::config::MAX_QUEUE;
use super::members::{Members, Sender, Standing};
use super::outgoing::Outgoing;
use super::schedule::{Schedule, SessionKey};
use super::strangers::{Cause, Strangers};
use crate::mesh::DropReason;
use crate::types::{Destination, Instant, LinkAddr};
use crate::wire::frame::FrameType;
use crate::wire::sealed::{Content, HEADER_LEN, Nonce, Proof, SealedHeader};

/// A frame that the link itself has to send.
#[derive(Debug)]
enum Own {
    Proof {
        at: LinkAddr,
        proof: Proof,
    },
    /// The latest group hello once more.
    Hello {
        at: LinkAddr,
    },
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) outgoing: Outgoing,
    members: Members,
    strangers: Strangers,
    queue: VecDeque<Own>,
    /// The latest group hello of this node, for those who could not yet take it when it was sent. Empty: none.
    hello: Vec<u8>,
}

impl Link {
    pub(super) fn new(schedule: &Schedule, rng: &mut StdRng) -> Result<Self, Unspecified> {
        Ok(Self {
            outgoing: Outgoing::new(schedule, rng)?,
            members: Members::default(),
            strangers: Strangers::new(),
            queue: VecDeque::new(),
            hello: Vec::new(),
        })
    }

    pub(super) fn seal(
        &mut self,
        to: Destination,
        inner: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let group = to == Destination::Group;
        self.outgoing.seal(&Content::Frame { group, inner }, out)?;
        if group && inner.get(1).is_some_and(|kind| FrameType::from(*kind) == FrameType::Hello) {
            self.hello.clear();
            self.hello.extend(inner);
        }
        Ok(())
    }

    /// Opens a frame in place; `Ok(None)`: it was for this layer.
    pub(super) fn open<'a>(
        &mut self,
        now: Instant,
        at: LinkAddr,
        frame: &'a mut [u8],
        schedule: &Schedule,
        rng: &mut StdRng,
    ) -> Result<Option<&'a mut [u8]>, DropReason> {
        let (header, body) = SealedHeader::parse(frame)?;
        let sender = Sender { session: header.session, at, counter: header.counter };
        let standing = self.members.standing(now, &sender)?;
        let (clear, sealed) = frame.split_at_mut_checked(HEADER_LEN).ok_or(DropReason::Malformed)?;
        let sealed = sealed.get_mut(..body.len()).ok_or(DropReason::Malformed)?;
        let mut derived = None;
        let key = match self.members.key(sender.session) {
            Some(key) => key,
            None => derived.insert(schedule.session_key(sender.session).map_err(|_| DropReason::BadTag)?),
        };
        let plaintext = key.open(&header, clear, sealed).map_err(|_| DropReason::BadTag)?;
        match Content::parse(plaintext)? {
            Content::Frame { group, inner } if standing == Standing::Member => {
                self.members.accept(now, &sender, group)?;
                Ok(Some(inner))
            }
            Content::Frame { .. } => Err(self.doubt(now, &sender, standing, rng)),
            Content::Proof(proof) => {
                self.on_proof(now, &sender, standing, derived, proof, rng).map(|()| None)
            }
        }
    }

    /// Challenges the sender of an authentic frame that may be a replay. Says why the frame is dropped.
    fn doubt(&mut self, now: Instant, sender: &Sender, standing: Standing, rng: &mut StdRng) -> DropReason {
        let (cause, reason) = match standing {
            Standing::Stranger => (Cause::Unknown, DropReason::UnprovenSession),
            _ => (Cause::Moved, DropReason::UnprovenStation),
        };
        let claim = (sender.session, sender.at);
        match self.strangers.challenge(now, claim, cause, rng) {
            Some(challenge) => self.send_proof(sender, Some(challenge), None).err().unwrap_or(reason),
            None => reason,
        }
    }

    fn on_proof(
        &mut self,
        now: Instant,
        sender: &Sender,
        mut standing: Standing,
        key: Option<SessionKey>,
        proof: Proof,
        rng: &mut StdRng,
    ) -> Result<(), DropReason> {
        if standing == Standing::Member {
            self.members.accept(now, sender, false)?;
        }
        if proof.to != self.outgoing.id {
            let stranger = standing != Standing::Member;
            return Err(if stranger { self.doubt(now, sender, standing, rng) } else { DropReason::NotForUs });
        }
        let claim = (sender.session, sender.at);
        let was_member = standing == Standing::Member;
        if !was_member && proof.answer.is_some_and(|answer| self.strangers.settle(now, claim, answer)) {
            self.members.prove(now, sender, key);
            standing = Standing::Member;
        }
        if let Some(challenge) = proof.challenge {
            // Members are answered without limit: what they send cannot be replayed.
            let own = match standing {
                Standing::Member => None,
                _ => self.strangers.may_answer(now, claim, rng).ok_or(DropReason::RateLimited)?,
            };
            self.send_proof(sender, own, Some(challenge))?;
        } else if standing != Standing::Member {
            return Err(DropReason::UnexpectedAnswer);
        }
        if standing == Standing::Member && !was_member && !self.hello.is_empty() {
            self.push(Own::Hello { at: sender.at })?;
        }
        Ok(())
    }

    fn send_proof(
        &mut self,
        to: &Sender,
        challenge: Option<Nonce>,
        answer: Option<Nonce>,
    ) -> Result<(), DropReason> {
        self.push(Own::Proof { at: to.at, proof: Proof { to: to.session, challenge, answer } })
    }

    fn push(&mut self, own: Own) -> Result<(), DropReason> {
        if self.queue.len() >= MAX_QUEUE {
            return Err(DropReason::QueueFull);
        }
        self.queue.push_back(own);
        Ok(())
    }

    /// Appends the next frame of the link's own and says to which station it goes.
    pub(super) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<LinkAddr> {
        loop {
            let (at, content) = match self.queue.pop_front()? {
                Own::Proof { at, proof } => (at, Content::Proof(proof)),
                Own::Hello { at } => (at, Content::Frame { group: false, inner: &self.hello[..] }),
            };
            if self.outgoing.seal(&content, out).is_ok() {
                return Some(at);
            }
        }
    }

    /// Sessions and strangers in the tables.
    #[cfg(test)]
    pub(super) fn table_sizes(&self) -> (usize, usize) {
        (self.members.len(), self.strangers.len())
    }
}
