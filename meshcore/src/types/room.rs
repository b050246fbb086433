//! Rooms, as they are told to people.

use super::{Nickname, NodeId, RoomId};

/// How this node stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum RoomStanding {
    /// It was invited and has not answered.
    Invited = 1,
    /// It has asked to be let in; the owner has not signed that yet.
    Joining = 2,
    /// It reads what the others write, and they read it.
    Member = 3,
    /// It left, or declined.
    Left = 4,
    /// The owner removed it.
    Removed = 5,
    /// The owner left: the room is no more.
    Closed = 6,
}

impl RoomStanding {
    /// The number that stands for it in the C ABI.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Lower-case name, for example `member`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Joining => "joining",
            Self::Member => "member",
            Self::Left => "left",
            Self::Removed => "removed",
            Self::Closed => "closed",
        }
    }
}

/// A room that this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// The room.
    pub id: RoomId,
    /// The name that its owner gave it. Several rooms may have the same.
    pub name: Nickname,
    /// Who made it, and decides who belongs to it.
    pub owner: NodeId,
    /// How this node stands to it.
    pub standing: RoomStanding,
    /// Who belongs to it, the owner included.
    pub members: Vec<NodeId>,
    /// Who was invited and has not joined.
    pub invited: Vec<NodeId>,
    /// Counts what the owner has signed; two members with the same version have the same members.
    pub version: u64,
}

/// What has changed in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomChange {
    /// This node was invited.
    Invited,
    /// A node has joined; this node too is told of itself.
    Joined(NodeId),
    /// A node has left.
    Left(NodeId),
    /// The owner has removed a node, perhaps this one.
    Removed(NodeId),
    /// The owner has left, and nobody is in the room any more.
    Closed,
}

impl RoomChange {
    /// The number that stands for it in the C ABI.
    pub fn code(self) -> u8 {
        match self {
            Self::Invited => 1,
            Self::Joined(_) => 2,
            Self::Left(_) => 3,
            Self::Removed(_) => 4,
            Self::Closed => 5,
        }
    }

    /// Lower-case name, for example `joined`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Joined(_) => "joined",
            Self::Left(_) => "left",
            Self::Removed(_) => "removed",
            Self::Closed => "closed",
        }
    }

    /// Whom it is about, when it is about somebody.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Self::Joined(node) | Self::Left(node) | Self::Removed(node) => Some(node),
            Self::Invited | Self::Closed => None,
        }
    }
}
