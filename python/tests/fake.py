"""A node that exists in the test only: what a chat needs of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

from meshchat import (
    EmptyMessageError,
    Event,
    InsecureNode,
    LinkStatus,
    MeshChatError,
    Message,
    Node,
    NodeInfo,
    UnknownNodeError,
)


class FakeNode:
    """Accepts what it is told to; the test says when."""

    def __init__(self, *nodes: NodeInfo) -> None:
        self.id = "f" * 64
        self.known = list(nodes)
        self.links: list[LinkStatus] = []
        self.sent: list[tuple[str, str]] = []
        self.answers: list[asyncio.Future[str]] = []
        self.answer_at_once = True
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self.confirmed: list[str] = []
        self.insecure: list[InsecureNode] = []
        self.calls: list[tuple[object, ...]] = []

    def as_node(self) -> Node:
        return cast(Node, self)

    async def nodes(self) -> list[NodeInfo]:
        return self.known

    async def resolve(self, query: str) -> NodeInfo:
        for node in self.known:
            if query in (node.id, node.nickname):
                return node
        raise UnknownNodeError(f"nobody is known as {query}")

    def send_soon(self, to: str, text: str) -> asyncio.Future[str]:
        self.sent.append((to, text))
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        if self.answer_at_once:
            self.answer(len(self.answers) - 1)
        return answer

    def answer(self, index: int, error: MeshChatError | None = None) -> None:
        if error is None:
            self.answers[index].set_result(f"{index:032x}")
        else:
            self.answers[index].set_exception(error)

    async def insecure_nodes(self) -> list[InsecureNode]:
        return self.insecure

    async def send_insecure(self, to: str, text: str) -> int:
        self.calls.append(("send", to, text))
        return len(self.calls)

    async def connect_insecure(self, to: str) -> int:
        self.calls.append(("connect", to))
        return len(self.calls)

    async def write_insecure(self, stream: int, data: bytes) -> None:
        self.calls.append(("write", stream, data))

    async def close_insecure(self, stream: int) -> None:
        self.calls.append(("close", stream))

    async def events(self, *, auto_confirm: bool = True) -> AsyncIterator[Event]:
        assert not auto_confirm
        while True:
            yield await self.queue.get()

    def receive(self, sender: str, text: str) -> None:
        confirm = lambda: self.confirmed.append(text)  # noqa: E731
        self.queue.put_nowait(Message(sender, "00" * 16, text, 0.0, 0.0, confirm))


EMPTY = EmptyMessageError("the message is empty; write something")
