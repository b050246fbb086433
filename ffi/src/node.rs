//! A running node.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;

use meshcore::{LinkStatus, Node, NodeId};

use crate::config::Config;
use crate::error::{Failure, c_text};
use crate::event::MeshEvent;
use crate::list::{NodeList, nullable};
use crate::route::{Route, Trace, micros};
use crate::status::{self, MESHCHAT_OK, MESHCHAT_STOPPED};

/// Size of a buffer for a NODE_ID: 64 hexadecimal digits and NUL.
pub const MESHCHAT_ID_TEXT_SIZE: usize = 65;

/// Size of a buffer for the id of a message: 32 hexadecimal digits and NUL.
pub const MESHCHAT_MESSAGE_ID_TEXT_SIZE: usize = 33;

/// A running node, started by `meshchat_node_start`, stopped by `meshchat_node_stop`, freed by `meshchat_node_free`.
/// Several threads may use it, but none during or after `meshchat_node_free`.
pub struct MeshNode {
    pub(crate) node: Node,
    nickname: Option<CString>,
    home: CString,
    links: Vec<Link>,
}

struct Link {
    spec: CString,
    status: i32,
    error: Option<CString>,
}

impl MeshNode {
    fn new(node: Node) -> Result<Self, Failure> {
        let link = |link: &LinkStatus| Link {
            spec: c_text(link.spec.as_str()),
            status: link.error.as_ref().map_or(MESHCHAT_OK, |error| status::of_error(error.kind())),
            error: link.error.as_ref().map(|error| c_text(error.to_string())),
        };
        let home = CString::new(node.home().as_os_str().as_bytes());
        Ok(Self {
            nickname: node.nickname().map(|nickname| c_text(nickname.as_str())),
            home: home.map_err(|_| Failure::internal("the path of the home contains NUL"))?,
            links: node.links().iter().map(link).collect(),
            node,
        })
    }

    fn link(&self, index: usize) -> Result<&Link, Failure> {
        let count = self.links.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the list of {count} links"));
        self.links.get(index).ok_or_else(error)
    }
}

/// What this file promises to C: one handle, many threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<MeshNode>();
    shared::<MeshEvent>();
    shared::<NodeList>();
    shared::<crate::file::FileList>();
    shared::<crate::file::MeshFile>();
    shared::<Route>();
    shared::<Trace>();
    shared::<crate::identity::MeshIdentity>();
    shared::<crate::insecure::InsecureList>();
    shared::<crate::listener::Listener>();
    shared::<crate::connection::MeshConnection>();
    shared::<crate::stream::MeshStream>();
    shared::<crate::statistics::ConnectionStatistics>();
};

/// NODE_ID from its text.
pub(crate) fn node_id(text: &str, name: &str) -> Result<NodeId, Failure> {
    let hint = "meshchat_node_resolve finds the id of a name";
    text.parse().map_err(|error| Failure::invalid(format!("the argument '{name}' is {error}; {hint}")))
}

/// Starts a node on threads of its own. Makes a key when the home has none, which takes seconds. A link that cannot be
/// opened is told by `meshchat_node_link_status`; only when none can be opened the start fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_start(config: *const Config, node: *mut *mut MeshNode) -> i32 {
    guard! {
        let config = borrow!(config);
        let node = out!(node);
        node.give(MeshNode::new(config.builder.clone().start_blocking()?)?);
    }
}

/// Says goodbye to the neighbours, closes database and links, and waits for that. Events that are left can still be
/// taken; calls that need the running node give `MESHCHAT_STOPPED`, also those that other threads wait for. A second stop
/// does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_stop(node: *mut MeshNode) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.stop_blocking();
    }
}

/// Stops the node if it runs, and frees it; its descriptor is closed. Events and lists that it gave out stay valid. NULL
/// does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_free(node: *mut MeshNode) {
    guard!(() => { free!(node) })
}

/// NODE_ID of this node, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_id(node: *const MeshNode, id: *mut c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        out_text!(id, MESHCHAT_ID_TEXT_SIZE).set(node.node.id().to_string().as_bytes())?;
    }
}

/// The name that this node shows to others, NULL when it has none. Valid as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_nickname(node: *const MeshNode, nickname: *mut *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        out!(nickname).set(nullable(&node.nickname));
    }
}

/// The folder of key, outbox and history. Valid as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_home(node: *const MeshNode, home: *mut *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        out!(home).set(node.home.as_ptr());
    }
}

/// Number of links that were asked for, each once; all UDP links are one. They are numbered from 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_link_count(node: *const MeshNode, count: *mut usize) -> i32 {
    guard! {
        let node = borrow!(node);
        out!(count).set(node.links.len());
    }
}

/// A link, for example "ethernet:eth0". Valid as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_link_spec(
    node: *const MeshNode,
    index: usize,
    spec: *mut *const c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let spec = out!(spec);
        spec.set(node.link(index)?.spec.as_ptr());
    }
}

/// How the opening of a link went: `link_status` is `MESHCHAT_OK` and `error` NULL, or `link_status` tells why it could
/// not be opened and `error` says it in words. Valid as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_link_status(
    node: *const MeshNode,
    index: usize,
    link_status: *mut i32,
    error: *mut *const c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let link_status = out!(link_status);
        let error = out!(error);
        let link = node.link(index)?;
        link_status.set(link.status);
        error.set(nullable(&link.error));
    }
}

/// All nodes that are known, those in reach first; this node is not among them. The list is to be freed by `meshchat_node_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_nodes(node: *const MeshNode, list: *mut *mut NodeList) -> i32 {
    guard! {
        let node = borrow!(node);
        let list = out!(list);
        list.give(NodeList::new(node.node.nodes().wait()?));
    }
}

/// The NODE_ID that `query` means (a full id, the beginning of one, its last five or more digits, or a nickname, if that
/// fits a single node), into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_resolve(
    node: *const MeshNode,
    query: *const c_char,
    id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let query = text!(query);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(node.node.resolve(query).wait()?.id.to_string().as_bytes())?;
    }
}

/// Asks the node in reach with the NODE_ID `to` for an answer, and waits for it, `timeout_ms` milliseconds (at most 10,000)
/// and no longer: then it gives `MESHCHAT_TIMED_OUT`. `rtt_us` is the time from request to answer in microseconds. It tells
/// about the way, not about the node: anybody on the way could answer. `MESHCHAT_OUT_OF_REACH` when there is no way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_ping(
    node: *const MeshNode,
    to: *const c_char,
    timeout_ms: u32,
    rtt_us: *mut u64,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let rtt_us = out!(rtt_us);
        let pong = node.node.ping(to, Duration::from_millis(timeout_ms.into())).wait()?;
        rtt_us.set(micros(pong.rtt));
    }
}

/// Finds the way to the node in reach with the NODE_ID `to`: every relay, then the node itself. Waits for the slowest
/// answer, two seconds at most. The trace is to be freed by `meshchat_trace_free`. `MESHCHAT_OUT_OF_REACH` when there is no
/// way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_trace(
    node: *const MeshNode,
    to: *const c_char,
    trace: *mut *mut Trace,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let trace = out!(trace);
        trace.give(Trace::new(node.node.trace(to).wait()?));
    }
}

/// Accepts a message of 1 byte to 1 MiB of UTF-8, `text_len` bytes long, for the known node with the NODE_ID `to`.
/// Returns when it is safely on this node's disk; from then on it is delivered as soon as the recipient is in reach, also
/// after a restart. Its id goes into `message_id`, a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes; events of type
/// `MESHCHAT_EVENT_STATUS` tell how far it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send(
    node: *mut MeshNode,
    to: *const c_char,
    text: *const c_char,
    text_len: usize,
    message_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        message_id.set(node.node.send(to, text).wait()?.to_string().as_bytes())?;
    }
}

/// `meshchat_node_send` for a message that is given up (`MESHCHAT_MESSAGE_EXPIRED`) when it is not delivered within
/// `lifetime` seconds. It is looked every 30 seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_for(
    node: *mut MeshNode,
    to: *const c_char,
    text: *const c_char,
    text_len: usize,
    lifetime: u64,
    message_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        let lifetime = Some(Duration::from_secs(lifetime));
        message_id.set(node.node.send_within(to, text, lifetime).wait()?.to_string().as_bytes())?;
    }
}

/// Says something to every node in reach: 1 to 1000 bytes of UTF-8, `text_len` bytes long, signed by this node and *not*
/// encrypted: everybody on the way can read it. It is not stored, and nobody acknowledges it. Eight at once, then one a
/// second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_broadcast(
    node: *mut MeshNode,
    text: *const c_char,
    text_len: usize,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        node.node.broadcast(text).wait()?;
    }
}

/// A descriptor for `poll` and the like, readable while events wait and after the node has stopped. It belongs to the
/// node: never read from it, never close it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_fd(node: *const MeshNode, fd: *mut c_int) -> i32 {
    guard! {
        let node = borrow!(node);
        out!(fd).set(node.node.events().as_fd().as_raw_fd());
    }
}

/// Takes the next event without waiting; `event` becomes NULL when none waits. The event is to be freed by
/// `meshchat_event_free`. `MESHCHAT_STOPPED` when the node has stopped and every event has been taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_next_event(node: *mut MeshNode, event: *mut *mut MeshEvent) -> i32 {
    guard! {
        let node = borrow!(node);
        let out = out!(event);
        // Asked in this order, an event just before the stop is not missed.
        let stopped = node.node.events().is_stopped();
        match node.node.events().try_next() {
            Some(event) => out.give(MeshEvent::new(event)),
            None if stopped => Err(Failure::new(MESHCHAT_STOPPED, "the node has been stopped; start it again"))?,
            None => out.set(ptr::null_mut()),
        }
    }
}

/// Tells that the program is done with the message in `event` and with all messages that arrived before it: they are not
/// handed over again after a restart. Cheap, so confirm each message right after it was shown or processed. While 16,384
/// messages are unconfirmed, the node accepts no more; while 4096 of one sender are, no more of that one.
/// `MESHCHAT_STOPPED` when the node has stopped: the message then comes again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_confirm(node: *mut MeshNode, event: *const MeshEvent) -> i32 {
    guard! {
        let node = borrow!(node);
        let event = borrow!(event);
        node.node.confirm(event.message("message to confirm")?)?;
    }
}

/// Tells the sender of the message in `event` that it was read, and those before it from the same sender: their status
/// becomes `MESHCHAT_MESSAGE_READ` there. Without this nobody learns that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_mark_read(node: *mut MeshNode, event: *const MeshEvent) -> i32 {
    guard! {
        let node = borrow!(node);
        let event = borrow!(event);
        node.node.mark_read(event.message("message to mark as read")?);
    }
}
