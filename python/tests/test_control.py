"""Questions through the control socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from meshchat import (
    AmbiguousNodeError,
    InternalError,
    BlockedError,
    MeshChatError,
    NodeInfo,
    Route,
    StoppedError,
    TimedOutError,
    TraceHop,
    Trust,
    UnknownNodeError,
)
from meshchat.control import protocol, server
from meshchat.control.client import RemoteNode
from meshchat.control.protocol import MAX_CLIENTS, MAX_REQUEST, MAX_WAITING, SOCKET, error_from_json
from meshchat.control.server import Server

ALICE = NodeInfo("a" * 64, "alice", True, 12.5, Route("b" * 64, 2, 192, 1400, "ethernet:eth0"))
BOB = NodeInfo("b" * 64, None, False, 0.0)
HOPS = [TraceHop(1, None, None), TraceHop(2, "a" * 64, 0.25)]


class Answers:
    """A node that answers; pings wait until they are let go."""

    def __init__(self) -> None:
        self.pings = 0
        self.go = asyncio.Event()

    async def nodes(self) -> list[NodeInfo]:
        return [ALICE, BOB]

    async def resolve(self, query: str) -> NodeInfo:
        if query == "twin":
            raise AmbiguousNodeError("two are called twin")
        return ALICE

    async def ping(self, to: str, *, timeout: float = 2.0) -> float:
        self.pings += 1
        await self.go.wait()
        if timeout < 1:
            raise TimedOutError(f"{to} did not answer")
        return timeout / 4

    async def trace(self, to: str) -> list[TraceHop]:
        return HOPS

    async def words(self, to: str) -> list[str]:
        return ["one", "two", to]

    async def import_contact(self, contact: str) -> NodeInfo:
        return replace(BOB, nickname=contact, is_contact=True)

    async def verify(self, node: str) -> NodeInfo:
        if node == "blocked":
            raise BlockedError("unblock it first")
        return replace(BOB, id=node, trust=Trust.VERIFIED)

    async def unverify(self, node: str) -> NodeInfo:
        return replace(BOB, id=node)

    async def block(self, node: str) -> NodeInfo:
        return replace(BOB, id=node, trust=Trust.BLOCKED)

    async def unblock(self, node: str) -> NodeInfo:
        return replace(BOB, id=node, nickname="unblocked")


def run(tmp_path: Path, body: Callable[[Answers, RemoteNode], Awaitable[None]]) -> None:
    async def main() -> None:
        answers = Answers()
        async with Server(answers, tmp_path) as listening:
            assert listening.problem is None
            remote = await RemoteNode.connect(tmp_path)
            assert remote is not None
            await body(answers, remote)
            await remote.stop()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_what_the_person_says_of_nodes(tmp_path: Path) -> None:
    async def body(_: Answers, remote: RemoteNode) -> None:
        assert await remote.words("bob") == ["one", "two", "bob"]
        assert (await remote.import_contact("meshchat:1:x")).nickname == "meshchat:1:x"
        assert await remote.verify("x") == replace(BOB, id="x", trust=Trust.VERIFIED)
        assert await remote.unverify("x") == replace(BOB, id="x")
        assert await remote.block("x") == replace(BOB, id="x", trust=Trust.BLOCKED)
        assert (await remote.unblock("x")).nickname == "unblocked"
        with pytest.raises(BlockedError, match="unblock"):
            await remote.verify("blocked")

    run(tmp_path, body)


def test_everything_that_can_be_asked(tmp_path: Path) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        assert await remote.nodes() == [ALICE, BOB]
        assert await remote.resolve("alice") == ALICE
        with pytest.raises(AmbiguousNodeError, match="two are called twin"):
            await remote.resolve("twin")
        assert await remote.trace("a" * 64) == HOPS
        answers.go.set()
        assert await remote.ping("a" * 64, timeout=2) == 0.5
        with pytest.raises(TimedOutError):
            await remote.ping("a" * 64, timeout=0.5)

    run(tmp_path, body)


def test_answers_come_in_any_order(tmp_path: Path) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        slow = asyncio.ensure_future(remote.ping("a" * 64))
        cancelled = asyncio.ensure_future(remote.ping("a" * 64))
        assert await remote.nodes() == [ALICE, BOB]
        cancelled.cancel()
        answers.go.set()
        assert await slow == 0.5

    run(tmp_path, body)


def test_questions_that_wait_are_bounded(tmp_path: Path) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        pings = [asyncio.ensure_future(remote.ping("a" * 64)) for _ in range(3 * MAX_WAITING)]
        other = await RemoteNode.connect(tmp_path)
        assert other is not None
        # By the time that this one is answered, all of the others have been read that will be.
        for _ in range(100):
            await other.nodes()
        assert answers.pings == MAX_WAITING
        answers.go.set()
        assert await asyncio.gather(*pings) == [0.5] * (3 * MAX_WAITING)
        await other.stop()

    run(tmp_path, body)


def test_clients_are_bounded(tmp_path: Path) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        others = [await RemoteNode.connect(tmp_path) for _ in range(MAX_CLIENTS - 1)]
        for other in others:
            assert other is not None and await other.nodes()
        late = await RemoteNode.connect(tmp_path)
        assert late is not None
        with pytest.raises(StoppedError):
            await late.nodes()
        for other in others:
            assert other is not None
            await other.stop()
        while True:
            late = await RemoteNode.connect(tmp_path)
            assert late is not None
            try:
                assert await late.nodes()
                break
            except StoppedError:
                continue
        assert await remote.nodes()
        await late.stop()

    run(tmp_path, body)


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[]",
        b"[" * 4000,
        b"{}",
        b'{"id": 1, "do": "dance"}',
        b'{"id": 1, "do": ["nodes"]}',
        b'{"id": 1, "do": "nodes", "more": 1}',
        b'{"id": 1, "do": "ping", "to": "a"}',
        b'{"id": 1, "do": "ping", "to": "a", "timeout": "soon"}',
        b'{"id": 1, "do": "resolve", "query": null}',
        b"\xff\xfe",
    ],
)
def test_questions_that_make_no_sense(tmp_path: Path, line: bytes) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
        writer.write(line + b'\n{"id": 7, "do": "nodes"}\n')
        first = json.loads(await reader.readline())
        assert first["error"] == "ArgumentError" and first["id"] in (None, 1)
        assert json.loads(await reader.readline())["id"] == 7
        writer.close()

    run(tmp_path, body)


def test_a_question_without_end(tmp_path: Path) -> None:
    async def body(answers: Answers, remote: RemoteNode) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
        writer.write(b"x" * (2 * MAX_REQUEST + 1))
        assert await reader.read() == b"", "it is hung up on"
        writer.close()
        assert await remote.nodes()

    run(tmp_path, body)


def test_the_end_of_the_node_ends_the_questions(tmp_path: Path) -> None:
    async def main() -> None:
        answers = Answers()
        async with Server(answers, tmp_path):
            remote = await RemoteNode.connect(tmp_path)
            assert remote is not None
            waiting = asyncio.ensure_future(remote.ping("a" * 64))
            while not answers.pings:
                await asyncio.sleep(0)
        for question in (waiting, remote.nodes()):
            with pytest.raises(StoppedError):
                await question
        assert await RemoteNode.connect(tmp_path) is None

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_socket_that_was_left_behind(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET))
    left.close()

    async def nobody() -> None:
        assert await RemoteNode.connect(tmp_path) is None

    asyncio.run(nobody())

    async def body(answers: Answers, remote: RemoteNode) -> None:
        assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600
        assert await remote.nodes()

    run(tmp_path, body)
    assert not (tmp_path / SOCKET).exists()


def test_something_else_has_its_name(tmp_path: Path) -> None:
    (tmp_path / SOCKET).write_text("mine")

    async def main() -> None:
        async with Server(Answers(), tmp_path) as listening:
            assert listening.problem is not None and str(tmp_path / SOCKET) in listening.problem

    asyncio.run(main())
    assert (tmp_path / SOCKET).read_text() == "mine"


def test_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    home.mkdir()

    async def body(answers: Answers, remote: RemoteNode) -> None:
        assert await remote.nodes()

    run(home, body)
    assert list(home.iterdir()) == []


def test_strangers_are_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def __init__(self, user: int) -> None:
            self.user = user

        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("3i", 1, self.user, self.user)

    def is_friend(user: int) -> bool:
        return server._is_friend(cast(socket.socket, Connection(user)))

    assert is_friend(os.geteuid()) and is_friend(0) and not is_friend(os.geteuid() + 1)
    monkeypatch.setattr(server, "_is_friend", lambda _: False)

    async def body(answers: Answers, remote: RemoteNode) -> None:
        with pytest.raises(StoppedError):
            await remote.nodes()

    run(tmp_path, body)


def test_a_node_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(asyncio, "open_unix_connection", refused)
    with pytest.raises(MeshChatError, match="belongs to another user"):
        asyncio.run(RemoteNode.connect(tmp_path))


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b"{}\n", b'{"id": [], "ok": 1}\n', b""])
def test_answers_that_make_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        writer.close()

    async def main() -> None:
        listening = await asyncio.start_unix_server(answer, str(tmp_path / SOCKET))
        remote = await RemoteNode.connect(tmp_path)
        assert remote is not None
        with pytest.raises(StoppedError):
            await remote.nodes()
        listening.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_errors_of_other_versions() -> None:
    def made(name: object) -> MeshChatError:
        return error_from_json({"error": name, "text": "text"})

    assert type(made("UnknownNodeError")) is UnknownNodeError and str(made("UnknownNodeError")) == "text"
    for name in ("NewError", "error_of_kind", "__doc__", None, 7):
        assert type(made(name)) is InternalError


def test_a_request_is_short() -> None:
    """Room for the longest of them many times over."""
    longest: dict[str, Any] = {"id": 2**53, "do": "ping", "to": "a" * 64, "timeout": 1e-300}
    assert len(json.dumps(longest)) * 10 < protocol.MAX_REQUEST
