//! The nodes that this node knows, and finding one by what a person types.
//!
//! Trust on first use: the key that had a nickname first is remembered. Another key with the same nickname is reported,
//! and the nickname alone then finds nobody.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::identity::{CAPABILITY_MAILBOX, IdentityRecord, SUBKEY_LEN};
use crate::types::{Address, Nickname, NodeId, UnixTime};

/// Most nodes that are known.
pub const CAPACITY: usize = 4096;

/// Fewest digits of an id's end that find a node: what [`NodeId::short`] shows.
const MIN_SUFFIX: usize = 5;

/// A known node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub id: NodeId,
    /// Its name for itself.
    pub nickname: Option<Nickname>,
    /// Number of its latest identity record.
    pub record_number: u64,
    /// The subkey in it.
    pub subkey: [u8; SUBKEY_LEN],
    /// That record as it came.
    pub record: Vec<u8>,
    /// When it was first seen.
    pub first_seen: UnixTime,
    /// When it was last seen.
    pub last_seen: UnixTime,
    /// What it offers: [`CAPABILITY_MAILBOX`] and bits of later versions.
    pub capabilities: u64,
    /// Whether it can be reached now.
    pub present: bool,
}

impl Entry {
    /// Whether it offers a mailbox.
    pub fn offers_mailbox(&self) -> bool {
        self.capabilities & CAPABILITY_MAILBOX != 0
    }
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
    /// Another known key that uses the same nickname, the one seen first. Somebody may pose as somebody else: warn.
    /// Reported when the nickname is new for this node, not with every record.
    pub nickname_also_used_by: Option<NodeId>,
    /// A node that was forgotten to make room.
    pub evicted: Option<NodeId>,
}

/// Why a text names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nobody is called that.
    #[error("no known node is called '{query}'; list the nodes, or give the full id of {digits} digits", digits = 2 * NodeId::LEN)]
    Unknown {
        /// What was looked for.
        query: String,
    },
    /// More than one node could be meant.
    #[error("'{query}' could be {}; type more digits of the id, or the full id", Candidates(candidates))]
    Ambiguous {
        /// What was looked for.
        query: String,
        /// The nodes that could be meant, with their nicknames.
        candidates: Vec<(NodeId, Option<Nickname>)>,
    },
}

struct Candidates<'a>(&'a [(NodeId, Option<Nickname>)]);

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (i, (id, nickname)) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match nickname {
                Some(name) => write!(f, "{id} ({name})")?,
                None => write!(f, "{id}")?,
            }
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(rest @ 1..) => write!(f, " and {rest} more"),
            _ => Ok(()),
        }
    }
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

    /// Takes in a verified record; `raw` are its bytes. `present` says whether the node can be reached: true for a
    /// record off the wire, false for one off the disk. `keep` protects nodes from being forgotten, those with a
    /// backlog for instance; those present are protected anyway.
    pub fn refresh(
        &mut self,
        record: &IdentityRecord,
        raw: &[u8],
        now: UnixTime,
        present: bool,
        keep: impl Fn(NodeId) -> bool,
    ) -> Refresh {
        let id = record.id;
        let mut refresh = Refresh { change: Change::Refused, nickname_also_used_by: None, evicted: None };
        let old_name = match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.last_seen = entry.last_seen.max(now);
                entry.present |= present;
                if record.fields.number <= entry.record_number {
                    let same = entry.record == raw;
                    refresh.change = if same { Change::Unchanged } else { Change::Outdated };
                    return refresh;
                }
                entry.record_number = record.fields.number;
                entry.subkey = record.fields.subkey;
                entry.capabilities = record.fields.capabilities;
                entry.record = raw.to_vec();
                refresh.change = Change::Updated;
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
                    id,
                    nickname: record.fields.nickname.clone(),
                    record_number: record.fields.number,
                    subkey: record.fields.subkey,
                    record: raw.to_vec(),
                    first_seen: now,
                    last_seen: now,
                    capabilities: record.fields.capabilities,
                    present,
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

    /// Puts back a node that was kept on disk, unless it is known or there is no room.
    pub fn restore(
        &mut self,
        record: &IdentityRecord,
        raw: &[u8],
        first_seen: UnixTime,
        last_seen: UnixTime,
    ) {
        let known = self.entries.contains_key(&record.id);
        if !known
            && self.refresh(record, raw, first_seen, false, |_| true).change == Change::New
            && let Some(entry) = self.entries.get_mut(&record.id)
        {
            entry.last_seen = first_seen.max(last_seen);
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.by_address.insert(entry.id.address(), entry.id);
        self.entries.insert(entry.id, entry);
    }

    /// The node with the same nickname that was seen first.
    fn other_holder(&self, id: NodeId) -> Option<NodeId> {
        let name = self.entries.get(&id)?.nickname.as_ref()?;
        let others =
            self.entries.values().filter(|other| other.id != id && other.nickname.as_ref() == Some(name));
        others.min_by_key(|other| other.first_seen).map(|other| other.id)
    }

    /// Forgets the node that was seen longest ago.
    fn evict(&mut self, keep: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let forgettable = self.entries.values().filter(|entry| !entry.present && !keep(entry.id));
        let id = forgettable.min_by_key(|entry| entry.last_seen)?.id;
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

    /// Finds a node by its full id (which needs not be known), the beginning of its id, the end of its id (five digits
    /// or more), or its nickname. Digits in either case, nicknames exactly. A text that fits several nodes finds none.
    pub fn resolve(&self, query: &str) -> Result<NodeId, ResolveError> {
        if let Ok(id) = query.parse() {
            return Ok(id);
        }
        let digits = query.to_ascii_lowercase();
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = |entry: &&Entry| {
            let by_id = || {
                let id = entry.id.to_string();
                id.starts_with(&digits) || (digits.len() >= MIN_SUFFIX && id.ends_with(&digits))
            };
            entry.nickname.as_ref().is_some_and(|name| name.as_str() == query) || (is_hex && by_id())
        };
        let found: Vec<_> = self.entries.values().filter(fits).collect();
        match found[..] {
            [] => Err(ResolveError::Unknown { query: query.to_owned() }),
            [entry] => Ok(entry.id),
            _ => Err(ResolveError::Ambiguous {
                query: query.to_owned(),
                candidates: found.iter().map(|entry| (entry.id, entry.nickname.clone())).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::RecordFields;
    use super::*;

    fn record(first: u8, last: u8, name: Option<&str>, number: u64) -> IdentityRecord {
        let mut id = [0; 32];
        (id[0], id[15], id[31]) = (first, last, last);
        let fields = RecordFields {
            nickname: name.map(|name| name.parse().unwrap()),
            subkey: [0; 32],
            capabilities: 0,
            number,
            issued: UnixTime::default(),
            valid_until: UnixTime::from_millis(1),
        };
        IdentityRecord { id: NodeId(id), public_key: vec![], fields }
    }

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(millis)
    }

    fn see(directory: &mut Directory, record: &IdentityRecord, millis: u64) -> Refresh {
        let raw = format!("{} {:?}", record.fields.number, record.fields.nickname);
        directory.refresh(record, raw.as_bytes(), at(millis), false, |_| false)
    }

    #[test]
    fn newer_records_replace_older_ones() {
        let mut directory = Directory::new();
        assert_eq!(see(&mut directory, &record(1, 1, Some("a"), 5), 10).change, Change::New);
        assert_eq!(see(&mut directory, &record(1, 1, Some("a"), 5), 20).change, Change::Unchanged);
        assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 5), 30).change, Change::Outdated);
        assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 4), 30).change, Change::Outdated);
        assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 6), 30).change, Change::Updated);
        let entry = directory.by_address(&record(1, 1, None, 0).id.address()).unwrap();
        assert_eq!(
            (entry.nickname.as_ref().unwrap().as_str(), entry.first_seen, entry.last_seen),
            ("b", at(10), at(30))
        );
    }

    #[test]
    fn a_second_key_with_the_same_nickname_is_reported_and_makes_it_ambiguous() {
        let mut directory = Directory::new();
        let (first, second) = (record(9, 1, Some("alice"), 1), record(2, 2, Some("alice"), 1));
        assert_eq!(see(&mut directory, &first, 1).nickname_also_used_by, None);
        assert_eq!(directory.resolve("alice"), Ok(first.id));
        assert_eq!(see(&mut directory, &second, 2).nickname_also_used_by, Some(first.id));
        assert_eq!(see(&mut directory, &record(2, 2, Some("alice"), 2), 3).nickname_also_used_by, None);
        assert!(matches!(directory.resolve("alice"), Err(ResolveError::Ambiguous { .. })));
        see(&mut directory, &record(2, 2, Some("bob"), 3), 4);
        assert_eq!(directory.resolve("alice"), Ok(first.id));
        assert_eq!(
            see(&mut directory, &record(2, 2, Some("alice"), 4), 5).nickname_also_used_by,
            Some(first.id)
        );
    }

    #[test]
    fn queries() {
        let mut directory = Directory::new();
        let (a, b) = (record(0xab, 0x11, Some("anna"), 1), record(0xac, 0x22, Some("abe"), 1));
        see(&mut directory, &a, 1);
        see(&mut directory, &b, 1);
        assert_eq!(directory.resolve("AB0"), Ok(a.id));
        assert_eq!(directory.resolve("ac"), Ok(b.id));
        assert_eq!(directory.resolve(&a.id.short()), Ok(a.id));
        assert_eq!(directory.resolve("anna"), Ok(a.id));
        let unknown = NodeId([7; 32]);
        assert_eq!(directory.resolve(&unknown.to_string()), Ok(unknown));
        for query in ["", "Anna", "0022", "abf", "é", "ann", &"a".repeat(65)] {
            assert!(matches!(directory.resolve(query), Err(ResolveError::Unknown { .. })), "{query}");
        }
        assert!(
            matches!(directory.resolve("a"), Err(ResolveError::Ambiguous { candidates, .. }) if candidates.len() == 2)
        );
        // A nickname that looks like the beginning of somebody else's id decides nothing.
        see(&mut directory, &record(0xee, 0x33, Some("ab"), 1), 1);
        assert!(matches!(directory.resolve("ab"), Err(ResolveError::Ambiguous { .. })));
    }

    #[test]
    fn errors_list_five_candidates() {
        let mut directory = Directory::new();
        for last in 0..7 {
            see(&mut directory, &record(0xa0, last, Some("x"), 1), 1);
        }
        let text = directory.resolve("x").unwrap_err().to_string();
        assert_eq!(text.matches("(x)").count(), 5, "{text}");
        assert!(text.contains("and 2 more; type more digits"), "{text}");
    }

    #[test]
    fn room_is_made_by_forgetting_the_one_seen_longest_ago() {
        let mut directory = Directory { capacity: 3, ..Directory::new() };
        for node in 1..=3 {
            see(&mut directory, &record(node, node, None, 1), node.into());
        }
        directory.set_present(&record(1, 1, None, 1).id, true, at(1));
        let keep = record(2, 2, None, 1).id;
        let new = record(4, 4, None, 1);
        let refresh = directory.refresh(&new, b"", at(4), true, |id| id == keep);
        assert_eq!((refresh.change, refresh.evicted), (Change::New, Some(record(3, 3, None, 1).id)));
        let refresh = directory.refresh(&record(5, 5, None, 1), b"", at(5), true, |_| true);
        assert_eq!((refresh.change, refresh.evicted), (Change::Refused, None));
        assert_eq!(directory.iter().count(), 3);
        assert_eq!(directory.by_address.len(), 3);
    }

    #[test]
    fn two_ids_with_one_address_do_not_meet() {
        let mut directory = Directory::new();
        let (mut a, mut b) = (record(1, 1, None, 1), record(1, 1, None, 1));
        (a.id.0[31], b.id.0[31]) = (1, 2);
        assert_eq!(see(&mut directory, &a, 1).change, Change::New);
        assert_eq!(see(&mut directory, &b, 1).change, Change::Refused);
    }
}
