//! What a node tells its application.

use super::InsecureEvent;
pub use crate::message::IncomingMessage;
use crate::message::contact::Contact;
use crate::message::directory::ResolveError;
use crate::message::messenger;
use crate::types::{FileInfo, MessageId, Nickname, NodeId, RoomChange, RoomId, Status, Trust, UnixTime};
use crate::wire::broadcast::MAX_CONTENT;

/// Something that the application may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node came into reach; its identity is verified.
    NodeFound(NodeInfo),
    /// A node is out of reach. Messages to it wait.
    NodeLost(NodeInfo),
    /// Frames to a node in reach take another way than before.
    RouteChanged(NodeInfo),
    /// A message for us, safely on our disk. It is handed over again after a restart until it is confirmed.
    Message(IncomingMessage),
    /// A message of ours has come further.
    Status {
        /// The message.
        id: MessageId,
        /// Its recipient.
        to: NodeId,
        /// How far it has come now.
        status: Status,
    },
    /// Who belongs to a room has changed, or what this node has to do with it.
    Room {
        /// The room.
        room: RoomId,
        /// Its name.
        name: Nickname,
        /// What has changed.
        change: RoomChange,
    },
    /// A few words of a node for all nodes: signed by it, readable by everybody, not stored.
    Broadcast {
        /// Who says it.
        from: NodeId,
        /// What it says.
        text: String,
    },
    /// A node offers a file, or still does after a restart of this node. `Node::accept_file` or `Node::refuse_file` decides.
    FileOffered(FileInfo),
    /// A file has come further: some times a second at the most.
    FileProgress(FileInfo),
    /// A file is whole at its recipient, and verified.
    FileDone(FileInfo),
    /// A file will not arrive: its state tells whether it was refused, cancelled or failed, its reason why.
    FileFailed(FileInfo),
    /// Something went wrong that a person should know of; the node goes on.
    Warning(Warning),
    /// Something happened among the programs that speak AlexMesh v1, if they were asked for. **Insecure.**
    Insecure(InsecureEvent),
}

/// What a node knows of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// NODE_ID.
    pub id: NodeId,
    /// The name it gives itself; nobody vouches for it.
    pub nickname: Option<Nickname>,
    /// Whether it is in reach now.
    pub present: bool,
    /// When it was last heard of; zero for a contact that was never in reach.
    pub last_seen: UnixTime,
    /// Whether it offers a mailbox for messages to nodes that are away.
    pub mailbox: bool,
    /// The way to it while it is in reach.
    pub route: Option<RouteInfo>,
    /// How far the person trusts it.
    pub trust: Trust,
    /// Whether the person keeps it as a contact: has written to it, has imported, verified or blocked it.
    pub is_contact: bool,
}

impl NodeInfo {
    /// The node as a contact to be passed on.
    pub fn contact(&self) -> Contact {
        Contact { id: self.id, nickname: self.nickname.clone() }
    }
}

/// The way that frames to a node take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The neighbour that is next: the node itself when it is on the same wire.
    pub next_hop: NodeId,
    /// Links to cross, 1 or more.
    pub hops: u8,
    /// Cost of the whole way: 96 for each link that loses nothing, more for a link that loses frames.
    pub metric: u16,
    /// Bytes of payload that a frame can carry all the way.
    pub mtu: usize,
    /// The link to the next hop, as it was given, for example `ethernet:eth0`.
    pub link: String,
}

/// Why a broadcast was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// There is nothing to say.
    #[error("the broadcast is empty")]
    Empty,
    /// It does not fit one frame.
    #[error("the broadcast has {0} bytes; at most {MAX_CONTENT} fit")]
    TooLong(usize),
    /// Broadcasts go to everybody, so each node may send few.
    #[error("too many broadcasts: wait a second")]
    TooMany,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The recipient is this node.
    #[error("that is this node itself: choose another recipient")]
    Myself,
    /// No such node was ever seen here.
    #[error("the node {0} was never seen here: it must have been in reach once, or be a contact")]
    UnknownNode(NodeId),
    /// The person has blocked it.
    #[error("{0} is blocked: nothing was sent; unblock it first")]
    Blocked(NodeId),
    /// The name that the person uses for it is another key's nickname, too.
    #[error(transparent)]
    Name(#[from] ResolveError),
    /// The message itself cannot be sent.
    #[error(transparent)]
    Message(#[from] messenger::SendError),
}

fn nickname_taken(nickname: &Nickname, known: NodeId, verified: bool, other: NodeId) -> String {
    let beginning = format!("the nickname '{nickname}' of {known}");
    if verified {
        return format!(
            "{beginning}, whom you have verified, is now also used by {other}: somebody may pose as somebody else. \
             '{nickname}' still means the one whom you have verified"
        );
    }
    format!(
        "{beginning} is now also used by {other}: somebody may pose as somebody else. Nothing more is sent to '{nickname}' \
         until you have compared safety words and verified the right one (/verify), or use its full id"
    )
}

fn renamed(node: NodeId, nickname: Option<&Nickname>, own_name: Option<&Nickname>) -> String {
    let quoted =
        |name: Option<&Nickname>, none: &str| name.map_or(none.to_owned(), |name| format!("'{name}'"));
    let (nickname, own_name) = (quoted(nickname, "its id alone"), quoted(own_name, "nothing"));
    format!(
        "{node}, whom you have verified, was known by {nickname} then, and calls itself {own_name} now: it may pose as \
         somebody else. It is still known by {nickname}; if you trust the new name, verify it once more (/verify)"
    )
}

/// Something that went wrong while the node goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A known nickname came with another key.
    #[error("{}", nickname_taken(nickname, *known, *verified, *other))]
    NicknameTaken {
        /// The name.
        nickname: Nickname,
        /// Who used it first, or is verified.
        known: NodeId,
        /// Whether that one is verified: then the nickname goes on to mean it, else nobody.
        verified: bool,
        /// Who uses it too.
        other: NodeId,
    },
    /// A verified node calls itself otherwise than when it was verified.
    #[error("{}", renamed(*node, nickname.as_ref(), own_name.as_ref()))]
    VerifiedRenamed {
        /// The node.
        node: NodeId,
        /// What it was called when it was verified. It is still called so here.
        nickname: Option<Nickname>,
        /// What it calls itself.
        own_name: Option<Nickname>,
    },
    /// Another node uses this node's key.
    #[error("another running node uses this node's key; end one of them, or give it a home of its own")]
    AddressConflict,
    /// A link stopped working.
    #[error("link {link}: {reason}")]
    Link {
        /// The link as it was given.
        link: String,
        /// What happened and what helps.
        reason: String,
    },
    /// Events of [`Event::Insecure`] came faster than they were taken, and the oldest are gone.
    #[error("{count} insecure events were dropped: they came faster than they could be shown")]
    InsecureDropped {
        /// How many.
        count: u64,
    },
    /// Something could not be written to disk.
    #[error("{0}")]
    Storage(String),
    /// A mailbox does not take messages for nodes that are away. They are kept here, and offered to other mailboxes and
    /// later again.
    #[error("the mailbox {mailbox} does not take messages: {reason}; they are kept here and offered again")]
    MailboxRefused {
        /// The mailbox.
        mailbox: NodeId,
        /// Why.
        reason: &'static str,
    },
    /// A file that is being received cannot be written now; it goes on as soon as it can.
    #[error("the file '{name}' waits: {reason}")]
    FileWaits {
        /// Its name.
        name: String,
        /// What the disk says and what helps.
        reason: String,
    },
}
