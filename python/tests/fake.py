"""A node that exists in the test only: what a chat needs of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

from meshchat import (
    Contact,
    EmptyMessageError,
    Event,
    HistoryEntry,
    HistoryPage,
    InsecureNode,
    LinkStatus,
    MeshChatError,
    Message,
    Node,
    NodeInfo,
    RoomInfo,
    RoomStanding,
    Trust,
    UnknownNodeError,
    UnknownRoomError,
)


class FakeNode:
    """Accepts what it is told to; the test says when."""

    def __init__(self, *nodes: NodeInfo) -> None:
        self.id = "f" * 64
        self.known = list(nodes)
        self.links: list[LinkStatus] = []
        self.sent: list[tuple[str, str]] = []
        self.names: list[str] = []
        self.past: list[HistoryEntry] = []
        self.answers: list[asyncio.Future[str]] = []
        self.answer_at_once = True
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self.confirmed: list[str] = []
        self.insecure: list[InsecureNode] = []
        self.calls: list[tuple[object, ...]] = []
        self.known_rooms: list[RoomInfo] = []

    def as_node(self) -> Node:
        return cast(Node, self)

    async def nodes(self) -> list[NodeInfo]:
        return self.known

    async def resolve(self, query: str) -> NodeInfo:
        for node in self.known:
            if query in (node.id, node.nickname):
                return node
        raise UnknownNodeError(f"nobody is known as {query}")

    def send_named_soon(self, to: str, name: str, text: str) -> asyncio.Future[str]:
        self.names.append(name)
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

    async def rooms(self) -> list[RoomInfo]:
        return self.known_rooms

    async def resolve_room(self, query: str) -> RoomInfo:
        for room in self.known_rooms:
            if query in (room.id, room.name):
                return room
        raise UnknownRoomError(f"no room '{query}' is known")

    async def create_room(self, name: str) -> RoomInfo:
        number = len(self.known_rooms) + 1
        room = RoomInfo(f"{number:032x}", name, self.id, RoomStanding.MEMBER, (self.id,), (), 0)
        self.known_rooms.append(room)
        return room

    async def invite(self, room: RoomInfo, node: NodeInfo) -> None:
        self.calls.append(("invite", room.name, node.id))

    async def remove(self, room: RoomInfo, node: NodeInfo) -> None:
        self.calls.append(("remove", room.name, node.id))

    async def join(self, room: RoomInfo) -> None:
        self.calls.append(("join", room.name))

    async def leave(self, room: RoomInfo) -> None:
        self.calls.append(("leave", room.name))

    async def send_to_room(self, room: RoomInfo, text: str) -> str:
        self.calls.append(("say", room.name, text))
        return f"{len(self.calls):032x}"

    async def history(
        self, *, with_: NodeInfo | None, room: RoomInfo | None, search: str | None, limit: int
    ) -> HistoryPage:
        self.calls.append(("history", with_ and with_.id, search, limit))
        return HistoryPage(self.past, False)

    def safety_words(self, node: NodeInfo) -> list[str]:
        return ["one", "two", node.id[:3]]

    async def verify(self, query: str) -> NodeInfo:
        return await self._judged("verify", query, Trust.VERIFIED)

    async def unverify(self, query: str) -> NodeInfo:
        return await self._judged("unverify", query, Trust.SEEN)

    async def block(self, query: str) -> NodeInfo:
        return await self._judged("block", query, Trust.BLOCKED)

    async def unblock(self, query: str) -> NodeInfo:
        return await self._judged("unblock", query, Trust.SEEN)

    async def _judged(self, what: str, query: str, trust: Trust) -> NodeInfo:
        node = replace(await self.resolve(query), trust=trust, is_contact=True)
        self.calls.append((what, node.id))
        self.known = [node if other.id == node.id else other for other in self.known]
        return node

    def contact(self) -> Contact:
        return Contact(self.id, "me")

    async def import_contact(self, contact: Contact) -> NodeInfo:
        node = NodeInfo(contact.id, contact.nickname, False, 0.0, is_contact=True)
        self.known.append(node)
        return node

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
