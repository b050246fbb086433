"""Joins a node, the session and a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ..errors import MeshChatError, StoppedError
from ..events import Broadcast, Message
from ..node import Node
from .lines import BadLine
from .safe import safe
from .screen import Screen
from .session import NO_CONVERSATION, HELP, Command, Open, Order, Say, Session, Wrong, parse

# Messages that wait for the disk at a time: they share its syncs, and input is read no faster than it is stored.
WINDOW = 256


class Chat:
    """A chat from the first to the last line."""

    def __init__(self, node: Node, session: Session, screen: Screen) -> None:
        self._node = node
        self._session = session
        self._screen = screen
        self._sends: asyncio.Queue[tuple[asyncio.Future[str], str]] = asyncio.Queue(WINDOW)

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
            if isinstance(event, (Message, Broadcast)) and not self._session.knows(event.sender):
                self._session.learn(await self._node.nodes())
            text = self._session.event(event)
            if text is not None:
                self._screen.show(text, event.confirm if isinstance(event, Message) else None)

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
            await self._send(self._session.partner.id, command.text)
            return True
        # Anything but more text takes effect, and is shown, after what was sent before.
        await self._sends.join()
        if isinstance(command, Open):
            partner = await self._node.resolve(command.query)
            self._show(self._session.open(partner))
            if command.text:
                await self._send(partner.id, command.text)
        elif isinstance(command, Say):
            self._show(NO_CONVERSATION)
        elif isinstance(command, Wrong):
            self._show(command.text)
        elif isinstance(command, Order):
            return await self._order(command.name)
        return True

    async def _order(self, name: str) -> bool:
        if name == "nodes":
            self._show(self._session.list_nodes(await self._node.nodes()))
        elif name == "bye":
            self._show(self._session.close())
        elif name == "help":
            self._show(HELP)
        return name != "exit"

    def _show(self, text: str | None) -> None:
        if text is not None:
            self._screen.show(text)

    # -- sending ------------------------------------------------------------------------------------------------

    async def _send(self, to: str, text: str) -> None:
        answer = self._node.send_soon(to, text)
        self._session.sending()
        await self._sends.put((answer, text))

    async def _show_answers(self) -> None:
        """Shows, in the order of the messages, that they were accepted, or why not."""
        while True:
            answer, text = await self._sends.get()
            try:
                shown = self._session.accepted(await answer, text)
            except StoppedError:
                raise
            except MeshChatError as error:
                shown = self._session.refused(error)
            self._screen.show(shown)
            self._sends.task_done()
