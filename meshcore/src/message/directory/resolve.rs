//! Finding a node by what a person types.

use std::fmt;

use super::{Directory, Entry};
use crate::types::{Nickname, NodeId, Trust};

/// Fewest digits of an id's end that find a node: what [`NodeId::short`] shows.
const MIN_SUFFIX: usize = 5;

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
    /// A nickname that several keys use: one of them may pose as another.
    #[error(
        "'{name}' is the nickname of {}: nothing goes to '{name}' until you have compared safety words and verified the \
         right one (/verify); or use its full id",
        Candidates(holders)
    )]
    SharedName {
        /// The nickname.
        name: String,
        /// Who uses it; if a conversation was open, first whom it was with.
        holders: Vec<NodeId>,
    },
}

struct Candidates<'a, T>(&'a [T]);

/// Something that can be meant.
trait Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Candidate for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Candidate for (NodeId, Option<Nickname>) {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<T: Candidate> fmt::Display for Candidates<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (i, candidate) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            candidate.fmt(f)?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(rest @ 1..) => write!(f, " and {rest} more"),
            _ => Ok(()),
        }
    }
}

fn listed(entry: &Entry) -> (NodeId, Option<Nickname>) {
    (entry.id, entry.nickname.clone())
}

impl Directory {
    /// Finds a node by its full id (which needs not be known), the beginning of its id, the end of its id (five digits
    /// or more), or its nickname. Digits in either case, nicknames exactly. The nickname of a single verified node means
    /// that node, whoever else uses it or has an id that looks like it; otherwise a text that fits several nodes finds
    /// none. Blocked nodes are found where nobody else is.
    pub fn resolve(&self, query: &str) -> Result<NodeId, ResolveError> {
        if let Ok(id) = query.parse() {
            return Ok(id);
        }
        if let Some(verified) = self.verified_holder(query) {
            return Ok(verified);
        }
        let digits = query.to_ascii_lowercase();
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_called = |entry: &Entry| entry.nickname.as_ref().is_some_and(|name| name.as_str() == query);
        let fits = |entry: &&Entry| {
            let by_id = || {
                let id = entry.id.to_string();
                id.starts_with(&digits) || (digits.len() >= MIN_SUFFIX && id.ends_with(&digits))
            };
            is_called(entry) || (is_hex && by_id())
        };
        let mut found: Vec<_> = self.entries.values().filter(fits).collect();
        if found.iter().any(|entry| entry.trust != Trust::Blocked) {
            found.retain(|entry| entry.trust != Trust::Blocked);
        }
        let query = query.to_owned();
        match found[..] {
            [] => Err(ResolveError::Unknown { query }),
            [entry] => Ok(entry.id),
            _ if found.iter().all(|entry| is_called(entry)) => {
                let holders = found.into_iter().map(|entry| entry.id).collect();
                Err(ResolveError::SharedName { name: query, holders })
            }
            _ => Err(ResolveError::Ambiguous { query, candidates: found.into_iter().map(listed).collect() }),
        }
    }

    /// Whether `name`, by which the person began to talk to the node `id`, can still mean nobody else: it is no other
    /// key's nickname, or the one that the person has verified is this one.
    pub fn still_means(&self, name: &str, id: NodeId) -> Result<(), ResolveError> {
        let others: Vec<_> = self.holders(name).map(|entry| entry.id).filter(|other| *other != id).collect();
        if others.is_empty() || self.verified_holder(name) == Some(id) {
            return Ok(());
        }
        let holders = std::iter::once(id).chain(others).collect();
        Err(ResolveError::SharedName { name: name.to_owned(), holders })
    }

    /// The verified node with this nickname, if it is one alone.
    fn verified_holder(&self, name: &str) -> Option<NodeId> {
        let mut verified = self.holders(name).filter(|entry| entry.trust == Trust::Verified);
        let first = verified.next()?.id;
        verified.next().is_none().then_some(first)
    }
}
