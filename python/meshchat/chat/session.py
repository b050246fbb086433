"""The language of the chat: what a typed line means, and what is shown when something happens. No input or output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from ..events import Broadcast, Event, Message, NodeFound, NodeInfo, NodeLost, RouteChanged, Status, StatusChanged
from .safe import safe

NEW = "================= NEW ================="
END = "================= END ================="
NO_CONVERSATION = "! no conversation is open: start one with @<name or id> text"
NO_NODES = "* no node has been found yet"
HELP = """\
@<name or id> text   start a conversation with a node (the text may be left out)
text                 send a line to the partner of the open conversation
/nodes               list the nodes that are known
/bye                 end the conversation
/exit                end the chat
/help                show this text"""

# Digits of an id that a hint shows at the least, so that it stays unique when more nodes come.
_PREFIX_DIGITS = 8

# Fewest digits of an id's end by which the core finds a node.
_SUFFIX_DIGITS = 5


@dataclass(frozen=True)
class Open:
    """Start a conversation with whom `query` means, and send `text` unless it is empty."""

    query: str
    text: str


@dataclass(frozen=True)
class Say:
    """Send `text` to the open conversation's partner."""

    text: str


@dataclass(frozen=True)
class Order:
    """``nodes``, ``bye``, ``exit`` or ``help``."""

    name: str


@dataclass(frozen=True)
class Wrong:
    """A line that makes no sense; `text` is what to show."""

    text: str


Command = Union[Open, Say, Order, Wrong]


def parse(line: str) -> Command | None:
    """What a typed line means; None for an empty one. White space at its end means nothing."""
    line = line.rstrip(" \t\r")
    if not line:
        return None
    word, _, rest = line.replace("\t", " ").partition(" ")
    if line.startswith("@"):
        text = line[len(line) - len(rest) :].lstrip(" \t")
        return Open(word[1:], text) if word[1:] else Wrong("! name somebody: @<name or id> text")
    if line.startswith("/"):
        if word in ("/nodes", "/bye", "/exit", "/help"):
            return Order(word[1:])
        return Wrong(f"! unknown command {safe(word)}; /help lists them")
    return Say(line)


class Session:
    """What the chat knows. Methods take what happened and return the text to show."""

    def __init__(self) -> None:
        self.partner: NodeInfo | None = None
        self._nodes: dict[str, NodeInfo] = {}
        self._hinted: set[str] = set()
        self._count = 0
        self._numbers: dict[str, int] = {}
        self._waiting = 0
        self._early: list[StatusChanged] = []

    # -- nodes --------------------------------------------------------------------------------------------------

    def learn(self, nodes: Iterable[NodeInfo]) -> None:
        """Takes note of nodes."""
        self._nodes.update((node.id, node) for node in nodes)

    def knows(self, node_id: str) -> bool:
        return node_id in self._nodes

    def name(self, node_id: str) -> str:
        """The nickname of a node, or the last five digits of its id."""
        node = self._nodes.get(node_id)
        return safe(node.name) if node else node_id[-5:]

    def unique_name(self, node_id: str) -> str:
        """What to type after @ for this node and no other: the name that is shown, or the beginning of its id."""
        node = self._nodes.get(node_id)
        if node is None:
            # Only a full id is found without being known.
            return node_id
        beginnings = (node_id[:length] for length in range(_PREFIX_DIGITS, len(node_id)))
        return next((name for name in (safe(node.name), *beginnings) if self._is_unique(name, node_id)), node_id)

    def _is_unique(self, name: str, node_id: str) -> bool:
        """Whether the core finds no other node by this name."""
        digits = name.lower()
        return not any(
            other.nickname == name
            or other.id.startswith(digits)
            or (len(digits) >= _SUFFIX_DIGITS and other.id.endswith(digits))
            for other in self._nodes.values()
            if other.id != node_id
        )

    def list_nodes(self, nodes: list[NodeInfo]) -> str:
        self.learn(nodes)
        rows = (f"{node.id}  {safe(node.name)}  {self._presence(node)}" for node in nodes)
        return "\n".join(rows) or NO_NODES

    def _presence(self, node: NodeInfo) -> str:
        if not node.present:
            return "away"
        if node.route is None or node.route.hops == 1:
            return "here"
        return f"here, {node.route.hops} hops through {self.name(node.route.next_hop)}"

    # -- conversation -------------------------------------------------------------------------------------------

    def open(self, node: NodeInfo) -> str | None:
        """A conversation with `node`; None when it is the one that is open already."""
        self.learn([node])
        if self.partner and self.partner.id == node.id:
            return None
        self.partner = node
        self._hinted.clear()
        return NEW

    def close(self) -> str:
        if self.partner is None:
            return NO_CONVERSATION
        self.partner = None
        self._hinted.clear()
        return END

    # -- own messages -------------------------------------------------------------------------------------------

    def sending(self) -> None:
        """A message was handed to the node; accepted() or refused() follows, in the order of the messages."""
        self._waiting += 1

    def accepted(self, message: str, text: str) -> str:
        self._waiting -= 1
        self._count += 1
        self._numbers[message] = self._count
        lines = [f"You: {safe(text)}", f"* [{self._count}] queued"]
        # The answers of several sends come together: a later one's status may be known before its turn to be shown.
        early, self._early = self._early, []
        lines += filter(None, map(self._status, early))
        return "\n".join(lines)

    def refused(self, error: Exception) -> str:
        self._waiting -= 1
        early, self._early = self._early, []
        return "\n".join([f"! {safe(str(error))}", *filter(None, map(self._status, early))])

    def _status(self, event: StatusChanged) -> str | None:
        number = self._numbers.get(event.id)
        if number is None and self._waiting:
            self._early.append(event)
            return None
        if event.status is Status.QUEUED:
            return None
        if event.status is Status.DELIVERED:
            self._numbers.pop(event.id, None)
        return f"* [{event.id[:8] if number is None else number}] {event.status}"

    # -- events -------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> str | None:
        """What to show for an event of the node, if anything."""
        if isinstance(event, NodeFound):
            self.learn([event.node])
            return f"* found {self.name(event.node.id)} {event.node.id}"
        if isinstance(event, NodeLost):
            self.learn([event.node])
            return f"* lost {self.name(event.node.id)} {event.node.id}"
        if isinstance(event, Broadcast):
            return f"{self.name(event.sender)} to all: {safe(event.text)}"
        if isinstance(event, RouteChanged):
            # Whoever talks need not know; /nodes tells the way.
            return None
        if isinstance(event, StatusChanged):
            return self._status(event)
        if isinstance(event, Message):
            return self._message(event)
        return f"! {safe(event.text)}"

    def _message(self, message: Message) -> str:
        line = f"{self.name(message.sender)}: {safe(message.text)}"
        with_partner = self.partner is not None and self.partner.id == message.sender
        if with_partner or message.sender in self._hinted:
            return line
        self._hinted.add(message.sender)
        return f"{line}\n* answer with @{self.unique_name(message.sender)} text"
