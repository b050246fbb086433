"""Joins a node, the session and a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from ..errors import MeshChatError, StoppedError
from ..events import Broadcast, Message, NodeInfo
from ..files import FileOffered
from ..insecure import insecure_address
from ..node import Node
from .files import NO_INSECURE, NO_RECIPIENT
from .insecure import NOT_ASKED_FOR, InsecurePeer, means_v1
from .lines import BadLine
from .safe import safe
from .screen import Screen
from .session import (
    HELP,
    NO_CONVERSATION,
    Command,
    Connect,
    Decide,
    Open,
    Order,
    Say,
    SendFile,
    Session,
    Shout,
    Wrong,
    parse,
)

# Messages that wait for the disk at a time: they share its syncs, and input is read no faster than it is stored.
WINDOW = 256


class Chat:
    """A chat from the first to the last line."""

    def __init__(self, node: Node, session: Session, screen: Screen) -> None:
        self._node = node
        self._session = session
        self._screen = screen
        # What was sent, and how to show that it was accepted.
        self._sends: asyncio.Queue[tuple[asyncio.Future[Any], Callable[[Any], str]]] = asyncio.Queue(WINDOW)

    async def run(self, lines: AsyncIterator[str | BadLine]) -> None:
        """Chats until the input ends or says so."""
        self._session.learn(await self._node.nodes())
        self._screen.show(f"NODE_ID: {self._node.id}")
        for link in self._node.links:
            if link.error is not None:
                self._screen.show(f"! link {safe(link.spec)}: {safe(str(link.error))}")
        work = (self._obey(lines), self._show_events(), self._show_answers())
        tasks = [asyncio.ensure_future(part) for part in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if tasks[0] not in done:
                raise StoppedError("the node has stopped; start the chat again")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._screen.flush()

    async def _show_events(self) -> None:
        async for event in self._node.events(auto_confirm=False):
            sender = event.sender if isinstance(event, (Message, Broadcast)) else None
            if isinstance(event, FileOffered):
                sender = event.file.peer
            if sender is not None and not self._session.knows(sender):
                self._session.learn(await self._node.nodes())
            text = self._session.event(event)
            if text is not None:
                self._screen.show(text, shown(event) if isinstance(event, Message) else None)

    # -- input --------------------------------------------------------------------------------------------------

    async def _obey(self, lines: AsyncIterator[str | BadLine]) -> None:
        async for line in lines:
            command = Wrong(f"! {line.why}") if isinstance(line, BadLine) else parse(line)
            if command is None:
                continue
            try:
                if not await self._do(command):
                    break
            except StoppedError:
                raise
            except MeshChatError as error:
                self._screen.show(f"! {safe(str(error))}")
        await self._sends.join()

    async def _do(self, command: Command) -> bool:
        """Does what a line says; whether the chat goes on."""
        if isinstance(command, Say) and self._session.partner is not None:
            await self._send(self._session.partner, command.text)
            return True
        # Anything but more text takes effect, and is shown, after what was sent before.
        await self._sends.join()
        if isinstance(command, Open):
            await self._open(command)
        elif isinstance(command, SendFile):
            await self._send_file(command.path)
        elif isinstance(command, Decide):
            await self._decide(command)
        elif isinstance(command, Connect):
            await self._connect(command.address)
        elif isinstance(command, Shout):
            await self._node.broadcast(command.text)
            self._show(self._session.shouted(command.text))
        elif isinstance(command, Say):
            self._show(NO_CONVERSATION)
        elif isinstance(command, Wrong):
            self._show(command.text)
        elif isinstance(command, Order):
            return await self._order(command.name)
        return True

    async def _open(self, command: Open) -> None:
        partner: NodeInfo | InsecurePeer
        if not means_v1(command.query):
            partner = await self._node.resolve(command.query)
        elif self._speaks_v1():
            partner = InsecurePeer(insecure_address(command.query))
        else:
            return self._show(NOT_ASKED_FOR)
        self._show(self._session.open(partner))
        if command.text:
            await self._send(partner, command.text)

    async def _order(self, name: str) -> bool:
        if name == "nodes":
            insecure = await self._node.insecure_nodes() if self._speaks_v1() else []
            self._show(self._session.list_nodes(await self._node.nodes(), insecure))
        elif name == "files":
            self._show(self._session.files.rows(await self._node.files()))
        elif name == "bye":
            await self._bye()
        elif name == "help":
            self._show(HELP)
        return name != "exit"

    def _show(self, text: str | None) -> None:
        if text is not None:
            self._screen.show(text)

    async def _bye(self) -> None:
        partner = self._session.partner
        stream = self._session.streams.of(partner.id) if isinstance(partner, InsecurePeer) else None
        self._show(self._session.close())
        if partner is not None and stream is not None:
            self._session.streams.remove(partner.id, stream)
            await self._node.close_insecure(stream)

    # -- files --------------------------------------------------------------------------------------------------

    async def _send_file(self, path: str) -> None:
        partner = self._session.partner
        if not isinstance(partner, NodeInfo):
            return self._show(NO_RECIPIENT if partner is None else NO_INSECURE)
        id = await self._node.send_file(partner, Path(path).expanduser())
        for file in await self._node.files():
            if file.id == id:
                self._show(self._session.files.offering(file))

    async def _decide(self, command: Decide) -> None:
        file = self._session.files.chosen(await self._node.files(), command.number)
        if isinstance(file, str):
            self._show(file)
        elif command.accept:
            await self._node.accept_file(file)
            self._show(self._session.files.accepted(file))
        else:
            # That it is over is told by an event.
            await self._node.cancel_file(file)

    # -- AlexMesh v1 --------------------------------------------------------------------------------------------

    def _speaks_v1(self) -> bool:
        return any(means_v1(link.spec) for link in self._node.links)

    async def _connect(self, text: str) -> None:
        if not self._speaks_v1():
            return self._show(NOT_ASKED_FOR)
        peer = InsecurePeer(insecure_address(text))
        stream = await self._node.connect_insecure(peer.id)
        self._session.streams.add(peer.id, stream)
        self._show(self._session.open(peer))
        self._show(f"* opening a stream to insecure {peer.id}")

    # -- sending ------------------------------------------------------------------------------------------------

    async def _send(self, to: NodeInfo | InsecurePeer, text: str) -> None:
        answer: asyncio.Future[Any]
        session, node = self._session, self._node
        if isinstance(to, NodeInfo):
            answer, show = node.send_soon(to.id, text), lambda message: session.accepted(message, text)
        elif (stream := session.streams.of(to.id)) is not None:
            answer = asyncio.ensure_future(node.write_insecure(stream, f"{text}\n".encode()))
            show = lambda _: session.written(text)  # noqa: E731
        else:
            answer = asyncio.ensure_future(node.send_insecure(to.id, text))
            show = lambda message: session.accepted_insecure(message, text)  # noqa: E731
        session.sending()
        await self._sends.put((answer, show))

    async def _show_answers(self) -> None:
        """Shows, in the order of the messages, that they were accepted, or why not."""
        while True:
            answer, show = await self._sends.get()
            try:
                shown = show(await answer)
            except StoppedError:
                raise
            except MeshChatError as error:
                shown = self._session.refused(error)
            self._screen.show(shown)
            self._sends.task_done()


def shown(message: Message) -> Callable[[], None]:
    """What is done once a person can see the message."""

    def then() -> None:
        message.confirm()
        message.mark_read()

    return then
