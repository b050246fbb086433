"""The asyncio side of a node, on a core that only exists in the test."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import meshchat
from meshchat import _core


class Signal:
    """A descriptor that is readable or not."""

    def __init__(self) -> None:
        self._readable, self._writable = socket.socketpair()
        self.fileno = self._readable.fileno

    def set(self, on: bool) -> None:
        self._readable.setblocking(False)
        try:
            self._readable.recv(1000)
        except BlockingIOError:
            pass
        if on:
            self._writable.send(b"x")


class DoneJob:
    def __init__(self, value: object) -> None:
        self._value = value
        self._signal = Signal()
        self._signal.set(True)
        self.fileno = self._signal.fileno

    def result(self) -> object:
        return self._value


class FakeCore:
    """What the binding does, by hand."""

    def __init__(self) -> None:
        self.id = "f" * 64
        self.sent: list[tuple[int, str, str]] = []
        self.confirmed: list[int] = []
        self.read: list[int] = []
        self.looks = 0
        self.stopped = False
        self._events: deque[Any] = deque()
        self._answers: list[Any] = []
        self._event_signal, self._answer_signal = Signal(), Signal()
        self.events_fileno = self._event_signal.fileno
        self.answers_fileno = self._answer_signal.fileno

    def push(self, *event: object) -> None:
        self._events.append(event)
        self._event_signal.set(True)

    def message(self, arrival: int) -> None:
        text = f"text {arrival}"
        incoming = SimpleNamespace(
            arrival=arrival, sender="a" * 64, id="0", room=None, text=text, sent_at=0.0, received_at=0.0
        )
        self.push("message", incoming)

    def answer(self, token: int, message: str | None, error: Exception | None = None) -> None:
        self._answers.append((token, message, error))
        self._answer_signal.set(True)

    def send(self, token: int, to: str, text: str, lifetime: float | None) -> None:
        assert lifetime is None
        self.sent.append((token, to, text))

    def take_answers(self) -> list[Any]:
        self._answer_signal.set(False)
        answers, self._answers = self._answers, []
        return answers

    def next_event(self) -> Any:
        self.looks += 1
        event = self._events.popleft() if self._events else None
        self._event_signal.set(bool(self._events) or self.stopped)
        return event

    def is_stopped(self) -> bool:
        return self.stopped

    def confirm(self, incoming: Any) -> None:
        self.confirmed.append(incoming.arrival)

    def mark_read(self, incoming: Any) -> None:
        self.read.append(incoming.arrival)

    def stop(self) -> DoneJob:
        self.stopped = True
        self._event_signal.set(True)
        return DoneJob(None)


def run(monkeypatch: pytest.MonkeyPatch, body: Callable[[meshchat.Node, FakeCore], Awaitable[None]]) -> None:
    core = FakeCore()
    monkeypatch.setattr(_core, "start", lambda *_: DoneJob(core))

    async def main() -> None:
        async with meshchat.Node() as node:
            await body(node, core)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_message_is_confirmed_when_the_next_event_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        for arrival in (1, 2, 3):
            core.message(arrival)
        seen: list[int] = []
        async for event in node.events():
            assert isinstance(event, meshchat.Message)
            assert core.confirmed == seen
            seen.append(int(event.text[5:]))
            if len(seen) == 3:
                break
        assert core.confirmed == [1, 2], "the loop was left before the third was done"

    run(monkeypatch, body)


def test_explicit_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        for arrival in (1, 2):
            core.message(arrival)
        events = node.events(auto_confirm=False)
        await anext(events)
        second = await anext(events)
        assert core.confirmed == []
        assert isinstance(second, meshchat.Message)
        second.confirm()
        assert (core.confirmed, core.read) == ([2], [])
        second.mark_read()
        assert core.read == [2]

    run(monkeypatch, body)


def test_a_status_never_overtakes_its_send(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        order: list[str] = []

        async def send() -> None:
            order.append(await node.send("a" * 64, "text"))

        async def watch() -> None:
            async for event in node.events():
                assert isinstance(event, meshchat.StatusChanged)
                order.append(str(event.status))
                if event.status is meshchat.Status.DELIVERED:
                    break

        sending = asyncio.ensure_future(send())
        while not core.sent:
            await asyncio.sleep(0)
        core.answer(core.sent[0][0], "message")
        core.push("status", ("message", "a" * 64, 10))
        core.push("status", ("message", "a" * 64, 30))
        await watch()
        await sending
        assert order == ["message", "sent", "delivered"]

    run(monkeypatch, body)


def test_answers_come_while_nobody_takes_events(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        core.push("warning", ("link", "gone"))
        answer = node.send_soon("a" * 64, "text")
        refused = node.send_soon("a" * 64, "")
        core.answer(core.sent[0][0], "message")
        core.answer(core.sent[1][0], None, meshchat.EmptyMessageError("empty"))
        assert await answer == "message"
        with pytest.raises(meshchat.EmptyMessageError):
            await refused
        assert core.looks == 0, "events wait in the core, which bounds them"

    run(monkeypatch, body)


def test_a_cancelled_wait_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        events = node.events()
        for turn in range(200):
            core.answer(10_000 + turn, "nobody waits for this one")
            core.push("warning", ("link", str(turn)))
            waiting = asyncio.ensure_future(anext(events))
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                event = await waiting
            except asyncio.CancelledError:
                event = await anext(events)
            assert isinstance(event, meshchat.Warning) and event.text == str(turn)

    run(monkeypatch, body)


def test_waiting_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wakes: list[meshchat.Node] = []
    wake = meshchat.Node._wake

    def counted(node: meshchat.Node) -> None:
        wakes.append(node)
        wake(node)

    monkeypatch.setattr(meshchat.Node, "_wake", counted)

    async def body(node: meshchat.Node, core: FakeCore) -> None:
        waiting = asyncio.ensure_future(anext(node.events()))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert core.looks == 1
        waiting.cancel()
        core.push("warning", ("link", "nobody looks"))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert core.looks == 1 and len(wakes) == 1

    run(monkeypatch, body)


def test_two_takers_share_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        takers = [asyncio.ensure_future(anext(node.events())) for _ in range(2)]
        await asyncio.sleep(0)
        core.push("warning", ("link", "0"))
        done, _ = await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        core.push("warning", ("link", "1"))
        events = await asyncio.gather(*takers)
        assert sorted(event.text for event in events if isinstance(event, meshchat.Warning)) == ["0", "1"]

    run(monkeypatch, body)


def test_stop_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        async def watch() -> int:
            return len([event async for event in node.events()])

        watching = asyncio.ensure_future(watch())
        answer = node.send_soon("a" * 64, "text")
        await asyncio.sleep(0)
        core.message(1)
        await asyncio.gather(node.stop(), node.stop())
        assert await watching <= 1
        with pytest.raises(meshchat.StoppedError):
            await answer
        with pytest.raises(meshchat.StoppedError):
            await asyncio.wait_for(node.send("a" * 64, "too late"), 20)

    run(monkeypatch, body)


def test_a_core_that_ends_by_itself_ends_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(node: meshchat.Node, core: FakeCore) -> None:
        core.push("warning", ("storage", "the disk is gone"))
        core.stop()
        assert [event async for event in node.events()] == [meshchat.Warning("storage", "the disk is gone")]

    run(monkeypatch, body)


def test_a_loop_that_closes_with_work_pending_is_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    core = FakeCore()
    monkeypatch.setattr(_core, "start", lambda *_: DoneJob(core))

    async def main() -> None:
        node = meshchat.Node()
        await node.start()
        node.send_soon("a" * 64, "text")
        asyncio.ensure_future(anext(node.events()))
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert caplog.records == [] and capfd.readouterr() == ("", "")


def test_before_and_after() -> None:
    node = meshchat.Node()
    assert repr(node) == "<meshchat.Node not running>"
    for attribute in ("id", "nickname", "home", "links"):
        with pytest.raises(meshchat.StoppedError):
            getattr(node, attribute)
    asyncio.run(node.stop())


def test_ctrl_c_while_a_key_is_made(tmp_path: Path) -> None:
    """Work that nobody waits for any more keeps no process alive."""
    code = (
        "import asyncio, os, signal, sys, meshchat\n"
        "async def main():\n"
        "    node = meshchat.Node(sys.argv[1], key_bits=4096)\n"
        "    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)\n"
        "    await node.start()\n"
        "    await asyncio.Event().wait()\n"
        "try:\n    asyncio.run(main())\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "")
