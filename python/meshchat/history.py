"""The messages of a home, and contacts: what a person wants to find again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Union

from . import _core, _jobs
from .errors import ArgumentError
from .events import NodeInfo, Status
from .identity import StrPath
from .rooms import RoomInfo, room_info

if TYPE_CHECKING:
    from ._core import _RawEntry, _RawPage, _RawQuery

Time = Union[float, datetime]
"""A moment: seconds since 1970, or a datetime (without a time zone: local time)."""

MAX_LIMIT = 1000
"""Most messages that one page can hold."""


@dataclass(frozen=True)
class HistoryEntry:
    """A message of the history."""

    position: int
    """Place in the order in which the node got to know of its messages; for `before` and `after`."""
    is_own: bool
    """Whether this node wrote it."""
    peer: str
    """NODE_ID of the other node: recipient or sender. Of a message of this node's to a room, one of its recipients."""
    nickname: str | None
    """Its nickname, if it is known."""
    id: str
    """The message's id."""
    text: str
    """What it says. It may hold any character: make it safe before you print it."""
    sent_at: float
    """When it was written, by the clock of who wrote it, in seconds since 1970."""
    received_at: float | None
    """When it arrived here; None for a message of this node's own."""
    status: Status | None
    """How far a message of this node's own has come; in a room, at the member that it has come least far to."""
    room: str | None = None
    """Id of the room that it was written to; None: to one node alone."""

    @property
    def time(self) -> float:
        """When it was written here, or arrived here."""
        return self.sent_at if self.received_at is None else self.received_at

    @property
    def name(self) -> str:
        """The other node's nickname, or the last five digits of its id."""
        return self.nickname or self.peer[-5:]


@dataclass(frozen=True)
class HistoryPage:
    """Some messages, the newest last."""

    entries: list[HistoryEntry]
    more: bool
    """Whether there are more that fit: newer ones when `after` was given, else older ones."""


@dataclass(frozen=True)
class Contact:
    """A node as somebody recommends it; ``str()`` gives the line of text."""

    id: str
    """NODE_ID, 64 hexadecimal digits."""
    nickname: str | None
    """The name that it gave itself then."""

    @staticmethod
    def parse(text: str) -> Contact:
        """The contact that a line of text holds; :class:`ArgumentError` when it holds none, or was changed on its way."""
        return Contact(*_core.parse_contact(text))

    @staticmethod
    def of(node: NodeInfo) -> Contact:
        """A known node as a contact."""
        return Contact(node.id, node.nickname)

    def __str__(self) -> str:
        return _core.contact_text(self.id, self.nickname)


class History:
    """The messages of a home (None: the default home), whether a node runs there or not. Calls block; they are short."""

    def __init__(self, home: StrPath | None = None) -> None:
        self._home = home

    def page(
        self,
        *,
        with_: str | None = None,
        room: str | None = None,
        search: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
    ) -> HistoryPage:
        """As :meth:`Node.history`."""
        node, place = with_ and self.resolve(with_), room and self.resolve_room(room)
        query = raw_query(node, place, search, since, until, limit, before, after)
        return page_of(_jobs.wait(_core.read_history(self._home, query)))

    def entries(
        self,
        *,
        with_: str | None = None,
        room: str | None = None,
        search: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> Iterator[HistoryEntry]:
        """All messages that fit, from the oldest on; a page at a time is in memory."""
        with_, room = with_ and self.resolve(with_), room and self.resolve_room(room)
        after, more = 0, True
        while more:
            page = self.page(
                with_=with_, room=room, search=search, since=since, until=until, limit=MAX_LIMIT, after=after
            )
            yield from page.entries
            more = page.more
            after = page.entries[-1].position if page.entries else after

    def nickname(self, id: str) -> str | None:
        """The nickname of the node `id`, this home's own among them, if it is known here."""
        return _jobs.wait(_core.nickname_in_history(self._home, id))

    def resolve(self, name: str) -> str:
        """The full id that `name` means: a full id, its beginning, its last five or more digits, or a nickname."""
        return name if len(name) == 64 else _jobs.wait(_core.resolve_in_history(self._home, name))

    def rooms(self) -> list[RoomInfo]:
        """The rooms that the node of this home knows."""
        return [room_info(raw) for raw in _jobs.wait(_core.rooms_in_history(self._home))]

    def resolve_room(self, name: str) -> str:
        """The full id that `name` means: a full id, its first five or more digits, or a name."""
        return name if len(name) == 32 else _jobs.wait(_core.resolve_room_in_history(self._home, name))


def raw_query(
    with_: str | None,
    room: str | None,
    search: str | None,
    since: Time | None,
    until: Time | None,
    limit: int,
    before: int | None,
    after: int | None,
) -> _RawQuery:
    for name, position in (("before", before), ("after", after)):
        if position is not None and not 0 <= position < 1 << 63:
            raise ArgumentError(f"{name} is no position of a message: {position}")
    return (with_, room, search, _millis(since), _millis(until), min(max(limit, 0), MAX_LIMIT + 1), before, after)


def _millis(time: Time | None) -> int | None:
    if time is None:
        return None
    try:
        seconds = time.timestamp() if isinstance(time, datetime) else time
        millis = round(seconds * 1000)
    except (ValueError, OverflowError):
        # Not a number, infinity, or a date that no clock can show.
        raise ArgumentError(f"{time} is no time that can be searched for") from None
    return min(max(0, millis), (1 << 63) - 1)


def page_of(raw: _RawPage) -> HistoryPage:
    entries, more = raw
    return HistoryPage([_entry(entry) for entry in entries], more)


def _entry(raw: _RawEntry) -> HistoryEntry:
    position, is_own, peer, nickname, room, id, text, sent_at, received_at, status = raw
    known = None if status is None else Status(status)
    return HistoryEntry(position, is_own, peer, nickname, id, text, sent_at, received_at, known, room)
