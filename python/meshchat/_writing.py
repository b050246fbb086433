"""The writing half of a stream."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from .errors import MeshChatError, StreamClosedError

if TYPE_CHECKING:
    from . import _core
    from ._answers import Answers


class Writing:
    """Hands bytes to the core, and keeps those that it has no room for until it has."""

    def __init__(self, answers: Answers, core: _core.Stream, token: int) -> None:
        self._answers = answers
        self._core = core
        self._token = token
        self._unsent: deque[bytes] = deque()
        self._start = 0
        """Of the first of them, so much was handed over."""
        self._ends = False
        self._finished = False
        self._error: MeshChatError | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def write(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        if self._ends:
            raise StreamClosedError("the end of the stream was written already")
        if self._unsent:
            self._unsent.append(data)
            return
        taken = self._core.write(data, 0)
        if taken < len(data):
            self._unsent.append(data)
            self._start = taken
            self._wait_for_core()

    def end(self) -> None:
        """Nothing follows."""
        if self._ends or self._error is not None:
            return
        self._ends = True
        if not self._unsent:
            self._go_on()

    async def drain(self) -> None:
        """Until the core has everything."""
        while self._unsent and self._error is None:
            await self._change()
        if self._error is not None:
            raise self._error

    async def finish(self) -> None:
        """Until the peer has everything."""
        self.end()
        while not self._finished and self._error is None:
            await self._change()
        if self._error is not None:
            raise self._error

    def fail(self, error: MeshChatError) -> None:
        """Nothing more is sent, for this reason."""
        if not self._finished and self._error is None:
            self._error = error
        self._unsent.clear()
        self._answers.forget(self._token)
        self._tell()

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _tell(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _wait_for_core(self) -> None:
        self._answers.answer(self._token).add_done_callback(self._on_answer)

    def _on_answer(self, answer: asyncio.Future[Any]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, MeshChatError):
            self.fail(error)
        elif self._error is None:
            self._go_on()

    def _go_on(self) -> None:
        try:
            if not self._all_handed_over():
                self._wait_for_core()
        except MeshChatError as error:
            self.fail(error)
        self._tell()

    def _all_handed_over(self) -> bool:
        while self._unsent:
            self._start += self._core.write(self._unsent[0], self._start)
            if self._start < len(self._unsent[0]):
                return False
            self._unsent.popleft()
            self._start = 0
        if self._ends:
            self._finished = self._core.finish()
        return not self._ends or self._finished
