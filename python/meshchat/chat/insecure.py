"""The insecure part of the chat: conversations with programs that speak only AlexMesh v1. Every line of it is marked."""

from __future__ import annotations

from dataclasses import dataclass

from ..insecure import (
    InsecureDelivered,
    InsecureEvent,
    InsecureFailed,
    InsecureMessage,
    InsecureNodeFound,
    InsecureNodeLost,
    InsecureStreamClosed,
    InsecureStreamOpened,
)
from .safe import safe

NEW_INSECURE = "============ NEW: INSECURE ============"
NOT_ASKED_FOR = "! AlexMesh v1 was not asked for: start the chat with --v1 IFACE"

_PREFIX = "v1:"


def means_v1(query: str) -> bool:
    """Whether what was typed after @ is meant as the address of a v1 node. No nickname is typed like that."""
    return query[: len(_PREFIX)].lower() == _PREFIX


@dataclass(frozen=True)
class InsecurePeer:
    """The partner of an insecure conversation."""

    id: str
    """Its address."""

    @property
    def name(self) -> str:
        return f"insecure {self.id}"


def message_key(message: int) -> str:
    """What names a v1 message among all messages of this node."""
    return f"{_PREFIX}{message}"


def describe(event: InsecureEvent) -> str:
    """The event in words, marked and safe to show."""
    if isinstance(event, InsecureNodeFound):
        return f"found insecure {event.node} (AlexMesh v1: anybody can read and forge)"
    if isinstance(event, InsecureNodeLost):
        return f"lost insecure {event.node}"
    if isinstance(event, InsecureMessage):
        return f"insecure {event.sender}{' to all' if event.to_all else ''}: {safe(event.text)}"
    if isinstance(event, InsecureDelivered):
        return "delivered (insecure)"
    if isinstance(event, InsecureFailed):
        return "failed (insecure)"
    if isinstance(event, InsecureStreamOpened):
        return f"insecure {event.peer} {'opened a stream' if event.by_peer else 'answers: the stream is open'}"
    if isinstance(event, InsecureStreamClosed):
        return f"the stream with insecure {event.peer} has ended: {event.text}"
    # A line ends with what some programs end it with.
    text = event.data.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    return f"insecure {event.peer}: {safe(text)}"


class Streams:
    """The stream of each v1 node with which there is one: the newest, open or being opened."""

    def __init__(self) -> None:
        self._streams: dict[str, int] = {}

    def add(self, peer: str, stream: int) -> None:
        self._streams[peer] = stream

    def of(self, peer: str) -> int | None:
        return self._streams.get(peer)

    def remove(self, peer: str, stream: int) -> bool:
        """Whether it was the stream of this node."""
        if self._streams.get(peer) != stream:
            return False
        del self._streams[peer]
        return True
