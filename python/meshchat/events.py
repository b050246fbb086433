"""What a node tells: values without behaviour, but for Message.confirm()."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from .errors import MeshChatError
from .insecure import InsecureEvent, insecure_event_of

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
    """How far a message has come. Only ever grows; DELIVERED is proven by the recipient."""

    QUEUED = 0
    """Safely on this node's disk."""
    SENT = 10
    """Handed to an encrypted session with the recipient."""
    DELIVERED = 30
    """Safely on the recipient's disk, and acknowledged by the recipient."""

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
    trust: Trust = Trust.SEEN
    """How far the person trusts it."""
    is_contact: bool = False
    """Whether the person keeps it as a contact: has written to it, has imported, verified or blocked it."""

    @property
    def name(self) -> str:
        """The nickname, or the last five digits of the id."""
        return self.nickname or self.id[-5:]


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

    def confirm(self) -> None:
        """Tells that this message and all that arrived before it have been dealt with. Cheap, and idempotent.

        :class:`StoppedError` when the node has stopped: the message then comes again.
        """
        self._confirm()


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
    """``nickname-taken``, ``address-conflict``, ``link``, ``insecure-dropped``, ``storage`` or
    ``other``."""
    text: str


Event = Union[NodeFound, NodeLost, RouteChanged, Message, Broadcast, StatusChanged, Warning, InsecureEvent]


def node_info(raw: _RawInfo) -> NodeInfo:
    node_id, nickname, present, last_seen, route, trust, is_contact = raw
    way = Route(*route) if route else None
    return NodeInfo(node_id, nickname, present, last_seen, way, Trust(trust), is_contact)


def event_of(raw: _RawEvent, confirm: Callable[[Incoming], None]) -> Event:
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
    )
