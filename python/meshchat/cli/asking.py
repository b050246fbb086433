"""What the commands that ask a node have in common: which node they ask, and how they wait for another one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from ..chat.safe import safe
from ..control.client import RemoteNode
from ..errors import HomeInUseError, OutOfReachError, TimedOutError, UnknownNodeError
from ..events import NodeInfo
from ..identity import default_home
from ..node import Node
from .common import add_home, add_links, add_network_key, add_passphrase, add_temporary, seconds
from .start import start

#: Seconds that a program in the home has to answer, unless --wait says otherwise: it may be starting, and making a key.
_PATIENCE = 5.0

#: Size of a temporary identity's key: the smallest is made the fastest.
_TEMPORARY_BITS = 2048

#: Seconds between two looks.
_PAUSE = 0.1

#: Seconds that the other end has for a first answer before it is asked again.
_TRY = 0.5


@dataclass(frozen=True)
class Asked:
    """The node that is asked."""

    node: Union[Node, RemoteNode]
    is_own: bool
    """Whether it was started for this command, so that it knows only what it has heard since."""


def add_options(parser: argparse.ArgumentParser, *, wait: str) -> None:
    """The options that choose the node; `wait` is what --wait is for."""
    add_home(parser)
    add_temporary(parser)
    add_links(parser)
    add_network_key(parser)
    parser.add_argument("--wait", metavar="SECONDS", type=seconds, help=wait)
    add_passphrase(parser)
    parser.epilog = (
        "When a chat or a node runs in the home, it is asked, and the options of a start mean nothing. Otherwise this "
        "command starts a node of its own there, and stops it at its end."
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    """The node that it is about."""
    parser.add_argument(
        "node", metavar="ID", help="a NODE_ID, its beginning, its last five or more digits, or a nickname"
    )


@asynccontextmanager
async def a_node(options: argparse.Namespace, passphrase: str | None) -> AsyncIterator[Asked]:
    """The node that runs in the home, else one of this command's own."""
    asked = await _find_or_start(options, passphrase)
    try:
        yield asked
    finally:
        await asked.node.stop()


async def _find_or_start(options: argparse.Namespace, passphrase: str | None) -> Asked:
    if options.temporary:
        return Asked(await start_own(options, None, passphrase), True)
    home: Path = options.home or default_home()
    deadline = asyncio.get_running_loop().time() + (_PATIENCE if options.wait is None else options.wait)
    while True:
        remote = await RemoteNode.connect(home)
        if remote is not None:
            return Asked(remote, False)
        try:
            return Asked(await start_own(options, home, passphrase), True)
        except HomeInUseError:
            if asyncio.get_running_loop().time() >= deadline:
                raise HomeInUseError(
                    f"the home {home} is in use by a program that answers no questions, as the chat in C; "
                    "use --temporary to ask a node of this command's own"
                ) from None
        await asyncio.sleep(_PAUSE)


async def start_own(options: argparse.Namespace, home: Path | None, passphrase: str | None) -> Node:
    """A node of this command's own."""
    making_key = "making a key; this takes some seconds"
    bits = _TEMPORARY_BITS if options.temporary else None
    node = await start(
        options, home, passphrase, making_key, sys.stderr, temporary=options.temporary, key_bits=bits
    )
    for link in node.links:
        if link.error is not None:
            print(f"meshchat: link {safe(link.spec)}: {safe(str(link.error))}", file=sys.stderr)
    return node


async def in_reach(asked: Asked, query: str, wait: float) -> NodeInfo:
    """The node that `query` means, as soon as it is in reach."""
    deadline = asyncio.get_running_loop().time() + wait
    hint = "check that it runs, and that a link leads there; meshchat nodes lists who is known"
    while True:
        try:
            node = await asked.node.resolve(query)
            if node.present:
                break
            problem: Exception = OutOfReachError(f"{query} was not in reach within {wait:g} s: {hint}")
        except UnknownNodeError:
            problem = UnknownNodeError(f"{query} was not found within {wait:g} s: {hint}")
        if asyncio.get_running_loop().time() >= deadline:
            raise problem
        await asyncio.sleep(_PAUSE)
    if asked.is_own:
        await _known_there(asked.node, node, deadline)
    return node


async def _known_there(node: Node | RemoteNode, target: NodeInfo, deadline: float) -> None:
    """Until `target` has answered, or the time is over: to answer it must know the way back, and to a new node it finds
    one a moment later."""
    while (rest := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            await node.ping(target.id, timeout=min(rest, _TRY))
            return
        except TimedOutError:
            continue
        except OutOfReachError:
            await asyncio.sleep(_PAUSE)
