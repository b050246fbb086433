"""Joins a stream with standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from .._jobs import resolve
from ..chat.lines import read_some
from ..connection import Connection
from ..errors import DisconnectedError, HomeInUseError, MeshChatError
from ..node import Node
from ..streams import Stream
from .asking import start_own
from .common import add_home, add_links, add_network_key, add_nickname, add_passphrase, add_temporary, seconds

_INPUT, _OUTPUT = 0, 1
_CHUNK = 1 << 18

#: Seconds until the node at the other end must be in reach.
_WAIT = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the node that the command starts."""
    add_home(parser)
    add_temporary(parser)
    add_links(parser)
    add_network_key(parser)
    add_nickname(parser)
    add_passphrase(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        default=_WAIT,
        help=f"time until the node must be in reach (default: {_WAIT:g})",
    )


@asynccontextmanager
async def own_node(options: argparse.Namespace, passphrase: str | None) -> AsyncIterator[Node]:
    """A node of this command's own: connections belong to the process that has them."""
    try:
        node = await start_own(options, options.home, passphrase)
    except HomeInUseError as error:
        raise HomeInUseError(f"{error}; use --temporary, or --home with another folder") from None
    try:
        yield node
    finally:
        await node.stop()


async def join(connection: Connection, stream: Stream, *, opened: bool) -> None:
    """Until both directions have ended, and both ends have taken everything; `opened` is who has opened the stream.

    Whoever sits at a terminal has no more to say when the peer has finished. At the end the one who has opened the stream,
    and has taken all that came, opens another one, empty; the other ends it when it has taken everything, too. Only then is
    the connection closed, which would throw away what lies unread in the peer's node.
    """
    async with stream:
        await _both_ways(connection, stream)
        try:
            await (_ask(connection) if opened else _answer(connection))
        except DisconnectedError:
            # It is no meshchat that closes at once; what counts then is whether its node has everything.
            await stream.finish()
        else:
            # Both have everything, whether or not their nodes have heard so from each other.
            stream.reset()


async def _both_ways(connection: Connection, stream: Stream) -> None:
    sending = asyncio.ensure_future(_send(stream))
    receiving = asyncio.ensure_future(_receive(stream))
    over = asyncio.ensure_future(connection.closed())
    try:
        await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            # Raises when there is no input to be read.
            sending.result()
        await receiving
        if not os.isatty(_INPUT):
            await asyncio.wait([sending, over], return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and (failure := sending.result()) is not None:
            raise failure
        stream.write_eof()
    finally:
        for task in (sending, receiving, over):
            task.cancel()
        await asyncio.gather(sending, receiving, over, return_exceptions=True)


async def _ask(connection: Connection) -> None:
    async with await connection.open() as question:
        question.write_eof()
        await question.read()


async def _answer(connection: Connection) -> None:
    question = await connection.accept()
    with suppress(DisconnectedError):
        # The peer may close before it hears that its node has the answer.
        await question.close()
        await connection.closed()


async def _send(stream: Stream) -> MeshChatError | None:
    """Why the peer takes no more; what comes from it is still to be read."""
    while data := await read_some(_INPUT):
        try:
            stream.write(data)
            await stream.drain()
        except MeshChatError as error:
            return error
    stream.write_eof()
    return None


async def _receive(stream: Stream) -> None:
    while data := await stream.read(_CHUNK):
        await _write_all(_OUTPUT, data)


async def _write_all(descriptor: int, data: bytes) -> None:
    """Writes without blocking the event loop. The descriptor stays blocking, for its mode is shared with other processes:
    what is writable takes so much at least."""
    rest = memoryview(data)
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    while rest:
        if not ready.poll(0):
            await _writable(descriptor)
        rest = rest[os.write(descriptor, rest[: select.PIPE_BUF]) :]


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, resolve, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)
