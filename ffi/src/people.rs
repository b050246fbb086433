//! Whom the person knows: trust, blocking, contacts.

use std::ffi::c_char;

use meshcore::{Contact, Node, NodeId, NodeInfo, Pending, Trust};

use crate::error::Failure;
use crate::list::NodeList;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MESHCHAT_MESSAGE_ID_TEXT_SIZE, MeshNode, node_id};

/// The node's key was remembered when it was seen first; nobody has compared safety words.
pub const MESHCHAT_TRUST_SEEN: i32 = 0;
/// The person has compared safety words, and said so by `meshchat_node_verify`.
pub const MESHCHAT_TRUST_VERIFIED: i32 = 1;
/// The person wants to hear nothing of the node: `meshchat_node_block`.
pub const MESHCHAT_TRUST_BLOCKED: i32 = 2;

/// Size of a buffer for a contact, with its NUL.
pub const MESHCHAT_CONTACT_TEXT_SIZE: usize = 256;

const _: () = assert!(Contact::MAX_LEN < MESHCHAT_CONTACT_TEXT_SIZE);
const _: () = assert!(MESHCHAT_TRUST_SEEN == Trust::Seen as i32);
const _: () = assert!(MESHCHAT_TRUST_VERIFIED == Trust::Verified as i32);
const _: () = assert!(MESHCHAT_TRUST_BLOCKED == Trust::Blocked as i32);

fn judge(
    node: &MeshNode,
    id: &str,
    judge: impl FnOnce(&Node, NodeId) -> Pending<NodeInfo>,
) -> Result<(), Failure> {
    let id = node_id(id, "id")?;
    judge(&node.node, id).wait()?;
    Ok(())
}

/// Notes that the person has compared safety words with the node, seen or not: its nickname then means this node alone.
/// `MESHCHAT_BLOCKED` when it is blocked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_verify(node: *mut MeshNode, id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        judge(node, text!(id), Node::verify)?;
    }
}

/// Takes `meshchat_node_verify` back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_unverify(node: *mut MeshNode, id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        judge(node, text!(id), Node::unverify)?;
    }
}

/// Blocks a node, seen or not: nothing of it reaches the program or the disk, connections with it end, and nothing is sent
/// to it; for it, this node does not answer. Its frames are forwarded as ever. That it was verified is forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_block(node: *mut MeshNode, id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        judge(node, text!(id), Node::block)?;
    }
}

/// Takes `meshchat_node_block` back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_unblock(node: *mut MeshNode, id: *const c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        judge(node, text!(id), Node::unblock)?;
    }
}

/// Eight words, separated by spaces, that the person and that of the node `peer_id` compare by voice: the same on both
/// sides only if each has the other's true key. `words` has `words_size` bytes; `MESHCHAT_SAFETY_WORDS_SIZE` is enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_safety_words(
    node: *const MeshNode,
    peer_id: *const c_char,
    words: *mut c_char,
    words_size: usize,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let peer_id = node_id(text!(peer_id), "peer_id")?;
        let words = out_text!(words, words_size);
        words.set(node.node.safety_words(peer_id).join(" ").as_bytes())?;
    }
}

/// This node as a contact to be passed on: a line of text, into a buffer of `MESHCHAT_CONTACT_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_contact(node: *const MeshNode, contact: *mut c_char) -> i32 {
    guard! {
        let node = borrow!(node);
        let contact = out_text!(contact, MESHCHAT_CONTACT_TEXT_SIZE);
        contact.set(node.node.contact().to_string().as_bytes())?;
    }
}

/// Whether a text is a contact that came unchanged; `MESHCHAT_INVALID_ARGUMENT` when not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_contact_check(contact: *const c_char) -> i32 {
    guard! {
        text!(contact).parse::<Contact>().map_err(meshcore::Error::from)?;
    }
}

/// Keeps a contact, which need not have been seen yet: messages to it wait until it is in reach. It is no more trusted than
/// a node that was seen. Its NODE_ID goes into `id`, a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes. `MESHCHAT_INVALID_ARGUMENT`
/// when the text is no contact or was changed on its way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_import_contact(
    node: *mut MeshNode,
    contact: *const c_char,
    id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let contact: Contact = text!(contact).parse().map_err(meshcore::Error::from)?;
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(node.node.import_contact(&contact).wait()?.id.to_string().as_bytes())?;
    }
}

/// `meshchat_node_send` to somebody whom the person calls `name`, as in a conversation that was opened by a nickname. When
/// another key uses that nickname by now, and `to` is not verified, nothing is sent: `MESHCHAT_AMBIGUOUS_NODE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_send_named(
    node: *mut MeshNode,
    to: *const c_char,
    name: *const c_char,
    text: *const c_char,
    text_len: usize,
    message_id: *mut c_char,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let name = text!(name);
        let text = crate::pointer::utf8(bytes!(text, text_len), "text")?;
        let message_id = out_text!(message_id, MESHCHAT_MESSAGE_ID_TEXT_SIZE);
        message_id.set(node.node.send_named(to, name, text).wait()?.to_string().as_bytes())?;
    }
}

/// How far a node of the list is trusted: one of MESHCHAT_TRUST_...
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_trust(
    list: *const NodeList,
    index: usize,
    trust: *mut i32,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let trust = out!(trust);
        trust.set(list.info(index)?.trust.code().into());
    }
}

/// Whether the person keeps a node of the list as a contact: has written to it, has imported, verified or blocked it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_is_contact(
    list: *const NodeList,
    index: usize,
    is_contact: *mut bool,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let is_contact = out!(is_contact);
        is_contact.set(list.info(index)?.is_contact);
    }
}

/// A node of the list as a contact to be passed on, into a buffer of `MESHCHAT_CONTACT_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_list_contact(
    list: *const NodeList,
    index: usize,
    contact: *mut c_char,
) -> i32 {
    guard! {
        let list = borrow!(list);
        let contact = out_text!(contact, MESHCHAT_CONTACT_TEXT_SIZE);
        contact.set(list.info(index)?.contact().to_string().as_bytes())?;
    }
}
