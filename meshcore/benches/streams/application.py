"""One end of a measurement of streams through the Python API, as a program of its own.

application.py listen PART HOME LINK AMOUNT
application.py connect PART HOME LINK AMOUNT NODE_ID

The listening end prints its NODE_ID. PART is "bulk" or "messages": the listening end reads for AMOUNT seconds and prints
{"count": bytes or messages, "seconds": time}; or "trips": the connecting end prints the times of AMOUNT round trips in
seconds as a JSON array.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

import meshchat

BLOCK = bytes(64 << 10)
MESSAGE = bytes([7]) * 100
PREFIX_LEN = 4
QUESTION = bytes([7]) * 64

#: Longest life of this program in seconds: whatever it waits for will not come.
LIFE = 120


async def write(stream: meshchat.Stream, part: str) -> None:
    """Until the other end is gone."""
    try:
        while part == "bulk":
            stream.write(BLOCK)
            await stream.drain()
        while part == "messages":
            stream.write(len(MESSAGE).to_bytes(PREFIX_LEN, "big") + MESSAGE)
            await stream.drain()
    except (meshchat.DisconnectedError, meshchat.StreamClosedError):
        pass


async def ask(stream: meshchat.Stream, trips: int) -> None:
    times = []
    for _ in range(trips):
        begin = time.perf_counter()
        stream.write(QUESTION)
        await stream.readexactly(len(QUESTION))
        times.append(time.perf_counter() - begin)
    print(json.dumps(times), flush=True)


async def answer(stream: meshchat.Stream) -> None:
    """Until the other end is gone."""
    try:
        while True:
            stream.write(await stream.readexactly(len(QUESTION)))
    except (asyncio.IncompleteReadError, meshchat.DisconnectedError, meshchat.StreamClosedError):
        pass


async def count(stream: meshchat.Stream, part: str, seconds: float) -> None:
    total = 0
    begin = time.perf_counter()
    end = begin + seconds
    while part == "bulk" and time.perf_counter() < end:
        total += len(await stream.read(len(BLOCK)))
    while part == "messages" and time.perf_counter() < end:
        length = int.from_bytes(await stream.readexactly(PREFIX_LEN), "big")
        message = await stream.readexactly(length)
        assert len(message) == len(MESSAGE)
        total += 1
    print(json.dumps({"count": total, "seconds": time.perf_counter() - begin}), flush=True)


async def connect(node: meshchat.Node, part: str, amount: int, to: str) -> None:
    async for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            break
    connection = await node.connect(to)
    stream = await connection.open()
    # The other end hears of the stream by its first byte.
    stream.write(b"\0")
    await (ask(stream, amount) if part == "trips" else write(stream, part))


async def listen(node: meshchat.Node, part: str, amount: int) -> None:
    async with await node.listen() as listener:
        print(node.id, flush=True)
        connection = await listener.accept()
        stream = await connection.accept()
        await stream.readexactly(1)
        await (answer(stream) if part == "trips" else count(stream, part, amount))


async def main() -> None:
    role, part, home, link, amount, *rest = sys.argv[1:]
    async with meshchat.Node(home, links=[link]) as node:
        if role == "connect":
            await connect(node, part, int(amount), *rest)
        else:
            await listen(node, part, int(amount))


if __name__ == "__main__":
    signal.alarm(LIFE)
    asyncio.run(main())
