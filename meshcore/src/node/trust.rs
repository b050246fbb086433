//! What the person thinks of other nodes, and what follows from that.
//!
//! A blocked node is silent for this one: packets of the transport to it and from it are dropped before anything looks at
//! them, so that it learns no more than that nobody answers, and costs a look into a set. The mesh goes on as ever: its
//! frames are forwarded, its routes and records passed on.

use std::collections::VecDeque;
use std::time::Duration;

use super::connections::codes;
use super::stack::Stack;
use super::{Event, IncomingMessage, NodeInfo, SendError};
use crate::message::contact::Contact;
use crate::message::directory::{KeepError, Ties};
use crate::message::messenger;
use crate::message::store::StoreOp;
use crate::types::{MessageId, NodeId, Now, Trust};

/// Why the person's opinion of a node cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It is this node.
    #[error("that is this node itself: choose another one")]
    Myself,
    /// A blocked node cannot be verified.
    #[error("{0} is blocked; unblock it first")]
    Blocked(NodeId),
    /// There is no place for it.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Messages of blocked nodes that were stored before they were blocked. They are not handed over, and count as confirmed
/// as soon as all before them are.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    /// The last message that was handed over.
    handed: u64,
    confirmed: u64,
    /// Arrival numbers: of the last message handed over before some that were not, and of the last of these.
    gaps: VecDeque<(u64, u64)>,
}

impl Withheld {
    fn on_handed(&mut self, arrival: u64) {
        self.handed = arrival;
    }

    /// A message is withheld; up to which one all are confirmed by that, if that is news.
    fn on_withheld(&mut self, arrival: u64) -> Option<u64> {
        match self.gaps.back_mut() {
            Some((handed, last)) if *handed == self.handed => *last = arrival,
            _ => self.gaps.push_back((self.handed, arrival)),
        }
        let confirmed = self.on_confirmed(self.confirmed);
        (confirmed >= arrival).then_some(confirmed)
    }

    /// The application has confirmed; up to which message all are confirmed by that.
    pub(super) fn on_confirmed(&mut self, arrival: u64) -> u64 {
        self.confirmed = self.confirmed.max(arrival);
        while let Some((handed, last)) = self.gaps.front().copied() {
            if handed > self.confirmed {
                break;
            }
            self.gaps.pop_front();
            self.confirmed = self.confirmed.max(last);
        }
        self.confirmed.max(arrival)
    }
}

impl Stack {
    /// Notes that the person has compared safety words with a node.
    pub fn verify(&mut self, now: Now, id: NodeId) -> Result<NodeInfo, TrustError> {
        if self.trust(id) == Trust::Blocked {
            return Err(TrustError::Blocked(id));
        }
        self.set_trust(now, id, Trust::Verified)
    }

    /// Takes [`Stack::verify`] back.
    pub fn unverify(&mut self, now: Now, id: NodeId) -> Result<NodeInfo, TrustError> {
        let trust = self.trust(id);
        self.set_trust(now, id, if trust == Trust::Verified { Trust::Seen } else { trust })
    }

    /// Hears and tells a node nothing any more. That it was verified is forgotten.
    pub fn block(&mut self, now: Now, id: NodeId) -> Result<NodeInfo, TrustError> {
        let info = self.set_trust(now, id, Trust::Blocked)?;
        for connection in self.sessions.cut(id) {
            self.close(now, connection, codes::DONE, "");
        }
        for connection in self.connections.all() {
            if self.streams.peer(connection) == Some(id) {
                self.streams.close(now.monotonic, connection, codes::DONE, "");
            }
        }
        self.settle(now);
        Ok(info)
    }

    /// Takes [`Stack::block`] back.
    pub fn unblock(&mut self, now: Now, id: NodeId) -> Result<NodeInfo, TrustError> {
        let trust = self.trust(id);
        let info = self.set_trust(now, id, if trust == Trust::Blocked { Trust::Seen } else { trust })?;
        // What waited for it goes its way.
        self.sessions.on_progress(id);
        self.settle(now);
        Ok(info)
    }

    /// Keeps a contact. It is no more trusted than a node that was seen.
    pub fn import(&mut self, now: Now, contact: &Contact) -> Result<NodeInfo, TrustError> {
        self.check_other(contact.id)?;
        let messenger = &self.messenger;
        let evicted = self.directory.import(contact, now.wall, |id| messenger.has_pending_texts(id))?;
        self.on_kept(contact.id, evicted)
    }

    /// [`Stack::send`] to somebody whom the person calls `name`: refused when that is now another key's nickname as well,
    /// unless the person has verified `to`.
    pub fn send_named(
        &mut self,
        now: Now,
        to: NodeId,
        name: &str,
        text: String,
        lifetime: Option<Duration>,
    ) -> Result<MessageId, SendError> {
        messenger::check_text(&text)?;
        self.directory.still_means(name, to)?;
        self.send(now, to, text, lifetime)
    }

    /// Whether a file may be offered to a node, which the person calls `name`, if it is called something. As one to whom the
    /// person has written it is not forgotten.
    pub fn offer_file(&mut self, to: NodeId, name: Option<&str>) -> Result<(), SendError> {
        if let Some(name) = name {
            self.directory.still_means(name, to)?;
        }
        self.check_recipient(to)?;
        self.tie(to, Ties::Own);
        Ok(())
    }

    pub(super) fn check_recipient(&self, to: NodeId) -> Result<(), SendError> {
        if to == self.own {
            return Err(SendError::Myself);
        }
        // A node that has written to us can be answered, even when its identity record is still on its way.
        if !self.knows(to) {
            return Err(SendError::UnknownNode(to));
        }
        if self.is_blocked(to) {
            return Err(SendError::Blocked(to));
        }
        Ok(())
    }

    fn check_other(&self, id: NodeId) -> Result<(), TrustError> {
        if id == self.own { Err(TrustError::Myself) } else { Ok(()) }
    }

    fn trust(&self, id: NodeId) -> Trust {
        self.directory.node(&id).map_or(Trust::Seen, |entry| entry.trust)
    }

    fn set_trust(&mut self, now: Now, id: NodeId, trust: Trust) -> Result<NodeInfo, TrustError> {
        self.check_other(id)?;
        let messenger = &self.messenger;
        let evicted = self.directory.set_trust(id, trust, now.wall, |id| messenger.has_pending_texts(id))?;
        let is_blocked = trust == Trust::Blocked;
        if is_blocked {
            self.blocked.insert(id.address());
        } else {
            self.blocked.remove(&id.address());
        }
        self.messenger.set_blocked(now, id, is_blocked);
        self.update_reach(now, id);
        self.on_kept(id, evicted)
    }

    fn on_kept(&mut self, id: NodeId, evicted: Option<NodeId>) -> Result<NodeInfo, TrustError> {
        self.store_ops.extend(evicted.map(StoreOp::RemovePeer));
        self.save_peer(id);
        self.info(id).ok_or(TrustError::Keep(KeepError::NoRoom(id)))
    }

    /// Whether the person has blocked a node.
    pub fn is_blocked(&self, id: NodeId) -> bool {
        self.blocked.contains(&id.address())
    }

    /// Notes that messages passed between this node and another.
    pub(super) fn tie(&mut self, id: NodeId, ties: Ties) {
        if self.directory.tie(&id, ties) {
            self.save_peer(id);
        }
    }

    /// Hands a message to the application, unless its sender was blocked meanwhile.
    pub(super) fn hand_over(&mut self, message: IncomingMessage) {
        if self.is_blocked(message.from) {
            if let Some(arrival) = self.withheld.on_withheld(message.arrival) {
                self.messenger.handle_confirmed(arrival);
            }
            return;
        }
        self.tie(message.from, Ties::Heard);
        self.withheld.on_handed(message.arrival);
        self.events.push_back(Event::Message(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withheld_messages_are_confirmed_when_those_before_them_are() {
        let mut withheld = Withheld { confirmed: 2, handed: 2, ..Withheld::default() };
        assert_eq!(withheld.on_withheld(3), Some(3), "nothing before it waits");
        withheld.on_handed(4);
        assert_eq!(withheld.on_withheld(5), None);
        assert_eq!(withheld.on_withheld(6), None);
        withheld.on_handed(7);
        assert_eq!(withheld.on_withheld(8), None);
        assert_eq!(withheld.gaps.len(), 2);
        assert_eq!(withheld.on_confirmed(3), 3);
        assert_eq!(withheld.on_confirmed(4), 6);
        assert_eq!(withheld.on_confirmed(7), 8);
        assert_eq!(withheld.on_withheld(9), Some(9));
    }
}
