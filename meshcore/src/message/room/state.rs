//! Who belongs to a room, as its owner signs it.
//!
//! A tagged COSE_Sign1 (`message/signed.rs`) by the owner whose payload is deterministic CBOR:
//!
//! ```text
//! [format = 1, nonce: bstr .size 16, owner: bstr (SPKI), version: uint, name: bstr (UTF-8), members: [*entry], invited: [*entry],
//!  removed: [*entry]]
//! entry = [node: bstr .size 32 (NODE_ID), since: uint]
//! ```
//!
//! Entries stand in ascending order of their nodes, no node in two lists. `since` is the version from which on it is so. Without members
//! the room is closed.

use ciborium::Value;
use sha2::{Digest, Sha256};

use crate::message::identity::{IdentityKey, PublicKey};
use crate::message::signed::{self, Signed};
use crate::types::{MessageId, Nickname, NodeId, RoomId};
use crate::wire::cbor::{Reader, encoded};
use crate::wire::content::MAX_ROOM;

/// Most nodes in a room, those who are invited included.
pub const MAX_MEMBERS: usize = 256;

/// Most nodes that are remembered as removed; beyond, the one that was removed first is forgotten.
const MAX_REMOVED: usize = 256;

/// No node has this id. Among the removed it stands for those who were forgotten, with the last version in which one of them was removed.
pub(super) const FORGOTTEN: NodeId = NodeId([0; NodeId::LEN]);

const FORMAT: u64 = 1;
const AAD: &[u8] = b"MeshChat room v1";
const ID_DOMAIN: &[u8] = b"MeshChat room id v1";
const MESSAGE_ID_DOMAIN: &[u8] = b"MeshChat room message id v1";
const ANSWER_ID_DOMAIN: &[u8] = b"MeshChat room answer id v1";

/// A node in one of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: NodeId,
    /// The version from which on it is there.
    pub(super) since: u64,
}

/// Nodes in ascending order, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    pub(super) fn since(&self, node: NodeId) -> Option<u64> {
        let at = self.0.binary_search_by_key(&node, |entry| entry.node).ok()?;
        self.0.get(at).map(|entry| entry.since)
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.since(node).is_some()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|entry| entry.node)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, node: NodeId, since: u64) {
        if let Err(at) = self.0.binary_search_by_key(&node, |entry| entry.node) {
            self.0.insert(at, Entry { node, since });
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, node: NodeId) -> bool {
        let len = self.0.len();
        self.0.retain(|entry| entry.node != node);
        self.0.len() < len
    }

    fn value(&self) -> Value {
        let entry = |entry: &Entry| {
            Value::Array(vec![Value::Bytes(entry.node.0.to_vec()), Value::Integer(entry.since.into())])
        };
        Value::Array(self.0.iter().map(entry).collect())
    }

    fn read(reader: &mut Reader<'_>, limit: usize) -> Option<Self> {
        let count = reader.items().filter(|count| *count <= limit as u64)?;
        let entry = |_| {
            reader.items().filter(|items| *items == 2)?;
            Some(Entry { node: NodeId(reader.array()?), since: reader.uint()? })
        };
        let entries = (0..count).map(entry).collect::<Option<Vec<_>>>()?;
        entries.is_sorted_by(|a, b| a.node < b.node).then_some(Self(entries))
    }
}

/// What an owner signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) nonce: [u8; 16],
    pub(super) owner_key: Vec<u8>,
    pub(super) version: u64,
    pub(super) name: Nickname,
    pub(super) members: Entries,
    pub(super) invited: Entries,
    pub(super) removed: Entries,
}

impl State {
    /// A new room in which its owner is alone.
    pub(super) fn new(owner_key: &[u8], nonce: [u8; 16], name: Nickname) -> Self {
        let mut members = Entries::default();
        members.insert(NodeId::of_public_key(owner_key), 1);
        let [invited, removed] = Default::default();
        Self { nonce, owner_key: owner_key.to_vec(), version: 1, name, members, invited, removed }
    }

    pub(super) fn owner(&self) -> NodeId {
        NodeId::of_public_key(&self.owner_key)
    }

    pub(super) fn id(&self) -> RoomId {
        room_id(self.owner(), &self.nonce)
    }

    /// Whether it says anything of this node but that it was removed.
    pub(super) fn concerns(&self, node: NodeId) -> bool {
        self.members.contains(node) || self.invited.contains(node)
    }

    /// Whether it says the same as another version.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let Self { members, invited, removed, .. } = self;
        (members, invited, removed) == (&other.members, &other.invited, &other.removed)
    }

    /// Takes a node out of all lists, and remembers that it was removed.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.members.remove(node);
        self.invited.remove(node);
        self.removed.insert(node, self.version);
        while self.removed.len() > MAX_REMOVED {
            let known = self.removed.0.iter().filter(|entry| entry.node != FORGOTTEN);
            let Some(Entry { node, since }) = known.min_by_key(|entry| entry.since).copied() else { break };
            let since = since.max(self.forgotten());
            self.removed.remove(node);
            self.removed.remove(FORGOTTEN);
            self.removed.insert(FORGOTTEN, since);
        }
    }

    /// Whoever belonged to the room only before this version may be one who was removed, and was forgotten since.
    pub(super) fn forgotten(&self) -> u64 {
        self.removed.since(FORGOTTEN).unwrap_or(0)
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        encoded(vec![
            Value::Integer(FORMAT.into()),
            Value::Bytes(self.nonce.to_vec()),
            Value::Bytes(self.owner_key.clone()),
            Value::Integer(self.version.into()),
            Value::Bytes(self.name.as_str().as_bytes().to_vec()),
            self.members.value(),
            self.invited.value(),
            self.removed.value(),
        ])
    }

    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        Self::parse_with(payload, |name| name.parse().ok())
    }

    /// Parses what lies on the own disk: its name may be one that would not be taken any more.
    pub(super) fn kept(payload: &[u8]) -> Option<Self> {
        Self::parse_with(payload, |name| Nickname::kept(name).ok())
    }

    fn parse_with(payload: &[u8], name_of: fn(&str) -> Option<Nickname>) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.items().filter(|items| *items == 8)?;
        reader.uint().filter(|format| *format == FORMAT)?;
        let nonce = reader.array()?;
        let owner_key = reader.bytes()?.to_vec();
        let version = reader.uint().filter(|version| (1..u64::MAX).contains(version))?;
        let name = std::str::from_utf8(reader.bytes()?).ok().and_then(name_of)?;
        let members = Entries::read(&mut reader, MAX_MEMBERS)?;
        let invited = Entries::read(&mut reader, MAX_MEMBERS)?;
        let removed = Entries::read(&mut reader, MAX_REMOVED)?;
        reader.finish()?;
        let state = Self { nonce, owner_key, version, name, members, invited, removed };
        state.is_consistent().then_some(state)
    }

    fn is_consistent(&self) -> bool {
        let Self { members, invited, removed, version, .. } = self;
        let mut entries = members.0.iter().chain(&invited.0).chain(&removed.0);
        let once = |entry: &Entry| {
            let lists = [members, invited, removed].into_iter().filter(|list| list.contains(entry.node));
            (1..=*version).contains(&entry.since) && lists.count() == 1
        };
        let is_owned = members.len() == 0 || members.contains(self.owner());
        is_owned && members.len() + invited.len() <= MAX_MEMBERS && entries.all(once)
    }

    /// Signs it; `None` when the library failed, or the key is not the owner's.
    pub(super) fn sign(&self, key: &IdentityKey) -> Option<Vec<u8>> {
        if key.spki_der() != self.owner_key {
            return None;
        }
        signed::sign(key, AAD, self.payload()).filter(|bytes| bytes.len() <= MAX_ROOM)
    }
}

/// Finds what an owner has signed, without looking at the signature: for what lies on the own disk.
pub(super) fn trusted(bytes: &[u8]) -> Option<State> {
    State::kept(Signed::parse(bytes).ok()?.payload)
}

/// What somebody says that an owner has signed. Nothing may come of it that [`is_authentic`] does not confirm.
pub(super) fn claimed(bytes: &[u8]) -> Option<State> {
    State::parse(Signed::parse(bytes).ok()?.payload)
}

/// Whether the owner has signed these bytes, of which this state is. Its key is in it, and certified by the room's id.
pub(super) fn is_authentic(bytes: &[u8], state: &State) -> bool {
    let (Ok(signed), Ok(key)) = (Signed::parse(bytes), PublicKey::from_spki(&state.owner_key)) else {
        return false;
    };
    signed.verify(&key, AAD).is_ok()
}

#[cfg(test)]
pub(super) fn verified(bytes: &[u8]) -> Option<State> {
    claimed(bytes).filter(|state| is_authentic(bytes, state))
}

/// The id of the room that `owner` made with this random number: nobody else can make one with the same.
pub(super) fn room_id(owner: NodeId, nonce: &[u8; 16]) -> RoomId {
    RoomId(hash(&[ID_DOMAIN, &owner.0, nonce]))
}

/// The id of a message that carries a signed room. It is the same whenever one sends it to somebody: so it is sent once.
pub(super) fn message_id(bytes: &[u8]) -> MessageId {
    MessageId(hash(&[MESSAGE_ID_DOMAIN, bytes]))
}

/// The id of the message with which this node answers a signed room by itself: once.
pub(super) fn answer_id(bytes: &[u8]) -> MessageId {
    MessageId(hash(&[ANSWER_ID_DOMAIN, bytes]))
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
