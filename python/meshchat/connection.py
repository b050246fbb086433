"""Connections with other nodes, and what takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import DisconnectedError, StoppedError
from .streams import Buffer, Stream, as_bytes

if TYPE_CHECKING:
    from . import _core
    from ._answers import Answers


@dataclass(frozen=True)
class Statistics:
    """Numbers about a connection. Times are in seconds; bytes and packets count from the handshake on."""

    rtt: float
    """Smoothed round-trip time; a guess of 0.1 before the first measurement."""
    latest_rtt: float
    min_rtt: float
    """The least; 0 before the first measurement."""
    rtt_variation: float
    """Mean deviation of the round-trip time."""
    congestion_window: int
    """In bytes."""
    slow_start_threshold: int | None
    """Where slow start ends, when a loss or growing delay has shown that."""
    congestion_events: int
    """How often the window was reduced."""
    bytes_in_flight: int
    """Bytes sent that are neither acknowledged nor lost."""
    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    packets_lost: int
    """Packets declared lost."""
    packets_spurious: int
    """Packets that were declared lost and arrived all the same."""
    bytes_retransmitted: int
    """Bytes of streams that were sent again."""
    datagrams_sent: int
    datagrams_received: int
    datagrams_dropped: int
    """Dropped by this node, unsent or unread."""
    streams: int
    """Streams open now."""
    mtu: int
    """Largest packet that the path carries."""
    key_updates: int
    """How often the keys were changed since the handshake."""


class _Arrivals:
    """What arrives one by one. A question that was asked stays when whoever waits is cancelled: nothing gets lost."""

    def __init__(self, ask: Callable[[], asyncio.Future[Any]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[Any] | None = None

    async def take(self) -> Any:
        async with self._turn:
            if self._answer is None:
                self._answer = _unheard(self._ask())
            await asyncio.wait([self._answer])
            answer, self._answer = self._answer, None
            return answer.result()


def _unheard(answer: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """An answer that perhaps nobody awaits; its failure is then no reason for a log entry."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer


class Connection:
    """A connection with another node, encrypted and authenticated end to end: any number of streams, and datagrams.

    It survives changes of the route. ``async with`` closes it; so does the end of the program's interest in it and all
    its streams, sooner or later. All methods belong to the event loop of the node.
    """

    def __init__(self, answers: Answers, core: _core.Connection) -> None:
        self._answers = answers
        self._core = core
        self._streams = _Arrivals(lambda: answers.ask(core.accept))
        self._datagrams = _Arrivals(lambda: answers.ask(core.read_datagram))
        self._over: asyncio.Future[str] | None = None

    @property
    def peer(self) -> str:
        """NODE_ID of the node at the other end, as it has proved."""
        return self._core.peer

    async def open(self) -> Stream:
        """Opens a stream, waiting while the peer allows no more of them.

        The peer hears of it with the first byte, or the end.
        """
        try:
            return Stream(self._answers, await self._answers.ask(self._core.open))
        except DisconnectedError:
            # What has closed it says more than that it is over.
            raise DisconnectedError(await self.closed()) from None

    async def accept(self) -> Stream:
        """The next stream that the peer has opened. :class:`DisconnectedError` when the connection is over."""
        return Stream(self._answers, await self._streams.take())

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> Stream:
        """The streams that the peer opens, until the connection is over."""
        try:
            return await self.accept()
        except (DisconnectedError, StoppedError):
            raise StopAsyncIteration from None

    async def send_datagram(self, data: Buffer) -> None:
        """Sends a message that is not repeated when it is lost, and may overtake others (RFC 9221).

        :class:`ArgumentError` when it is longer than a packet of the path carries.
        """
        core, message = self._core, as_bytes(data)
        await self._answers.ask(lambda token: core.send_datagram(token, message))

    async def read_datagram(self) -> bytes:
        """The next datagram. Of those that nobody takes the latest 256 are kept."""
        message: bytes = await self._datagrams.take()
        return message

    async def statistics(self) -> Statistics:
        """Numbers about the connection."""
        return Statistics(**await self._answers.ask(self._core.statistics))

    def close(self, code: int = 0, reason: str = "") -> None:
        """Closes the connection at once; what has not arrived may be lost. The peer is told the code and the reason."""
        self._core.close(code, reason)

    async def closed(self) -> str:
        """Waits until the connection is over; tells why."""
        if self._over is None:
            self._over = _unheard(self._answers.ask(self._core.closed))
        # Several may wait, and one who is cancelled takes nothing away from the others.
        await asyncio.wait([self._over])
        return self._over.result()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<meshchat.Connection with {self.peer}>"


class Listener:
    """Takes connections that other nodes open, for ``async for`` or :meth:`accept`; see :meth:`Node.listen`.

    There is one listener a node; while there is none, connections are refused.
    """

    def __init__(self, answers: Answers, core: _core.Listener) -> None:
        self._answers = answers
        self._core = core
        self._connections = _Arrivals(lambda: answers.ask(core.accept))

    async def accept(self) -> Connection:
        """The next connection. :class:`StoppedError` when there will be none."""
        core = await self._connections.take()
        if core is None:
            raise StoppedError("nobody listens any more: the listener was closed or replaced, or the node has stopped")
        return Connection(self._answers, core)

    def close(self) -> None:
        """Takes no more connections; those that there are go on."""
        self._core.close()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Connection:
        try:
            return await self.accept()
        except StoppedError:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
