//! The messages of a home: a running node's, or those of a home in which none need run.

use std::ffi::{CString, c_char};
use std::path::Path;

use meshcore::{History, HistoryEntry, HistoryPage, HistoryQuery, UnixTime};

use crate::error::{Failure, c_text};
use crate::list::nullable;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MESHCHAT_MESSAGE_ID_TEXT_SIZE, MeshNode, node_id};
use crate::room::{MESHCHAT_ROOM_ID_TEXT_SIZE, room_id};

/// Which messages are wanted: made by `meshchat_history_query_new`, filled by setters, used by `meshchat_node_history` or
/// `meshchat_history_read` (any number of times), freed by `meshchat_history_query_free`. One thread at a time may use it.
pub struct MeshHistoryQuery {
    query: HistoryQuery,
}

impl MeshHistoryQuery {
    fn change(&mut self, change: impl FnOnce(HistoryQuery) -> HistoryQuery) {
        self.query = change(std::mem::take(&mut self.query));
    }
}

/// Messages, the newest last. Freed by `meshchat_history_list_free`. Entries are numbered from 0. Several threads may read
/// one list.
pub struct HistoryList {
    entries: Vec<Entry>,
    more: bool,
}

struct Entry {
    entry: HistoryEntry,
    nickname: Option<CString>,
    /// The text and a NUL behind it.
    text: Vec<u8>,
}

impl HistoryList {
    fn new(page: HistoryPage) -> Self {
        let entry = |mut entry: HistoryEntry| {
            let mut text = std::mem::take(&mut entry.text).into_bytes();
            text.push(0);
            let nickname = entry.nickname.as_ref().map(|nickname| c_text(nickname.as_str()));
            Entry { entry, nickname, text }
        };
        Self { entries: page.entries.into_iter().map(entry).collect(), more: page.more }
    }

    fn entry(&self, index: usize) -> Result<&Entry, Failure> {
        let count = self.entries.len();
        let error =
            || Failure::invalid(format!("the index {index} is outside of the list of {count} messages"));
        self.entries.get(index).ok_or_else(error)
    }
}

/// A query for the newest 100 messages. NULL only after a defect of MeshChat.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_history_query_new() -> *mut MeshHistoryQuery {
    guard!(std::ptr::null_mut() => {
        Box::into_raw(Box::new(MeshHistoryQuery { query: HistoryQuery::default() }))
    })
}

/// Frees a query. NULL does nothing. Lists that it has brought are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_free(query: *mut MeshHistoryQuery) {
    guard!(() => { free!(query) })
}

/// Only messages from and to the node with this NODE_ID alone, none to rooms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_with(
    query: *mut MeshHistoryQuery,
    node: *const c_char,
) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        let node = node_id(text!(node), "node")?;
        query.change(|query| query.with(node));
    }
}

/// Only messages to the room with this id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_room(
    query: *mut MeshHistoryQuery,
    room_id: *const c_char,
) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        let room = self::room_id(text!(room_id), "room_id")?;
        query.change(|query| query.room(room));
    }
}

/// Only messages that hold each of these words, or a word that begins so, in any order. Upper and lower case and accents do
/// not matter. That there is no word in it is told by who reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_search(
    query: *mut MeshHistoryQuery,
    words: *const c_char,
) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        let words = text!(words);
        query.change(|query| query.search(words));
    }
}

/// Only messages that were written or received at this time or later, by this node's clock, in milliseconds since
/// 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_since(query: *mut MeshHistoryQuery, since: u64) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        query.change(|query| query.since(UnixTime::from_millis(since)));
    }
}

/// Only messages that were written or received before this time, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_until(query: *mut MeshHistoryQuery, until: u64) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        query.change(|query| query.until(UnixTime::from_millis(until)));
    }
}

/// At most so many messages in a list: 1 to 1000, default 100. Who reads checks it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_limit(query: *mut MeshHistoryQuery, limit: usize) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        query.change(|query| query.limit(limit));
    }
}

/// Only messages before this position (`meshchat_history_list_position`): the list before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_before(
    query: *mut MeshHistoryQuery,
    position: u64,
) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        query.change(|query| query.before(position));
    }
}

/// Only messages behind this position, and of these the oldest: the list behind. 0 begins with the first message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_query_set_after(
    query: *mut MeshHistoryQuery,
    position: u64,
) -> i32 {
    guard! {
        let query = borrow_mut!(query);
        query.change(|query| query.after(position));
    }
}

/// Reads messages of a running node. The list is to be freed by `meshchat_history_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_history(
    node: *const MeshNode,
    query: *const MeshHistoryQuery,
    list: *mut *mut HistoryList,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let query = borrow!(query);
        let list = out!(list);
        list.give(HistoryList::new(node.node.history(query.query.clone()).wait()?));
    }
}

/// Reads messages of a home (NULL: the default home), whether a node runs there or not. The list is to be freed by
/// `meshchat_history_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_read(
    home: *const c_char,
    query: *const MeshHistoryQuery,
    list: *mut *mut HistoryList,
) -> i32 {
    guard! {
        let home = if home.is_null() { None::<&Path> } else { Some(path!(home)) };
        let query = borrow!(query);
        let list = out!(list);
        list.give(HistoryList::new(History::open(home)?.page(&query.query)?));
    }
}

/// Frees a list and all texts in it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_free(list: *mut HistoryList) {
    guard!(() => { free!(list) })
}

/// Number of messages in the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_count(list: *const HistoryList, count: *mut usize) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(count).set(list.entries.len());
    }
}

/// Whether there are more messages that fit the query: newer ones after `meshchat_history_query_set_after`, else older ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_more(list: *const HistoryList, more: *mut bool) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(more).set(list.more);
    }
}

/// Place of a message in the order in which the node got to know of its messages: 1 or more, growing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_position(
    list: *const HistoryList,
    index: usize,
    position: *mut u64,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let position = out!(position);
        position.set(list.entry(index)?.entry.position);
    }
}

/// Whether this node wrote the message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_is_own(
    list: *const HistoryList,
    index: usize,
    is_own: *mut bool,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let is_own = out!(is_own);
        is_own.set(list.entry(index)?.entry.is_own);
    }
}

/// Id of the room that the message was written to, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes; an empty text when it
/// was written to one node alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_room_id(
    list: *const HistoryList,
    index: usize,
    room_id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let room_id = out_text!(room_id, MESHCHAT_ROOM_ID_TEXT_SIZE);
        let room = list.entry(index)?.entry.room;
        room_id.set(room.map(|room| room.to_string()).unwrap_or_default().as_bytes())?;
    }
}

/// NODE_ID of the other node, recipient or sender, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. Of a message of this node's to a
/// room it is one of its recipients.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_peer(
    list: *const HistoryList,
    index: usize,
    id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(list.entry(index)?.entry.peer.to_string().as_bytes())?;
    }
}

/// Nickname of the other node, NULL when none is known. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_nickname(
    list: *const HistoryList,
    index: usize,
    nickname: *mut *const c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let nickname = out!(nickname);
        nickname.set(nullable(&list.entry(index)?.nickname));
    }
}

/// Id of the message, into a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_message_id(
    list: *const HistoryList,
    index: usize,
    message_id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        message_id.set(list.entry(index)?.entry.id.to_string().as_bytes())?;
    }
}

/// Text of the message: UTF-8, `text_len` bytes, then a NUL. It may contain NUL itself, and any other character: make it
/// safe before a terminal sees it. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_text(
    list: *const HistoryList,
    index: usize,
    text: *mut *const c_char,
    text_len: *mut usize,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let text = out!(text);
        let text_len = out!(text_len);
        let bytes = &list.entry(index)?.text;
        text.set(bytes.as_ptr().cast());
        text_len.set(bytes.len() - 1);
    }
}

/// When the message was written, by the clock of who wrote it, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_sent_at(
    list: *const HistoryList,
    index: usize,
    sent_at: *mut u64,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let sent_at = out!(sent_at);
        sent_at.set(list.entry(index)?.entry.sent_at.as_millis());
    }
}

/// When the message arrived, by this node's clock, in milliseconds since 1970-01-01T00:00:00Z; of a message of this node's
/// own, when it was written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_received_at(
    list: *const HistoryList,
    index: usize,
    received_at: *mut u64,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let received_at = out!(received_at);
        let entry = &list.entry(index)?.entry;
        received_at.set(entry.received_at.unwrap_or(entry.sent_at).as_millis());
    }
}

/// How far a message of this node's own has come, in a room at the member that it has come least far to: one of MESHCHAT_MESSAGE_...; -1 for a message of another node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_history_list_message_status(
    list: *const HistoryList,
    index: usize,
    message_status: *mut i32,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let message_status = out!(message_status);
        message_status.set(list.entry(index)?.entry.status.map_or(-1, |status| status.code().into()));
    }
}
