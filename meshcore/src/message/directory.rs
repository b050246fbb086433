//! The nodes that this node knows, and finding one by what a person types.
//!
//! Trust on first use: the key that had a nickname first is remembered. Another key with the same nickname is reported,
//! and the nickname alone then finds nobody, unless the person has verified exactly one of those who use it.

mod resolve;

use std::collections::{BTreeMap, HashMap};

use super::contact::Contact;
use super::identity::{CAPABILITY_MAILBOX, IdentityRecord, SUBKEY_LEN};
use super::store::StoredPeer;
use crate::types::{Address, Nickname, NodeId, Trust, UnixTime};

pub use resolve::ResolveError;

/// Most nodes that are known.
pub const CAPACITY: usize = 4096;

/// What a node has to do with the person here; it decides who is forgotten first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Ties {
    /// Nothing.
    #[default]
    None = 0,
    /// It has written. Strangers can do that as often as they make keys, so it is forgotten when there is nobody else to
    /// forget.
    Heard = 1,
    /// The person has written to it, or keeps it as a contact. It is never forgotten.
    Own = 2,
}

impl Ties {
    /// The ties with this number, as stored on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Heard, Self::Own].into_iter().find(|ties| ties.code() == code)
    }

    /// The number of these ties.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A known node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub id: NodeId,
    /// What it is called here: as it calls itself; as the contact says, before it is seen; and when it is verified, as it was
    /// called then.
    pub nickname: Option<Nickname>,
    /// What it calls itself.
    pub own_name: Option<Nickname>,
    /// Number of its latest identity record.
    pub record_number: u64,
    /// The subkey in it.
    pub subkey: [u8; SUBKEY_LEN],
    /// That record as it came; empty for a contact that was never seen.
    pub record: Vec<u8>,
    /// When it was first seen.
    pub first_seen: UnixTime,
    /// When it was last seen.
    pub last_seen: UnixTime,
    /// What it offers: [`CAPABILITY_MAILBOX`] and bits of later versions.
    pub capabilities: u64,
    /// Whether it can be reached now.
    pub present: bool,
    /// How far it is trusted.
    pub trust: Trust,
    /// What it has to do with the person here.
    pub ties: Ties,
}

impl Entry {
    /// Somebody of whom nothing but the id is known.
    fn unseen(id: NodeId, now: UnixTime) -> Self {
        let (nickname, own_name, trust, ties, last_seen) = Default::default();
        let (record_number, subkey, record, capabilities) = (0, [0; SUBKEY_LEN], Vec::new(), 0);
        Self {
            id,
            nickname,
            own_name,
            record_number,
            subkey,
            record,
            first_seen: now,
            last_seen,
            capabilities,
            present: false,
            trust,
            ties,
        }
    }

    /// Whether its identity record is known.
    pub fn has_record(&self) -> bool {
        !self.record.is_empty()
    }

    /// Whether it offers a mailbox.
    pub fn offers_mailbox(&self) -> bool {
        self.capabilities & CAPABILITY_MAILBOX != 0
    }

    /// Whether the person keeps it as a contact: has written to it, has imported, verified or blocked it.
    pub fn is_contact(&self) -> bool {
        self.ties == Ties::Own || self.trust != Trust::Seen
    }

    /// What is kept of it on disk.
    pub fn stored(&self) -> StoredPeer {
        StoredPeer {
            id: self.id,
            record: self.record.clone(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            trust: self.trust,
            ties: self.ties,
            nickname: self.nickname.clone(),
        }
    }
}

/// Why a node cannot be kept as a contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// There are too many of them.
    #[error("there is no room for {0}: {CAPACITY} nodes are known, all of them contacts or in reach")]
    NoRoom(NodeId),
    /// Frames cannot tell it from another one.
    #[error("{0} has the address of another known node; one of them was made to deceive")]
    AddressTaken(NodeId),
}

/// What a record did to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A node that was not known.
    New,
    /// A newer record of a known node.
    Updated,
    /// The record that is known already.
    Unchanged,
    /// An older record than the known one, or another one with the same number; it was ignored.
    Outdated,
    /// The node was not taken: there is no room and nobody to forget, or its address belongs to another node.
    Refused,
}

/// Result of [`Directory::refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// What happened.
    pub change: Change,
    /// Another known key that uses the same nickname: a verified one, else the one seen first. Somebody may pose as
    /// somebody else: warn. Reported when the nickname is new for this node, not with every record, and not of those who
    /// are blocked.
    pub nickname_also_used_by: Option<NodeId>,
    /// A verified node calls itself otherwise than when it was verified. It could pose as somebody else by that, so it is still
    /// called as before: warn. Reported with every new record.
    pub keeps_its_name: bool,
    /// A node that was forgotten to make room.
    pub evicted: Option<NodeId>,
}

/// The known nodes, at most [`CAPACITY`].
#[derive(Debug)]
pub struct Directory {
    entries: BTreeMap<NodeId, Entry>,
    by_address: HashMap<Address, NodeId>,
    capacity: usize,
}

impl Default for Directory {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), by_address: HashMap::new(), capacity: CAPACITY }
    }
}

impl Directory {
    /// Knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows those that were kept on disk. A record that does not verify any more is forgotten: the node is asked for it
    /// when it is seen.
    pub fn of(peers: &[StoredPeer]) -> Self {
        let mut directory = Self::new();
        for peer in peers {
            directory.restore(peer, IdentityRecord::verify(&peer.record, peer.id.address()).ok().as_ref());
        }
        directory
    }

    /// Takes in a verified record; `raw` are its bytes. `present` says whether the node can be reached: true for a
    /// record off the wire, false for one off the disk. `keep` protects nodes from being forgotten, those for
    /// whom texts wait for instance; those present are protected anyway.
    pub fn refresh(
        &mut self,
        record: &IdentityRecord,
        raw: &[u8],
        now: UnixTime,
        present: bool,
        keep: impl Fn(NodeId) -> bool,
    ) -> Refresh {
        let id = record.id;
        let mut refresh = Refresh {
            change: Change::Refused,
            nickname_also_used_by: None,
            keeps_its_name: false,
            evicted: None,
        };
        let old_name = match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.last_seen = entry.last_seen.max(now);
                entry.present |= present;
                if entry.has_record() && record.fields.number <= entry.record_number {
                    let same = entry.record == raw;
                    refresh.change = if same { Change::Unchanged } else { Change::Outdated };
                    return refresh;
                }
                entry.record_number = record.fields.number;
                entry.subkey = record.fields.subkey;
                entry.capabilities = record.fields.capabilities;
                entry.record = raw.to_vec();
                entry.own_name.clone_from(&record.fields.nickname);
                refresh.change = Change::Updated;
                if entry.trust == Trust::Verified {
                    refresh.keeps_its_name = entry.nickname != entry.own_name;
                    return refresh;
                }
                std::mem::replace(&mut entry.nickname, record.fields.nickname.clone())
            }
            None => {
                if self.by_address.contains_key(&id.address()) {
                    return refresh;
                }
                if self.entries.len() >= self.capacity {
                    refresh.evicted = self.evict(keep);
                    if refresh.evicted.is_none() {
                        return refresh;
                    }
                }
                self.insert(Entry {
                    nickname: record.fields.nickname.clone(),
                    own_name: record.fields.nickname.clone(),
                    record_number: record.fields.number,
                    subkey: record.fields.subkey,
                    record: raw.to_vec(),
                    last_seen: now,
                    capabilities: record.fields.capabilities,
                    present,
                    ..Entry::unseen(id, now)
                });
                refresh.change = Change::New;
                None
            }
        };
        if old_name != record.fields.nickname {
            refresh.nickname_also_used_by = self.other_holder(id);
        }
        refresh
    }

    /// Puts back a node that was kept on disk, unless it is known or there is no room. Without a valid record it is kept
    /// only if it is a contact.
    fn restore(&mut self, peer: &StoredPeer, record: Option<&IdentityRecord>) {
        let StoredPeer { id, first_seen, last_seen, trust, ties, .. } = *peer;
        if self.entries.contains_key(&id) {
            return;
        }
        if let Some(record) = record {
            self.refresh(record, &peer.record, first_seen, false, |_| true);
        } else if ties == Ties::Own || trust != Trust::Seen {
            let _ = self.contact(id, first_seen, |_| true);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            if !entry.has_record() || trust == Trust::Verified {
                entry.nickname.clone_from(&peer.nickname);
            }
            entry.last_seen =
                if last_seen == UnixTime::default() { last_seen } else { first_seen.max(last_seen) };
            (entry.trust, entry.ties) = (trust, ties);
        }
    }

    /// The entry of a node that the person wants to keep, whether it was seen or not, and who was forgotten for it.
    fn contact(
        &mut self,
        id: NodeId,
        now: UnixTime,
        keep: impl Fn(NodeId) -> bool,
    ) -> Result<(&mut Entry, Option<NodeId>), KeepError> {
        let mut evicted = None;
        if !self.entries.contains_key(&id) {
            if self.by_address.contains_key(&id.address()) {
                return Err(KeepError::AddressTaken(id));
            }
            if self.entries.len() >= self.capacity {
                evicted = self.evict(keep);
                evicted.ok_or(KeepError::NoRoom(id))?;
            }
            self.insert(Entry::unseen(id, now));
        }
        let entry = self.entries.get_mut(&id).ok_or(KeepError::NoRoom(id))?;
        entry.ties = Ties::Own;
        Ok((entry, evicted))
    }

    /// Keeps a contact. The name that a node gives itself goes before that of the contact. Gives who was forgotten for it.
    pub fn import(
        &mut self,
        contact: &Contact,
        now: UnixTime,
        keep: impl Fn(NodeId) -> bool,
    ) -> Result<Option<NodeId>, KeepError> {
        let (entry, evicted) = self.contact(contact.id, now, keep)?;
        if !entry.has_record() {
            entry.nickname.clone_from(&contact.nickname);
        }
        Ok(evicted)
    }

    /// Notes what the person thinks of a node, known or not; with that it is called as it calls itself. Gives who was forgotten for it.
    pub fn set_trust(
        &mut self,
        id: NodeId,
        trust: Trust,
        now: UnixTime,
        keep: impl Fn(NodeId) -> bool,
    ) -> Result<Option<NodeId>, KeepError> {
        let (entry, evicted) = self.contact(id, now, keep)?;
        entry.trust = trust;
        if entry.has_record() {
            entry.nickname.clone_from(&entry.own_name);
        }
        Ok(evicted)
    }

    /// Notes that messages went to or came from a known node; whether that is news.
    pub fn tie(&mut self, id: &NodeId, ties: Ties) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.ties < ties) else { return false };
        entry.ties = ties;
        true
    }

    fn insert(&mut self, entry: Entry) {
        self.by_address.insert(entry.id.address(), entry.id);
        self.entries.insert(entry.id, entry);
    }

    /// The node with the same nickname that is verified, or else was seen first.
    fn other_holder(&self, id: NodeId) -> Option<NodeId> {
        let entry = self.entries.get(&id).filter(|entry| entry.trust != Trust::Blocked)?;
        let others = self.holders(entry.nickname.as_ref()?.as_str()).filter(|other| other.id != id);
        others.min_by_key(|other| (other.trust != Trust::Verified, other.first_seen)).map(|other| other.id)
    }

    /// Those who use a nickname, without those who are blocked.
    fn holders(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let is_called = move |entry: &&Entry| entry.nickname.as_ref().is_some_and(|own| own.as_str() == name);
        self.entries.values().filter(|entry| entry.trust != Trust::Blocked).filter(is_called)
    }

    /// Forgets the node that was seen longest ago; one that has written only when all have.
    fn evict(&mut self, keep: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let is_free = |entry: &&Entry| !entry.present && !entry.is_contact() && !keep(entry.id);
        let id = self.entries.values().filter(is_free).min_by_key(|entry| (entry.ties, entry.last_seen))?.id;
        self.remove(&id);
        Some(id)
    }

    /// Notes that a node can or cannot be reached. Whether that is news about a known node.
    pub fn set_present(&mut self, id: &NodeId, present: bool, now: UnixTime) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if present || entry.present {
            entry.last_seen = entry.last_seen.max(now);
        }
        std::mem::replace(&mut entry.present, present) != present
    }

    /// Forgets a node.
    pub fn remove(&mut self, id: &NodeId) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.by_address.remove(&id.address());
        Some(entry)
    }

    /// What is known of a node.
    pub fn node(&self, id: &NodeId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The node behind an address in frames.
    pub fn by_address(&self, address: &Address) -> Option<&Entry> {
        self.by_address.get(address).and_then(|id| self.entries.get(id))
    }

    /// All known nodes in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests;
