"""Asks a node that runs in another process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ..errors import MeshChatError, StoppedError
from ..events import NodeInfo, TraceHop
from .protocol import MAX_ANSWER, address, error_from_json, hop_from_json, node_from_json


class RemoteNode:
    """The node of a home, in another process, while it runs there. Get one from :meth:`connect`."""

    def __init__(self, home: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._home = home
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listening = asyncio.ensure_future(self._listen())

    @classmethod
    async def connect(cls, home: Path) -> RemoteNode | None:
        """The node that runs in `home`; None when none does, or none that can be asked."""
        try:
            with address(home) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError:
            raise MeshChatError(f"the node in {home} belongs to another user; ask as that user, or as root") from None
        return cls(home, reader, writer)

    async def stop(self) -> None:
        """Ends the connection; the node runs on."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def nodes(self) -> list[NodeInfo]:
        return [node_from_json(node) for node in await self._ask("nodes")]

    async def resolve(self, query: str) -> NodeInfo:
        return node_from_json(await self._ask("resolve", query=query))

    async def ping(self, to: str, *, timeout: float = 2.0) -> float:
        return float(await self._ask("ping", to=to, timeout=float(timeout)))

    async def trace(self, to: str) -> list[TraceHop]:
        return [hop_from_json(hop) for hop in await self._ask("trace", to=to)]

    async def words(self, to: str) -> list[str]:
        return [str(word) for word in await self._ask("words", to=to)]

    async def import_contact(self, contact: str) -> NodeInfo:
        return node_from_json(await self._ask("import_contact", contact=contact))

    async def verify(self, node: str) -> NodeInfo:
        return node_from_json(await self._ask("verify", node=node))

    async def unverify(self, node: str) -> NodeInfo:
        return node_from_json(await self._ask("unverify", node=node))

    async def block(self, node: str) -> NodeInfo:
        return node_from_json(await self._ask("block", node=node))

    async def unblock(self, node: str) -> NodeInfo:
        return node_from_json(await self._ask("unblock", node=node))

    async def _ask(self, do: str, **arguments: object) -> Any:
        if self._listening.done():
            raise self._gone()
        self._number += 1
        number = self._number
        line = json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n"
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(line)
            return await answer
        finally:
            del self._waiting[number]

    def _gone(self) -> MeshChatError:
        return StoppedError(f"the node in {self._home} has ended, or takes no more questions; try again")

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError, AttributeError):
            # What it says makes no sense, as little as its silence would.
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(self._gone())
            self._writer.close()

    def _take(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if not isinstance(number, int):
            # Nothing is asked without a number.
            raise ValueError
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if "ok" in message:
            answer.set_result(message["ok"])
        else:
            answer.set_exception(error_from_json(message))
