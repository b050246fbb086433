"""Rooms: values without behaviour."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import _RawRoom, _RawRoomChange


class RoomStanding(enum.Enum):
    """How a node stands to a room."""

    INVITED = "invited"
    """It was invited and has not answered."""
    JOINING = "joining"
    """It has asked to be let in; the owner has not signed that yet."""
    MEMBER = "member"
    """It reads what the others write, and they read it."""
    LEFT = "left"
    """It left, or declined."""
    REMOVED = "removed"
    """The owner removed it."""
    CLOSED = "closed"
    """The owner left: the room is no more."""

    def __str__(self) -> str:
        return self.value

    @property
    def is_over(self) -> bool:
        """Whether the node has nothing to do with the room any more."""
        return self in (RoomStanding.LEFT, RoomStanding.REMOVED, RoomStanding.CLOSED)


@dataclass(frozen=True)
class RoomInfo:
    """A room that a node knows."""

    id: str
    """Its id, 32 hexadecimal digits."""
    name: str
    """The name that its owner gave it. Several rooms may have the same."""
    owner: str
    """NODE_ID of the node that made it, and decides who belongs to it."""
    standing: RoomStanding
    """How this node stands to it."""
    members: tuple[str, ...]
    """NODE_IDs of those who belong to it, the owner included."""
    invited: tuple[str, ...]
    """NODE_IDs of those who were invited and have not joined."""
    version: int
    """Counts what the owner has signed; two members with the same version have the same members."""


class RoomChange(enum.Enum):
    """What has changed in a room."""

    INVITED = "invited"
    """This node was invited."""
    JOINED = "joined"
    """A node has joined, perhaps this one."""
    LEFT = "left"
    """A node has left."""
    REMOVED = "removed"
    """The owner has removed a node, perhaps this one."""
    CLOSED = "closed"
    """The owner has left, and nobody is in the room any more."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class RoomChanged:
    """Who belongs to a room has changed, or what this node has to do with it."""

    room: str
    """Id of the room."""
    name: str
    """Its name."""
    change: RoomChange
    node: str | None
    """NODE_ID of who joined, left or was removed, if somebody was."""


def room_info(raw: _RawRoom) -> RoomInfo:
    id, name, owner, standing, members, invited, version = raw
    return RoomInfo(id, name, owner, RoomStanding(standing), tuple(members), tuple(invited), version)


def room_changed(raw: _RawRoomChange) -> RoomChanged:
    room, name, change, node = raw
    return RoomChanged(room, name, RoomChange(change), node)
