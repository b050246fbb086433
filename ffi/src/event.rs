//! Events of a node.

use std::ffi::{CStr, CString, c_char};

use meshcore::{
    Event, FileInfo, IncomingMessage, MessageId, NodeId, NodeInfo, RoomChange, RoomId, Status, Warning,
};

use crate::error::{Failure, c_text};
use crate::file::MeshFile;
use crate::insecure;
use crate::list::{nickname_text, nullable};
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MESHCHAT_MESSAGE_ID_TEXT_SIZE};
use crate::route::Route;
use crate::status::MESHCHAT_WRONG_EVENT;

/// An event that this header does not know. To be ignored.
pub const MESHCHAT_EVENT_OTHER: i32 = 0;
/// A node came into reach; its identity is verified. Has: node id, nickname, last seen, route.
pub const MESHCHAT_EVENT_NODE_FOUND: i32 = 1;
/// A node is out of reach. Messages to it wait. Has: node id, nickname, last seen, route (NULL).
pub const MESHCHAT_EVENT_NODE_LOST: i32 = 2;
/// A message for this node, safely on its disk. It is handed over again after a restart until it is confirmed by
/// `meshchat_node_confirm`. Has: node id (the sender), message id, room id, text, sent at, received at.
pub const MESHCHAT_EVENT_MESSAGE: i32 = 3;
/// A message of this node has come further. Has: node id (the recipient), message id, message status.
pub const MESHCHAT_EVENT_STATUS: i32 = 4;
/// Something went wrong that a person should know of; the node goes on. Has: text.
pub const MESHCHAT_EVENT_WARNING: i32 = 5;
/// Frames to a node in reach take another way than before. Has: node id, nickname, last seen, route.
pub const MESHCHAT_EVENT_ROUTE_CHANGED: i32 = 6;

/// A few words of a node for all nodes: signed by it, readable by everybody, not stored. Has: node id (who says it),
/// text.
pub const MESHCHAT_EVENT_BROADCAST: i32 = 7;

/// A node offers a file, or still does after a restart of this node: `meshchat_node_accept_file` or
/// `meshchat_node_refuse_file` decides. Has: node id (the sender), file.
pub const MESHCHAT_EVENT_FILE_OFFERED: i32 = 8;
/// A file has come further: some times a second at the most. Has: node id (the other end), file.
pub const MESHCHAT_EVENT_FILE_PROGRESS: i32 = 9;
/// A file is whole at its recipient, and verified. Has: node id (the other end), file.
pub const MESHCHAT_EVENT_FILE_DONE: i32 = 10;
/// A file will not arrive: its state tells whether it was refused, cancelled or failed. Has: node id (the other end), file.
pub const MESHCHAT_EVENT_FILE_FAILED: i32 = 11;

/// A warning of its own: a known nickname has come with another key, or a verified node has taken another nickname, so that
/// somebody may pose as somebody else. Show it so that nobody overlooks it. Has: text.
pub const MESHCHAT_EVENT_NICKNAME_TAKEN: i32 = 12;

/// Who belongs to a room has changed, or what this node has to do with it. Has: room id, room name, room change, node id (who
/// joined, left or was removed, if somebody was).
pub const MESHCHAT_EVENT_ROOM: i32 = 13;

/// The message is safely on this node's disk.
pub const MESHCHAT_MESSAGE_QUEUED: i32 = 0;
/// The message was handed to an encrypted session with the recipient.
pub const MESHCHAT_MESSAGE_SENT: i32 = 10;
/// A sealed copy of the message is safely on the disk of a mailbox, where the recipient will find it.
pub const MESHCHAT_MESSAGE_STORED: i32 = 20;
/// The message was given up: its lifetime has passed.
pub const MESHCHAT_MESSAGE_EXPIRED: i32 = 25;
/// The message is safely on the recipient's disk, as the recipient has proven.
pub const MESHCHAT_MESSAGE_DELIVERED: i32 = 30;
/// The message was shown to a person, or processed, as the recipient says.
pub const MESHCHAT_MESSAGE_READ: i32 = 40;

/// Something that happened, given out by `meshchat_node_next_event` and freed by `meshchat_event_free`. It does not
/// change, needs no node, and several threads may read it.
pub struct MeshEvent {
    pub(crate) event: Event,
    nickname: Option<CString>,
    route: Option<Route>,
    /// Text of a message or a warning, and a NUL behind it.
    text: Option<Vec<u8>>,
    file: Option<MeshFile>,
    room_name: Option<CString>,
}

impl MeshEvent {
    pub(crate) fn new(event: Event) -> Self {
        let text = match &event {
            Event::Message(message) => Some(terminated(&message.text)),
            Event::Broadcast { text, .. } => Some(terminated(text)),
            Event::Warning(warning) => Some(terminated(&warning.to_string())),
            Event::Insecure(event) => insecure::text(event).map(|text| terminated(&text)),
            _ => None,
        };
        let info = node_info(&event);
        let file = file_info(&event).cloned().map(MeshFile::new);
        let room_name = match &event {
            Event::Room { name, .. } => Some(c_text(name.as_str())),
            _ => None,
        };
        let (nickname, route) = (info.and_then(nickname_text), info.and_then(Route::of));
        Self { nickname, route, event, text, file, room_name }
    }

    fn kind(&self) -> i32 {
        match &self.event {
            Event::NodeFound(_) => MESHCHAT_EVENT_NODE_FOUND,
            Event::NodeLost(_) => MESHCHAT_EVENT_NODE_LOST,
            Event::Message(_) => MESHCHAT_EVENT_MESSAGE,
            Event::Broadcast { .. } => MESHCHAT_EVENT_BROADCAST,
            Event::Status { .. } => MESHCHAT_EVENT_STATUS,
            Event::Warning(Warning::NicknameTaken { .. } | Warning::VerifiedRenamed { .. }) => {
                MESHCHAT_EVENT_NICKNAME_TAKEN
            }
            Event::Warning(_) => MESHCHAT_EVENT_WARNING,
            Event::RouteChanged(_) => MESHCHAT_EVENT_ROUTE_CHANGED,
            Event::Room { .. } => MESHCHAT_EVENT_ROOM,
            Event::FileOffered(_) => MESHCHAT_EVENT_FILE_OFFERED,
            Event::FileProgress(_) => MESHCHAT_EVENT_FILE_PROGRESS,
            Event::FileDone(_) => MESHCHAT_EVENT_FILE_DONE,
            Event::FileFailed(_) => MESHCHAT_EVENT_FILE_FAILED,
            Event::Insecure(event) => insecure::kind(event).0,
            _ => MESHCHAT_EVENT_OTHER,
        }
    }

    pub(crate) fn lacks(&self, what: &str) -> Failure {
        let kind = match &self.event {
            Event::NodeFound(_) => "found node",
            Event::NodeLost(_) => "lost node",
            Event::Message(_) => "message",
            Event::Broadcast { .. } => "broadcast",
            Event::Status { .. } => "status",
            Event::Warning(_) => "warning",
            Event::RouteChanged(_) => "changed route",
            Event::Room { .. } => "changed room",
            Event::FileOffered(_) => "offered file",
            Event::FileProgress(_) => "progress of a file",
            Event::FileDone(_) => "file that is done",
            Event::FileFailed(_) => "file that failed",
            Event::Insecure(event) => insecure::kind(event).1,
            _ => "newer kind",
        };
        Failure::new(
            MESHCHAT_WRONG_EVENT,
            format!("an event of type '{kind}' has no {what}; ask meshchat_event_type() first"),
        )
    }

    fn node_id(&self) -> Result<NodeId, Failure> {
        match &self.event {
            Event::Message(message) => Ok(message.from),
            Event::Broadcast { from, .. } => Ok(*from),
            Event::Status { to, .. } => Ok(*to),
            Event::Room { change, .. } => change.node().ok_or_else(|| self.lacks("node id")),
            event => match file_info(event) {
                Some(file) => Ok(file.peer),
                None => Ok(self.info("node id")?.id),
            },
        }
    }

    fn info(&self, what: &str) -> Result<&NodeInfo, Failure> {
        node_info(&self.event).ok_or_else(|| self.lacks(what))
    }

    pub(crate) fn file(&self) -> Result<&MeshFile, Failure> {
        self.file.as_ref().ok_or_else(|| self.lacks("file"))
    }

    pub(crate) fn message(&self, what: &str) -> Result<&IncomingMessage, Failure> {
        match &self.event {
            Event::Message(message) => Ok(message),
            _ => Err(self.lacks(what)),
        }
    }

    /// The room that has changed, or that a message was written to.
    pub(crate) fn room(&self) -> Result<Option<RoomId>, Failure> {
        match &self.event {
            Event::Message(message) => Ok(message.room),
            Event::Room { room, .. } => Ok(Some(*room)),
            _ => Err(self.lacks("room id")),
        }
    }

    pub(crate) fn room_name(&self) -> Result<&CStr, Failure> {
        self.room_name.as_deref().ok_or_else(|| self.lacks("room name"))
    }

    pub(crate) fn room_change(&self) -> Result<RoomChange, Failure> {
        match &self.event {
            Event::Room { change, .. } => Ok(*change),
            _ => Err(self.lacks("room change")),
        }
    }

    fn message_id(&self) -> Result<MessageId, Failure> {
        match &self.event {
            Event::Message(message) => Ok(message.id),
            Event::Status { id, .. } => Ok(*id),
            _ => Err(self.lacks("message id")),
        }
    }

    fn message_status(&self) -> Result<Status, Failure> {
        match &self.event {
            Event::Status { status, .. } => Ok(*status),
            _ => Err(self.lacks("message status")),
        }
    }
}

/// The node that an event is about.
fn node_info(event: &Event) -> Option<&NodeInfo> {
    match event {
        Event::NodeFound(info) | Event::NodeLost(info) | Event::RouteChanged(info) => Some(info),
        _ => None,
    }
}

/// The file that an event is about.
fn file_info(event: &Event) -> Option<&FileInfo> {
    match event {
        Event::FileOffered(file)
        | Event::FileProgress(file)
        | Event::FileDone(file)
        | Event::FileFailed(file) => Some(file),
        _ => None,
    }
}

fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

/// Frees an event and all texts in it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_free(event: *mut MeshEvent) {
    guard!(() => { free!(event) })
}

/// What happened: one of MESHCHAT_EVENT_... Later versions may have more types: ignore those that you do not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_type(event: *const MeshEvent, event_type: *mut i32) -> i32 {
    guard! {
        let event = borrow!(event);
        out!(event_type).set(event.kind());
    }
}

/// NODE_ID of the node that was found, lost, or whose route changed, of the sender of a message or broadcast, of a
/// status' recipient, of the other end of a file, of who joined or left a room, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_node_id(event: *const MeshEvent, id: *mut c_char) -> i32 {
    guard! {
        let event = borrow!(event);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(event.node_id()?.to_string().as_bytes())?;
    }
}

/// The name that the node found or lost, or whose route changed, gives itself, NULL when it gives none. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_nickname(
    event: *const MeshEvent,
    nickname: *mut *const c_char,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let nickname = out!(nickname);
        event.info("nickname")?;
        nickname.set(nullable(&event.nickname));
    }
}

/// When the node found or lost, or whose route changed, was last heard of, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_last_seen(event: *const MeshEvent, last_seen: *mut u64) -> i32 {
    guard! {
        let event = borrow!(event);
        let last_seen = out!(last_seen);
        last_seen.set(event.info("time of last sight")?.last_seen.as_millis());
    }
}

/// The way that frames to the node take now, NULL when it is out of reach. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_route(event: *const MeshEvent, route: *mut *const Route) -> i32 {
    guard! {
        let event = borrow!(event);
        let route = out!(route);
        event.info("route")?;
        route.set(Route::nullable(&event.route));
    }
}

/// Text of a message, a broadcast or a warning, why an insecure stream ended: UTF-8, `text_len` bytes, then a NUL. A
/// message may contain NUL itself, which only the length tells. Text from the network may contain any character: make it
/// safe before a terminal sees it. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_text(
    event: *const MeshEvent,
    text: *mut *const c_char,
    text_len: *mut usize,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let text = out!(text);
        let text_len = out!(text_len);
        let bytes = event.text.as_ref().ok_or_else(|| event.lacks("text"))?;
        text.set(bytes.as_ptr().cast());
        text_len.set(bytes.len() - 1);
    }
}

/// Id of the message that arrived or whose status is told, into a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes. It is
/// unique together with the sender.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_message_id(event: *const MeshEvent, message_id: *mut c_char) -> i32 {
    guard! {
        let event = borrow!(event);
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        message_id.set(event.message_id()?.to_string().as_bytes())?;
    }
}

/// How far a message of this node has come: one of MESHCHAT_MESSAGE_... Later versions may have more steps; larger
/// numbers are further on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_message_status(
    event: *const MeshEvent,
    message_status: *mut i32,
) -> i32 {
    guard! {
        let event = borrow!(event);
        let message_status = out!(message_status);
        message_status.set(event.message_status()?.code().into());
    }
}

/// The name of a MESHCHAT_MESSAGE_... in lower case, for example "queued"; "unknown" for another number. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_message_status_text(message_status: i32) -> *const c_char {
    guard!(std::ptr::null() => {
        let text = match message_status {
            MESHCHAT_MESSAGE_QUEUED => c"queued",
            MESHCHAT_MESSAGE_SENT => c"sent",
            MESHCHAT_MESSAGE_STORED => c"stored",
            MESHCHAT_MESSAGE_EXPIRED => c"expired",
            MESHCHAT_MESSAGE_DELIVERED => c"delivered",
            MESHCHAT_MESSAGE_READ => c"read",
            _ => c"unknown",
        };
        text.as_ptr()
    })
}

/// When a message was written, by its sender's clock, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_sent_at(event: *const MeshEvent, sent_at: *mut u64) -> i32 {
    guard! {
        let event = borrow!(event);
        let sent_at = out!(sent_at);
        sent_at.set(event.message("time of sending")?.sent_at.as_millis());
    }
}

/// When a message arrived, by this node's clock, in milliseconds since 1970-01-01T00:00:00Z.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_received_at(event: *const MeshEvent, received_at: *mut u64) -> i32 {
    guard! {
        let event = borrow!(event);
        let received_at = out!(received_at);
        received_at.set(event.message("time of arrival")?.received_at.as_millis());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(code: i32) -> &'static str {
        // SAFETY: a text with a NUL behind it that is valid for ever.
        unsafe { CStr::from_ptr(meshchat_message_status_text(code)) }.to_str().unwrap()
    }

    #[test]
    fn message_states_are_those_of_the_core() {
        let states = [
            (Status::Queued, MESHCHAT_MESSAGE_QUEUED),
            (Status::Sent, MESHCHAT_MESSAGE_SENT),
            (Status::Stored, MESHCHAT_MESSAGE_STORED),
            (Status::Expired, MESHCHAT_MESSAGE_EXPIRED),
            (Status::Delivered, MESHCHAT_MESSAGE_DELIVERED),
            (Status::Read, MESHCHAT_MESSAGE_READ),
        ];
        for (status, code) in states {
            assert_eq!(i32::from(status.code()), code);
            assert_eq!(text_of(code), status.as_str());
        }
        assert_eq!(text_of(-1), "unknown");
    }
}
