"""Files that are sent and received: values without behaviour."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from ._core import _RawFile, _RawFileEvent


class FileState(enum.IntEnum):
    """How far a file has come. What is DONE or more is over."""

    WAITING = 0
    """It was offered, and the recipient has not decided."""
    ACCEPTED = 10
    """The recipient wants it: it is on its way whenever both are in reach of each other."""
    DONE = 20
    """It is whole at the recipient, and verified."""
    REFUSED = 30
    """The recipient does not want it."""
    CANCELLED = 31
    """One of the two gave it up."""
    FAILED = 32
    """It cannot be transferred."""

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def is_over(self) -> bool:
        """Whether nothing follows."""
        return self >= FileState.DONE


@dataclass(frozen=True)
class FileInfo:
    """A file that this node sends or receives."""

    id: str
    """Its id on this node."""
    peer: str
    """NODE_ID of the node at the other end."""
    incoming: bool
    """Whether this node receives it."""
    name: str
    """Its name, without any folder. That of an incoming file is safe to use."""
    size: int
    """Its size in bytes."""
    done: int
    """Bytes that the recipient has."""
    state: FileState
    """How far it is."""
    reason: str | None
    """Why it will not arrive, in words; None when nothing stands against it."""
    path: Path | None
    """Where it lies on this node; of an incoming file, once it has arrived."""
    offered_at: float
    """When it was offered, in seconds since 1970."""


@dataclass(frozen=True)
class FileOffered:
    """A node offers a file, or still does after a restart of this node: Node.accept_file() or refuse_file() decides."""

    file: FileInfo


@dataclass(frozen=True)
class FileProgress:
    """A file has come further: some times a second at the most."""

    file: FileInfo


@dataclass(frozen=True)
class FileDone:
    """A file is whole at its recipient, and verified."""

    file: FileInfo


@dataclass(frozen=True)
class FileFailed:
    """A file will not arrive: its state tells whether it was refused, cancelled or failed, its reason why."""

    file: FileInfo


FileEvent = Union[FileOffered, FileProgress, FileDone, FileFailed]


def file_info(raw: _RawFile) -> FileInfo:
    id, peer, incoming, name, size, done, state, reason, path, offered_at = raw
    return FileInfo(id, peer, incoming, name, size, done, FileState(state), reason, path, offered_at)


def file_event_of(raw: _RawFileEvent) -> FileEvent:
    """The event that the binding gave as a tagged tuple."""
    file = file_info(raw[1])
    if raw[0] == "file-offered":
        return FileOffered(file)
    if raw[0] == "file-progress":
        return FileProgress(file)
    if raw[0] == "file-done":
        return FileDone(file)
    return FileFailed(file)
