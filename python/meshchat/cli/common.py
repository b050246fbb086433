"""Options that several commands share."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, TypeAlias, TypeVar

from ..errors import ArgumentError, PassphraseNeededError
from ..events import Mailbox

T = TypeVar("T")
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        metavar="DIR",
        type=_folder,
        help="folder of key, outbox and history (default: $MESHCHAT_HOME, else the XDG data directory)",
    )


def _folder(text: str) -> Path:
    if not text:
        # What it would mean otherwise is the current folder.
        raise argparse.ArgumentTypeError("it needs the name of a folder")
    return Path(text)


def add_temporary(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--temporary", action="store_true", help="use a home and an identity that are made for this run alone"
    )


def add_links(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--link",
        metavar="SPEC",
        action="append",
        help="udp, udp:HOST:PORT or ethernet:IFACE; may be given several times (default: udp)",
    )


def add_v1(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--v1",
        metavar="IFACE",
        action="append",
        help="talk to programs that speak only AlexMesh v1 on this interface: insecure, anybody there can read and forge",
    )


def add_network_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network-key-file",
        metavar="FILE",
        type=Path,
        help="be part of the private mesh with the key in FILE ('meshchat network-key' makes one)",
    )


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def add_mailbox(parser: argparse.ArgumentParser) -> None:
    """A mailbox and its limits; mailbox() makes something of them."""
    defaults = Mailbox()
    parser.add_argument(
        "--mailbox", action="store_true", help="keep sealed messages for nodes that are away (it cannot read them)"
    )
    parser.add_argument(
        "--mailbox-quota", metavar="SIZE", type=size, default=defaults.quota, help="for all messages (default: 1G)"
    )
    parser.add_argument(
        "--mailbox-sender-quota",
        metavar="SIZE",
        type=size,
        default=defaults.sender_quota,
        help="for the messages of one sender (default: 64M)",
    )
    parser.add_argument(
        "--mailbox-keep",
        metavar="TIME",
        type=period,
        default=defaults.keep,
        help="how long a message is kept at most: 30d, 12h, 90s (default: 30d)",
    )


def mailbox(options: argparse.Namespace) -> Mailbox | None:
    """The mailbox that the options ask for."""
    if not getattr(options, "mailbox", False):
        return None
    return Mailbox(options.mailbox_quota, options.mailbox_sender_quota, options.mailbox_keep)


def add_nickname(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nickname", metavar="NAME", help="the name shown to others (default: that of last time)")


def add_keep_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-history",
        metavar="TIME|N",
        type=kept,
        help="forget messages after a time (12h, 30d, 8w), or but for the newest N (default: keep all)",
    )


def kept(text: str) -> timedelta | int:
    """Type of an option that says how long messages stay."""
    match = re.fullmatch(r"([0-9]{1,6})(h|d|w)|([0-9]{1,9})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a time (12h, 30d, 8w) nor a number of messages")
    if match[3]:
        return int(match[3])
    return timedelta(hours=int(match[1]) * {"h": 1, "d": 24, "w": 168}[match[2]])


def size(text: str) -> int:
    """Type of an option that is a number of bytes: ``500M``, ``2G``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "")
    value = float(number)
    bytes = value * _UNITS.get(unit, 1)
    if not 1 <= bytes < 1 << 63:
        raise ValueError
    return int(bytes)


def period(text: str) -> float:
    """Type of an option that is a length of time, in seconds: ``30d``, ``12h``, ``90``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _PERIODS else (text, "s")
    value = float(number)
    if not 0 < value < math.inf:
        raise ValueError
    return value * _PERIODS[unit]


def add_downloads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--downloads",
        metavar="DIR",
        type=Path,
        help="folder of the files that are accepted (default: downloads in the home)",
    )


def seconds(text: str) -> float:
    """Type of an option that is a time."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="the first line of FILE is the key's passphrase (default: $MESHCHAT_PASSPHRASE, else ask on the terminal)",
    )


def given_passphrase(options: argparse.Namespace) -> str | None:
    """The passphrase from file or environment, if there is one."""
    path: Path | None = options.passphrase_file
    if path is None:
        return os.environ.get("MESHCHAT_PASSPHRASE") or None
    with path.open("rb") as file:
        line = file.readline().rstrip(b"\r\n")
    try:
        passphrase = line.decode()
    except UnicodeDecodeError:
        raise ArgumentError(f"the passphrase in {path} is not UTF-8") from None
    if not passphrase:
        raise ArgumentError(f"the first line of {path} is empty; it must be the passphrase")
    return passphrase


def with_passphrase(options: argparse.Namespace, action: Callable[[str | None], T]) -> T:
    """Runs `action` with the passphrase, which is asked for when it is needed and somebody is there to answer."""
    passphrase = given_passphrase(options)
    try:
        return action(passphrase)
    except PassphraseNeededError:
        if not (sys.stdin and sys.stdin.isatty()):
            raise
    return action(ask("Passphrase of the key: "))


def ask(prompt: str) -> str:
    import getpass

    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise KeyboardInterrupt from None


def run_with_node(
    options: argparse.Namespace, work: Callable[[argparse.Namespace, str | None], Coroutine[Any, Any, int]]
) -> int:
    """The exit code of `work`, which gets the passphrase; it is run again when that is needed and was not given."""
    end_by = (signal.SIGTERM, signal.SIGHUP)
    return with_passphrase(options, lambda passphrase: asyncio.run(until_signal(work(options, passphrase), *end_by)))


async def until_signal(work: Coroutine[Any, Any, int], *signals: int) -> int:
    """The exit code of `work`, or 128 and the number of the signal that cancelled it, with a goodbye to the others and
    without a temporary home left behind."""
    received: list[int] = []
    task = asyncio.ensure_future(work)

    def end(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]


_TURN = "|/-\\"


class Progress:
    """Shows that something takes its time: turns on a terminal, is one line elsewhere."""

    def __init__(self, text: str, stream: TextIO | None = None) -> None:
        self._text = text
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._turns = 0
        self.interval = 0.1 if self._terminal else None
        """Seconds between ticks, if it makes any difference."""

    def __enter__(self) -> Progress:
        if self._terminal:
            self.tick()
        else:
            print(self._text, file=self._stream, flush=True)
        return self

    def tick(self) -> None:
        """To be called about ten times a second."""
        if self._terminal:
            # A line that is longer than the terminal's would not be overwritten.
            columns = os.get_terminal_size(self._stream.fileno()).columns or len(self._text) + 3
            self._stream.write(f"\r{self._text[: max(columns - 3, 0)]} {_TURN[self._turns % 4]}")
            self._stream.flush()
            self._turns += 1

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
