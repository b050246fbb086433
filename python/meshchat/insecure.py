"""AlexMesh v1: what programs tell that speak nothing newer. Insecure, all of it.

Anybody on the segment can read everything and say anything in any name. Nothing is kept on disk, nothing is sent twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from . import _core

if TYPE_CHECKING:
    from ._core import _RawInsecureEvent


def insecure_address(text: str) -> str:
    """The address of a v1 node as events tell it, ``v1:02:00:5e:10:00:01``, from any way to write it.

    :class:`ArgumentError` when it is none.
    """
    return _core.insecure_address(text)


@dataclass(frozen=True)
class InsecureNode:
    """A node that speaks AlexMesh v1."""

    address: str
    """``v1:`` and its MAC address, which anybody can use."""
    direct: bool
    """Whether it is heard itself, not only through other nodes of v1."""


@dataclass(frozen=True)
class InsecureNodeFound:
    """A v1 node was heard."""

    node: str
    """Its address."""


@dataclass(frozen=True)
class InsecureNodeLost:
    """A v1 node was silent for 17.5 s, newer ones took its place, or the interface went down."""

    node: str
    """Its address."""


@dataclass(frozen=True)
class InsecureMessage:
    """A message, perhaps of a node that was never found: v1 has programs that only send."""

    sender: str
    """Address of who claims to have sent it."""
    text: str
    """What it says. It may hold any character: make it safe before you print it."""
    to_all: bool
    """Whether it went to everyone."""


@dataclass(frozen=True)
class InsecureDelivered:
    """Somebody acknowledged a message in the name of its recipient."""

    id: int
    """The message, as Node.send_insecure() numbered it."""
    to: str
    """Address of its recipient."""


@dataclass(frozen=True)
class InsecureFailed:
    """No acknowledgement came within 5 s. The message may have arrived nevertheless; it is not sent again."""

    id: int
    """The message, as Node.send_insecure() numbered it."""
    to: str
    """Address of its recipient."""


@dataclass(frozen=True)
class InsecureStreamOpened:
    """A stream is open."""

    stream: int
    peer: str
    """Address of who claims to be its other end."""
    by_peer: bool
    """Whether the peer opened it."""


@dataclass(frozen=True)
class InsecureStreamData:
    """Data of a stream, in the order of arrival. What was lost is missing without notice."""

    stream: int
    peer: str
    data: bytes
    """Never empty; zero bytes at the end of a frame do not arrive."""


@dataclass(frozen=True)
class InsecureStreamClosed:
    """A stream has ended. One that could not be opened ends without having been open."""

    stream: int
    peer: str
    reason: str
    """``here``, ``peer``, ``no-answer``, ``idle``, ``replaced``, ``link-down`` or ``other``."""
    text: str
    """The reason in words."""


InsecureEvent = Union[
    InsecureNodeFound,
    InsecureNodeLost,
    InsecureMessage,
    InsecureDelivered,
    InsecureFailed,
    InsecureStreamOpened,
    InsecureStreamData,
    InsecureStreamClosed,
]


def insecure_event_of(raw: _RawInsecureEvent) -> InsecureEvent:
    """The event that the binding gave as a tagged tuple."""
    if raw[0] == "v1-found":
        return InsecureNodeFound(raw[1])
    if raw[0] == "v1-lost":
        return InsecureNodeLost(raw[1])
    if raw[0] == "v1-message":
        return InsecureMessage(*raw[1])
    if raw[0] == "v1-delivered":
        return InsecureDelivered(*raw[1])
    if raw[0] == "v1-failed":
        return InsecureFailed(*raw[1])
    if raw[0] == "v1-opened":
        return InsecureStreamOpened(*raw[1])
    if raw[0] == "v1-data":
        return InsecureStreamData(*raw[1])
    return InsecureStreamClosed(*raw[1])
