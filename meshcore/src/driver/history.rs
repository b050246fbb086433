//! The messages of a home, read beside the node that runs there, or without one.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::home::{Home, HomeError, locate};
use super::store::{Found, Reader, Store, Wanted};
use super::{Error, ErrorKind};
use crate::message::directory::Directory;
use crate::message::identity::IdentityRecord;
use crate::message::room::resolve;
use crate::message::store::StoredPeer;
use crate::types::{MessageId, Nickname, NodeId, RoomId, RoomInfo, Status, UnixTime};

/// Most bytes of text in one page, unless its first message alone has more.
const PAGE_BYTES: usize = 4 << 20;

/// Most words that are searched for, and bytes in them.
const MAX_WORDS: usize = 32;
const MAX_SEARCH: usize = 1024;

/// Which messages are wanted: all of them, unless it is said otherwise.
#[derive(Debug, Clone)]
#[must_use = "a query reads nothing by itself"]
pub struct HistoryQuery {
    wanted: Wanted,
    search: Option<String>,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self { wanted: Wanted { limit: 100, max_bytes: PAGE_BYTES, ..Wanted::default() }, search: None }
    }
}

impl HistoryQuery {
    /// Most messages that one page can hold.
    pub const MAX_LIMIT: usize = 1000;

    /// Only messages from and to this node alone, none to rooms.
    pub fn with(mut self, node: NodeId) -> Self {
        self.wanted.with = Some(node);
        self
    }

    /// Only messages to this room.
    pub fn room(mut self, room: RoomId) -> Self {
        self.wanted.room = Some(room);
        self
    }

    /// Only messages that hold each of these words, or a word that begins so, in any order. Upper and lower case and
    /// accents do not matter; punctuation separates words and means nothing else.
    pub fn search(mut self, words: impl Into<String>) -> Self {
        self.search = Some(words.into());
        self
    }

    /// Only messages that were written or received at this time or later, by this node's clock.
    pub fn since(mut self, time: UnixTime) -> Self {
        self.wanted.since = Some(time);
        self
    }

    /// Only messages that were written or received before this time.
    pub fn until(mut self, time: UnixTime) -> Self {
        self.wanted.until = Some(time);
        self
    }

    /// At most so many in a page: 1 to [`HistoryQuery::MAX_LIMIT`], default 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.wanted.limit = limit;
        self
    }

    /// Only messages before this position: the page before.
    pub fn before(mut self, position: u64) -> Self {
        self.wanted.before = Some(position);
        self
    }

    /// Only messages behind this position, and of these the oldest: the page behind. 0 begins with the first message.
    pub fn after(mut self, position: u64) -> Self {
        self.wanted.after = Some(position);
        self
    }

    fn checked(&self) -> Result<Wanted, Error> {
        let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        let mut wanted = self.wanted.clone();
        if !(1..=Self::MAX_LIMIT).contains(&wanted.limit) {
            return Err(invalid(format!("a page has 1 to {} messages; ask for several", Self::MAX_LIMIT)));
        }
        let Some(search) = &self.search else { return Ok(wanted) };
        if search.len() > MAX_SEARCH {
            return Err(invalid(format!("more than {MAX_SEARCH} bytes to search for; leave some words out")));
        }
        let words = search.split(|c: char| c.is_whitespace() || c.is_control());
        let words = words.filter(|word| word.contains(char::is_alphanumeric)).map(str::to_owned);
        wanted.words = words.take(MAX_WORDS + 1).collect();
        match wanted.words.len() {
            0 => Err(invalid("nothing to search for: give a word with a letter or a digit in it".to_owned())),
            1..=MAX_WORDS => Ok(wanted),
            _ => Err(invalid(format!("more than {MAX_WORDS} words to search for; leave some out"))),
        }
    }
}

/// A message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Place in the order in which this node got to know of its messages; for [`HistoryQuery::before`] and
    /// [`HistoryQuery::after`].
    pub position: u64,
    /// Whether this node wrote it.
    pub is_own: bool,
    /// The other node: recipient or sender. Of a message of this node's to a room, one of its recipients.
    pub peer: NodeId,
    /// The room that it was written to; `None`: to one node alone.
    pub room: Option<RoomId>,
    /// Its nickname, if it is known.
    pub nickname: Option<Nickname>,
    /// The message's id.
    pub id: MessageId,
    /// What it says.
    pub text: String,
    /// When it was written, by the clock of who wrote it.
    pub sent_at: UnixTime,
    /// When it arrived here; `None` for a message of this node's own.
    pub received_at: Option<UnixTime>,
    /// How far a message of this node's own has come; in a room, at the member that it has come least far to.
    pub status: Option<Status>,
}

/// Some messages, the newest last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The messages.
    pub entries: Vec<HistoryEntry>,
    /// Whether there are more that fit the query: newer ones when it says `after`, else older ones.
    pub more: bool,
}

/// The messages of a home.
#[derive(Debug)]
pub struct History {
    reader: Reader,
    nicknames: HashMap<NodeId, Option<Nickname>>,
}

impl History {
    /// Opens the history in `home` (`None`: the default home), also while a node runs there. It is only read, but for a
    /// database of an earlier version, which is brought up to date first; that is impossible while a node of that version
    /// runs there.
    pub fn open(home: Option<&Path>) -> Result<Self, Error> {
        let home = locate(home)?;
        let file = super::home::database(&home);
        if let Err(error) = file.metadata() {
            return Err(missing(&home, &file, &error));
        }
        let reader = match Reader::open(&file)? {
            Some(reader) => reader,
            None => upgraded(&home, &file)?,
        };
        Ok(Self { reader, nicknames: HashMap::new() })
    }

    /// A page of the history.
    pub fn page(&mut self, query: &HistoryQuery) -> Result<HistoryPage, Error> {
        let (found, more) = self.reader.messages(&query.checked()?)?;
        let entries = found.into_iter().map(|message| self.entry(message));
        Ok(HistoryPage { entries: entries.collect::<Result<_, _>>()?, more })
    }

    /// The node that `query` means among those that are known in this home, as [`super::Node::resolve`].
    pub fn resolve(&self, query: &str) -> Result<NodeId, Error> {
        if let Ok(id) = query.parse() {
            return Ok(id);
        }
        Ok(Directory::of(&self.reader.peers()?).resolve(query)?)
    }

    /// The rooms that are known in this home, as [`super::Node::rooms`].
    pub fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        Ok(self.reader.rooms()?)
    }

    /// The room that `query` means, as [`super::Node::resolve_room`]. A full id may be one that is not known any more.
    pub fn resolve_room(&self, query: &str) -> Result<RoomId, Error> {
        if let Ok(id) = query.parse() {
            return Ok(id);
        }
        Ok(resolve(self.reader.rooms()?.into_iter(), query)?.id)
    }

    /// The nickname of a node that is known in this home, its own among them.
    pub fn nickname(&mut self, node: NodeId) -> Result<Option<Nickname>, Error> {
        if let Some(nickname) = self.nicknames.get(&node) {
            return Ok(nickname.clone());
        }
        let nickname = self.reader.peer(node)?.and_then(|peer| nickname(&peer));
        self.nicknames.insert(node, nickname.clone());
        Ok(nickname)
    }

    fn entry(&mut self, message: Found) -> Result<HistoryEntry, Error> {
        let Found { position, peer, room, id, text, sent_at, received_at, status } = message;
        let nickname = self.nickname(peer)?;
        let is_own = received_at.is_none();
        Ok(HistoryEntry { position, is_own, peer, room, nickname, id, text, sent_at, received_at, status })
    }
}

/// Rows of earlier versions have the name in the record alone.
fn nickname(peer: &StoredPeer) -> Option<Nickname> {
    let in_record = || {
        IdentityRecord::verify(&peer.record, peer.id.address()).ok().and_then(|record| record.fields.nickname)
    };
    peer.nickname.clone().or_else(in_record)
}

fn missing(home: &Path, file: &Path, error: &io::Error) -> Error {
    let text = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{}: there is no history; no node has run in this home", home.display())
        }
        _ => format!("{}: {error}", file.display()),
    };
    Error::new(ErrorKind::Storage, text)
}

fn upgraded(home: &Path, file: &Path) -> Result<Reader, Error> {
    let _lock = Home::open(Some(home)).map_err(|error| match error {
        HomeError::InUse { path } => {
            let path = path.display();
            let text = format!(
                "the home {path} is in use by a node of an earlier version; restart it with this one"
            );
            Error::new(ErrorKind::HomeInUse, text)
        }
        error => error.into(),
    })?;
    Store::upgrade(file)?;
    Reader::open(file)?
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the database was not brought up to date"))
}

#[cfg(test)]
mod tests;
