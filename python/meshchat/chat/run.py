"""Joins a node, the session and a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ..errors import MeshChatError, StoppedError, UnknownRoomError
from ..events import Broadcast, Message, NodeInfo
from ..files import FileOffered
from ..history import Contact
from ..insecure import insecure_address
from ..node import Node
from ..rooms import RoomInfo
from .files import NO_INSECURE, NO_RECIPIENT
from .insecure import NOT_ASKED_FOR, InsecurePeer, means_v1
from .lines import BadLine
from .past import NOTHING_FOUND, exported, history_line, parse_history, qr_lines, read_contacts, write_private
from .paths import typed_path
from .rooms import NO_FILES, NO_ROOM
from .safe import safe
from .screen import Screen
from .session import (
    HELP,
    NO_CONVERSATION,
    Admit,
    Attend,
    Command,
    Connect,
    Contacts,
    Decide,
    Enter,
    Judge,
    Open,
    Order,
    Past,
    Say,
    SendFile,
    Session,
    Shout,
    Wrong,
    is_loud,
    parse,
)

NOBODY_TO_VERIFY = "! name a node: /verify <name or id>"
IMPORTED = "* compare safety words (/verify) before you trust what was imported"

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
        self._session.rooms.own = self._node.id
        self._session.rooms.learn(await self._node.rooms())
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
            room = event.room if isinstance(event, Message) else None
            if room is not None and not self._session.rooms.knows(room):
                self._session.rooms.learn(await self._node.rooms())
            text = self._session.event(event)
            if text is not None:
                confirm = shown(event) if isinstance(event, Message) else None
                self._screen.show(text, confirm, loud=is_loud(event))

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
            except OSError as error:
                where = "" if error.filename is None else f"{safe(str(error.filename))}: "
                self._screen.show(f"! {where}{error.strerror}")
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
        elif isinstance(command, Enter):
            await self._enter(command.name)
        elif isinstance(command, Attend):
            await self._attend(command)
        elif isinstance(command, Admit):
            await self._admit(command)
        elif isinstance(command, Connect):
            await self._connect(command.address)
        elif isinstance(command, Past):
            await self._past(command)
        elif isinstance(command, Judge):
            await self._judge(command)
        elif isinstance(command, Contacts):
            await self._contacts(command)
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
        self._show(self._session.open(partner, command.query))
        if command.text:
            await self._send(partner, command.text)

    # -- history and contacts -------------------------------------------------------------------------------------

    async def _past(self, command: Past) -> None:
        count, search = parse_history(command.words)
        partner = self._session.partner
        page = await self._node.history(
            with_=partner if isinstance(partner, NodeInfo) else None,
            room=partner if isinstance(partner, RoomInfo) else None,
            search=search,
            limit=count,
        )
        lines = [history_line(entry, self._session.rooms.name) for entry in page.entries]
        self._show("\n".join(lines) or NOTHING_FOUND)

    async def _judge(self, command: Judge) -> None:
        partner = self._session.partner
        query = command.query or (partner.id if isinstance(partner, NodeInfo) else "")
        if not query or means_v1(query):
            return self._show(NOBODY_TO_VERIFY)
        if command.name == "verify" and not command.answer:
            node = await self._node.resolve(query)
            return self._show(self._session.show_words(node, self._node.safety_words(node)))
        calls = {
            ("verify", "yes"): self._node.verify,
            ("verify", "no"): self._node.unverify,
            ("block", ""): self._node.block,
            ("unblock", ""): self._node.unblock,
        }
        node = await calls[command.name, command.answer](query)
        self._show(self._session.judged(command.name, command.answer, node))

    async def _contacts(self, command: Contacts) -> None:
        if command.action == "list":
            self._show(self._session.list_contacts(await self._node.nodes()))
        elif command.action == "import":
            await self._import(command.argument)
        elif command.argument == "qr":
            contact = str(self._node.contact())
            self._show(f"{qr_lines(contact)}\n{safe(contact)}")
        else:
            lines = exported(await self._node.nodes())
            write_private(typed_path(command.argument), lines)
            self._show(f"* {len(lines)} contacts were written to {safe(command.argument)}")

    async def _import(self, source: str) -> None:
        is_text = source.lower().startswith("meshchat:")
        contacts = [Contact.parse(source)] if is_text else read_contacts(typed_path(source))
        for contact in contacts:
            node = await self._node.import_contact(contact)
            self._session.learn([node])
            self._show(f"* imported {safe(node.name)} {node.id}")
        self._show(IMPORTED if contacts else f"! {safe(source)}: there is no contact in it")

    async def _order(self, name: str) -> bool:
        if name == "nodes":
            insecure = await self._node.insecure_nodes() if self._speaks_v1() else []
            self._show(self._session.list_nodes(await self._node.nodes(), insecure))
        elif name == "files":
            self._show(self._session.files.rows(await self._node.files()))
        elif name == "rooms":
            self._show(self._session.rooms.rows(await self._node.rooms()))
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
        if isinstance(partner, RoomInfo):
            return self._show(NO_FILES)
        if not isinstance(partner, NodeInfo):
            return self._show(NO_RECIPIENT if partner is None else NO_INSECURE)
        id = await self._node.send_file_named(
            partner.id, self._session.partner_query, typed_path(path)
        )
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

    # -- rooms ----------------------------------------------------------------------------------------------------

    async def _enter(self, name: str) -> None:
        try:
            room = await self._node.resolve_room(name)
        except UnknownRoomError:
            room = await self._node.create_room(name)
            self._show(f"* made the room {safe(room.name)}: /invite <name or id> brings others in")
        self._show(self._session.open(room))
        self._show(self._session.rooms.row(room))

    async def _attend(self, command: Attend) -> None:
        partner = self._session.partner
        if command.room:
            room = await self._node.resolve_room(command.room)
        elif isinstance(partner, RoomInfo):
            room = partner
        else:
            return self._show(NO_ROOM)
        if command.name == "join":
            await self._node.join(room)
            return self._show(f"* asked to join the room {safe(room.name)}")
        await self._node.leave(room)
        self._show(f"* left the room {safe(room.name)}")
        # That it is over may have been told meanwhile.
        partner = self._session.partner
        if isinstance(partner, RoomInfo) and partner.id == room.id:
            self._show(self._session.close())

    async def _admit(self, command: Admit) -> None:
        room = self._session.partner
        if not isinstance(room, RoomInfo):
            return self._show(NO_ROOM)
        node = await self._node.resolve(command.query)
        if command.name == "invite":
            await self._node.invite(room, node)
            return self._show(f"* [{safe(room.name)}] {safe(node.name)} is invited")
        # That it is out is told by an event.
        await self._node.remove(room, node)

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

    async def _send(self, to: NodeInfo | InsecurePeer | RoomInfo, text: str) -> None:
        answer: asyncio.Future[Any]
        session, node = self._session, self._node
        if isinstance(to, NodeInfo):
            answer = node.send_named_soon(to.id, session.partner_query, text)
            show = lambda message: session.accepted(message, text)  # noqa: E731
        elif isinstance(to, RoomInfo):
            answer = asyncio.ensure_future(node.send_to_room(to, text))
            show = lambda message: session.accepted_in_room(message, to.id, text)  # noqa: E731
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
