"""meshchat chat: the console chat."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..chat.lines import read_lines
from ..chat.run import Chat
from ..chat.safe import safe
from ..chat.screen import PlainScreen, write
from ..chat.session import Session
from ..control.server import Server
from ..errors import HomeInUseError
from ..identity import default_home
from ..node import Node
from .common import (
    add_downloads,
    add_home,
    add_keep_history,
    add_links,
    add_network_key,
    add_nickname,
    add_passphrase,
    add_v1,
    run_with_node,
)
from .start import start

if TYPE_CHECKING:
    from .common import Subparsers

_MAKING_KEY = "* making a key; this takes some seconds"


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("chat", help="chat on the console")
    add_home(parser)
    add_links(parser)
    add_v1(parser)
    add_network_key(parser)
    add_nickname(parser)
    add_keep_history(parser)
    add_downloads(parser)
    parser.add_argument("--plain", action="store_true", help="lines in, lines out, also on a terminal")
    add_passphrase(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Nothing but a first line has been shown when the passphrase turns out to be needed.
    return run_with_node(options, _chat)


async def _chat(options: argparse.Namespace, passphrase: str | None) -> int:
    node = await _start(options, passphrase)
    try:
        async with Server(node, node.home) as server:
            if server.problem is not None:
                write(1, f"! {safe(server.problem)}")
            return await _converse(options, node)
    finally:
        await node.stop()


async def _start(options: argparse.Namespace, passphrase: str | None) -> Node:
    home: Path | None = options.home
    try:
        return await start(options, home, passphrase, _MAKING_KEY, sys.stdout)
    except HomeInUseError:
        path = safe(str(home or default_home()))
        write(1, f"* the home {path} is in use by a running chat or node; going on with a temporary identity")
        return await start(options, None, None, _MAKING_KEY, sys.stdout, temporary=True)


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
