"""Streams of bytes, with the names of :class:`asyncio.StreamReader` and :class:`asyncio.StreamWriter`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from ._writing import Writing
from .errors import StreamClosedError

if TYPE_CHECKING:
    from . import _core
    from ._answers import Answers

#: What can be written.
Buffer = Union[bytes, bytearray, memoryview]

#: Bytes taken from the core at once; it holds as many.
_CHUNK = 1 << 18

#: Longest line in bytes, with its end.
MAX_LINE = 1 << 16


def as_bytes(data: Buffer) -> bytes:
    """`data` itself when nobody can change it, else a copy."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


class Stream:
    """A stream of bytes in both directions, each reliable and in order; get one from a :class:`Connection`.

    ``async with`` closes it, or resets it when the block fails, so that the peer does not take a part for the whole. One
    reads at a time. ``async for`` gives lines.
    """

    def __init__(self, answers: Answers, core: _core.Stream) -> None:
        self._answers = answers
        self._core = core
        self._readable, writable = answers.token(), answers.token()
        core.watch(self._readable, writable)
        self._writing = Writing(answers, core, writable)
        self._reader: asyncio.Future[None] | None = None
        self._chunk = b""
        self._at = 0
        """Of the chunk, so much was read."""
        self._is_closed = False
        self._is_reset = False

    @property
    def id(self) -> int:
        """Number of the stream in its connection."""
        return self._core.id

    # -- reading --------------------------------------------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """At least one and at most `n` bytes, all until the end when `n` is negative; none at the end."""
        if n == 0:
            return b""
        if n < 0:
            await self._gather(sys.maxsize)
            return self._take(sys.maxsize)
        if self._at == len(self._chunk):
            self._chunk, self._at = await self._more(), 0
        return self._take(n)

    async def readexactly(self, n: int) -> bytes:
        """`n` bytes; :class:`asyncio.IncompleteReadError` when the stream ends before."""
        if n < 0:
            raise ValueError("a number of bytes is not negative")
        begin, end = self._at, self._at + n
        if end <= len(self._chunk):
            # Small messages come this way, many times a chunk.
            self._at = end
            return self._chunk[begin:end]
        if not await self._gather(n):
            raise asyncio.IncompleteReadError(self._take(n), n)
        return self._take(n)

    async def readline(self) -> bytes:
        """A line with its end, or what is left when the stream ends; none at the end.

        :class:`ValueError` when it is longer than 64 KiB; nothing of it is taken then.
        """
        searched = 0
        while (end := self._chunk.find(b"\n", self._at + searched)) < 0:
            searched = len(self._chunk) - self._at
            if searched >= MAX_LINE or not await self._gather(searched + 1):
                break
        length = (len(self._chunk) if end < 0 else end + 1) - self._at
        if length > MAX_LINE:
            raise ValueError(f"the line is longer than {MAX_LINE} bytes")
        return self._take(length)

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fills `buffer` as far as there is something, at least one byte; how many. 0 at the end."""
        with memoryview(buffer) as view, view.cast("B") as into:
            data = await self.read(len(into))
            into[: len(data)] = data
        return len(data)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def _take(self, n: int) -> bytes:
        if self._at == 0 and n >= len(self._chunk):
            taken, self._chunk = self._chunk, b""
            return taken
        taken = self._chunk[self._at : self._at + n]
        self._at += len(taken)
        return taken

    async def _gather(self, wanted: int) -> bool:
        """Waits until `wanted` bytes are here, or the stream has ended; whether they are."""
        parts = [self._chunk[self._at :]]
        have = len(parts[0])
        try:
            while have < wanted and (more := await self._more()):
                parts.append(more)
                have += len(more)
        finally:
            # Nothing is lost when this is cancelled, or fails.
            self._chunk, self._at = b"".join(parts), 0
        return have >= wanted

    async def _more(self) -> bytes:
        """The next bytes from the core; none at the end."""
        if self._reader is not None:
            raise RuntimeError("somebody else reads this stream already")
        while (data := self._core.read(_CHUNK)) is None:
            self._reader = self._answers.answer(self._readable)
            try:
                await self._reader
            finally:
                self._reader = None
        return data

    def stop_reading(self, code: int = 0) -> None:
        """Gives up reading: the peer's writes fail with this code."""
        self._core.stop_reading(code)

    # -- writing --------------------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Writes without waiting. What the node has no room for is kept: await :meth:`drain` before writing more."""
        self._writing.write(as_bytes(data))

    def drain(self) -> Coroutine[Any, Any, None]:
        """Waits while the node has no room for what was written."""
        # No coroutine of its own around that one: each small write would pay for it.
        return self._writing.drain()

    def write_eof(self) -> None:
        """Ends this node's direction after what was written; reading goes on."""
        self._writing.end()

    async def finish(self) -> None:
        """As :meth:`write_eof`, and waits until the peer's node has everything."""
        await self._writing.finish()

    def reset(self, code: int = 0) -> None:
        """Gives up this node's direction: what has not arrived may never arrive. The peer reads an error with this code."""
        self._is_reset = True
        self._core.reset(code)
        self._writing.fail(StreamClosedError(f"the stream was reset here, with code {code}"))

    def set_priority(self, priority: int) -> None:
        """Sets how urgent the stream is among those of its connection: 0 most, 7 least, 3 by default."""
        self._core.set_priority(priority)

    # -- end ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Ends this node's direction, waits until the peer's node has everything, and gives up reading. Idempotent."""
        try:
            if not self._is_closed and not self._is_reset:
                await self._writing.finish()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._is_closed = True
        self._core.close()
        closed = StreamClosedError("the stream is closed")
        self._writing.fail(closed)
        self._answers.forget(self._readable)
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(closed)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
            return
        if not self._is_closed:
            self.reset()
        self._let_go()

    def __repr__(self) -> str:
        return f"<meshchat.Stream {self.id}>"
