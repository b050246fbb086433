"""meshchat send --file: a file to another node, until it has arrived."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator

from ..chat.files import size_text
from ..chat.safe import safe
from ..errors import StoppedError
from ..events import Event, Warning
from ..files import FileDone, FileFailed, FileInfo, FileProgress
from .asking import Asked, add_target, in_reach
from .common import run_with_node
from .joining import add_options, add_wait, own_node

if TYPE_CHECKING:
    from .common import Subparsers

_DESCRIPTION = """\
Offers a file to a node, and waits until its user has accepted it and it has arrived there, whole and verified, whatever
breaks in between. Exit code 0 when it has arrived; 1 when it was refused, cancelled, or cannot be sent. The file must stay
as it is. What Ctrl-C ends goes on when a node runs in the same home again: 'meshchat chat', 'meshchat node'."""

_Show = Callable[[FileInfo], None]


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("send", help="send a file to a node", description=_DESCRIPTION)
    parser.add_argument("--file", metavar="PATH", type=Path, required=True, help="the file")
    add_target(parser)
    add_wait(parser)
    add_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_with_node(options, _send)


async def _send(options: argparse.Namespace, passphrase: str | None) -> int:
    async with own_node(options, passphrase) as node:
        # From the beginning, so that none is missed.
        events = node.events(auto_confirm=False)
        target = await in_reach(Asked(node, True), options.node, options.wait)
        id = await node.send_file(target, options.file)
        _say(f"offered to {safe(target.name)}: waiting until it is accepted")
        with _progress(options.file.name) as show:
            file = await _outcome(events, id, show)
    if file.reason is not None:
        _say(f"error: {file.reason}")
        return 1
    _say(f"{size_text(file.size)} arrived at {safe(target.name)}, whole and verified")
    return 0


async def _outcome(events: AsyncIterator[Event], id: str, show: _Show) -> FileInfo:
    async for event in events:
        if isinstance(event, Warning):
            _say(f"warning: {safe(event.text)}")
        if isinstance(event, (FileProgress, FileDone, FileFailed)) and event.file.id == id:
            show(event.file)
            if not isinstance(event, FileProgress):
                return event.file
    raise StoppedError("the node has stopped; start it again")


def _progress(name: str) -> AbstractContextManager[_Show]:
    """A bar on a terminal, nothing elsewhere."""
    return _bar(name) if sys.stderr.isatty() else _nothing()


@contextmanager
def _nothing() -> Iterator[_Show]:
    yield lambda file: None


@contextmanager
def _bar(name: str) -> Iterator[_Show]:
    # Loading it takes longer than all the rest together.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, *columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(safe(name), total=None)
        yield lambda file: progress.update(task, total=file.size, completed=file.done)


def _say(text: str) -> None:
    print(f"meshchat: {text}", file=sys.stderr, flush=True)
