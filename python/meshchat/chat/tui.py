"""The chat on a terminal: an input line that stays whole while others write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal

from .lines import BadLine
from .safe import safe
from .screen import write
from .session import Session


class TerminalScreen:
    """Writes above the input line. What comes while it writes is written together in the next turn."""

    def __init__(self) -> None:
        self._pending: list[tuple[str, Callable[[], None] | None]] = []
        self._writer: asyncio.Task[None] | None = None

    def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None:
        if loud:
            # no-color.org
            text = f"\a{text}" if os.environ.get("NO_COLOR") else f"\a\x1b[1;31m{text}\x1b[0m"
        self._pending.append((text, then))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        while self._pending and self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._pending:
            await run_in_terminal(self._write_pending)

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, []
        for text, then in pending:
            write(1, text)
            if then is not None:
                then()


class Prompt:
    """The input line."""

    def __init__(self, session: Session) -> None:
        self._session = session
        session.shows_progress = True
        self._prompt: PromptSession[str] = PromptSession(erase_when_done=True)
        session.files.on_moved = self._prompt.app.invalidate
        self.interrupted = False
        """Whether Ctrl-C ended the input."""

    async def lines(self) -> AsyncIterator[str | BadLine]:
        while True:
            try:
                yield await self._prompt.prompt_async(self._message, bottom_toolbar=self._toolbar)
            except EOFError:
                return
            except KeyboardInterrupt:
                self.interrupted = True
                return

    def _toolbar(self) -> str | None:
        """How the files on their way come along; nothing, not even an empty line, when there is none."""
        return self._session.files.toolbar() or None

    def _message(self) -> str:
        partner = self._session.partner
        return f"{safe(partner.name)}> " if partner else "> "
