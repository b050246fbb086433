"""Messages of the past, and contacts, as lines to show."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from ..errors import ArgumentError
from ..events import NodeInfo
from ..history import Contact, HistoryEntry
from .safe import safe

NOTHING_FOUND = "* no message was found"
NO_CONTACTS = "* no contacts yet: write to somebody, or import a contact"

#: Messages that /history shows unless it is told otherwise, and that a page has at the most.
DEFAULT_COUNT = 20
_MOST = 1000

#: Longest file of contacts that is read, in bytes.
_MAX_FILE = 1 << 20


def history_line(entry: HistoryEntry, room_name: Callable[[str], str]) -> str:
    """One message, safe to show."""
    time = datetime.fromtimestamp(entry.time).strftime("%Y-%m-%d %H:%M")
    name = safe(entry.name)
    if entry.room is not None:
        room, who = room_name(entry.room), "You" if entry.is_own else name
        status = f" [{entry.status}]" if entry.is_own else ""
        return f"{time}  [{room}] {who}: {safe(entry.text)}{status}"
    if entry.is_own:
        return f"{time}  You to {name}: {safe(entry.text)} [{entry.status}]"
    return f"{time}  {name}: {safe(entry.text)}"


def parse_history(words: str) -> tuple[int, str | None]:
    """What follows /history: how many, and what to search for."""
    first, _, rest = words.replace("\t", " ").strip(" ").partition(" ")
    if not (first.isascii() and first.isdigit()):
        return DEFAULT_COUNT, words.strip(" \t") or None
    count = int(first) if len(first) <= 4 else _MOST + 1
    return min(count, _MOST + 1), rest.strip(" ") or None


def write_private(path: Path, lines: Iterable[str]) -> int:
    """Writes a new file of mode 0600, whole or not at all; how many lines. One that exists is not overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    count = 0
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for count, line in enumerate(lines, 1):
                file.write(f"{line}\n")
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            # Whoever only writes does not know where to.
            error.filename = str(path)
        raise
    return count


def read_contacts(path: Path) -> list[Contact]:
    """The contacts in a file, one a line; empty lines and those that begin with # mean nothing. All of them or none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArgumentError(f"{path}: not a file")
    with open(descriptor, "rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise ArgumentError(f"{path}: longer than 1 MiB; that is no list of contacts")
    contacts = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            contacts.append(Contact.parse(line))
        except ArgumentError as error:
            raise ArgumentError(f"{path}, line {number}: {error}") from None
    return contacts


def exported(nodes: Sequence[NodeInfo]) -> list[str]:
    """The contacts among `nodes` that are worth passing on."""
    return [str(Contact.of(node)) for node in nodes if node.is_contact and str(node.trust) != "blocked"]


def qr_lines(text: str) -> str:
    """A QR code for a terminal, of half blocks."""
    # Loading it takes time that the rest of the chat need not spend.
    import io

    import segno

    out = io.StringIO()
    segno.make(text, micro=False, error="l", boost_error=False).terminal(out, border=2, compact=True)
    return out.getvalue().rstrip("\n")
