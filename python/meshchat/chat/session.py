"""The language of the chat: what a typed line means, and what is shown when something happens. No input or output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from ..events import (
    Broadcast,
    Event,
    Message,
    NodeFound,
    NodeInfo,
    NodeLost,
    RouteChanged,
    Status,
    StatusChanged,
    Trust,
    Warning,
)
from ..files import FileDone, FileFailed, FileOffered, FileProgress
from ..insecure import (
    InsecureDelivered,
    InsecureEvent,
    InsecureFailed,
    InsecureMessage,
    InsecureNode,
    InsecureNodeFound,
    InsecureNodeLost,
    InsecureStreamClosed,
    InsecureStreamData,
    InsecureStreamOpened,
)
from ..rooms import RoomChange, RoomChanged, RoomInfo
from .files import Files
from .insecure import NEW_INSECURE, InsecurePeer, Streams, describe, means_v1, message_key
from .past import NO_CONTACTS
from .rooms import Rooms
from .safe import safe

NEW = "================= NEW ================="
END = "================= END ================="
WARNING = "=============== WARNING ==============="
NO_CONVERSATION = "! no conversation is open: start one with @<name or id> text"
NO_NODES = "* no node has been found yet"
HELP = """\
@<name or id> text   start a conversation with a node (the text may be left out)
text                 send a line to the partner of the open conversation
/all text            say something to every node in reach (signed, but everybody can read it)
/send FILE           offer a file to the partner of the open conversation
/accept [NUMBER]     take a file that is offered
/refuse [NUMBER]     refuse a file, or give up one that is on its way
/files               list the files that are sent and offered
/room [NAME]         open a room, or make it, to write to all who are in it; without a name: list the rooms
/invite <node>       invite a node to the open room, which you have made; /remove takes it out
/join ROOM           accept the invitation to a room
/leave [ROOM]        leave the open room, or another one; or decline an invitation
/connect v1:<addr>   open a stream to a node that speaks only AlexMesh v1 (insecure; needs --v1)
/nodes               list the nodes that are known
/history [N] [words] show the last messages of the conversation, or of all, that hold these words
/contacts            list the nodes that you have written to, imported, verified or blocked
/contacts export F   write them into the new file F; "qr" in place of F shows you yourself as a contact
/contacts import F   keep the contacts in the file F, or one that is given as text
/verify [node]       show the words that you and the other one compare; "yes" behind the node: they are the same
/block <node>        hear nothing of a node any more, and tell it nothing; /unblock takes it back
/bye                 end the conversation
/exit                end the chat
/help                show this text"""

# Digits of an id that a hint shows at the least, so that it stays unique when more nodes come.
_PREFIX_DIGITS = 8

# Senders that are remembered as hinted at: insecure ones can be made up.
_MAX_HINTED = 1024

# Messages whose number is remembered: many are never read, as far as one is told.
_MAX_NUMBERED = 4096

# What is shown of each copy of a message to a room.
_TOLD_IN_ROOMS = ("delivered", "expired")

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
class Connect:
    """Open a stream to the v1 node with this address."""

    address: str


@dataclass(frozen=True)
class Shout:
    """Say `text` to every node in reach."""

    text: str


@dataclass(frozen=True)
class SendFile:
    """Offer the file with this path to the open conversation's partner."""

    path: str


@dataclass(frozen=True)
class Decide:
    """Accept or refuse the file with this number, or the only one that is offered."""

    accept: bool
    number: int | None


@dataclass(frozen=True)
class Enter:
    """Open the room with this name or id, or make it."""

    name: str


@dataclass(frozen=True)
class Attend:
    """``join`` or ``leave`` a room; `room` is empty for the one that is open."""

    name: str
    room: str


@dataclass(frozen=True)
class Admit:
    """``invite`` a node to the open room, or ``remove`` it."""

    name: str
    query: str


@dataclass(frozen=True)
class Order:
    """``nodes``, ``files``, ``rooms``, ``bye``, ``exit`` or ``help``."""

    name: str


@dataclass(frozen=True)
class Past:
    """Show messages: what follows ``/history``."""

    words: str


@dataclass(frozen=True)
class Judge:
    """``verify``, ``block`` or ``unblock`` a node; `query` is empty for the partner, `answer` what stands behind it."""

    name: str
    query: str
    answer: str


@dataclass(frozen=True)
class Contacts:
    """``list``, ``export`` or ``import``, and what stands behind it."""

    action: str
    argument: str


@dataclass(frozen=True)
class Wrong:
    """A line that makes no sense; `text` is what to show."""

    text: str


Command = Union[
    Open, Say, Connect, Shout, SendFile, Decide, Enter, Attend, Admit, Past, Judge, Contacts, Order, Wrong
]


def parse(line: str) -> Command | None:
    """What a typed line means; None for an empty one. White space at its end means nothing."""
    line = line.rstrip(" \t\r")
    if not line:
        return None
    # A pasted line may hold others.
    word, _, rest = line.replace("\t", " ").replace("\n", " ").partition(" ")
    if line.startswith("@"):
        text = line[len(line) - len(rest) :].lstrip(" \t\n")
        return Open(word[1:], text) if word[1:] else Wrong("! name somebody: @<name or id> text")
    if line.startswith("/"):
        if word in ("/nodes", "/files", "/bye", "/exit", "/help"):
            return Order(word[1:])
        if word == "/send":
            # A name may end with what looks like white space here, but hardly begins with it.
            path = line[len(word) :].lstrip(" \t")
            return SendFile(path) if path else Wrong("! name a file: /send FILE")
        if word in ("/accept", "/refuse"):
            return _decide(word, rest.strip())
        if word == "/room":
            return Enter(rest.strip()) if rest.strip() else Order("rooms")
        if word == "/leave":
            return Attend("leave", rest.strip())
        if word == "/join":
            return Attend("join", rest.strip()) if rest.strip() else Wrong("! name a room: /join ROOM")
        if word in ("/invite", "/remove"):
            return Admit(word[1:], rest.strip()) if rest.strip() else Wrong(f"! name a node: {word} <name or id>")
        if word == "/connect":
            return Connect(rest.strip()) if rest.strip() else Wrong("! name a node: /connect v1:<address>")
        if word == "/history":
            return Past(line[len(line) - len(rest) :])
        if word in ("/verify", "/block", "/unblock"):
            return _judge(word[1:], rest.strip())
        if word == "/contacts":
            return _contacts(line[len(line) - len(rest) :].strip(" \t"))
        if word == "/all":
            return Shout(rest.strip(" \t")) if rest.strip(" \t") else Wrong("! say something: /all text")
        return Wrong(f"! unknown command {safe(word)}; /help lists them")
    return Say(line)


def _decide(word: str, number: str) -> Command:
    if number and not (number.isascii() and number.isdigit() and len(number) < 10):
        return Wrong(f"! name a file by its number: {word} NUMBER; /files shows the numbers")
    return Decide(word == "/accept", int(number) if number else None)


def _judge(name: str, rest: str) -> Command:
    query, _, answer = rest.partition(" ")
    answer = answer.strip()
    if not query and name != "verify":
        return Wrong(f"! name a node: /{name} <name or id>")
    if answer not in ("", "yes", "no") or (answer and name != "verify"):
        return Wrong(f"! too many words: /{name} <name or id>{' yes' if name == 'verify' else ''}")
    return Judge(name, query, answer)


def _contacts(rest: str) -> Command:
    action, _, argument = rest.replace("\t", " ").partition(" ")
    argument = rest[len(rest) - len(argument) :].strip(" \t")
    if not action:
        return Contacts("list", "")
    if action not in ("export", "import"):
        return Wrong("! unknown action; /contacts, /contacts export FILE or qr, /contacts import FILE or TEXT")
    return Contacts(action, argument) if argument else Wrong(f"! name a file: /contacts {action} FILE")


def is_loud(event: Event) -> bool:
    """Whether nobody must overlook it."""
    return isinstance(event, Warning) and event.kind == "nickname-taken"


class Session:
    """What the chat knows. Methods take what happened and return the text to show."""

    def __init__(self) -> None:
        self.partner: NodeInfo | InsecurePeer | RoomInfo | None = None
        self.partner_query = ""
        """What the person calls the partner."""
        self.streams = Streams()
        self.files = Files(self.name)
        self.rooms = Rooms(self.name)
        self.shows_progress = False
        """Something else than lines shows how files come along."""
        self._nodes: dict[str, NodeInfo] = {}
        self._hinted: set[str] = set()
        self._count = 0
        self._numbers: dict[str, int] = {}
        self._to_rooms: set[str] = set()
        self._waiting = 0
        self._early: list[tuple[str, str, bool, str | None]] = []

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
        # What looks like the address of a v1 node is taken for one.
        return not means_v1(name) and not any(
            other.nickname == name
            or other.id.startswith(digits)
            or (len(digits) >= _SUFFIX_DIGITS and other.id.endswith(digits))
            for other in self._nodes.values()
            if other.id != node_id
        )

    def list_nodes(self, nodes: list[NodeInfo], insecure: list[InsecureNode]) -> str:
        self.learn(nodes)
        rows = [f"{node.id}  {safe(node.name)}  {self._presence(node)}" for node in nodes]
        rows += [f"{node.address}  insecure  here" for node in insecure]
        return "\n".join(rows) or NO_NODES

    def _presence(self, node: NodeInfo) -> str:
        trust = "" if node.trust is Trust.SEEN else f", {node.trust}"
        if not node.present:
            return f"away{trust}"
        if node.route is None or node.route.hops == 1:
            return f"here{trust}"
        return f"here, {node.route.hops} hops through {self.name(node.route.next_hop)}{trust}"

    def list_contacts(self, nodes: list[NodeInfo]) -> str:
        self.learn(nodes)
        rows = [f"{node.id}  {safe(node.name)}  {node.trust}" for node in nodes if node.is_contact]
        return "\n".join(rows) or NO_CONTACTS

    def show_words(self, node: NodeInfo, words: list[str]) -> str:
        """The words to compare with a node's person, and how."""
        self.learn([node])
        name = safe(node.name)
        return (
            f"* safety words of you and {name} {node.id}: {' '.join(words)}\n"
            f"* {name} sees the same words with /verify: read them to each other, by voice or face to face. "
            f"If they are the same, type /verify {self.unique_name(node.id)} yes"
        )

    def judged(self, name: str, answer: str, node: NodeInfo) -> str:
        """What the person has said of a node."""
        self.learn([node])
        said = {
            ("verify", "yes"): "is verified",
            ("verify", "no"): "is not verified",
            ("block", ""): "is blocked",
            ("unblock", ""): "is not blocked",
        }[name, answer]
        return f"* {safe(node.name)} {node.id} {said}"

    # -- conversation -------------------------------------------------------------------------------------------

    def open(self, node: NodeInfo | InsecurePeer | RoomInfo, query: str | None = None) -> str | None:
        """A conversation with `node`, whom the person calls `query`; None when it is the one that is open already."""
        if isinstance(node, NodeInfo):
            self.learn([node])
        if isinstance(node, RoomInfo):
            self.rooms.learn([node])
        self.partner_query = query or node.id
        if self._is_partner(node.id):
            return None
        self.partner = node
        self._hinted.clear()
        return NEW_INSECURE if isinstance(node, InsecurePeer) else NEW

    def _is_partner(self, node_id: str) -> bool:
        return self.partner is not None and self.partner.id == node_id

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
        self._number(message)
        return self._answered(f"You: {safe(text)}", f"* [{self._count}] queued")

    def accepted_in_room(self, message: str, room: str, text: str) -> str:
        self._number(message)
        self._to_rooms.add(message)
        return self._answered(f"[{self.rooms.name(room)}] You: {safe(text)}", f"* [{self._count}] queued")

    def shouted(self, text: str) -> str:
        return f"You to all: {safe(text)}"

    def accepted_insecure(self, message: int, text: str) -> str:
        self._number(message_key(message))
        return self._answered(f"You (insecure): {safe(text)}", f"* [{self._count}] sent (insecure)")

    def written(self, text: str) -> str:
        """A text went out on an insecure stream, which tells nothing of its fate."""
        return self._answered(f"You (insecure): {safe(text)}")

    def refused(self, error: Exception) -> str:
        return self._answered(f"! {safe(str(error))}")

    def _number(self, message: str) -> None:
        self._count += 1
        self._numbers[message] = self._count
        if len(self._numbers) > _MAX_NUMBERED:
            oldest = next(iter(self._numbers))
            del self._numbers[oldest]
            self._to_rooms.discard(oldest)

    def _answered(self, *lines: str) -> str:
        self._waiting -= 1
        # The answers of several sends come together: a later one's status may be known before its turn to be shown.
        early, self._early = self._early, []
        return "\n".join([*lines, *filter(None, (self._status(*status) for status in early))])

    def _status(self, message: str, status: str, is_last: bool, to: str | None = None) -> str | None:
        number = self._numbers.get(message)
        if number is None and self._waiting:
            self._early.append((message, status, is_last, to))
            return None
        if to is not None and message in self._to_rooms:
            # Of each member one hears once.
            return f"* [{number}] {status} to {self.name(to)}" if status in _TOLD_IN_ROOMS else None
        if is_last:
            self._numbers.pop(message, None)
        return f"* [{message[:8] if number is None else number}] {status}"

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
            # That it is queued was shown.
            known = event.status is Status.QUEUED
            is_last = event.status is Status.READ
            return None if known else self._status(event.id, str(event.status), is_last, event.to)
        if isinstance(event, RoomChanged):
            return self._room_changed(event)
        if isinstance(event, Message) and event.room is not None:
            line = f"[{self.rooms.name(event.room)}] {self.name(event.sender)}: {safe(event.text)}"
            return self._said_in_room(event.room, line)
        if isinstance(event, Message):
            return self._said(event.sender, f"{self.name(event.sender)}: {safe(event.text)}")
        if isinstance(event, Warning):
            banner = f"{WARNING}\n" if is_loud(event) else ""
            return f"{banner}! {safe(event.text)}"
        if isinstance(event, (FileOffered, FileProgress, FileDone, FileFailed)):
            return self.files.event(event, lines=not self.shows_progress)
        return self._insecure(event)

    def _insecure(self, event: InsecureEvent) -> str | None:
        if isinstance(event, (InsecureDelivered, InsecureFailed)):
            return self._status(message_key(event.id), describe(event), True)
        if isinstance(event, InsecureMessage):
            return self._said(event.sender, describe(event))
        if isinstance(event, InsecureStreamData):
            return self._said(event.peer, describe(event))
        if isinstance(event, InsecureStreamOpened):
            return self._opened(event)
        if isinstance(event, InsecureStreamClosed):
            return self._closed(event)
        return f"* {describe(event)}"

    def _opened(self, event: InsecureStreamOpened) -> str:
        line = f"* {describe(event)}"
        self.streams.add(event.peer, event.stream)
        if self.partner is not None:
            # Nobody else decides to whom the user's next line goes.
            return self._said(event.peer, line) if event.by_peer else line
        return "\n".join(filter(None, [line, self.open(InsecurePeer(event.peer)) if event.by_peer else None]))

    def _closed(self, event: InsecureStreamClosed) -> str:
        line = f"* {describe(event)}"
        ends = self.streams.remove(event.peer, event.stream) and self._is_partner(event.peer)
        return f"{line}\n{self.close()}" if ends else line

    def _room_changed(self, event: RoomChanged) -> str:
        line = self.rooms.changed(event)
        is_over = event.change is RoomChange.CLOSED or (
            event.change is RoomChange.REMOVED and event.node == self.rooms.own
        )
        return f"{line}\n{self.close()}" if is_over and self._is_partner(event.room) else line

    def _said(self, sender: str, line: str) -> str:
        """The line of somebody, and how to answer when that is not known."""
        if not self._is_new(sender):
            return line
        name = sender if means_v1(sender) else self.unique_name(sender)
        return f"{line}\n* answer with @{name} text"

    def _said_in_room(self, room: str, line: str) -> str:
        return f"{line}\n* /room {self.rooms.name(room)} opens the room" if self._is_new(room) else line

    def _is_new(self, sender: str) -> bool:
        """Whether the way to answer was not shown in this conversation."""
        if self._is_partner(sender) or sender in self._hinted:
            return False
        if len(self._hinted) == _MAX_HINTED:
            self._hinted.clear()
        self._hinted.add(sender)
        return True
