"""meshchat history: the messages of a home."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chat.past import history_line, write_private
from ..chat.safe import safe
from ..errors import ArgumentError
from ..history import MAX_LIMIT, History, HistoryEntry
from .common import add_home

if TYPE_CHECKING:
    from .common import Subparsers

#: Messages that are shown unless --limit says otherwise.
_DEFAULT_LIMIT = 100

#: Exit code when no message fits.
_NOTHING = 3

_UNITS = {"min": 60, "h": 3600, "d": 86400, "w": 604800}

_DESCRIPTION = "Shows messages from and to this node, the newest last, also while a chat of the same home runs."
_EPILOG = """Times are ISO dates (2026-11-30: the beginning of that day), date-times (2026-11-30T14:00, with Z or +01:00 if
it is not local time), or how long ago (30min, 3h, 2d, 1w). Exit code: 0 when there was something to show, 3 when no message
fits, 1 when something failed, 2 after wrong use."""


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("history", help="show, search or export messages", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--with", dest="with_", metavar="ID", help="only those from and to this node alone: its NODE_ID or nickname")
    parser.add_argument("--room", metavar="ROOM", help="only those to this room: its id or name")
    parser.add_argument(
        "--search", metavar="WORDS", help="only those that hold each of these words, or a word that begins so"
    )
    parser.add_argument("--since", metavar="TIME", type=a_time, help="only those from this time on")
    parser.add_argument("--until", metavar="TIME", type=a_time, help="only those before this time")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=_count,
        default=None,
        help=f"only the newest N; 0: all (default: {_DEFAULT_LIMIT}, with --export all)",
    )
    fields = "position, direction (in, out), peer, nickname, room, id, text, sent_at, received_at (seconds since 1970), status"
    parser.add_argument("--json", action="store_true", help=f"one JSON object a line, with {fields}")
    parser.add_argument(
        "--export",
        metavar="FILE",
        type=Path,
        help="write a new file, readable by nobody else: JSON lines (.jsonl, .json) or text (.txt)",
    )
    add_home(parser)
    parser.set_defaults(run=_run)


def a_time(text: str) -> datetime:
    """Type of an option that is a moment."""
    try:
        if ago := re.fullmatch(r"(\d{1,6})(min|h|d|w)", text):
            return datetime.now() - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        # Python 3.10 does not know the Z.
        return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-11-30, 2026-11-30T14:00, 2d or 3h") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of messages")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    as_json = options.json
    if options.export is not None:
        as_json = _is_json(options.export)
    history = History(options.home)
    entries = _entries(history, options)
    first = next(entries, None)
    if first is None:
        print("no message was found", file=sys.stderr)
        return _NOTHING
    names = {room.id: safe(room.name) for room in history.rooms()}
    room_name = lambda room: names.get(room, room[:8])  # noqa: E731
    entries = chain([first], entries)
    lines = (_json_line(entry) if as_json else history_line(entry, room_name) for entry in entries)
    if options.export is not None:
        count = write_private(options.export, lines)
        print(f"exported {count} messages to {safe(str(options.export))}")
        return 0
    for line in lines:
        print(line)
    return 0


def _entries(history: History, options: argparse.Namespace) -> Iterator[HistoryEntry]:
    wanted: dict[str, Any] = {"search": options.search, "since": options.since, "until": options.until}
    wanted["with_"] = options.with_ and history.resolve(options.with_)
    wanted["room"] = options.room and history.resolve_room(options.room)
    limit = options.limit
    if limit is None:
        limit = 0 if options.export is not None else _DEFAULT_LIMIT
    return history.entries(**wanted) if limit == 0 else iter(_newest(history, limit, wanted))


def _newest(history: History, limit: int, wanted: dict[str, Any]) -> list[HistoryEntry]:
    pages: list[list[HistoryEntry]] = []
    before, rest = None, limit
    while rest > 0:
        page = history.page(**wanted, limit=min(rest, MAX_LIMIT), before=before)
        pages.append(page.entries)
        if not page.more:
            break
        before = page.entries[0].position
        rest -= len(page.entries)
    return [entry for entries in reversed(pages) for entry in entries]


def as_json(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "position": entry.position,
        "direction": "out" if entry.is_own else "in",
        "peer": entry.peer,
        "nickname": entry.nickname,
        "room": entry.room,
        "id": entry.id,
        "text": entry.text,
        "sent_at": entry.sent_at,
        "received_at": entry.received_at,
        "status": None if entry.status is None else str(entry.status),
    }


def _json_line(entry: HistoryEntry) -> str:
    return json.dumps(as_json(entry))


def _is_json(path: Path) -> bool:
    if path.suffix not in (".jsonl", ".json", ".txt"):
        raise ArgumentError(f"{path}: the name of an export ends in .jsonl, .json or .txt")
    return path.suffix != ".txt"
