"""The part of the chat about rooms: what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..rooms import RoomChange, RoomChanged, RoomInfo, RoomStanding
from .safe import safe

NO_ROOMS = "* no rooms yet: /room NAME makes one"
NO_ROOM = "! no room is open: /room NAME opens one, or makes it"
NO_FILES = "! files go to one node: start a conversation with @<name or id>"

_STANDINGS = {
    RoomStanding.INVITED: "you are invited",
    RoomStanding.JOINING: "you have asked to join",
    RoomStanding.LEFT: "you have left",
    RoomStanding.REMOVED: "you were removed",
    RoomStanding.CLOSED: "closed",
}


class Rooms:
    """What the chat knows of rooms."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.own = ""
        """NODE_ID of this node."""
        self._name = name
        self._names: dict[str, str] = {}

    def learn(self, rooms: Iterable[RoomInfo]) -> None:
        """Takes note of rooms."""
        self._names.update((room.id, room.name) for room in rooms)

    def knows(self, room: str) -> bool:
        return room in self._names

    def name(self, room: str) -> str:
        """The name of a room, or the beginning of its id."""
        return safe(self._names.get(room, room[:8]))

    def rows(self, rooms: list[RoomInfo]) -> str:
        self.learn(rooms)
        return "\n".join(self.row(room) for room in rooms) or NO_ROOMS

    def row(self, room: RoomInfo) -> str:
        """A room, with who belongs to it."""
        return f"{room.id}  {safe(room.name)}  {self._who(room)}"

    def _who(self, room: RoomInfo) -> str:
        standing = _STANDINGS.get(room.standing)
        if room.standing.is_over:
            return standing or ""
        owner = "you" if room.owner == self.own else self._name(room.owner)
        members = ", ".join("you" if node == self.own else self._name(node) for node in room.members)
        invited = ", ".join("you" if node == self.own else self._name(node) for node in room.invited)
        parts = [standing, f"made by {owner}", f"members: {members}", f"invited: {invited}" if invited else None]
        return "; ".join(filter(None, parts))

    def changed(self, event: RoomChanged) -> str:
        """What to show when a room has changed."""
        self._names[event.room] = event.name
        room = self.name(event.room)
        is_own = event.node == self.own
        name = "" if event.node is None else self._name(event.node)
        if event.change is RoomChange.INVITED:
            return f"* you are invited to the room {room}: /join {room} or /leave {room}"
        if event.change is RoomChange.JOINED:
            return f"* you are in the room {room}: /room {room} opens it" if is_own else f"* [{room}] {name} has joined"
        if event.change is RoomChange.REMOVED:
            return f"* you were removed from the room {room}" if is_own else f"* [{room}] {name} was removed"
        if event.change is RoomChange.LEFT:
            return f"* [{room}] {name} has left"
        return f"* the room {room} is closed"
