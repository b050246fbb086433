"""What the core answers to calls that do not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import StoppedError

if TYPE_CHECKING:
    from . import _core


class Answers:
    """Hands the answers of a running core to those who wait for them, in the order of the answers."""

    def __init__(self, core: _core.Node, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._loop = loop
        self._tokens = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._is_closed = False
        loop.add_reader(core.answers_fileno(), self.take)

    def __len__(self) -> int:
        """How many are waited for."""
        return len(self._waiting)

    def ask(self, call: Callable[[int], None]) -> asyncio.Future[Any]:
        """The answer to a call of the core, in the order of the calls and before any event that it causes."""
        self._check_open()
        token = self.token()
        call(token)
        return self.answer(token)

    def token(self) -> int:
        """A number by which the core may answer from now on."""
        self._tokens += 1
        return self._tokens

    def answer(self, token: int) -> asyncio.Future[Any]:
        """What the core is going to answer to `token`."""
        self._check_open()
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[token] = answer
        return answer

    def forget(self, token: int) -> None:
        """Nobody waits for the answer to `token` any more."""
        self._waiting.pop(token, None)

    def take(self) -> bool:
        """Hands over what there is; whether there was anything."""
        answers = self._core.take_answers()
        for token, value, error in answers:
            answer = self._waiting.pop(token, None)
            if answer is None or answer.done():
                continue
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)
        return bool(answers)

    def close(self) -> None:
        """Nobody asks any more, as the node is about to stop. What was asked may still be answered."""
        self._is_closed = True

    def end(self) -> None:
        """Nothing will be answered any more."""
        self._loop.remove_reader(self._core.answers_fileno())
        for answer in self._waiting.values():
            if answer.done():
                continue
            answer.set_exception(StoppedError("the node was stopped before it answered; what was asked may not have happened"))
            # Whoever awaits it hears of it; if nobody does, that is no reason for a log entry.
            answer.exception()
        self._waiting.clear()

    def _check_open(self) -> None:
        if self._is_closed or self._core.is_stopped():
            # Nobody takes answers any more.
            raise StoppedError("the node has been stopped; start another one")
