"""meshchat listen: takes a stream of another node, as nc -l takes one on a port."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..connection import Connection, Listener
from ..errors import DisconnectedError, MeshChatError, StoppedError
from ..streams import Stream
from .common import run_with_node
from .joining import add_options, join, own_node

if TYPE_CHECKING:
    from .common import Subparsers

_First = tuple[Connection, Stream]


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "listen",
        help="join standard input and output with a stream that a node opens",
        description="Waits until a node connects and opens a stream ('meshchat connect' does), and joins that with "
        "standard input and output until both directions have ended. NODE_ID is shown on standard error. Exit code 0 "
        "when everything has arrived, 1 when not.",
    )
    parser.add_argument("--keep", action="store_true", help="then wait for the next, until a signal ends it")
    add_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_with_node(options, _listen)


async def _listen(options: argparse.Namespace, passphrase: str | None) -> int:
    async with own_node(options, passphrase) as node:
        async with await node.listen() as listener, _first_streams(listener) as arrived:
            print(f"NODE_ID: {node.id}", file=sys.stderr, flush=True)
            while (first := await arrived.get()) is not None:
                if not options.keep:
                    # Others are refused from now on.
                    listener.close()
                    await _serve(first)
                    return 0
                try:
                    await _serve(first)
                except MeshChatError as error:
                    print(f"meshchat: {first[0].peer}: {error}", file=sys.stderr, flush=True)
    raise StoppedError("the node has stopped; start it again")


async def _serve(first: _First) -> None:
    connection, stream = first
    async with connection:
        await join(connection, stream, opened=False)


@asynccontextmanager
async def _first_streams(listener: Listener) -> AsyncIterator[asyncio.Queue[_First | None]]:
    """The first stream of each connection, in the order in which they are opened: who connects and then opens none keeps
    nobody waiting. None when the node stops."""
    arrived: asyncio.Queue[_First | None] = asyncio.Queue()
    waiting: set[asyncio.Task[None]] = set()

    async def take(connection: Connection) -> None:
        try:
            arrived.put_nowait((connection, await connection.accept()))
        except (DisconnectedError, StoppedError):
            pass

    async def accept() -> None:
        async for connection in listener:
            task = asyncio.ensure_future(take(connection))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        arrived.put_nowait(None)

    accepting = asyncio.ensure_future(accept())
    try:
        yield arrived
    finally:
        tasks = [accepting, *waiting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
