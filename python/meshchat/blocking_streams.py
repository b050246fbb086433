"""Connections and streams in a script without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Protocol, TypeVar

from .connection import Connection, Listener, Statistics
from .errors import DisconnectedError, StoppedError
from .streams import Buffer, Stream

T = TypeVar("T")


class _Run(Protocol):
    """Runs work of the node's event loop until it is done."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


class BlockingStream:
    """A :class:`Stream` whose methods return when they are done; ``with`` closes it, or resets it when the block fails."""

    def __init__(self, stream: Stream, run: _Run) -> None:
        self._stream = stream
        self._run = run

    @property
    def id(self) -> int:
        """Number of the stream in its connection."""
        return self._stream.id

    def read(self, n: int = -1) -> bytes:
        """As :meth:`Stream.read`."""
        return self._run(self._stream.read(n))

    def readexactly(self, n: int) -> bytes:
        """As :meth:`Stream.readexactly`."""
        return self._run(self._stream.readexactly(n))

    def readline(self) -> bytes:
        """As :meth:`Stream.readline`."""
        return self._run(self._stream.readline())

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """As :meth:`Stream.readinto`."""
        return self._run(self._stream.readinto(buffer))

    def __iter__(self) -> Iterator[bytes]:
        """The lines, until the stream ends."""
        return iter(self.readline, b"")

    def stop_reading(self, code: int = 0) -> None:
        """As :meth:`Stream.stop_reading`."""
        self._stream.stop_reading(code)

    def write(self, data: Buffer) -> None:
        """Writes, waiting while the node has no room."""
        self._run(self._write(data))

    async def _write(self, data: Buffer) -> None:
        self._stream.write(data)
        await self._stream.drain()

    def finish(self) -> None:
        """As :meth:`Stream.finish`."""
        self._run(self._stream.finish())

    def reset(self, code: int = 0) -> None:
        """As :meth:`Stream.reset`."""
        self._stream.reset(code)

    def set_priority(self, priority: int) -> None:
        """As :meth:`Stream.set_priority`."""
        self._stream.set_priority(priority)

    def close(self) -> None:
        """As :meth:`Stream.close`."""
        self._run(self._stream.close())

    def __enter__(self) -> BlockingStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stream.__aexit__(kind, error, trace))


class BlockingConnection:
    """A :class:`Connection` whose methods return when they are done; ``with`` closes it."""

    def __init__(self, connection: Connection, run: _Run) -> None:
        self._connection = connection
        self._run = run

    @property
    def peer(self) -> str:
        """NODE_ID of the node at the other end, as it has proved."""
        return self._connection.peer

    def open(self) -> BlockingStream:
        """As :meth:`Connection.open`."""
        return BlockingStream(self._run(self._connection.open()), self._run)

    def accept(self) -> BlockingStream:
        """As :meth:`Connection.accept`."""
        return BlockingStream(self._run(self._connection.accept()), self._run)

    def __iter__(self) -> Iterator[BlockingStream]:
        """The streams that the peer opens, until the connection is over."""
        while True:
            try:
                stream = self.accept()
            except (DisconnectedError, StoppedError):
                return
            yield stream

    def send_datagram(self, data: Buffer) -> None:
        """As :meth:`Connection.send_datagram`."""
        self._run(self._connection.send_datagram(data))

    def read_datagram(self) -> bytes:
        """As :meth:`Connection.read_datagram`."""
        return self._run(self._connection.read_datagram())

    def statistics(self) -> Statistics:
        """As :meth:`Connection.statistics`."""
        return self._run(self._connection.statistics())

    def close(self, code: int = 0, reason: str = "") -> None:
        """As :meth:`Connection.close`."""
        self._connection.close(code, reason)

    def closed(self) -> str:
        """As :meth:`Connection.closed`."""
        return self._run(self._connection.closed())

    def __enter__(self) -> BlockingConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingListener:
    """A :class:`Listener` whose methods return when they are done; ``with`` closes it, ``for`` gives connections."""

    def __init__(self, listener: Listener, run: _Run) -> None:
        self._listener = listener
        self._run = run

    def accept(self) -> BlockingConnection:
        """As :meth:`Listener.accept`."""
        return BlockingConnection(self._run(self._listener.accept()), self._run)

    def __iter__(self) -> Iterator[BlockingConnection]:
        while True:
            try:
                connection = self.accept()
            except StoppedError:
                return
            yield connection

    def close(self) -> None:
        """As :meth:`Listener.close`."""
        self._listener.close()

    def __enter__(self) -> BlockingListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
