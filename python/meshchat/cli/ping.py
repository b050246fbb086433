"""meshchat ping: whether a node answers, and how fast."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..chat.safe import safe
from ..control.client import RemoteNode
from ..errors import BusyError, MeshChatError, OutOfReachError, TimedOutError
from ..events import NodeInfo
from ..node import Node
from .asking import a_node, add_options, in_reach
from .common import seconds, until_signal, with_passphrase

if TYPE_CHECKING:
    from .common import Subparsers

#: The core waits no longer.
_LONGEST = 10.0
#: Seconds between two questions at the least: more often is a flood.
_SHORTEST_INTERVAL = 0.01
_WAIT = 5.0

#: What is shown when there is no answer. Other failures end the command.
_REASONS: dict[type[MeshChatError], str] = {
    TimedOutError: "no answer",
    OutOfReachError: "out of reach",
    BusyError: "too many at once",
}


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "ping",
        help="ask a node for an answer, and measure the time",
        description="Asks a node for answers until Ctrl-C. Exit code 1 when none came.",
    )
    parser.add_argument("node", metavar="ID", help="a NODE_ID, its beginning, its last five or more digits, or a nickname")
    parser.add_argument("-c", dest="count", metavar="COUNT", type=_count, help="end after so many questions")
    parser.add_argument(
        "-i", dest="interval", metavar="SECONDS", type=_interval, default=1.0, help="time between two (default: 1)"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_timeout, default=2.0, help="time to wait for an answer (default: 2)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="a JSON object for each question (seq, id, time, rtt, error) and one at the end (id, sent, answered, "
        "loss_percent, min, avg, max), times in seconds",
    )
    add_options(parser, wait=f"time until the node must be in reach (default: {_WAIT:g})")
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _interval(text: str) -> float:
    interval = seconds(text)
    if interval < _SHORTEST_INTERVAL:
        raise argparse.ArgumentTypeError(f"the shortest interval is {_SHORTEST_INTERVAL:g} s")
    return interval


def _timeout(text: str) -> float:
    timeout = seconds(text)
    if not 0 < timeout <= _LONGEST:
        raise argparse.ArgumentTypeError(f"the longest timeout is {_LONGEST:g} s, and 0 is none")
    return timeout


def _run(options: argparse.Namespace) -> int:
    return with_passphrase(options, lambda passphrase: asyncio.run(_until_ended(options, passphrase)))


async def _until_ended(options: argparse.Namespace, passphrase: str | None) -> int:
    pings = Pings(options.json)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    code = await until_signal(_ping(options, passphrase, pings), *signals)
    if not pings.sent:
        return code
    pings.show_sum()
    return 0 if pings.times else 1


async def _ping(options: argparse.Namespace, passphrase: str | None, pings: Pings) -> int:
    async with a_node(options, passphrase) as asked:
        target = await in_reach(asked, options.node, _WAIT if options.wait is None else options.wait)
        await pings.run(asked.node, target, options)
    return 0


@dataclass
class Pings:
    """Questions, their answers, and what is shown of them."""

    as_json: bool
    target: NodeInfo | None = None
    sent: int = 0
    times: list[float] = field(default_factory=list)

    async def run(self, node: Node | RemoteNode, target: NodeInfo, options: argparse.Namespace) -> None:
        """Asks; each question in its time, whether the last one was answered or not."""
        self.target = target
        if not self.as_json:
            print(f"PING {safe(target.name)} {target.id}", flush=True)
        loop = asyncio.get_running_loop()
        start = loop.time()
        waiting: set[asyncio.Task[None]] = set()
        try:
            while options.count is None or self.sent < options.count:
                due = start + self.sent * options.interval
                while (rest := due - loop.time()) > 0:
                    await _first_end(waiting, rest)
                self.sent += 1
                waiting.add(asyncio.ensure_future(self._ask(node, target, self.sent, options.timeout)))
            while waiting:
                await _first_end(waiting, None)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _ask(self, node: Node | RemoteNode, target: NodeInfo, number: int, timeout: float) -> None:
        asked_at = time.time()
        try:
            rtt = await node.ping(target.id, timeout=timeout)
        except tuple(_REASONS) as error:
            self._show(number, asked_at, None, _REASONS[type(error)])
        else:
            self.times.append(rtt)
            self._show(number, asked_at, rtt, None)

    def _show(self, number: int, asked_at: float, rtt: float | None, reason: str | None) -> None:
        assert self.target is not None
        if self.as_json:
            _print_json(seq=number, id=self.target.id, time=asked_at, rtt=rtt, error=reason)
        else:
            result = reason if rtt is None else f"time={milliseconds(rtt)}"
            print(f"{safe(self.target.name)}: seq={number} {result}", flush=True)

    def show_sum(self) -> None:
        """The last lines. A question that was cut off by the end has no answer."""
        assert self.target is not None
        loss = 100 * (self.sent - len(self.times)) / self.sent
        least, mean, most = (min(self.times), sum(self.times) / len(self.times), max(self.times)) if self.times else [None] * 3
        if self.as_json:
            answered = len(self.times)
            _print_json(
                id=self.target.id, sent=self.sent, answered=answered, loss_percent=loss, min=least, avg=mean, max=most
            )
            return
        print(f"--- {safe(self.target.name)} {self.target.id}")
        print(f"{self.sent} sent, {len(self.times)} answered, {loss:.0f} % lost")
        if least is not None and mean is not None and most is not None:
            print(f"min/avg/max = {' / '.join(map(milliseconds, (least, mean, most)))}", flush=True)


async def _first_end(tasks: set[asyncio.Task[None]], timeout: float | None) -> None:
    """Waits until one of the tasks ends, or the time is over; those that ended are taken out, and fail here."""
    if not tasks:
        await asyncio.sleep(timeout or 0)
        return
    done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    tasks -= done
    for task in done:
        task.result()


def milliseconds(time: float) -> str:
    return f"{1000 * time:.3f} ms"


def _print_json(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)
