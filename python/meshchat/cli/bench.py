"""meshchat bench: how much goes through between two nodes, and how fast."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..chat.safe import safe
from ..connection import Connection
from ..errors import ArgumentError, MeshChatError, StoppedError, StreamClosedError
from ..streams import Stream
from .asking import Asked, in_reach
from .common import run_with_node, seconds
from .joining import add_options, add_wait, own_node
from .ping import milliseconds

if TYPE_CHECKING:
    from .common import Subparsers

_BLOCK = bytes(1 << 17)
_QUESTION = bytes(64)
_NO_BENCH = "the other end has ended a measurement: does 'meshchat bench --listen' run there?"

#: Seconds between two signs of life.
_TICK = 0.1


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure throughput and round trips to a node",
        description="Measures to a node where 'meshchat bench --listen' runs: bytes there, bytes back, and round trips "
        "of 64 bytes from application to application, each for some seconds.",
    )
    parser.add_argument("node", metavar="ID", nargs="?", help="a NODE_ID, its beginning or end, or a nickname")
    parser.add_argument("--listen", action="store_true", help="be the other end, until a signal ends it")
    parser.add_argument(
        "--time", metavar="SECONDS", type=_time, default=3.0, help="time of each measurement (default: 3)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="a JSON object: id, up and down (bit/s), round_trips, p50 and p99 (seconds), statistics",
    )
    add_wait(parser)
    add_options(parser)
    parser.set_defaults(run=_run)


def _time(text: str) -> float:
    time = seconds(text)
    if time == 0:
        raise ValueError
    return time


def _run(options: argparse.Namespace) -> int:
    if options.listen == (options.node is not None):
        raise ArgumentError("give the ID of a node, or --listen to be the other end")
    return run_with_node(options, _listen if options.listen else _bench)


# -- the other end ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _tasks() -> AsyncIterator[set[asyncio.Task[None]]]:
    """Tasks that end with the block."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _listen(options: argparse.Namespace, passphrase: str | None) -> int:
    async with own_node(options, passphrase) as node, await node.listen() as listener, _tasks() as tasks:
        print(f"NODE_ID: {node.id}", flush=True)
        async for connection in listener:
            _start(tasks, _serve(connection))
    raise StoppedError("the node has stopped; start it again")


async def _serve(connection: Connection) -> None:
    async with connection, _tasks() as tasks:
        async for stream in connection:
            _start(tasks, _serve_stream(stream))


async def _serve_stream(stream: Stream) -> None:
    """The first line says what the other end measures. Whoever says what makes no sense is not answered."""
    with suppress(MeshChatError, ValueError):
        async with stream:
            wish = await stream.readline()
            while wish == b"down\n":
                stream.write(_BLOCK)
                await stream.drain()
            while wish in (b"up\n", b"echo\n") and (data := await stream.read(len(_BLOCK))):
                if wish == b"echo\n":
                    stream.write(data)
                    await stream.drain()


# -- this end -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    up: float
    """Bits in a second."""
    down: float
    round_trips: int
    p50: float
    p99: float


class _Live:
    """What is measured now, on a terminal."""

    def __init__(self, length: float) -> None:
        self._length = length
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0

    def going_on(self, name: str, start: float, done: int) -> bool:
        """Whether there is time left, after so many bytes."""
        now = time.perf_counter()
        if self._terminal and now - self._shown >= _TICK:
            self._shown = now
            rate = 8e-6 * done / max(now - start, 1e-9)
            print(f"\r\x1b[K{name}: {now - start:.1f} s, {rate:.1f} Mbit/s", end="", file=sys.stderr, flush=True)
        return now - start < self._length

    def close(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


async def _bench(options: argparse.Namespace, passphrase: str | None) -> int:
    async with own_node(options, passphrase) as node:
        target = await in_reach(Asked(node, True), options.node, options.wait)
        async with await node.connect(target) as connection:
            live = _Live(options.time)
            try:
                result = await _measure(connection, live)
            finally:
                live.close()
            numbers = await connection.statistics()
    if options.json:
        print(json.dumps({"id": target.id, **asdict(result), "statistics": asdict(numbers)}))
        return 0
    print(f"BENCH {safe(target.name)} {target.id}")
    print(f"up {result.up / 1e6:.1f} Mbit/s, down {result.down / 1e6:.1f} Mbit/s")
    times = f"p50 {milliseconds(result.p50)}, p99 {milliseconds(result.p99)}"
    print(f"{result.round_trips} round trips of {len(_QUESTION)} bytes: {times}")
    return 0


async def _measure(connection: Connection, live: _Live) -> _Result:
    up, down = await _up(connection, live), await _down(connection, live)
    times = await _round_trips(connection, live)
    # Of a single one, too, there are quantiles.
    quantiles = statistics.quantiles(times * 2, n=100)
    return _Result(up, down, len(times), quantiles[49], quantiles[98])


async def _up(connection: Connection, live: _Live) -> float:
    async with await connection.open() as stream:
        stream.write(b"up\n")
        start, sent = time.perf_counter(), 0
        while live.going_on("up", start, sent):
            stream.write(_BLOCK)
            await stream.drain()
            sent += len(_BLOCK)
        stream.write_eof()
        # It ends when the other end has taken everything.
        await stream.read()
        return 8 * sent / (time.perf_counter() - start)


async def _down(connection: Connection, live: _Live) -> float:
    async with await connection.open() as stream:
        stream.write(b"down\n")
        start, got = time.perf_counter(), 0
        while live.going_on("down", start, got):
            data = await stream.read(len(_BLOCK))
            if not data:
                raise StreamClosedError(_NO_BENCH)
            got += len(data)
        return 8 * got / (time.perf_counter() - start)


async def _round_trips(connection: Connection, live: _Live) -> list[float]:
    times: list[float] = []
    async with await connection.open() as stream:
        stream.write(b"echo\n")
        start = time.perf_counter()
        while live.going_on("round trips", start, len(_QUESTION) * len(times)):
            asked = time.perf_counter()
            stream.write(_QUESTION)
            try:
                await stream.readexactly(len(_QUESTION))
            except asyncio.IncompleteReadError:
                raise StreamClosedError(_NO_BENCH) from None
            times.append(time.perf_counter() - asked)
    return times
