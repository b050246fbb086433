"""Where the chat shows its lines."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import Protocol


class Screen(Protocol):
    """Shows lines; `then` runs right after they were written. What is loud is coloured and rings a terminal's bell."""

    def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None: ...

    async def flush(self) -> None:
        """Waits until everything was written."""


def write(descriptor: int, text: str) -> None:
    """Writes whole lines in one piece, past every buffer of this process."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    data = memoryview((text + "\n").encode(encoding, "replace"))
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Somebody who shares the descriptor made it non-blocking.
            select.select([], [descriptor], [])


class PlainScreen:
    """Lines to standard output. `then` runs before anything else can happen, so that a message which was shown is
    confirmed, whatever comes next."""

    def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None:
        write(1, text)
        if then is not None:
            then()

    async def flush(self) -> None:
        pass
