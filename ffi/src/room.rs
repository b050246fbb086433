//! Rooms.

use std::ffi::{CString, c_char};
use std::time::Duration;

use meshcore::{Node, Pending, RoomId, RoomInfo};

use crate::error::{Failure, c_text};
use crate::event::MeshEvent;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MESHCHAT_MESSAGE_ID_TEXT_SIZE, MeshNode, node_id};

/// Size of a buffer for the id of a room: 32 hexadecimal digits and NUL.
pub const MESHCHAT_ROOM_ID_TEXT_SIZE: usize = 33;

/// This node was invited and has not answered.
pub const MESHCHAT_ROOM_INVITED: i32 = 1;
/// This node has asked to be let in; the owner has not signed that yet.
pub const MESHCHAT_ROOM_JOINING: i32 = 2;
/// This node reads what the others write, and they read it.
pub const MESHCHAT_ROOM_MEMBER: i32 = 3;
/// This node left, or declined.
pub const MESHCHAT_ROOM_LEFT: i32 = 4;
/// The owner removed this node.
pub const MESHCHAT_ROOM_REMOVED: i32 = 5;
/// The owner left: the room is no more.
pub const MESHCHAT_ROOM_CLOSED: i32 = 6;

/// This node was invited.
pub const MESHCHAT_ROOM_CHANGE_INVITED: i32 = 1;
/// A node has joined, perhaps this one.
pub const MESHCHAT_ROOM_CHANGE_JOINED: i32 = 2;
/// A node has left.
pub const MESHCHAT_ROOM_CHANGE_LEFT: i32 = 3;
/// The owner has removed a node, perhaps this one.
pub const MESHCHAT_ROOM_CHANGE_REMOVED: i32 = 4;
/// The owner has left, and nobody is in the room any more.
pub const MESHCHAT_ROOM_CHANGE_CLOSED: i32 = 5;

/// Rooms as they were when the list was made by `meshchat_node_rooms`. Freed by `meshchat_room_list_free`. Entries are
/// numbered from 0. Several threads may read one list.
pub struct RoomList {
    rooms: Vec<(RoomInfo, CString)>,
}

impl RoomList {
    fn entry(&self, index: usize) -> Result<&(RoomInfo, CString), Failure> {
        let count = self.rooms.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the list of {count} rooms"));
        self.rooms.get(index).ok_or_else(error)
    }
}

pub(crate) fn room_id(text: &str, name: &str) -> Result<RoomId, Failure> {
    let hint = "meshchat_node_resolve_room finds the id of a name";
    text.parse().map_err(|error| Failure::invalid(format!("the argument '{name}' is {error}; {hint}")))
}

fn change(
    node: &MeshNode,
    room: &str,
    other: &str,
    change: impl FnOnce(&Node, RoomId, meshcore::NodeId) -> Pending<()>,
) -> Result<(), Failure> {
    let (room, other) = (room_id(room, "room_id")?, node_id(other, "id")?);
    change(&node.node, room, other).wait()?;
    Ok(())
}

/// Makes a room with this node as its owner and only member. Its name follows the rules of nicknames; several rooms may have
/// the same. The owner invites and removes; what others ask of it waits until it is in reach. The id goes into `room_id`, a
/// buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_create_room(
    node: *mut MeshNode,
    name: *const c_char,
    room_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let name = text!(name);
        let room_id = out_text!(room_id, MESHCHAT_ROOM_ID_TEXT_SIZE);
        room_id.set(node.node.create_room(name).wait()?.to_string().as_bytes())?;
    }
}

/// The room that `query` means: an id, a unique prefix of one (at least five digits), or a name. Rooms that are over count
/// only when no other one fits. Its id goes into `room_id`, a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
/// `MESHCHAT_UNKNOWN_ROOM` when there is none, `MESHCHAT_INVALID_ARGUMENT` when there are several.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_resolve_room(
    node: *const MeshNode,
    query: *const c_char,
    room_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let query = text!(query);
        let room_id = out_text!(room_id, MESHCHAT_ROOM_ID_TEXT_SIZE);
        room_id.set(node.node.resolve_room(query).wait()?.id.to_string().as_bytes())?;
    }
}

/// Invites the known node with the NODE_ID `id` to a room that this node owns: at most 256 belong to it, those who are
/// invited included. The invitation reaches it like a message. `MESHCHAT_ROOM_REFUSED` when this node is not the owner, the
/// room is full, or the other one is in it already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_invite_to_room(
    node: *mut MeshNode,
    room_id: *const c_char,
    id: *const c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        change(node, text!(room_id), text!(id), Node::invite_to_room)?;
    }
}

/// Takes a node out of a room that this node owns, or withdraws its invitation. It gets nothing that this node writes from
/// then on, and nothing that another member writes once that one has heard of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_remove_from_room(
    node: *mut MeshNode,
    room_id: *const c_char,
    id: *const c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        change(node, text!(room_id), text!(id), Node::remove_from_room)?;
    }
}

/// Accepts the invitation to a room. This node is a member when the owner has signed that, which
/// `MESHCHAT_EVENT_ROOM` tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_join_room(node: *mut MeshNode, room_id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.join_room(self::room_id(text!(room_id), "room_id")?).wait()?;
    }
}

/// Leaves a room, or declines the invitation: at once here, and for the others when they hear of it. When the owner leaves,
/// the room is closed. To leave a room that is over takes it off the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_leave_room(node: *mut MeshNode, room_id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        node.node.leave_room(self::room_id(text!(room_id), "room_id")?).wait()?;
    }
}

/// Writes to all members of a room: 1 byte to 64 KiB of UTF-8, `text_len` bytes long. Each gets a copy of its own, end-to-end
/// encrypted and delivered like any message; what is not delivered within `lifetime` seconds is given up, 0: never. All
/// copies have the same id, which goes into `message_id`, a buffer of `MESHCHAT_MESSAGE_ID_TEXT_SIZE` bytes:
/// `MESHCHAT_EVENT_STATUS` comes for each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_to_room(
    node: *mut MeshNode,
    room_id: *const c_char,
    text: *const c_char,
    text_len: usize,
    lifetime: u64,
    message_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let room = self::room_id(text!(room_id), "room_id")?;
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        let lifetime = (lifetime > 0).then(|| Duration::from_secs(lifetime));
        message_id.set(node.node.send_to_room(room, text, lifetime).wait()?.to_string().as_bytes())?;
    }
}

/// The rooms that this node owns, belongs to, was invited to, or belonged to. The list is to be freed by
/// `meshchat_room_list_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_rooms(node: *const MeshNode, list: *mut *mut RoomList) -> i32 {
    guard! {
        let node = borrow!(node);
        let list = out!(list);
        let named = |room: RoomInfo| {
            let name = c_text(room.name.as_str());
            (room, name)
        };
        list.give(RoomList { rooms: node.node.rooms().wait()?.into_iter().map(named).collect() });
    }
}

/// Frees a list and all texts in it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_free(list: *mut RoomList) {
    guard!(() => { free!(list) })
}

/// Number of rooms in the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_count(list: *const RoomList, count: *mut usize) -> i32 {
    guard! {
        let list = borrow!(list);
        out!(count).set(list.rooms.len());
    }
}

/// Id of a room, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_id(
    list: *const RoomList,
    index: usize,
    room_id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let room_id = out_text!(room_id, MESHCHAT_ROOM_ID_TEXT_SIZE);
        room_id.set(list.entry(index)?.0.id.to_string().as_bytes())?;
    }
}

/// The name that the owner gave the room. Valid as long as the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_name(
    list: *const RoomList,
    index: usize,
    name: *mut *const c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let name = out!(name);
        name.set(list.entry(index)?.1.as_ptr());
    }
}

/// NODE_ID of the owner, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_owner(
    list: *const RoomList,
    index: usize,
    id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(list.entry(index)?.0.owner.to_string().as_bytes())?;
    }
}

/// How this node stands to the room: one of MESHCHAT_ROOM_INVITED, ..._JOINING, ..._MEMBER, ..._LEFT, ..._REMOVED,
/// ..._CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_standing(
    list: *const RoomList,
    index: usize,
    standing: *mut i32,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let standing = out!(standing);
        standing.set(list.entry(index)?.0.standing.code().into());
    }
}

/// Which of its lists the owner has signed last. Two members with the same version know the same members.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_version(
    list: *const RoomList,
    index: usize,
    version: *mut u64,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let version = out!(version);
        version.set(list.entry(index)?.0.version);
    }
}

/// How many nodes belong to the room, the owner included, and how many of these were invited and have not joined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_size(
    list: *const RoomList,
    index: usize,
    members: *mut usize,
    invited: *mut usize,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let (members, invited) = (out!(members), out!(invited));
        let (room, _) = list.entry(index)?;
        members.set(room.members.len());
        invited.set(room.invited.len());
    }
}

/// NODE_ID of a member, numbered from 0, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. Behind the members come those who
/// are invited.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_room_list_node(
    list: *const RoomList,
    index: usize,
    node_index: usize,
    id: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        let (room, _) = list.entry(index)?;
        let count = room.members.len() + room.invited.len();
        let error = || Failure::invalid(format!("the node {node_index} is none of the {count} of the room"));
        let node = room.members.iter().chain(&room.invited).nth(node_index).ok_or_else(error)?;
        id.set(node.to_string().as_bytes())?;
    }
}

/// Id of the room that has changed, or to which a message was written, into a buffer of `MESHCHAT_ROOM_ID_TEXT_SIZE` bytes;
/// an empty text for a message to this node alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_room_id(event: *const MeshEvent, room_id: *mut c_char) -> i32 {
    guard! {
        let event = borrow!(event);
        let room_id = out_text!(room_id, MESHCHAT_ROOM_ID_TEXT_SIZE);
        room_id.set(event.room()?.map(|room| room.to_string()).unwrap_or_default().as_bytes())?;
    }
}

/// Name of the room that has changed. Valid as long as the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_room_name(event: *const MeshEvent, name: *mut *const c_char) -> i32 {
    guard! {
        let event = borrow!(event);
        let name = out!(name);
        name.set(event.room_name()?.as_ptr());
    }
}

/// What has changed in a room: one of MESHCHAT_ROOM_CHANGE_... Later versions may have more: ignore those that you do not
/// know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_event_room_change(event: *const MeshEvent, change: *mut i32) -> i32 {
    guard! {
        let event = borrow!(event);
        let change = out!(change);
        change.set(event.room_change()?.code().into());
    }
}

#[cfg(test)]
mod tests {
    use meshcore::{NodeId, RoomChange, RoomStanding};

    use super::*;

    #[test]
    fn numbers_are_those_of_the_core() {
        let standings = [
            (RoomStanding::Invited, MESHCHAT_ROOM_INVITED),
            (RoomStanding::Joining, MESHCHAT_ROOM_JOINING),
            (RoomStanding::Member, MESHCHAT_ROOM_MEMBER),
            (RoomStanding::Left, MESHCHAT_ROOM_LEFT),
            (RoomStanding::Removed, MESHCHAT_ROOM_REMOVED),
            (RoomStanding::Closed, MESHCHAT_ROOM_CLOSED),
        ];
        assert!(standings.iter().all(|(standing, code)| i32::from(standing.code()) == *code));
        let node = NodeId([1; 32]);
        let changes = [
            (RoomChange::Invited, MESHCHAT_ROOM_CHANGE_INVITED),
            (RoomChange::Joined(node), MESHCHAT_ROOM_CHANGE_JOINED),
            (RoomChange::Left(node), MESHCHAT_ROOM_CHANGE_LEFT),
            (RoomChange::Removed(node), MESHCHAT_ROOM_CHANGE_REMOVED),
            (RoomChange::Closed, MESHCHAT_ROOM_CHANGE_CLOSED),
        ];
        assert!(changes.iter().all(|(change, code)| i32::from(change.code()) == *code));
    }
}
