"""Answers questions about a node that runs in this process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from ..errors import ArgumentError, MeshChatError
from ..events import NodeInfo, TraceHop
from .protocol import (
    MAX_CLIENTS,
    MAX_REQUEST,
    MAX_WAITING,
    REQUESTS,
    SOCKET,
    address,
    error_to_json,
    hop_to_json,
    node_to_json,
)


class Answering(Protocol):
    """What can be asked: a :class:`meshchat.Node`, or one in another process."""

    async def nodes(self) -> list[NodeInfo]: ...
    async def resolve(self, query: str) -> NodeInfo: ...
    async def ping(self, to: str, *, timeout: float = ...) -> float: ...
    async def trace(self, to: str) -> list[TraceHop]: ...
    async def words(self, to: str) -> list[str]: ...
    async def import_contact(self, contact: str) -> NodeInfo: ...
    async def verify(self, node: str) -> NodeInfo: ...
    async def unverify(self, node: str) -> NodeInfo: ...
    async def block(self, node: str) -> NodeInfo: ...
    async def unblock(self, node: str) -> NodeInfo: ...


class Server:
    """Listens in the home of a node, whose lock this process holds, while its ``async with`` block runs."""

    def __init__(self, node: Answering, home: Path) -> None:
        self._node = node
        self._home = home
        self.problem: str | None = None
        """Why nobody can ask."""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Server:
        try:
            listener = _listen(self._home)
        except OSError as error:
            self.problem = f"other commands cannot ask this node: {self._home / SOCKET}: {error.strerror}"
        else:
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST)
        return self

    async def __aexit__(self, *_: object) -> None:
        # First the name: whoever comes now finds nobody. The lock of the home is still held, so it is no other's.
        if self._server is not None:
            _remove(self._home)
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._clients) < MAX_CLIENTS and _is_friend(writer.get_extra_info("socket")):
                self._clients.add(task)
                await _Client(self._node, reader, writer).run()
        except (asyncio.CancelledError, OSError):
            # The node stops, or the client has gone.
            pass
        finally:
            self._clients.discard(task)
            writer.close()


class _Client:
    """Somebody who asks."""

    def __init__(self, node: Answering, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._node = node
        self._reader = reader
        self._writer = writer
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the client goes or says what makes no sense."""
        try:
            while line := await self._line():
                await self._room.acquire()
                task = asyncio.ensure_future(self._answer(line))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled():
            # It fails only when nobody reads the answer any more, and then the connection ends, too.
            task.exception()

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ValueError:
            # Longer than any request.
            return b""

    async def _answer(self, line: bytes) -> None:
        request = _decode(line)
        number = request.pop("id", None)
        answer: dict[str, Any]
        try:
            answer = {"ok": await self._do(_name(request), **request)}
        except MeshChatError as error:
            answer = {**error_to_json(error)}
        self._writer.write(json.dumps({"id": number, **answer}).encode() + b"\n")
        await self._writer.drain()

    async def _do(self, name: str, **arguments: Any) -> object:
        if name == "nodes":
            return [node_to_json(node) for node in await self._node.nodes()]
        if name == "resolve":
            return node_to_json(await self._node.resolve(**arguments))
        if name == "ping":
            return await self._node.ping(**arguments)
        if name == "trace":
            return [hop_to_json(hop) for hop in await self._node.trace(**arguments)]
        if name == "words":
            return await self._node.words(**arguments)
        about: dict[str, Callable[..., Awaitable[NodeInfo]]] = {
            "import_contact": self._node.import_contact,
            "verify": self._node.verify,
            "unverify": self._node.unverify,
            "block": self._node.block,
            "unblock": self._node.unblock,
        }
        return node_to_json(await about[name](**arguments))


def _decode(line: bytes) -> dict[str, Any]:
    """A request; empty when it is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def _name(request: dict[str, Any]) -> str:
    """Takes the name out of a request, and leaves just the arguments that belong to it."""
    name = request.pop("do", None)
    types = REQUESTS.get(name) if isinstance(name, str) else None
    if types is None or {key: type(value) for key, value in request.items()} != types:
        raise ArgumentError("the node does not understand the question: is it of another version? Restart it")
    return str(name)


# -- the socket -------------------------------------------------------------------------------------------------


def _listen(home: Path) -> socket.socket:
    _remove(home)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with address(home) as path:
            listener.bind(path)
            os.chmod(path, 0o600)
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove(home: Path) -> None:
    """Removes a socket, also one that a killed process left; anything else that has its name stays."""
    path = home / SOCKET
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass


def _is_friend(connection: socket.socket) -> bool:
    """Whether the user of this process, or root, asks: the mode of a socket does not count everywhere."""
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (os.geteuid(), 0)
