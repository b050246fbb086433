//! Lists of nodes.

use std::ffi::{CString, c_char};
use std::ptr;

use meshcore::NodeInfo;

use crate::error::{Failure, c_text};
use crate::node::MESHCHAT_ID_TEXT_SIZE;
use crate::route::Route;

/// Nodes as they were known when the list was made by `meshchat_node_nodes`. Freed by `meshchat_node_list_free`.
/// Entries are numbered from 0. Several threads may read one list.
pub struct NodeList {
    entries: Vec<Entry>,
}

struct Entry {
    info: NodeInfo,
    nickname: Option<CString>,
    route: Option<Route>,
}

impl NodeList {
    pub(crate) fn new(nodes: Vec<NodeInfo>) -> Self {
        let entry = |info: NodeInfo| Entry { nickname: nickname_text(&info), route: Route::of(&info), info };
        Self { entries: nodes.into_iter().map(entry).collect() }
    }

    pub(crate) fn info(&self, index: usize) -> Result<&NodeInfo, Failure> {
        Ok(&self.entry(index)?.info)
    }

    fn entry(&self, index: usize) -> Result<&Entry, Failure> {
        let count = self.entries.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the list of {count} nodes"));
        self.entries.get(index).ok_or_else(error)
    }
}

pub(crate) fn nickname_text(info: &NodeInfo) -> Option<CString> {
    info.nickname.as_ref().map(|nickname| c_text(nickname.as_str()))
}

/// A text that may be missing, which is NULL for C.
pub(crate) fn nullable(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

/// Frees a list and all texts in it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_free(list: *mut NodeList) {
    guard!(() => { free!(list) })
}

/// Number of nodes in the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_count(list: *const NodeList, count: *mut usize) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(count).set(list.entries.len());
    }
}

/// NODE_ID of an entry, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_id(list: *const NodeList, index: usize, id: *mut c_char) -> i32 {
    guard! {
        let list = borrow!(list);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(list.entry(index)?.info.id.to_string().as_bytes())?;
    }
}

/// The name that the node gives itself, NULL when it gives none. Nobody vouches for it. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_nickname(
    list: *const NodeList,
    index: usize,
    nickname: *mut *const c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let nickname = out!(nickname);
        nickname.set(nullable(&list.entry(index)?.nickname));
    }
}

/// Whether the node is in reach.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_present(
    list: *const NodeList,
    index: usize,
    present: *mut bool,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let present = out!(present);
        present.set(list.entry(index)?.info.present);
    }
}

/// When the node was last heard of, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_last_seen(
    list: *const NodeList,
    index: usize,
    last_seen: *mut u64,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let last_seen = out!(last_seen);
        last_seen.set(list.entry(index)?.info.last_seen.as_millis());
    }
}

/// Whether the node offers a mailbox for messages to nodes that are away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_mailbox(
    list: *const NodeList,
    index: usize,
    mailbox: *mut bool,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let mailbox = out!(mailbox);
        mailbox.set(list.entry(index)?.info.mailbox);
    }
}

/// The way that frames to the node take, NULL when it is out of reach. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_route(
    list: *const NodeList,
    index: usize,
    route: *mut *const Route,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let route = out!(route);
        route.set(Route::nullable(&list.entry(index)?.route));
    }
}
