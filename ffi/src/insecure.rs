//! AlexMesh v1: programs that speak nothing newer. Insecure, all of it.

use std::ffi::c_char;

use meshcore::{
    Builder, Event, InsecureCloseReason, InsecureEvent, InsecureNode, InsecureStreamId, V1Address,
};

use crate::config::Config;
use crate::error::Failure;
use crate::event::MeshEvent;
use crate::node::MeshNode;

/// Size of a buffer for the address of a v1 node: "v1:02:00:5e:10:00:01" and NUL.
pub const MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE: usize = 21;

/// A v1 node was heard. Has: insecure address.
pub const MESHCHAT_EVENT_INSECURE_NODE_FOUND: i32 = 100;
/// A v1 node was silent for 17.5 s, newer ones took its place, or the interface went down. Has: insecure address.
pub const MESHCHAT_EVENT_INSECURE_NODE_LOST: i32 = 101;
/// A message, perhaps of a v1 node that was never found. Has: insecure address (who claims to have sent it), text,
/// insecure to-all.
pub const MESHCHAT_EVENT_INSECURE_MESSAGE: i32 = 102;
/// Somebody acknowledged a message in the name of its recipient. Has: insecure address (the recipient), insecure message.
pub const MESHCHAT_EVENT_INSECURE_DELIVERED: i32 = 103;
/// No acknowledgement came within 5 s; the message may have arrived nevertheless. Has: insecure address (the recipient),
/// insecure message.
pub const MESHCHAT_EVENT_INSECURE_FAILED: i32 = 104;
/// A stream is open. Has: insecure address (its other end), insecure stream, insecure by-peer.
pub const MESHCHAT_EVENT_INSECURE_STREAM_OPENED: i32 = 105;
/// Data of a stream, in the order of arrival; what was lost is missing without notice. Has: insecure address, insecure
/// stream, insecure data.
pub const MESHCHAT_EVENT_INSECURE_STREAM_DATA: i32 = 106;
/// A stream has ended; one that could not be opened ends without having been open. Has: insecure address, insecure stream,
/// insecure close reason, text (the reason in words).
pub const MESHCHAT_EVENT_INSECURE_STREAM_CLOSED: i32 = 107;

/// This node closed the stream, and the peer knows.
pub const MESHCHAT_INSECURE_CLOSED_HERE: i32 = 0;
/// The peer closed the stream.
pub const MESHCHAT_INSECURE_CLOSED_BY_PEER: i32 = 1;
/// The peer did not answer that the stream was opened, or closed.
pub const MESHCHAT_INSECURE_CLOSED_NO_ANSWER: i32 = 2;
/// The peer was silent for too long.
pub const MESHCHAT_INSECURE_CLOSED_IDLE: i32 = 3;
/// The peer opened newer streams in its place, or others did while it was never used.
pub const MESHCHAT_INSECURE_CLOSED_REPLACED: i32 = 4;
/// The interface went down.
pub const MESHCHAT_INSECURE_CLOSED_LINK_DOWN: i32 = 5;
/// A reason that this header does not know.
pub const MESHCHAT_INSECURE_CLOSED_OTHER: i32 = 99;

/// The type of an event, and its name for people.
pub(crate) fn kind(event: &InsecureEvent) -> (i32, &'static str) {
    match event {
        InsecureEvent::NodeFound { .. } => (MESHCHAT_EVENT_INSECURE_NODE_FOUND, "insecure found node"),
        InsecureEvent::NodeLost { .. } => (MESHCHAT_EVENT_INSECURE_NODE_LOST, "insecure lost node"),
        InsecureEvent::Message { .. } => (MESHCHAT_EVENT_INSECURE_MESSAGE, "insecure message"),
        InsecureEvent::Delivered { .. } => (MESHCHAT_EVENT_INSECURE_DELIVERED, "insecure delivery"),
        InsecureEvent::Failed { .. } => (MESHCHAT_EVENT_INSECURE_FAILED, "insecure failure"),
        InsecureEvent::StreamOpened { .. } => {
            (MESHCHAT_EVENT_INSECURE_STREAM_OPENED, "opened insecure stream")
        }
        InsecureEvent::StreamData { .. } => (MESHCHAT_EVENT_INSECURE_STREAM_DATA, "insecure stream data"),
        InsecureEvent::StreamClosed { .. } => {
            (MESHCHAT_EVENT_INSECURE_STREAM_CLOSED, "closed insecure stream")
        }
        _ => (crate::event::MESHCHAT_EVENT_OTHER, "newer kind"),
    }
}

/// What `meshchat_event_text` gives.
pub(crate) fn text(event: &InsecureEvent) -> Option<String> {
    match event {
        InsecureEvent::Message { text, .. } => Some(text.clone()),
        InsecureEvent::StreamClosed { reason, .. } => Some(reason.to_string()),
        _ => None,
    }
}

fn address(event: &InsecureEvent) -> Option<V1Address> {
    match event {
        InsecureEvent::NodeFound { node } | InsecureEvent::NodeLost { node } => Some(*node),
        InsecureEvent::Message { from, .. } => Some(*from),
        InsecureEvent::Delivered { to, .. } | InsecureEvent::Failed { to, .. } => Some(*to),
        InsecureEvent::StreamOpened { peer, .. }
        | InsecureEvent::StreamData { peer, .. }
        | InsecureEvent::StreamClosed { peer, .. } => Some(*peer),
        _ => None,
    }
}

fn stream(event: &InsecureEvent) -> Option<InsecureStreamId> {
    match event {
        InsecureEvent::StreamOpened { stream, .. }
        | InsecureEvent::StreamData { stream, .. }
        | InsecureEvent::StreamClosed { stream, .. } => Some(*stream),
        _ => None,
    }
}

fn reason_code(reason: InsecureCloseReason) -> i32 {
    match reason {
        InsecureCloseReason::Here => MESHCHAT_INSECURE_CLOSED_HERE,
        InsecureCloseReason::Peer => MESHCHAT_INSECURE_CLOSED_BY_PEER,
        InsecureCloseReason::NoAnswer => MESHCHAT_INSECURE_CLOSED_NO_ANSWER,
        InsecureCloseReason::Idle => MESHCHAT_INSECURE_CLOSED_IDLE,
        InsecureCloseReason::Replaced => MESHCHAT_INSECURE_CLOSED_REPLACED,
        InsecureCloseReason::LinkDown => MESHCHAT_INSECURE_CLOSED_LINK_DOWN,
        _ => MESHCHAT_INSECURE_CLOSED_OTHER,
    }
}

impl MeshEvent {
    /// What `pick` finds in an insecure event.
    fn insecure<'a, T>(
        &'a self,
        what: &str,
        pick: impl FnOnce(&'a InsecureEvent) -> Option<T>,
    ) -> Result<T, Failure> {
        let found = if let Event::Insecure(event) = &self.event { pick(event) } else { None };
        found.ok_or_else(|| self.lacks(what))
    }
}

fn parse(text: &str, name: &str) -> Result<V1Address, Failure> {
    text.parse().map_err(|error| Failure::invalid(format!("the argument '{name}' is {error}")))
}

/// v1 nodes as they were known when the list was made by `meshchat_node_insecure_nodes`. Freed by
/// `meshchat_insecure_list_free`. Entries are numbered from 0. Several threads may read one list.
pub struct InsecureList {
    nodes: Vec<InsecureNode>,
}

impl InsecureList {
    fn node(&self, index: usize) -> Result<&InsecureNode, Failure> {
        let count = self.nodes.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the list of {count} nodes"));
        self.nodes.get(index).ok_or_else(error)
    }
}

/// Lets programs that speak only AlexMesh v1 find the node on an Ethernet interface, send it messages and chat with it.
/// INSECURE: anybody on the segment can read and forge all of it. Several interfaces may be added. One that cannot be
/// opened is told by `meshchat_node_link_status`, and used as soon as it can be. Not in a private mesh. The start checks it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_config_add_v1(config: *mut Config, interface: *const c_char) -> i32 {
    guard! {
        let config = borrow_mut!(config);
        let interface = text!(interface);
        config.change(|builder: Builder| builder.v1(interface));
    }
}

/// The address of a v1 node as events tell it ("v1:02:00:5e:10:00:01"), from any way to write it, into a buffer of
/// `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes. `MESHCHAT_INVALID_ARGUMENT` when it is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_insecure_address(text: *const c_char, address: *mut c_char) -> i32 {
    guard! {
        let parsed: V1Address = text!(text).parse().map_err(meshcore::Error::from)?;
        out_text!(address, MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE).set(parsed.to_string().as_bytes())?;
    }
}

/// The v1 nodes that were heard lately. The list is to be freed by `meshchat_insecure_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_insecure_nodes(
    node: *const MeshNode,
    list: *mut *mut InsecureList,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let list = out!(list);
        list.give(InsecureList { nodes: node.node.insecure_nodes().wait()? });
    }
}

/// Sends a text of at most 1477 bytes, on an interface with the usual MTU, to the v1 node with the address `to`. It is
/// neither kept nor sent again. `message` becomes its number; an event of type `MESHCHAT_EVENT_INSECURE_DELIVERED` or
/// `MESHCHAT_EVENT_INSECURE_FAILED` follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_insecure(
    node: *mut MeshNode,
    to: *const c_char,
    text: *const c_char,
    text_len: usize,
    message: *mut u64,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = parse(text!(to), "to")?;
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        let message = out!(message);
        message.set(node.node.send_insecure(to, text).wait()?.0);
    }
}

/// Sends a text to every v1 node of each segment. Nobody acknowledges it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_broadcast_insecure(
    node: *mut MeshNode,
    text: *const c_char,
    text_len: usize,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        node.node.broadcast_insecure(text).wait()?;
    }
}

/// Opens a stream to the v1 node with the address `to`; `stream` becomes its number. An event of type
/// `MESHCHAT_EVENT_INSECURE_STREAM_OPENED` follows, or `MESHCHAT_EVENT_INSECURE_STREAM_CLOSED` when nobody answers. Streams
/// that others open are told by the same events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_connect_insecure(
    node: *mut MeshNode,
    to: *const c_char,
    stream: *mut u64,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = parse(text!(to), "to")?;
        let stream = out!(stream);
        stream.set(node.node.connect_insecure(to).wait()?.0);
    }
}

/// Sends data on an open stream, in as many frames as it takes. What gets lost stays lost, and zero bytes at the end of a
/// frame do not arrive: v1 carries text. `MESHCHAT_STREAM_CLOSED` when the stream is not open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_write_insecure(
    node: *mut MeshNode,
    stream: u64,
    data: *const c_char,
    data_len: usize,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let data = bytes!(data, data_len);
        node.node.write_insecure(InsecureStreamId(stream), data).wait()?;
    }
}

/// Ends a stream in both directions; an event of type `MESHCHAT_EVENT_INSECURE_STREAM_CLOSED` follows.
/// `MESHCHAT_STREAM_CLOSED` when the stream is not open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_close_insecure(node: *mut MeshNode, stream: u64) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.close_insecure(InsecureStreamId(stream)).wait()?;
    }
}

/// Frees a list. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_insecure_list_free(list: *mut InsecureList) {
    guard!(() => { free!(list) })
}

/// Number of entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_insecure_list_count(list: *const InsecureList, count: *mut usize) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(count).set(list.nodes.len());
    }
}

/// Address of an entry, into a buffer of `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_insecure_list_address(
    list: *const InsecureList,
    index: usize,
    address: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let address = out_text!(address, MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE);
        address.set(list.node(index)?.address.to_string().as_bytes())?;
    }
}

/// Whether the node is heard itself, not only through other v1 nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_insecure_list_direct(
    list: *const InsecureList,
    index: usize,
    direct: *mut bool,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let direct = out!(direct);
        direct.set(list.node(index)?.direct);
    }
}

/// Address of the v1 node that an insecure event is about, into a buffer of `MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE` bytes.
/// Anybody can use any address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_address(
    event: *const MeshEvent,
    address: *mut c_char,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out_text!(address, MESHCHAT_INSECURE_ADDRESS_TEXT_SIZE);
        out.set(event.insecure("insecure address", self::address)?.to_string().as_bytes())?;
    }
}

/// Whether an insecure message went to everyone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_to_all(event: *const MeshEvent, to_all: *mut bool) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out!(to_all);
        out.set(event.insecure("insecure to-all", |event| match event {
            InsecureEvent::Message { to_all, .. } => Some(*to_all),
            _ => None,
        })?);
    }
}

/// The message whose fate is told, as `meshchat_node_send_insecure` numbered it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_message(event: *const MeshEvent, message: *mut u64) -> i32 {
    guard! {
        let event = borrow!(event);
        let message = out!(message);
        message.set(event.insecure("insecure message", |event| match event {
            InsecureEvent::Delivered { id, .. } | InsecureEvent::Failed { id, .. } => Some(id.0),
            _ => None,
        })?);
    }
}

/// The number of the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_stream(event: *const MeshEvent, stream: *mut u64) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out!(stream);
        out.set(event.insecure("insecure stream", self::stream)?.0);
    }
}

/// Whether the peer opened the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_by_peer(event: *const MeshEvent, by_peer: *mut bool) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out!(by_peer);
        out.set(event.insecure("insecure by-peer", |event| match event {
            InsecureEvent::StreamOpened { by_peer, .. } => Some(*by_peer),
            _ => None,
        })?);
    }
}

/// Data that came on a stream, `data_len` bytes without a NUL behind them. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_data(
    event: *const MeshEvent,
    data: *mut *const c_char,
    data_len: *mut usize,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out!(data);
        let data_len = out!(data_len);
        let bytes = event.insecure("insecure data", |event| match event {
            InsecureEvent::StreamData { data, .. } => Some(data),
            _ => None,
        })?;
        out.set(bytes.as_ptr().cast());
        data_len.set(bytes.len());
    }
}

/// Why the stream ended: one of MESHCHAT_INSECURE_CLOSED_... Later versions may have more reasons.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_insecure_close_reason(
    event: *const MeshEvent,
    reason: *mut i32,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let out = out!(reason);
        out.set(event.insecure("insecure close reason", |event| match event {
            InsecureEvent::StreamClosed { reason, .. } => Some(reason_code(*reason)),
            _ => None,
        })?);
    }
}
