"""A node in a script without an event loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .blocking_streams import BlockingConnection, BlockingListener
from .errors import StoppedError
from .events import Event, LinkStatus, NodeInfo, TraceHop
from .files import FileInfo
from .history import Contact, HistoryPage, Time
from .identity import StrPath
from .insecure import InsecureNode
from .rooms import RoomInfo

if TYPE_CHECKING:
    from .node import Node

T = TypeVar("T")


class BlockingNode:
    """A node that runs while its ``with`` block does; get one from :meth:`Node.blocking`.

    Its methods are those of :class:`Node`, and return when they are done. Ctrl-C interrupts each of them. It belongs to
    the thread that entered the block.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._events = node.events()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> BlockingNode:
        self._loop = asyncio.new_event_loop()
        try:
            self._run(self._node.start())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        try:
            self._run(self._node.stop())
        finally:
            self._loop.close()

    def stop(self) -> None:
        """Says goodbye to the neighbours, closes disk and links. The end of the ``with`` block does it. Idempotent."""
        self.__exit__()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise StoppedError("the node is not running; use it inside 'with meshchat.Node().blocking() as node'")
        return _run_interruptibly(self._loop, work)

    # -- facts --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """NODE_ID of this node, 64 hexadecimal digits."""
        return self._node.id

    @property
    def nickname(self) -> str | None:
        """The name that this node shows to others."""
        return self._node.nickname

    @property
    def home(self) -> Path:
        """The folder of key, outbox and history."""
        return self._node.home

    @property
    def links(self) -> list[LinkStatus]:
        """The links that were asked for, each once, and how it went; all UDP links are one."""
        return self._node.links

    # -- calls --------------------------------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """As :meth:`Node.nodes`."""
        return self._run(self._node.nodes())

    def resolve(self, query: str) -> NodeInfo:
        """As :meth:`Node.resolve`."""
        return self._run(self._node.resolve(query))

    def ping(self, to: str | NodeInfo, *, timeout: float = 2.0) -> float:
        """As :meth:`Node.ping`."""
        return self._run(self._node.ping(to, timeout=timeout))

    def trace(self, to: str | NodeInfo) -> list[TraceHop]:
        """As :meth:`Node.trace`."""
        return self._run(self._node.trace(to))

    def send(self, to: str | NodeInfo, text: str, *, lifetime: float | None = None) -> str:
        """As :meth:`Node.send`."""
        return self._run(self._node.send(to, text, lifetime=lifetime))

    def send_file(self, to: str | NodeInfo, path: StrPath) -> str:
        """As :meth:`Node.send_file`."""
        return self._run(self._node.send_file(to, path))

    def accept_file(self, file: str | FileInfo, folder: StrPath | None = None) -> None:
        """As :meth:`Node.accept_file`."""
        self._run(self._node.accept_file(file, folder))

    def refuse_file(self, file: str | FileInfo) -> None:
        """As :meth:`Node.refuse_file`."""
        self._run(self._node.refuse_file(file))

    def cancel_file(self, file: str | FileInfo) -> None:
        """As :meth:`Node.cancel_file`."""
        self._run(self._node.cancel_file(file))

    def files(self) -> list[FileInfo]:
        """As :meth:`Node.files`."""
        return self._run(self._node.files())

    def broadcast(self, text: str) -> None:
        """As :meth:`Node.broadcast`."""
        self._run(self._node.broadcast(text))

    # -- rooms --------------------------------------------------------------------------------------------------

    def create_room(self, name: str) -> RoomInfo:
        """As :meth:`Node.create_room`."""
        return self._run(self._node.create_room(name))

    def rooms(self) -> list[RoomInfo]:
        """As :meth:`Node.rooms`."""
        return self._run(self._node.rooms())

    def resolve_room(self, query: str) -> RoomInfo:
        """As :meth:`Node.resolve_room`."""
        return self._run(self._node.resolve_room(query))

    def invite(self, room: str | RoomInfo, node: str | NodeInfo) -> None:
        """As :meth:`Node.invite`."""
        self._run(self._node.invite(room, node))

    def remove(self, room: str | RoomInfo, node: str | NodeInfo) -> None:
        """As :meth:`Node.remove`."""
        self._run(self._node.remove(room, node))

    def join(self, room: str | RoomInfo) -> None:
        """As :meth:`Node.join`."""
        self._run(self._node.join(room))

    def leave(self, room: str | RoomInfo) -> None:
        """As :meth:`Node.leave`."""
        self._run(self._node.leave(room))

    def send_to_room(self, room: str | RoomInfo, text: str, *, lifetime: float | None = None) -> str:
        """As :meth:`Node.send_to_room`."""
        return self._run(self._node.send_to_room(room, text, lifetime=lifetime))

    # -- connections ----------------------------------------------------------------------------------------------

    def connect(self, to: str | NodeInfo) -> BlockingConnection:
        """As :meth:`Node.connect`."""
        return BlockingConnection(self._run(self._node.connect(to)), self._run)

    def listen(self) -> BlockingListener:
        """As :meth:`Node.listen`."""
        return BlockingListener(self._run(self._node.listen()), self._run)

    # -- history and contacts -----------------------------------------------------------------------------------------

    def history(
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
        """As :meth:`Node.history`."""
        return self._run(
            self._node.history(
                with_=with_,
                room=room,
                search=search,
                since=since,
                until=until,
                limit=limit,
                before=before,
                after=after,
            )
        )

    def safety_words(self, peer: str | NodeInfo) -> list[str]:
        """As :meth:`Node.safety_words`."""
        return self._node.safety_words(peer)

    def verify(self, node: str | NodeInfo) -> NodeInfo:
        """As :meth:`Node.verify`."""
        return self._run(self._node.verify(node))

    def unverify(self, node: str | NodeInfo) -> NodeInfo:
        """As :meth:`Node.unverify`."""
        return self._run(self._node.unverify(node))

    def block(self, node: str | NodeInfo) -> NodeInfo:
        """As :meth:`Node.block`."""
        return self._run(self._node.block(node))

    def unblock(self, node: str | NodeInfo) -> NodeInfo:
        """As :meth:`Node.unblock`."""
        return self._run(self._node.unblock(node))

    def contact(self) -> Contact:
        """As :meth:`Node.contact`."""
        return self._node.contact()

    def contacts(self) -> list[NodeInfo]:
        """As :meth:`Node.contacts`."""
        return self._run(self._node.contacts())

    def import_contact(self, contact: str | Contact) -> NodeInfo:
        """As :meth:`Node.import_contact`."""
        return self._run(self._node.import_contact(contact))

    # -- AlexMesh v1: insecure ------------------------------------------------------------------------------------

    def insecure_nodes(self) -> list[InsecureNode]:
        """As :meth:`Node.insecure_nodes`."""
        return self._run(self._node.insecure_nodes())

    def send_insecure(self, to: str, text: str) -> int:
        """As :meth:`Node.send_insecure`."""
        return self._run(self._node.send_insecure(to, text))

    def broadcast_insecure(self, text: str) -> None:
        """As :meth:`Node.broadcast_insecure`."""
        self._run(self._node.broadcast_insecure(text))

    def connect_insecure(self, to: str) -> int:
        """As :meth:`Node.connect_insecure`."""
        return self._run(self._node.connect_insecure(to))

    def write_insecure(self, stream: int, data: bytes) -> None:
        """As :meth:`Node.write_insecure`."""
        self._run(self._node.write_insecure(stream, data))

    def close_insecure(self, stream: int) -> None:
        """As :meth:`Node.close_insecure`."""
        self._run(self._node.close_insecure(stream))

    # -- events -------------------------------------------------------------------------------------------------

    def next_event(self, timeout: float | None = None) -> Event | None:
        """What happens next; None when nothing does within `timeout` seconds, or when the node has stopped.

        A message is confirmed when the next event is asked for. Until then it comes again after a restart.
        """
        return self._run(self._next(timeout))

    async def _next(self, timeout: float | None) -> Event | None:
        try:
            return await asyncio.wait_for(anext(self._events), timeout)
        except (StopAsyncIteration, asyncio.TimeoutError):
            return None

    def events(self) -> Iterator[Event]:
        """What happens, until the node stops, with the same rule as :meth:`next_event`."""
        while (event := self.next_event()) is not None:
            yield event

    def __repr__(self) -> str:
        return f"<blocking {self._node!r}>"


def _run_interruptibly(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`, which Ctrl-C cancels: a KeyboardInterrupt anywhere in the loop could take with it what somebody waits for.

    As :class:`asyncio.Runner` does it, which Python 3.10 does not have.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return loop.run_until_complete(work)
    task = loop.create_task(work)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGINT, interrupt)
    try:
        result = loop.run_until_complete(task)
    except asyncio.CancelledError:
        if not interrupted:
            raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted:
        raise KeyboardInterrupt
    return result
