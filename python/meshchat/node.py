"""A node in an asyncio program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path

from . import _core, _jobs
from ._answers import Answers
from .blocking import BlockingNode
from .connection import Connection, Listener
from .errors import ArgumentError, StoppedError
from .events import Event, LinkStatus, Mailbox, Message, NodeInfo, TraceHop, event_of, node_info
from .files import FileInfo, file_info
from .history import MAX_LIMIT, Contact, HistoryEntry, HistoryPage, Time, page_of, raw_query
from .identity import StrPath
from .insecure import InsecureNode
from .rooms import RoomInfo, room_info

_NOT_RUNNING = "the node is not running; use it inside 'async with meshchat.Node() as node'"


class Node:
    """A node that runs while its ``async with`` block does.

    `home` is the folder of key, outbox and history (default: :func:`meshchat.default_home`); with `temporary` a home is
    made for this run and removed at its end. Its database is the node's own: another process may read it meanwhile, but with
    :mod:`sqlite3` in the process of the node even reading damages it, as neither sees the other's locks. `passphrase` opens the key file, and protects a
    key that this start makes, of `key_bits` bits (2048 to 4096 in steps of 8; this takes seconds). `links` are ``udp``,
    ``udp:HOST:PORT`` and ``ethernet:IFACE``; one that cannot be opened is reported by :attr:`links`, and the start
    fails only when none can be opened. With `network_key_file` the node belongs to the private mesh whose nodes share that
    key (:func:`meshchat.create_network_key` makes one): it neither hears nor is heard by others.

    `keep_history` says how long messages stay in the history: a time, a number of messages, or None: for good. Messages
    that are still to be delivered, and received ones that were not confirmed, stay in any case. What is too old goes within an
    hour.

    `v1` are Ethernet interfaces on which programs that speak only AlexMesh v1 may find this node, send it messages and
    chat with it: **insecure**, as anybody on the segment can read and forge all of it. Not in a private mesh.

    With a `mailbox` the node keeps sealed messages for nodes that are away, and hands them over when they come into reach. It
    cannot read them; it learns who sends to whom, when, and about how much.

    `downloads` is the folder of files that are accepted (default: ``downloads`` in the home).

    All methods belong to the event loop that started the node.
    """

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        temporary: bool = False,
        nickname: str | None = None,
        passphrase: str | None = None,
        links: Iterable[str] = ("udp",),
        v1: Iterable[str] = (),
        key_bits: int | None = None,
        network_key_file: StrPath | None = None,
        mailbox: Mailbox | None = None,
        downloads: StrPath | None = None,
        keep_history: timedelta | int | None = None,
    ) -> None:
        for name, value, what in (("links", links, "links"), ("v1", v1, "interfaces")):
            if isinstance(value, str):
                # A text is iterable, too: each letter would count as a link.
                raise ArgumentError(f"{name} is a list of {what}, not a text: write [{value!r}]")
        links = list(links)
        if not links:
            raise ArgumentError("links is empty: name at least one, such as 'udp'")
        self._config = (
            home,
            temporary,
            nickname,
            passphrase,
            key_bits,
            links,
            list(v1),
            network_key_file,
            None if mailbox is None else _offered(mailbox),
            downloads,
            *_kept(keep_history),
        )
        self._running: _core.Node | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._running_answers: Answers | None = None
        self._ahead: _core._RawEvent | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the node; ``async with`` does it. A node starts once."""
        if self._loop is not None:
            raise RuntimeError("a meshchat.Node starts once; make another one")
        self._loop = asyncio.get_running_loop()
        core = await _jobs.finish(_core.start(*self._config))
        self._running = core
        self._running_answers = Answers(core, self._loop)

    async def stop(self) -> None:
        """Says goodbye to the neighbours, closes disk and links. ``async with`` does it. Idempotent."""
        if self._running is None:
            return
        if self._stopping is None:
            self._answers.close()
            self._stopping = asyncio.ensure_future(self._stop(self._running))
        # A cancelled caller must not keep the node from stopping properly.
        await asyncio.shield(self._stopping)

    async def _stop(self, core: _core.Node) -> None:
        self._wake()
        try:
            await _jobs.finish(core.stop())
            self._answers.take()
        finally:
            self._core_loop.remove_reader(core.events_fileno())
            self._answers.end()

    async def __aenter__(self) -> Node:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def blocking(self) -> BlockingNode:
        """This node, not started yet, for a script without an event loop: ``with Node().blocking() as node``."""
        return BlockingNode(self)

    @property
    def _core(self) -> _core.Node:
        if self._running is None:
            raise StoppedError(_NOT_RUNNING)
        return self._running

    @property
    def _core_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise StoppedError(_NOT_RUNNING)
        return self._loop

    @property
    def _answers(self) -> Answers:
        if self._running_answers is None:
            raise StoppedError(_NOT_RUNNING)
        return self._running_answers

    # -- facts --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """NODE_ID of this node, 64 hexadecimal digits."""
        return self._core.id

    @property
    def nickname(self) -> str | None:
        """The name that this node shows to others."""
        return self._core.nickname

    @property
    def home(self) -> Path:
        """The folder of key, outbox and history."""
        return self._core.home

    @property
    def links(self) -> list[LinkStatus]:
        """The links that were asked for, each once, and how it went; all UDP links are one."""
        return [LinkStatus(spec, error) for spec, error in self._core.links]

    async def nodes(self) -> list[NodeInfo]:
        """All nodes that are known, those in reach first. This node is not among them."""
        return [node_info(raw) for raw in await _jobs.finish(self._core.nodes())]

    async def resolve(self, query: str) -> NodeInfo:
        """The node that `query` means: a full id, its beginning, its last five or more digits, or a nickname.

        :class:`AmbiguousNodeError` when several nodes fit.
        """
        return node_info(await _jobs.finish(self._core.resolve(query)))

    # -- history and contacts ---------------------------------------------------------------------------------------

    async def history(
        self,
        *,
        with_: str | NodeInfo | None = None,
        room: str | RoomInfo | None = None,
        search: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
    ) -> HistoryPage:
        """Messages of this node, the newest last: the newest `limit` (at most 1000) that fit.

        `with_`: only those from and to this node alone. `room`: only those to this room. `search`: only those that hold each of these words, or a word that
        begins so; case and accents do not matter. `since` and `until` are times of this node's clock. `before` a position
        gives the page before it, `after` one the page behind it (0 begins with the oldest).
        """
        node = None if with_ is None else await self._id_of(with_)
        place = None if room is None else await self._room_id(room)
        query = raw_query(node, place, search, since, until, limit, before, after)
        return page_of(await _jobs.finish(self._core.history(query)))

    async def history_entries(
        self,
        *,
        with_: str | NodeInfo | None = None,
        room: str | RoomInfo | None = None,
        search: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> AsyncIterator[HistoryEntry]:
        """All messages that fit, from the oldest on; a page at a time is in memory."""
        node = None if with_ is None else await self._id_of(with_)
        place = None if room is None else await self._room_id(room)
        after, more = 0, True
        while more:
            page = await self.history(
                with_=node, room=place, search=search, since=since, until=until, limit=MAX_LIMIT, after=after
            )
            for entry in page.entries:
                yield entry
            more = page.more
            after = page.entries[-1].position if page.entries else after

    def safety_words(self, peer: str | NodeInfo) -> list[str]:
        """Eight words to compare by voice with the person of the node `peer` (a node, or its full id).

        They are the same on both sides only if each has the other's true key.
        """
        return self._core.safety_words(peer.id if isinstance(peer, NodeInfo) else peer)

    async def words(self, to: str | NodeInfo) -> list[str]:
        """:meth:`safety_words` of whatever :meth:`resolve` understands."""
        return self.safety_words(await self._id_of(to))

    async def verify(self, node: str | NodeInfo) -> NodeInfo:
        """Notes that the person has compared safety words with `node`: its nickname then means this node alone.

        It need not have been seen when its full id is given. :class:`BlockedError` when it is blocked.
        """
        return node_info(await _jobs.finish(self._core.verify(await self._id_of(node))))

    async def unverify(self, node: str | NodeInfo) -> NodeInfo:
        """Takes :meth:`verify` back."""
        return node_info(await _jobs.finish(self._core.unverify(await self._id_of(node))))

    async def block(self, node: str | NodeInfo) -> NodeInfo:
        """Blocks a node: nothing of it reaches the program or the disk, and nothing is sent to it.

        For it, this node does not answer. Its frames are forwarded as ever. That it was verified is forgotten.
        """
        return node_info(await _jobs.finish(self._core.block(await self._id_of(node))))

    async def unblock(self, node: str | NodeInfo) -> NodeInfo:
        """Takes :meth:`block` back."""
        return node_info(await _jobs.finish(self._core.unblock(await self._id_of(node))))

    def contact(self) -> Contact:
        """This node as a contact to be passed on."""
        return Contact(self.id, self.nickname)

    async def contacts(self) -> list[NodeInfo]:
        """The nodes that the person keeps as contacts: has written to, has imported, verified or blocked."""
        return [node for node in await self.nodes() if node.is_contact]

    async def import_contact(self, contact: str | Contact) -> NodeInfo:
        """Keeps a contact, which need not have been seen yet: messages to it wait until it is in reach.

        It is no more trusted than a node that was seen: whoever made the text chose what it says.
        """
        return node_info(await _jobs.finish(self._core.import_contact(str(contact))))

    async def _id_of(self, node: str | NodeInfo) -> str:
        if isinstance(node, NodeInfo):
            return node.id
        return node if len(node) == 64 else (await self.resolve(node)).id

    async def ping(self, to: str | NodeInfo, *, timeout: float = 2.0) -> float:
        """Asks a node in reach for an answer across the mesh; the seconds that it took.

        `to` is a node, or whatever :meth:`resolve` understands. It tells about the way, not about the node: anybody on
        the way could answer. :class:`TimedOutError` after `timeout` seconds, at most 10, without an answer;
        :class:`OutOfReachError` when there is no way.
        """
        return await _jobs.finish(self._core.ping(await self._id_of(to), timeout))

    async def trace(self, to: str | NodeInfo) -> list[TraceHop]:
        """The way to a node in reach: every relay, then the node itself. It takes two seconds at most."""
        return [TraceHop(*hop) for hop in await _jobs.finish(self._core.trace(await self._id_of(to)))]

    async def broadcast(self, text: str) -> None:
        """Says something to every node in reach: 1 to 1000 bytes, signed by this node and *not* encrypted.

        Everybody on the way can read it, it is not stored, and nobody acknowledges it. Eight at once, then one a second.
        """
        await _jobs.finish(self._core.broadcast(text))

    # -- sending ------------------------------------------------------------------------------------------------

    async def send(self, to: str | NodeInfo, text: str, *, lifetime: float | None = None) -> str:
        """Accepts a message of 1 byte to 1 MiB and returns its id.

        `to` is a node, or whatever :meth:`resolve` understands. When this returns, the message is safely on this
        node's disk; from then on it is delivered as soon as the recipient is in reach, also after a restart; while it is
        away, mailboxes keep a sealed copy. :class:`StatusChanged` events tell how far it is. When it is not delivered within
        `lifetime` seconds, it is given up: ``EXPIRED`` (it is looked every 30 seconds).
        """
        return await self.send_soon(await self._id_of(to), text, lifetime=lifetime)

    def send_soon(self, to: str, text: str, *, lifetime: float | None = None) -> asyncio.Future[str]:
        """:meth:`send` to a full id without waiting: messages are accepted in the order of the calls.

        The future gives the message's id, before the first :class:`StatusChanged` event of that message.
        """
        core = self._core
        return self._answers.ask(lambda token: core.send(token, to, text, lifetime))

    def send_named_soon(
        self, to: str, name: str, text: str, *, lifetime: float | None = None
    ) -> asyncio.Future[str]:
        """:meth:`send_soon` to somebody whom the person calls `name`, as in a conversation opened by a nickname.

        :class:`AmbiguousNodeError`, and nothing is sent, when another key uses that nickname by now and `to` is not
        verified.
        """
        core = self._core
        return self._answers.ask(lambda token: core.send_named(token, to, name, text, lifetime))

    # -- files ----------------------------------------------------------------------------------------------------

    async def send_file(self, to: str | NodeInfo, path: StrPath) -> str:
        """Offers a file to a node and returns the file's id.

        `to` is a node, or whatever :meth:`resolve` understands. When this returns, the file was read once, for its
        SHA-256, and the offer is on this node's disk; from then on it is made whenever the recipient is in reach, also
        after a restart, until it is decided. :class:`FileProgress`, :class:`FileDone` and :class:`FileFailed` events
        tell how it goes on. The file must stay where it is, and as it is, until it has arrived.
        """
        return await _jobs.finish(self._core.send_file(await self._id_of(to), path))

    async def send_file_named(self, to: str, name: str, path: StrPath) -> str:
        """:meth:`send_file` to the full id of somebody whom the person calls `name`.

        :class:`AmbiguousNodeError`, and nothing is offered, when another key uses that nickname by now and `to` is not
        verified.
        """
        return await _jobs.finish(self._core.send_file(to, path, name))

    async def accept_file(self, file: str | FileInfo, folder: StrPath | None = None) -> None:
        """Accepts a file that is offered, into `folder`, which is made if need be (default: that of the downloads).

        It gets its name there when it is whole and verified; a file that is there already is never overwritten.
        :class:`StorageError` when the folder cannot be used, or has no room for it.
        """
        await _jobs.finish(self._core.accept_file(_file_id(file), folder))

    async def refuse_file(self, file: str | FileInfo) -> None:
        """Refuses a file that is offered. The sender is told when it is in reach."""
        await _jobs.finish(self._core.refuse_file(_file_id(file)))

    async def cancel_file(self, file: str | FileInfo) -> None:
        """Gives up a file that is sent or received. The other side is told when it is in reach."""
        await _jobs.finish(self._core.cancel_file(_file_id(file)))

    async def files(self) -> list[FileInfo]:
        """The files that are sent and received, and those that were lately, in the order in which they were offered."""
        return [file_info(raw) for raw in await _jobs.finish(self._core.files())]

    # -- rooms --------------------------------------------------------------------------------------------------

    async def create_room(self, name: str) -> RoomInfo:
        """Makes a room with this node as its owner and only member.

        Its name follows the rules of nicknames. The owner invites and removes; what others ask of it waits until it is in
        reach.
        """
        id = await _jobs.finish(self._core.create_room(name))
        return await self.resolve_room(id)

    async def rooms(self) -> list[RoomInfo]:
        """The rooms that this node owns, belongs to, was invited to, or belonged to."""
        return [room_info(raw) for raw in await _jobs.finish(self._core.rooms())]

    async def resolve_room(self, query: str) -> RoomInfo:
        """The room that `query` means: an id, its first five or more digits, or a name.

        :class:`UnknownRoomError` when there is none, :class:`ArgumentError` when there are several.
        """
        return room_info(await _jobs.finish(self._core.resolve_room(query)))

    async def invite(self, room: str | RoomInfo, node: str | NodeInfo) -> None:
        """Invites a known node to a room that this node owns; the invitation reaches it like a message.

        At most 256 belong to a room, those who are invited included. :class:`RoomError` when this node is not the owner,
        the room is full, or the other one is in it already.
        """
        await _jobs.finish(self._core.invite_to_room(await self._room_id(room), await self._id_of(node)))

    async def remove(self, room: str | RoomInfo, node: str | NodeInfo) -> None:
        """Takes a node out of a room that this node owns, or withdraws its invitation.

        It gets nothing that this node writes from then on, and nothing that others write once they have heard of it.
        """
        await _jobs.finish(self._core.remove_from_room(await self._room_id(room), await self._id_of(node)))

    async def join(self, room: str | RoomInfo) -> None:
        """Accepts the invitation to a room. A :class:`RoomChanged` event tells when the owner has signed that."""
        await _jobs.finish(self._core.join_room(await self._room_id(room)))

    async def leave(self, room: str | RoomInfo) -> None:
        """Leaves a room, or declines the invitation; the owner closes the room by it.

        It holds at once here, and for the others when they hear of it. To leave a room that is over takes it off the list.
        """
        await _jobs.finish(self._core.leave_room(await self._room_id(room)))

    async def send_to_room(self, room: str | RoomInfo, text: str, *, lifetime: float | None = None) -> str:
        """:meth:`send` to all members of a room: 1 byte to 64 KiB.

        Each gets a copy of its own with the same id; :class:`StatusChanged` comes for each.
        """
        return await _jobs.finish(self._core.send_to_room(await self._room_id(room), text, lifetime))

    async def _room_id(self, room: str | RoomInfo) -> str:
        if isinstance(room, RoomInfo):
            return room.id
        return room if len(room) == 32 else (await self.resolve_room(room)).id

    # -- connections ----------------------------------------------------------------------------------------------

    async def connect(self, to: str | NodeInfo) -> Connection:
        """Connects to a node in reach whose application listens: end-to-end encrypted, for streams and datagrams.

        `to` is a node, or whatever :meth:`resolve` understands. :class:`OutOfReachError` when there is no way;
        :class:`TimedOutError` when nothing is heard of it. When nobody listens there, the connection is closed as
        soon as it is used: :class:`RefusedError` or :class:`DisconnectedError`.
        """
        core, id = self._core, await self._id_of(to)
        return Connection(self._answers, await self._answers.ask(lambda token: core.connect(token, id)))

    async def listen(self) -> Listener:
        """Takes connections from now on, in the place of an earlier listener."""
        return Listener(self._answers, await self._answers.ask(self._core.listen))

    # -- AlexMesh v1: insecure ------------------------------------------------------------------------------------

    async def insecure_nodes(self) -> list[InsecureNode]:
        """The v1 nodes that were heard lately."""
        return [InsecureNode(*raw) for raw in await _jobs.finish(self._core.insecure_nodes())]

    async def send_insecure(self, to: str, text: str) -> int:
        """Sends a text of at most 1477 bytes, on an interface with the usual MTU, to the v1 node with the address `to`.

        It is neither kept nor sent again. The number that comes back is told by :class:`InsecureDelivered` when it was
        acknowledged, by :class:`InsecureFailed` when it was not within 5 s.
        """
        core = self._core
        return int(await self._answers.ask(lambda token: core.send_insecure(token, to, text)))

    async def broadcast_insecure(self, text: str) -> None:
        """Sends a text to every v1 node of each segment. Nobody acknowledges it."""
        await _jobs.finish(self._core.broadcast_insecure(text))

    async def connect_insecure(self, to: str) -> int:
        """Opens a stream to the v1 node with the address `to`; its number.

        :class:`InsecureStreamOpened` follows, or :class:`InsecureStreamClosed` when nobody answers within 5 s. Streams
        that others open are told by the same events.
        """
        core = self._core
        return int(await self._answers.ask(lambda token: core.connect_insecure(token, to)))

    async def write_insecure(self, stream: int, data: bytes) -> None:
        """Sends data on an open stream, in as many frames as it takes.

        What gets lost stays lost, and zero bytes at the end of a frame do not arrive: v1 carries text.
        :class:`StreamClosedError` when the stream is not open.
        """
        await _jobs.finish(self._core.write_insecure(stream, data))

    async def close_insecure(self, stream: int) -> None:
        """Ends a stream in both directions; :class:`InsecureStreamClosed` follows."""
        await _jobs.finish(self._core.close_insecure(stream))

    # -- events -------------------------------------------------------------------------------------------------

    def events(self, *, auto_confirm: bool = True) -> Events:
        """What happens, until the node stops. Each event is taken by one taker.

        A message is confirmed when the loop asks for the next event, that is when the loop's body is done with it.
        A body that is left by ``break`` or an exception leaves its message unconfirmed: it comes again after a
        restart. Call :meth:`Message.confirm` to confirm earlier; without `auto_confirm` nothing else confirms.
        """
        return Events(self, auto_confirm)

    async def _next_event(self) -> Event | None:
        """The next event; None when the node stops."""
        while self._stopping is None:
            # Asked first: the last event may come between the two questions.
            stopped = self._core.is_stopped()
            # Event first, answers second, and answers are handed out first: a status never overtakes its send.
            # It waits in `_ahead` meanwhile, as whoever asked for it may be cancelled.
            if self._ahead is None:
                self._ahead = self._core.next_event()
            if self._answers.take():
                await asyncio.sleep(0)
            raw, self._ahead = self._ahead, None
            if raw is not None:
                return event_of(raw, self._core.confirm, self._core.mark_read)
            if stopped:
                break
            await self._something()
        return None

    @property
    def _is_stopping(self) -> bool:
        return self._stopping is not None or self._core.is_stopped()

    async def _something(self) -> None:
        """Waits until the core has an event."""
        waiter: asyncio.Future[None] = self._core_loop.create_future()
        self._waiting.add(waiter)
        self._core_loop.add_reader(self._core.events_fileno(), self._wake)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _wake(self) -> None:
        # Readable until the event is taken, which may be never: look again when somebody waits again.
        self._core_loop.remove_reader(self._core.events_fileno())
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        state = "not running" if self._running is None else self._running.id
        return f"<meshchat.Node {state}>"


class Events:
    """The events of a node, for ``async for``; see :meth:`Node.events`."""

    def __init__(self, node: Node, auto_confirm: bool) -> None:
        self._node = node
        self._auto_confirm = auto_confirm
        self._done: Message | None = None

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        if self._done is not None and not self._node._is_stopping:
            self._done.confirm()
        self._done = None
        event = await self._node._next_event()
        if event is None:
            raise StopAsyncIteration
        if self._auto_confirm and isinstance(event, Message):
            self._done = event
        return event


def _kept(keep: timedelta | int | None) -> tuple[int | None, int | None]:
    """Seconds, and messages."""
    if keep is None:
        return None, None
    if isinstance(keep, timedelta):
        seconds = int(keep.total_seconds())
        if seconds >= 0:
            return seconds, None
    elif keep >= 0:
        return None, keep
    raise ArgumentError("keep_history is less than nothing: give a time, a number of messages, or None for good")


def _offered(mailbox: Mailbox) -> tuple[int, int, float]:
    """Bytes, bytes of a sender, and seconds."""
    quotas = (mailbox.quota, mailbox.sender_quota)
    if not all(0 <= quota < 1 << 63 for quota in quotas):
        raise ArgumentError("the quota of a mailbox is a number of bytes, from 0 up to 2**63 - 1")
    return *quotas, mailbox.keep


def _file_id(file: str | FileInfo) -> str:
    return file.id if isinstance(file, FileInfo) else file
