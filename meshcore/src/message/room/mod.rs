//! Rooms: who belongs to them, and who may write to them and read what is written.
//!
//! The node that makes a room owns it, and signs who belongs to it, version after version; the others take the highest version that
//! they meet. What is written to a room goes to each of its members by itself, through the same outbox as everything else. All here is
//! plain computation; the stores keep the result in the same commit as what caused it (`ledger.rs`).

pub(crate) mod ledger;
#[cfg(any(test, feature = "driver"))]
mod record;
mod resolve;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use self::state::State;
use super::identity::IdentityKey;
use super::store::OutgoingMessage;
use crate::types::{Nickname, NodeId, RoomChange, RoomId, RoomInfo, RoomStanding, UnixTime};
use crate::wire::content::{RoomRequest, Stamp};

pub use self::resolve::{ResolveRoomError, resolve};
pub use self::state::MAX_MEMBERS;

/// Members of earlier versions that are remembered: what they wrote before they left may still be on its way.
const MAX_FORMER: usize = 1024;

/// Why something cannot be done with a room. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// Nothing is known of it.
    #[error("no room with this id is known; list the rooms to see their ids")]
    Unknown,
    /// Only the owner may do this.
    #[error("only the node that made the room can do this; ask its owner")]
    NotOwner,
    /// This node does not belong to it.
    #[error("this node is no member of the room; join it first, if it was invited")]
    NotMember,
    /// This node cannot join.
    #[error("this node is not invited to the room; ask its owner for an invitation")]
    NotInvited,
    /// There is nobody to write to.
    #[error("nobody else is in the room; invite somebody, and wait until they have joined")]
    Alone,
    /// The other node was neither invited nor a member.
    #[error("that node is neither in the room nor invited to it")]
    NotInRoom,
    /// The other node belongs to it already, or was invited.
    #[error("that node is in the room, or invited to it, already")]
    InRoom,
    /// There are [`MAX_MEMBERS`].
    #[error("a room has at most {MAX_MEMBERS} members; make a second one")]
    Full,
    /// Its owner has left.
    #[error("the room is closed, for its owner has left it; make a new one")]
    Closed,
    /// There are more rooms than are kept.
    #[error("this node has as many rooms as it can have ({limit}); leave some", limit = ledger::MAX_ROOMS)]
    TooManyRooms,
}

/// What is to be done with a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomCommand {
    /// Makes it.
    Create {
        /// A random number.
        nonce: [u8; 16],
        /// The public key of this node, as DER `SubjectPublicKeyInfo`.
        owner_key: Vec<u8>,
        /// Its name.
        name: Nickname,
    },
    /// Invites a node.
    Invite(RoomId, NodeId),
    /// Takes a node out, whether it belongs to the room or was invited.
    Remove(RoomId, NodeId),
    /// Accepts an invitation.
    Join(RoomId),
    /// Declines an invitation, or leaves. The owner closes the room by it.
    Leave(RoomId),
    /// Writes to all members.
    Send {
        /// The room.
        room: RoomId,
        /// The text.
        text: String,
        /// When it is given up; `None`: never.
        expires: Option<UnixTime>,
    },
}

impl RoomCommand {
    /// The id of the room that a node makes with this random number.
    pub fn room_id(owner: NodeId, nonce: &[u8; 16]) -> RoomId {
        state::room_id(owner, nonce)
    }

    /// Bytes of text.
    pub fn weight(&self) -> usize {
        match self {
            Self::Send { text, .. } => text.len(),
            _ => 0,
        }
    }
}

/// What an operation has changed in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOutcome {
    /// The room afterwards.
    pub room: Room,
    /// In order.
    pub changes: Vec<RoomChange>,
    /// New messages in the outbox, with their recipients.
    pub queued: Vec<(NodeId, OutgoingMessage)>,
}

/// What this node has asked of the owner, and in answer to which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    request: RoomRequest,
    version: u64,
}

/// Whether a text from a member is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// This node may not have met the version that its sender knew, a later one or one that was overtaken: it waits for that.
    TooEarly,
    /// For good: a copy that comes by another way must not be taken later, out of order.
    Refused,
}

/// A room as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// This node.
    own: NodeId,
    /// The highest version that was met, and its bytes; `None` at the owner before the first is signed.
    signed: Option<(State, Vec<u8>)>,
    /// At the owner: what is to be signed next.
    draft: Option<State>,
    wish: Option<Wish>,
    /// This node has been a member.
    joined: bool,
    /// The person was told of an invitation, and has not answered since.
    asked: bool,
    /// Members of earlier versions who were not removed, and the last version that was met in which each belonged to the room.
    former: BTreeMap<NodeId, u64>,
    /// The latest version that each of the others has from this node, or has told this node.
    told: BTreeMap<NodeId, u64>,
}

/// What an owner has to sign.
#[derive(Debug, Clone)]
pub struct Unsigned(State);

impl Unsigned {
    /// The room.
    pub fn room(&self) -> RoomId {
        self.0.id()
    }

    /// Signs it; `None` when that fails.
    pub fn sign(&self, key: &IdentityKey) -> Option<Vec<u8>> {
        self.0.sign(key)
    }
}

impl Room {
    fn new(own: NodeId) -> Self {
        Self {
            own,
            signed: None,
            draft: None,
            wish: None,
            joined: false,
            asked: false,
            former: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// A room that this node makes.
    fn created(own: NodeId, draft: State) -> Self {
        Self { draft: Some(draft), joined: true, ..Self::new(own) }
    }

    /// The signed version, or at the owner, as long as there is none, what will be the first.
    fn state(&self) -> Option<&State> {
        self.signed.as_ref().map(|(state, _)| state).or(self.draft.as_ref())
    }

    fn version(&self) -> u64 {
        self.signed.as_ref().map_or(0, |(state, _)| state.version)
    }

    fn owner(&self) -> Option<NodeId> {
        self.state().map(State::owner)
    }

    fn is_own(&self) -> bool {
        self.owner() == Some(self.own)
    }

    /// The room's id.
    pub fn id(&self) -> Option<RoomId> {
        self.state().map(State::id)
    }

    /// What is told to people.
    pub fn info(&self) -> Option<RoomInfo> {
        let state = self.state()?;
        Some(RoomInfo {
            id: state.id(),
            name: state.name.clone(),
            owner: state.owner(),
            standing: self.standing(),
            members: state.members.nodes().collect(),
            invited: state.invited.nodes().collect(),
            version: self.version(),
        })
    }

    /// What this node, the owner, has to sign.
    pub fn unsigned(&self) -> Option<Unsigned> {
        self.draft.clone().map(Unsigned)
    }

    /// A node belongs to a room when both its owner and itself say so.
    fn standing(&self) -> RoomStanding {
        let Some(state) = self.state() else { return RoomStanding::Left };
        let wish = self.wish.map(|wish| (wish.request, wish.version));
        if state.members.len() == 0 {
            RoomStanding::Closed
        } else if state.removed.contains(self.own) {
            RoomStanding::Removed
        } else if state.members.contains(self.own) {
            match wish {
                Some((RoomRequest::Leave, _)) => RoomStanding::Left,
                Some((RoomRequest::Join, _)) => RoomStanding::Member,
                None if self.is_own() => RoomStanding::Member,
                None => RoomStanding::Invited,
            }
        } else if let Some(since) = state.invited.since(self.own) {
            match wish.filter(|(_, version)| *version >= since) {
                Some((RoomRequest::Leave, _)) => RoomStanding::Left,
                Some((RoomRequest::Join, _)) => RoomStanding::Joining,
                None => RoomStanding::Invited,
            }
        } else {
            RoomStanding::Left
        }
    }

    /// Whether this node is invited and has not answered.
    pub(crate) fn is_invitation(&self) -> bool {
        self.standing() == RoomStanding::Invited
    }

    /// What has changed since, to be told. Of an invitation that is withdrawn and repeated nobody is told twice.
    fn news(&mut self, before: Option<&Self>) -> Vec<RoomChange> {
        let changes = self.changes(before);
        let is_repeated = changes == [RoomChange::Invited] && self.asked;
        self.asked |= self.is_invitation();
        if is_repeated { Vec::new() } else { changes }
    }

    fn changes(&self, before: Option<&Self>) -> Vec<RoomChange> {
        let (Some(state), standing) = (self.state(), self.standing()) else { return Vec::new() };
        let was = before.map(Self::standing);
        if was != Some(standing) {
            let change = match standing {
                RoomStanding::Invited => Some(RoomChange::Invited),
                // Whoever makes a room knows.
                RoomStanding::Member if !self.is_own() => Some(RoomChange::Joined(self.own)),
                RoomStanding::Removed if self.joined => Some(RoomChange::Removed(self.own)),
                RoomStanding::Closed if self.joined => Some(RoomChange::Closed),
                _ => None,
            };
            return change.into_iter().collect();
        }
        let Some(before) = before.and_then(Self::state).filter(|_| standing == RoomStanding::Member) else {
            return Vec::new();
        };
        let gone = before.members.nodes().filter(|node| !state.members.contains(*node));
        let gone = gone.map(|node| match state.removed.contains(node) {
            true => RoomChange::Removed(node),
            false => RoomChange::Left(node),
        });
        let new = state.members.nodes().filter(|node| !before.members.contains(*node));
        gone.chain(new.map(RoomChange::Joined)).collect()
    }

    /// Whether these bytes are the version in force.
    fn has_met_version(&self, bytes: &[u8]) -> bool {
        self.signed.as_ref().is_some_and(|(_, signed)| signed == bytes)
    }

    /// Takes a version that somebody has sent. Whether it is higher than what was known.
    fn meet(&mut self, from: NodeId, state: State, bytes: Vec<u8>) -> bool {
        if self.is_own() {
            return false;
        }
        let known_to_sender = self.told.entry(from).or_default();
        *known_to_sender = state.version.max(*known_to_sender);
        let is_newer = self.signed.as_ref().is_none_or(|(known, known_bytes)| {
            // Of two with the same number, which only a broken owner signs, all members take the same one.
            (state.version, &bytes) > (known.version, known_bytes)
        });
        let older =
            if is_newer { self.signed.replace((state, bytes)).map(|(state, _)| state) } else { Some(state) };
        older.iter().for_each(|older| self.remember_members(older));
        self.settle();
        is_newer
    }

    fn remember_members(&mut self, older: &State) {
        for node in older.members.nodes() {
            let last = self.former.entry(node).or_default();
            *last = older.version.max(*last);
        }
    }

    /// Forgets what the version in force has made void.
    fn settle(&mut self) {
        if let Some((state, _)) = &self.signed {
            let State { members, invited, removed, .. } = state;
            let may_write = |node: &NodeId, last: u64| {
                !members.contains(*node) && !removed.contains(*node) && last >= state.forgotten()
            };
            self.former.retain(|node, last| may_write(node, *last));
            self.told.retain(|node, _| members.contains(*node) || invited.contains(*node));
            if !members.contains(self.own) && !invited.contains(self.own) {
                self.wish = None;
            }
        }
        while self.former.len() > MAX_FORMER {
            self.former.pop_last();
        }
        self.joined |= self.standing() == RoomStanding::Member;
    }

    /// This node has nothing to do with it any more, or has declined the invitation, whether the owner ever hears of that or not.
    fn is_over(&self) -> bool {
        matches!(self.standing(), RoomStanding::Left | RoomStanding::Removed | RoomStanding::Closed)
    }

    /// Over, and nobody here would miss it.
    pub(crate) fn is_void(&self) -> bool {
        self.is_over() && !self.joined
    }

    /// The owner and the id of the room of which these bytes claim to be a version.
    pub(super) fn claimed(bytes: &[u8]) -> Option<(NodeId, RoomId)> {
        state::claimed(bytes).map(|state| (state.owner(), state.id()))
    }

    /// Whether this node is a member, or wants to be one.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self.standing(), RoomStanding::Member | RoomStanding::Joining)
    }

    fn admission(&self, from: NodeId, version: u64) -> Admission {
        let Some((state, _)) = &self.signed else { return Admission::Refused };
        if !self.takes_part() || state.removed.contains(from) {
            Admission::Refused
        } else if version > state.version {
            Admission::TooEarly
        } else if self.standing() != RoomStanding::Member {
            Admission::Refused
        } else if state.members.contains(from) || self.former.get(&from).is_some_and(|last| version <= *last)
        {
            Admission::Admitted
        } else if version < state.version && version >= state.forgotten() {
            Admission::TooEarly
        } else {
            Admission::Refused
        }
    }

    /// Whether a node belongs to the room, has belonged to it, or is invited, in a version that was met.
    fn has_met(&self, node: NodeId) -> bool {
        self.former.contains_key(&node) || self.signed.as_ref().is_some_and(|(state, _)| state.concerns(node))
    }

    /// Those who get what this node writes now, and the version in which they are members. What the owner has changed holds for what it
    /// writes at once.
    fn readers(&self) -> Result<(Stamp, Vec<NodeId>), RoomError> {
        match self.standing() {
            RoomStanding::Member => {}
            RoomStanding::Closed => return Err(RoomError::Closed),
            _ => return Err(RoomError::NotMember),
        }
        let (state, _) = self.signed.as_ref().ok_or(RoomError::Alone)?;
        let is_reader = |node: &NodeId| {
            *node != self.own && self.draft.as_ref().is_none_or(|draft| draft.members.contains(*node))
        };
        let readers: Vec<_> = state.members.nodes().filter(is_reader).collect();
        if readers.is_empty() {
            return Err(RoomError::Alone);
        }
        Ok((Stamp { room: state.id(), version: state.version }, readers))
    }

    /// What `reader` is to be told before it reads a text of this version, if it was not told.
    fn news_for(&mut self, reader: NodeId) -> Option<Vec<u8>> {
        let (state, bytes) = self.signed.as_ref()?;
        let told = self.told.entry(reader).or_default();
        if *told >= state.version || reader == state.owner() {
            return None;
        }
        *told = state.version;
        Some(bytes.clone())
    }

    // -- at the owner ---------------------------------------------------------------------------------------------

    /// What is to be signed next, to be changed.
    fn next(&mut self) -> Result<&mut State, RoomError> {
        if !self.is_own() {
            return Err(RoomError::NotOwner);
        }
        let latest = self.draft.as_ref().or(self.signed.as_ref().map(|(state, _)| state));
        let latest = latest.ok_or(RoomError::Unknown)?;
        if latest.members.len() == 0 {
            return Err(RoomError::Closed);
        }
        let next = State { version: self.version() + 1, ..latest.clone() };
        Ok(self.draft.insert(next))
    }

    fn invite(&mut self, node: NodeId) -> Result<(), RoomError> {
        let next = self.next()?;
        if next.members.contains(node) || next.invited.contains(node) || node == state::FORGOTTEN {
            return Err(RoomError::InRoom);
        }
        if next.members.len() + next.invited.len() >= MAX_MEMBERS {
            return Err(RoomError::Full);
        }
        next.removed.remove(node);
        next.invited.insert(node, next.version);
        Ok(())
    }

    fn remove(&mut self, node: NodeId) -> Result<(), RoomError> {
        let own = self.own;
        // What somebody wrote before leaving is still taken; whoever is removed is not heard any more.
        let was_member = self.former.contains_key(&node)
            || self.signed.as_ref().is_some_and(|(state, _)| state.members.contains(node));
        let next = self.next()?;
        let is_there = next.members.contains(node) || next.invited.contains(node);
        if node == own || !(is_there || (was_member && !next.removed.contains(node))) {
            return Err(RoomError::NotInRoom);
        }
        next.remove(node);
        Ok(())
    }

    fn close(&mut self) -> Result<(), RoomError> {
        let next = self.next()?;
        (next.members, next.invited) = Default::default();
        Ok(())
    }

    /// Somebody asks; whether anything is to be signed by that. What was asked before it was last so is not repeated: a message may come
    /// late.
    fn answer(&mut self, from: NodeId, version: u64, request: RoomRequest) -> bool {
        let had_draft = self.draft.is_some();
        let Ok(next) = self.next() else { return false };
        let asks_now = |since: Option<u64>| since.is_some_and(|since| since <= version);
        let changed = match request {
            RoomRequest::Join if asks_now(next.invited.since(from)) => {
                next.invited.remove(from);
                next.members.insert(from, next.version);
                true
            }
            RoomRequest::Leave if asks_now(next.members.since(from)) => next.members.remove(from),
            RoomRequest::Leave if asks_now(next.invited.since(from)) => next.invited.remove(from),
            RoomRequest::Join | RoomRequest::Leave => false,
        };
        if !changed && !had_draft {
            self.draft = None;
        }
        changed
    }

    /// What `from` is sent, who asked in answer to this version in vain. Who does not belong to the room is not told who does, but
    /// may hear once more that it was removed.
    fn correction(&self, from: NodeId, version: u64) -> Option<Vec<u8>> {
        let (state, bytes) = self.signed.as_ref().filter(|_| self.is_own())?;
        let is_told = state.concerns(from) || state.removed.since(from) == Some(state.version);
        (is_told && state.version > version).then(|| bytes.clone())
    }

    /// The owner's own signature is there. Gives those who are to know, or `None` if something else was signed since.
    fn publish(&mut self, bytes: &[u8]) -> Option<Vec<NodeId>> {
        let state = state::trusted(bytes).filter(|state| state.version == self.version() + 1)?;
        let before = self.signed.replace((state.clone(), bytes.to_vec())).map(|(state, _)| state);
        self.draft = self.draft.take().filter(|draft| !draft.says_the_same_as(&state));
        if let Some(draft) = &mut self.draft {
            draft.version = state.version + 1;
        }
        let mut listeners = BTreeSet::new();
        for state in before.iter().chain([&state]) {
            listeners.extend(state.members.nodes().chain(state.invited.nodes()));
        }
        listeners.remove(&self.own);
        self.told.extend(listeners.iter().map(|node| (*node, state.version)));
        before.iter().for_each(|before| self.remember_members(before));
        self.settle();
        Some(listeners.into_iter().collect())
    }

    // -- at the others --------------------------------------------------------------------------------------------

    /// Accepts an invitation; gives whom to tell, and of which version.
    fn join(&mut self) -> Result<(NodeId, Stamp), RoomError> {
        match self.standing() {
            RoomStanding::Invited | RoomStanding::Joining => self.ask(RoomRequest::Join),
            RoomStanding::Member => Err(RoomError::InRoom),
            RoomStanding::Closed => Err(RoomError::Closed),
            _ => Err(RoomError::NotInvited),
        }
    }

    /// Leaves or declines; gives whom to tell, and of which version.
    fn leave(&mut self) -> Result<(NodeId, Stamp), RoomError> {
        match self.standing() {
            RoomStanding::Invited | RoomStanding::Joining | RoomStanding::Member => {
                self.ask(RoomRequest::Leave)
            }
            _ => Err(RoomError::NotMember),
        }
    }

    /// This node left before it heard that it had become a member, and the owner could not know: it says so once more. Gives whom to
    /// tell, and of which version.
    fn insist(&mut self) -> Option<(NodeId, Stamp)> {
        let (state, _) = self.signed.as_ref()?;
        let since = state.members.since(self.own)?;
        self.wish.filter(|wish| wish.request == RoomRequest::Leave && wish.version < since)?;
        self.ask(RoomRequest::Leave).ok()
    }

    fn ask(&mut self, request: RoomRequest) -> Result<(NodeId, Stamp), RoomError> {
        let (state, _) = self.signed.as_ref().ok_or(RoomError::Unknown)?;
        let stamp = Stamp { room: state.id(), version: state.version };
        let owner = state.owner();
        self.wish = Some(Wish { request, version: stamp.version });
        self.asked = false;
        self.settle();
        Ok((owner, stamp))
    }
}

#[cfg(all(test, feature = "driver"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
