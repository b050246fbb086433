"""meshchat chat: the console chat."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..chat.lines import read_lines
from ..chat.run import Chat
from ..chat.safe import safe
from ..chat.screen import PlainScreen, write
from ..chat.session import Session
from ..errors import HomeInUseError
from ..identity import Identity, default_home
from ..node import Node
from .common import Progress, add_home, add_passphrase, with_passphrase

if TYPE_CHECKING:
    from .common import Subparsers

_MAKING_KEY = "* making a key; this takes some seconds"


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("chat", help="chat on the console")
    add_home(parser)
    parser.add_argument(
        "--link",
        metavar="SPEC",
        action="append",
        help="udp, udp:HOST:PORT or ethernet:IFACE; may be given several times (default: udp)",
    )
    parser.add_argument("--nickname", metavar="NAME", help="the name shown to others (default: that of last time)")
    parser.add_argument("--plain", action="store_true", help="lines in, lines out, also on a terminal")
    add_passphrase(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Called again with a passphrase when one is needed; nothing but a first line has been shown by then.
    return with_passphrase(options, lambda passphrase: asyncio.run(_chat(options, passphrase)))


async def _chat(options: argparse.Namespace, passphrase: str | None) -> int:
    ending = _EndBySignal()
    try:
        node = await _start(options, passphrase)
        try:
            return await _converse(options, node)
        finally:
            await node.stop()
    except asyncio.CancelledError:
        if ending.code is None:
            raise
        return ending.code


class _EndBySignal:
    """SIGTERM and SIGHUP end the chat as Ctrl-C does: with a goodbye, and without a temporary home left behind."""

    def __init__(self) -> None:
        self.code: int | None = None
        self._task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)

    def _end(self, number: int) -> None:
        self.code = 128 + number
        if self._task is not None:
            self._task.cancel()


# -- start ------------------------------------------------------------------------------------------------------


async def _start(options: argparse.Namespace, passphrase: str | None) -> Node:
    links = options.link or ["udp"]
    home: Path | None = options.home
    try:
        node = Node(home, nickname=options.nickname, passphrase=passphrase, links=links)
        await _begin(node, makes_key=not Identity.exists(home))
    except HomeInUseError:
        path = safe(str(home or default_home()))
        write(1, f"* the home {path} is in use by a running chat; going on with a temporary identity")
        node = Node(temporary=True, nickname=options.nickname, links=links)
        await _begin(node, makes_key=True)
    return node


async def _begin(node: Node, *, makes_key: bool) -> None:
    if not makes_key:
        await node.start()
        return
    with Progress(_MAKING_KEY, sys.stdout) as progress:
        start = asyncio.ensure_future(node.start())
        while not start.done():
            await asyncio.wait([start], timeout=progress.interval)
            progress.tick()
        await start


# -- conversation -----------------------------------------------------------------------------------------------


async def _converse(options: argparse.Namespace, node: Node) -> int:
    session = Session()
    if options.plain or not _on_terminal():
        await Chat(node, session, PlainScreen()).run(read_lines(0))
        return 0
    # Loading it takes longer than all the rest together.
    from ..chat.tui import Prompt, TerminalScreen

    prompt = Prompt(session)
    await Chat(node, session, TerminalScreen()).run(prompt.lines())
    return 130 if prompt.interrupted else 0


def _on_terminal() -> bool:
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"
