"""The files of the chat: their numbers, and what is said of them. No input or output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Union

from ..files import FileDone, FileEvent, FileInfo, FileOffered, FileProgress, FileState
from .safe import safe

NO_FILES = "* no file has been sent or offered yet"
NO_OFFER = "! no file is offered"
SEVERAL_OFFERS = "! several files are offered: name one by its number, as /files shows it"
NO_RECIPIENT = "! files go to the partner of a conversation: start one with @<name or id>"
NO_INSECURE = "! files go to nodes of MeshChat only, not to insecure ones"

_UNITS = ("kB", "MB", "GB", "TB", "PB")

# A file under way is told of when it has passed so many quarters.
_QUARTERS = 4


def size_text(size: int) -> str:
    """A size for people; the last digit is not rounded up."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    power = 1
    while power < len(_UNITS) and size >= 1000 ** (power + 1):
        power += 1
    tenths = size * 10 // 1000**power
    return f"{tenths // 10}.{tenths % 10} {_UNITS[power - 1]}"


def percent(file: FileInfo) -> int:
    return file.done * 100 // file.size if file.size else 100


class Files:
    """What the chat knows of files. They are numbered as they come up."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self._numbers: dict[str, int] = {}
        self._quarters: dict[str, int] = {}
        self.moving: dict[str, FileInfo] = {}
        """Those that are on their way, as they were last."""
        self.on_moved: Callable[[], None] = lambda: None
        """Called when `moving` has changed."""

    def _label(self, file: FileInfo) -> str:
        number = self._numbers.setdefault(file.id, len(self._numbers) + 1)
        return f"[{number}] {safe(file.name)}"

    def event(self, event: FileEvent, *, lines: bool = True) -> str | None:
        """What to show for an event; without `lines`, something else shows how files come along."""
        file = event.file
        if isinstance(event, FileProgress):
            return self._progress(file, lines)
        if self.moving.pop(file.id, None) is not None:
            self.on_moved()
        self._quarters.pop(file.id, None)
        label = self._label(file)
        if isinstance(event, FileOffered):
            number = self._numbers[file.id]
            size, sender = size_text(file.size), self._name(file.peer)
            return f"* {sender} offers {label} ({size}): /accept {number} or /refuse {number}"
        if isinstance(event, FileDone):
            return self._done(file, label)
        return f"* {label}: {safe(file.reason or str(file.state))}"

    def _progress(self, file: FileInfo, lines: bool) -> str | None:
        self.moving[file.id] = file
        self.on_moved()
        quarter = file.done * _QUARTERS // file.size if file.size else 0
        passed = self._quarters.get(file.id)
        self._quarters[file.id] = quarter
        # Where it goes on after a pause is no news.
        if not lines or passed is None or not passed < quarter < _QUARTERS:
            return None
        return f"* {self._label(file)}: {quarter * 100 // _QUARTERS} %"

    def _done(self, file: FileInfo, label: str) -> str:
        if file.incoming:
            return f"* {label} is here, whole and verified: {safe(str(file.path))}"
        return f"* {label} has arrived at {self._name(file.peer)}, whole and verified"

    def offering(self, file: FileInfo) -> str:
        """A file of this node was taken to be sent."""
        return f"* offering {self._label(file)} ({size_text(file.size)}) to {self._name(file.peer)}"

    def accepted(self, file: FileInfo) -> str:
        return f"* accepted {self._label(file)}"

    def rows(self, files: list[FileInfo]) -> str:
        """The lines of /files."""
        return "\n".join(self._row(file) for file in files) or NO_FILES

    def _row(self, file: FileInfo) -> str:
        direction = "from" if file.incoming else "to"
        state = {
            FileState.WAITING: "waiting",
            FileState.ACCEPTED: f"{percent(file)} %",
            FileState.DONE: "done",
        }.get(file.state) or safe(file.reason or str(file.state))
        return f"{self._label(file)}  {size_text(file.size)}  {direction} {self._name(file.peer)}  {state}"

    def chosen(self, files: list[FileInfo], number: int | None) -> Union[FileInfo, str]:
        """The file that is meant, or why there is none; without a number the only one that is offered."""
        if number is None:
            offered = [file for file in files if file.incoming and file.state is FileState.WAITING]
            if len(offered) == 1:
                return offered[0]
            return SEVERAL_OFFERS if offered else NO_OFFER
        for file in files:
            self._label(file)
        for file in files:
            if self._numbers[file.id] == number:
                return file
        return f"! there is no file [{number}]; /files lists them"

    def toolbar(self) -> str:
        """One line about the files that are on their way; empty when there is none."""
        return "   ".join(self._bar(file) for file in self.moving.values())

    def _bar(self, file: FileInfo) -> str:
        filled = percent(file) // 10
        arrow = "<" if file.incoming else ">"
        bar = "#" * filled + "." * (10 - filled)
        return f"{arrow} {safe(file.name)} {bar} {percent(file)} % of {size_text(file.size)}"
