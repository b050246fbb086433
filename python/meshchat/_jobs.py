"""Waiting for what runs on a thread of the binding."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ._core import Job

T = TypeVar("T")


async def finish(job: Job[T]) -> T:
    """The job's result. When this is cancelled the work goes on, and nobody hears of its end."""
    await readable(job.fileno())
    return job.result()


async def readable(descriptor: int) -> None:
    """Waits until there is something to read; one waiter a descriptor."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def wait(job: Job[T], tick: Callable[[], None] | None = None) -> T:
    """The job's result, for callers without an event loop. Ctrl-C interrupts it; `tick` is called now and then."""
    poll = select.poll()
    poll.register(job.fileno(), select.POLLIN)
    while not poll.poll(None if tick is None else 100):
        if tick is not None:
            tick()
    return job.result()
