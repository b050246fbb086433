"""Connections and streams: in asyncio programs, and as the tools listen and connect."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from harness import PATIENCE, PYTHON, Namespace, World

#: Two nodes that know each other, and `pair()`, which connects them.
_PRELUDE = """\
import asyncio, sys
import meshchat

async def started(home):
    node = meshchat.Node(home)
    await node.start()
    return node

async def meet(node, other):
    async for event in node.events():
        if isinstance(event, meshchat.NodeFound) and event.node.id == other.id:
            return

class Pair:
    async def __aenter__(self):
        self.near, self.far = [await started(home) for home in sys.argv[1:3]]
        await asyncio.gather(meet(self.near, self.far), meet(self.far, self.near))
        self.listener = await self.far.listen()
        self.client = await self.near.connect(self.far.id)
        self.server = await self.listener.accept()
        return self

    async def streams(self):
        near = await self.client.open()
        near.write(b"!")
        far = await self.server.accept()
        assert await far.readexactly(1) == b"!"
        return near, far

    async def __aexit__(self, *_):
        await self.near.stop()
        await self.far.stop()

async def fails(kind, work):
    try:
        await work
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind}")

def pattern(length):
    return b"".join((at * 0x9e3779b97f4a7c15 % 2**64).to_bytes(8, "big") for at in range(length // 8))

async def run():
    async with Pair() as pair:
{body}
    print("done")

asyncio.run(asyncio.wait_for(run(), 60))
"""


def run(world: World, host: Namespace, code: str) -> None:
    """Runs the code with a pair of nodes; nothing may be said on standard error."""
    body = "\n".join(f"        {line}" for line in code.strip().splitlines())
    homes = [str(world.home(name)) for name in ("alice", "bob")]
    program = world.start(host, PYTHON, "-u", "-c", _PRELUDE.replace("{body}", body), *homes)
    program.wait_for_text("done")
    assert (program.end(), program.errors()) == (0, "")


def test_bytes_arrive_in_order_in_both_directions_at_once(world: World, host: Namespace) -> None:
    code = """
data = pattern(8_000_000)
near, far = await pair.streams()
async def send(stream, size):
    for at in range(0, len(data), size):
        stream.write(memoryview(data)[at:at + size])
        await stream.drain()
    await stream.finish()
# The one drains, the other leaves all to the stream.
far.write(bytearray(data))
far.write_eof()
got = await asyncio.gather(near.read(), far.read(), send(near, 70_001), far.finish())
assert got[0] == data and got[1] == data
assert await near.read() == await far.read(10) == b""
numbers = await pair.client.statistics()
assert numbers.bytes_sent > 8_000_000 and numbers.rtt > 0 and numbers.streams == 0
assert pair.client.peer == pair.far.id and pair.server.peer == pair.near.id
"""
    run(world, host, code)


def test_the_ways_of_reading(world: World, host: Namespace) -> None:
    code = """
near, far = await pair.streams()
near.write(b"one\\ntwo\\n" + bytes(10) + b"three")
near.write_eof()
assert await far.readline() == b"one\\n"
assert await far.readexactly(2) == b"tw"
assert await far.read(1) == b"o"
buffer = bytearray(8)
assert await far.readinto(memoryview(buffer)[1:4]) == 3 and buffer == b"\\0\\n" + bytes(6)
assert await far.readexactly(0) == await far.read(0) == b""
assert await far.readexactly(8) == bytes(8)
try:
    await far.readexactly(6)
except asyncio.IncompleteReadError as error:
    assert error.partial == b"three" and error.expected == 6
else:
    raise AssertionError
assert await far.readline() == b"" and await far.readinto(buffer) == 0

near, far = await pair.streams()
near.write(b"a\\nb\\nc" + b"x" * 65536 + b"\\n")
lines = []
assert "longer than 65536" in await fails(ValueError, collect(far, lines))
assert lines == [b"a\\n", b"b\\n"]
assert await far.read(2) == b"cx"

# Whoever is cancelled takes nothing away.
near, far = await pair.streams()
near.write(b"half")
waiting = asyncio.ensure_future(far.readexactly(8))
while await pair.server.statistics() and far._at == len(far._chunk) and far._reader is None:
    await asyncio.sleep(0)
assert "already" in await fails(RuntimeError, far.read(1))
waiting.cancel()
await fails(asyncio.CancelledError, waiting)
near.write(b" and half")
assert await far.readexactly(8) == b"half and"
"""
    prelude = "async def collect(stream, lines):\n    async for line in stream:\n        lines.append(line)\n"
    run(world, host, prelude + code.strip())


def test_both_ends_hear_of_the_end(world: World, host: Namespace) -> None:
    code = """
near, far = await pair.streams()
near.reset(7)
assert "code 7" in await fails(meshchat.StreamClosedError, far.read())
assert "code 7" in await fails(meshchat.StreamClosedError, near.drain())
await near.close()

near, far = await pair.streams()
far.stop_reading(9)
async def write():
    while True:
        near.write(bytes(1000))
        await near.drain()
        await asyncio.sleep(0)
assert "code 9" in await fails(meshchat.StreamClosedError, write())

# A block that fails resets its stream, one that does not finishes it.
near, far = await pair.streams()
try:
    async with near:
        near.write(b"half of it")
        raise LookupError
except LookupError:
    pass
await fails(meshchat.StreamClosedError, far.read())
near, far = await pair.streams()
async with near:
    near.write(bytes(300_000))
assert await far.read() == bytes(300_000)
assert "closed" in await fails(meshchat.StreamClosedError, near.read())
try:
    near.write(b"too late")
except meshchat.StreamClosedError:
    await near.close()

# Nothing is left behind by streams that go while somebody waits.
near, far = await pair.streams()
reading = asyncio.ensure_future(near.read())
near.write(bytes(32_000_000))
await asyncio.sleep(0)
near.reset()
await near.close()
assert "closed" in await fails(meshchat.StreamClosedError, reading)
assert len(pair.near._answers) == 0

near, far = await pair.streams()
reading = asyncio.ensure_future(near.read())
pair.server.close(3, "that is all")
assert "that is all" in await fails(meshchat.DisconnectedError, reading)
assert "that is all" in await pair.client.closed()
assert "that is all" in await fails(meshchat.DisconnectedError, pair.client.open())
await fails(meshchat.DisconnectedError, pair.server.accept())
assert [stream async for stream in pair.client] == []
"""
    run(world, host, code)


def test_nothing_is_lost_by_who_is_cancelled(world: World, host: Namespace) -> None:
    code = """
for _ in range(3):
    waiting = asyncio.ensure_future(pair.server.accept())
    await asyncio.sleep(0)
    near = await pair.client.open()
    near.write(b"x")
    waiting.cancel()
    await fails(asyncio.CancelledError, waiting)
    far = await pair.server.accept()
    assert far.id == near.id and await far.read(1) == b"x"
accepting = asyncio.ensure_future(pair.listener.accept())
await asyncio.sleep(0)
accepting.cancel()
async with await pair.near.connect(pair.far.id[:12]) as second:
    third = await pair.listener.accept()
    assert third.peer == pair.near.id
assert await third.closed()
"""
    run(world, host, code)


def test_datagrams(world: World, host: Namespace) -> None:
    code = """
await pair.client.send_datagram(bytearray(b"quick"))
assert await pair.server.read_datagram() == b"quick"
await fails(meshchat.ArgumentError, pair.client.send_datagram(bytes(100_000)))
"""
    run(world, host, code)


def test_who_does_not_listen(world: World, host: Namespace) -> None:
    code = """
accepting = asyncio.ensure_future(pair.listener.accept())
await asyncio.sleep(0)
pair.listener.close()
await fails(meshchat.StoppedError, accepting)
assert [connection async for connection in pair.listener] == []
try:
    refused = await pair.near.connect(pair.far.id)
    assert "nobody takes connections" in await refused.closed()
except meshchat.RefusedError:
    pass
await fails(meshchat.ArgumentError, pair.near.connect(pair.near.id))
await fails(meshchat.UnknownNodeError, pair.near.connect("nobody"))
await fails(meshchat.OutOfReachError, pair.near.connect("7" * 64))
"""
    run(world, host, code)


def test_a_stopped_node_leaves_nobody_waiting(world: World, host: Namespace) -> None:
    code = """
near, far = await pair.streams()
near.write(bytes(32_000_000))
work = [near.read(), near.finish(), pair.client.accept(), pair.client.read_datagram(), pair.client.closed()]
tasks = [asyncio.ensure_future(each) for each in work]
await asyncio.sleep(0)
await pair.near.stop()
for task in tasks[:-1]:
    await fails(meshchat.MeshChatError, task)
await asyncio.wait([tasks[-1]])
await fails(meshchat.StoppedError, pair.client.open())
assert await pair.server.closed()
await fails(meshchat.DisconnectedError, pair.server.open())
"""
    run(world, host, code)


def test_without_an_event_loop(world: World, host: Namespace) -> None:
    """Two threads, each with its node: an echo, until the connection is closed."""
    code = """
import sys, threading
import meshchat

def serve(started):
    with meshchat.Node(sys.argv[1]).blocking() as node, node.listen() as listener:
        started.append(node.id)
        ready.set()
        with listener.accept() as connection:
            for stream in connection:
                with stream:
                    stream.write(stream.read())
            print(connection.closed())

started, ready = [], threading.Event()
server = threading.Thread(target=serve, args=[started])
server.start()
with meshchat.Node(sys.argv[2]).blocking() as node:
    ready.wait()
    for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            break
    with node.connect(started[0]) as connection:
        for length in (3, 2_000_000):
            with connection.open() as stream:
                stream.write(bytes(length))
                stream.finish()
                assert stream.readexactly(1) == bytes(1) and stream.read() == bytes(length - 1)
        assert connection.statistics().bytes_sent > 2_000_000 and connection.peer == started[0]
        connection.close(0, "enough")
        server.join()
print("done")
"""
    program = world.start(host, PYTHON, "-u", "-c", code, world.home("alice"), world.home("bob"))
    program.wait_for(".*enough.*")
    program.wait_for_text("done")
    assert (program.end(), program.errors()) == (0, "")


# -- listen and connect -------------------------------------------------------------------------------------------

_ETHERNET = ["--link", "ethernet:eth0"]


class Tool:
    """listen or connect, with files as its standard input and output."""

    def __init__(
        self,
        world: World,
        space: Namespace,
        folder: Path,
        stdin: Path,
        *arguments: str,
        program: Sequence[str] = (PYTHON, "-m", "meshchat"),
    ) -> None:
        self.output = folder / "output"
        with self.output.open("wb") as output, stdin.open("rb") as data:
            self.process = subprocess.Popen(
                [*space.enter(privileged=True), *program, *arguments],
                stdin=data,
                stdout=output,
                stderr=subprocess.PIPE,
                env=world.environment(),
            )

    def node_id(self) -> str:
        assert self.process.stderr is not None
        line = self.process.stderr.readline().decode()
        assert line.startswith("NODE_ID: "), line
        return line.split()[1]

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said."""
        try:
            _, errors = self.process.communicate(timeout=2 * PATIENCE)
        finally:
            self.process.kill()
        return self.process.returncode, errors.decode()


def random_file(folder: Path, size: int) -> Path:
    path = folder / "input"
    path.write_bytes(os.urandom(size))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def options(home: Path) -> list[str]:
    return ["--home", str(home), "--nickname", home.name, *_ETHERNET]


def test_megabytes_in_both_directions(world: World) -> None:
    left, right = world.wire()
    folders = [world.folder("near"), world.folder("far")]
    inputs = [random_file(folders[0], 5_000_001), random_file(folders[1], 3_000_000)]
    far = Tool(world, right, folders[1], inputs[1], "listen", *options(world.home("bob")))
    id = far.node_id()
    near = Tool(world, left, folders[0], inputs[0], "connect", id[:12], *options(world.home("alice")))
    assert (near.end(), far.end()) == ((0, ""), (0, ""))
    assert digest(near.output) == digest(inputs[1]) and digest(far.output) == digest(inputs[0])


def test_one_direction_after_the_other(world: World) -> None:
    """A side whose input ends at once, as that of a service does, still takes everything."""
    left, right = world.wire()
    folders = [world.folder("near"), world.folder("far")]
    data = random_file(folders[0], 2_000_000)
    far = Tool(world, right, folders[1], Path(os.devnull), "listen", "--keep", *options(world.home("bob")))
    far.node_id()
    home = world.home("alice")
    for _ in range(2):
        near = Tool(world, left, folders[0], data, "connect", "bob", *options(home))
        assert near.end() == (0, "")
    far.process.send_signal(signal.SIGTERM)
    assert far.end() == (128 + signal.SIGTERM, "")
    assert far.output.read_bytes() == 2 * data.read_bytes()


def test_who_cannot_be_connected(world: World) -> None:
    left, right = world.wire()
    nothing, folder = Path(os.devnull), world.folder("near")
    home = world.home("alice")

    def connect(to: str, *more: str) -> tuple[int, str]:
        return Tool(world, left, folder, nothing, "connect", to, *options(home), *more).end()

    code, said = connect("nobody", "--wait", "0.2")
    assert code == 1 and said.startswith("meshchat: error: nobody was not found") and said.count("\n") == 1
    bob = world.chat(right, world.home("bob"), *_ETHERNET, privileged=True)
    bob.node_id()
    code, said = connect("bob")
    assert code == 1 and "nobody takes connections" in said and said.count("\n") == 1


def test_whoever_is_killed_is_missed(world: World) -> None:
    """An end without an end: what came until then is not taken for all."""
    left, right = world.wire()
    folders = [world.folder("near"), world.folder("far")]
    far = Tool(world, right, folders[1], Path(os.devnull), "listen", *options(world.home("bob")))
    far.node_id()
    near = world.start(left, PYTHON, "-m", "meshchat", "connect", "bob", *options(world.home("alice")), privileged=True)
    near.type("the beginning")
    deadline = time.monotonic() + PATIENCE
    while not far.output.stat().st_size:
        assert time.monotonic() < deadline, near.report()
    near.process.send_signal(signal.SIGTERM)
    assert near.end() == 128 + signal.SIGTERM
    code, said = far.end()
    assert code == 1 and said.startswith("meshchat: error: "), said
    assert far.output.read_bytes() == b"the beginning\n"


def test_who_opens_no_stream_keeps_nobody_waiting(world: World, host: Namespace) -> None:
    code = """
import sys
import meshchat
with meshchat.Node(sys.argv[1]).blocking() as node:
    for event in node.events():
        if isinstance(event, meshchat.NodeFound) and event.node.id == sys.argv[2]:
            break
    with node.connect(event.node) as connection:
        connection.send_datagram(b"here")
        connection.statistics()
        print("connected", flush=True)
        print(connection.closed())
"""
    folders = [world.folder("near"), world.folder("far")]
    data = random_file(folders[0], 100_000)
    far = Tool(world, host, folders[1], Path(os.devnull), "listen", "--home", str(world.home("bob")))
    id = far.node_id()
    silent = world.start(host, PYTHON, "-c", code, world.home("carol"), id)
    silent.wait_for_text("connected")
    near = Tool(world, host, folders[0], data, "connect", id, "--home", str(world.home("alice")))
    assert (near.end(), far.end()) == ((0, ""), (0, ""))
    assert digest(far.output) == digest(data)
    assert silent.end() == 0, silent.report()


def test_bench(world: World) -> None:
    left, right = world.wire()
    far = world.start(
        right, PYTHON, "-m", "meshchat", "bench", "--listen", *options(world.home("bob")), privileged=True
    )
    id = far.node_id()
    folder, home = world.folder("near"), world.home("alice")
    near = Tool(world, left, folder, Path(os.devnull), "bench", "bob", "--json", "--time", "0.2", *options(home))
    assert near.end() == (0, "")
    result = json.loads(near.output.read_text())
    assert result["id"] == id and result["up"] > 0 and result["down"] > 0 and result["round_trips"] > 0
    assert 0 < result["p50"] <= result["p99"] and result["statistics"]["bytes_received"] > 0
    near = Tool(world, left, folder, Path(os.devnull), "bench", "bob", "--time", "0.2", *options(home))
    assert near.end() == (0, "")
    assert near.output.read_text().startswith(f"BENCH bob {id}\nup ")
    shown = world.start(
        left, PYTHON, "-m", "meshchat", "bench", id, "--time", "0.3", *options(home), privileged=True, terminal=True
    )
    assert shown.end() == 0
    assert any("up: 0." in line and "Mbit/s" in line for line in shown.lines), shown.report()
    far.process.send_signal(signal.SIGTERM)
    assert far.end() == 128 + signal.SIGTERM and far.errors() == ""


def test_bench_with_another_program(world: World) -> None:
    left, right = world.wire()
    folders = [world.folder("near"), world.folder("far")]
    far = Tool(world, right, folders[1], Path(os.devnull), "listen", *options(world.home("bob")))
    far.node_id()
    home = world.home("alice")
    near = Tool(world, left, folders[0], Path(os.devnull), "bench", "bob", "--time", "0.2", *options(home))
    code, said = near.end()
    assert code == 1 and said.startswith("meshchat: error: ") and said.count("\n") == 1, said
