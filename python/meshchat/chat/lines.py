"""Lines from a descriptor, without blocking the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator

from .._jobs import readable

# The longest message (1 MiB), a name before it, and some more so that a longer text is refused by the core itself.
MAX_LINE = (1 << 20) + 4096
_CHUNK = 1 << 16

NOT_UTF8 = "the line is not UTF-8: nothing was sent"
TOO_LONG = "the line is longer than 1 MiB: nothing was sent"


class BadLine:
    """A line that cannot be used, and why."""

    def __init__(self, why: str) -> None:
        self.why = why


class Splitter:
    """Cuts a stream of bytes into lines; holds at most MAX_LINE bytes of an unfinished one."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[str | BadLine]:
        """The lines that `data` completes."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(self._line())
        self._keep(rest)
        return lines

    def finish(self) -> list[str | BadLine]:
        """The last line, when no newline ended it."""
        return [self._line()] if self._rest or self._too_long else []

    def _keep(self, data: bytes) -> None:
        if self._too_long or len(self._rest) + len(data) > MAX_LINE:
            self._rest.clear()
            self._too_long = True
        else:
            self._rest += data

    def _line(self) -> str | BadLine:
        line, too_long = bytes(self._rest), self._too_long
        self._rest.clear()
        self._too_long = False
        if too_long:
            return BadLine(TOO_LONG)
        try:
            return line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            return BadLine(NOT_UTF8)


async def read_lines(descriptor: int) -> AsyncIterator[str | BadLine]:
    """The lines of a terminal, pipe, socket or file. Reads on only when the last line has been dealt with."""
    splitter = Splitter()
    while data := await read_some(descriptor):
        for line in splitter.feed(data):
            yield line
    for line in splitter.finish():
        yield line


async def read_some(descriptor: int) -> bytes:
    """The next bytes; none at the end. The descriptor stays blocking: its mode is shared with other processes."""
    while True:
        try:
            await readable(descriptor)
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            continue
        except PermissionError:
            # Regular files and /dev/null cannot be waited for; reading them does not take long.
            return await asyncio.get_running_loop().run_in_executor(None, os.read, descriptor, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:
                # The terminal hung up.
                return b""
            raise
