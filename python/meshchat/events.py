"""What a node tells: values without behaviour, but for Message.confirm() and Message.mark_read()."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from .errors import MeshChatError
from .files import FileEvent, file_event_of
from .insecure import InsecureEvent, insecure_event_of
from .rooms import RoomChanged, room_changed

if TYPE_CHECKING:
    from ._core import Incoming, _RawEvent, _RawInfo


class Trust(enum.Enum):
    """How far a node is trusted."""

    SEEN = "seen"
    """Its key was remembered when it was seen first; nobody has compared safety words."""
    VERIFIED = "verified"
    """The person has compared safety words, and said so."""
    BLOCKED = "blocked"
    """The person wants to hear nothing of it."""

    def __str__(self) -> str:
        return self.value


class Status(enum.IntEnum):
    """How far a message has come. Only ever grows; DELIVERED and READ are proven by the recipient."""

    QUEUED = 0
    """Safely on this node's disk."""
    SENT = 10
    """Handed to an encrypted session with the recipient."""
    STORED = 20
    """Sealed, and safely on the disk of a mailbox, where the recipient will find it."""
    EXPIRED = 25
    """Given up: its lifetime has passed. When it has arrived all the same, its recipient may still prove that."""
    DELIVERED = 30
    """Safely on the recipient's disk, and acknowledged by the recipient."""
    READ = 40
    """Shown to a person, or processed, as the recipient says."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Route:
    """The way that frames to a node take."""

    next_hop: str
    """NODE_ID of the neighbour that is next: the node itself when it is on the same wire."""
    hops: int
    """Links to cross, 1 or more."""
    metric: int
    """Cost of the whole way: 96 for each link that loses nothing, more for a link that loses frames."""
    mtu: int
    """Bytes of payload that a frame can carry all the way."""
    link: str
    """The link to the next hop, for example ``ethernet:eth0``."""


@dataclass(frozen=True)
class NodeInfo:
    """What this node knows of another one."""

    id: str
    """NODE_ID, 64 hexadecimal digits."""
    nickname: str | None
    """The name that it gives itself; nobody vouches for it."""
    present: bool
    """Whether it is in reach now."""
    last_seen: float
    """When it was last heard of, in seconds since 1970; 0 for a contact that was never in reach."""
    route: Route | None = None
    """The way to it while it is in reach."""
    mailbox: bool = False
    """Whether it offers a mailbox for messages to nodes that are away."""
    trust: Trust = Trust.SEEN
    """How far the person trusts it."""
    is_contact: bool = False
    """Whether the person keeps it as a contact: has written to it, has imported, verified or blocked it."""

    @property
    def name(self) -> str:
        """The nickname, or the last five digits of the id."""
        return self.nickname or self.id[-5:]


@dataclass(frozen=True)
class Mailbox:
    """What a node offers as a mailbox."""

    quota: int = 1 << 30
    """Bytes of all messages that are kept."""
    sender_quota: int = 64 << 20
    """Bytes of the messages of one sender."""
    keep: float = 30 * 24 * 3600.0
    """Seconds that a message is kept at most."""


@dataclass(frozen=True)
class TraceHop:
    """One step of the way to a node."""

    hop: int
    """Links crossed so far, from 1."""
    node: str | None
    """NODE_ID of who answered; None when nobody did, or somebody who is not known here."""
    rtt: float | None
    """Seconds from request to answer; None when none came."""


@dataclass(frozen=True)
class LinkStatus:
    """A link that was asked for, and how it went."""

    spec: str
    """The link, for example ``ethernet:eth0``."""
    error: MeshChatError | None
    """Why it could not be opened; None when it is open."""


@dataclass(frozen=True)
class NodeFound:
    """A node came into reach; its identity is verified."""

    node: NodeInfo


@dataclass(frozen=True)
class NodeLost:
    """A node is out of reach. Messages to it wait."""

    node: NodeInfo


@dataclass(frozen=True)
class RouteChanged:
    """Frames to a node in reach take another way than before: its route is the new one."""

    node: NodeInfo


@dataclass(frozen=True)
class Message:
    """A message for this node, safely on its disk. It is handed over again after a restart until it is confirmed."""

    sender: str
    """NODE_ID of who wrote it."""
    id: str
    """Its id, unique together with the sender."""
    text: str
    """What it says. It may hold any character: make it safe before you print it."""
    sent_at: float
    """When it was written, by the sender's clock, in seconds since 1970."""
    received_at: float
    """When it arrived, by this node's clock, in seconds since 1970."""
    _confirm: Callable[[], None] = field(repr=False, compare=False)
    _mark_read: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    room: str | None = None
    """Id of the room that it was written to; None: to this node alone."""

    def confirm(self) -> None:
        """Tells that this message and all that arrived before it have been dealt with. Cheap, and idempotent.

        :class:`StoppedError` when the node has stopped: the message then comes again.
        """
        self._confirm()

    def mark_read(self) -> None:
        """Tells the sender that this message was read, and those before it: their status becomes READ there.

        Without this nobody learns that.
        """
        self._mark_read()


@dataclass(frozen=True)
class Broadcast:
    """A few words of a node for all nodes: signed by it, readable by everybody, not stored."""

    sender: str
    """NODE_ID of who says it."""
    text: str
    """What it says. It may hold any character: make it safe before you print it."""


@dataclass(frozen=True)
class StatusChanged:
    """A message of this node has come further."""

    id: str
    """The message, as Node.send() named it."""
    to: str
    """NODE_ID of its recipient."""
    status: Status


@dataclass(frozen=True)
class Warning:
    """Something went wrong that a person should know of; the node goes on."""

    kind: str
    """``nickname-taken``, ``address-conflict``, ``link``, ``insecure-dropped``, ``storage``, ``mailbox-refused``,
    ``file-waits`` or ``other``. ``nickname-taken`` also tells of a verified node that has taken another nickname."""
    text: str


Event = Union[
    NodeFound,
    NodeLost,
    RouteChanged,
    Message,
    Broadcast,
    StatusChanged,
    RoomChanged,
    Warning,
    FileEvent,
    InsecureEvent,
]


def node_info(raw: _RawInfo) -> NodeInfo:
    node_id, nickname, present, last_seen, route, mailbox, trust, is_contact = raw
    way = Route(*route) if route else None
    return NodeInfo(node_id, nickname, present, last_seen, way, mailbox, Trust(trust), is_contact)


def event_of(
    raw: _RawEvent, confirm: Callable[[Incoming], None], mark_read: Callable[[Incoming], None]
) -> Event:
    """The event that the binding gave as a tagged tuple."""
    if raw[0] == "found":
        return NodeFound(node_info(raw[1]))
    if raw[0] == "lost":
        return NodeLost(node_info(raw[1]))
    if raw[0] == "route":
        return RouteChanged(node_info(raw[1]))
    if raw[0] == "broadcast":
        return Broadcast(*raw[1])
    if raw[0] == "status":
        message, to, code = raw[1]
        return StatusChanged(message, to, Status(code))
    if raw[0] == "warning":
        return Warning(*raw[1])
    if raw[0] == "room":
        return room_changed(raw[1])
    if raw[0] == "file-offered" or raw[0] == "file-progress" or raw[0] == "file-done" or raw[0] == "file-failed":
        return file_event_of(raw)
    if raw[0] != "message":
        return insecure_event_of(raw)
    incoming = raw[1]
    return Message(
        sender=incoming.sender,
        id=incoming.id,
        text=incoming.text,
        sent_at=incoming.sent_at,
        received_at=incoming.received_at,
        _confirm=lambda: confirm(incoming),
        _mark_read=lambda: mark_read(incoming),
        room=incoming.room,
    )
