"""The chat with a node that only exists in the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meshchat import Contact, LinkError, LinkStatus, NodeInfo, Status, StatusChanged, Warning
from meshchat.chat.lines import NOT_UTF8, BadLine
from meshchat.chat.past import NOTHING_FOUND
from meshchat.chat.rooms import NO_FILES, NO_ROOM, NO_ROOMS
from meshchat.chat.run import IMPORTED, NOBODY_TO_VERIFY, WINDOW, Chat
from meshchat.chat.session import END, NEW, NO_CONVERSATION, WARNING, Session

from fake import EMPTY, FakeNode

ALICE = NodeInfo("a" * 64, "alice", True, 0.0)
BOB = NodeInfo("b" * 64, None, True, 0.0)


class Recorder:
    """A screen to look at afterwards."""

    def __init__(self) -> None:
        self.text = ""
        self.changed = asyncio.Event()

    def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None:
        self.text += text + "\n"
        self.changed.set()
        if then is not None:
            then()

    async def flush(self) -> None:
        pass

    async def until(self, text: str) -> None:
        while text not in self.text:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)


class Input:
    """Lines that the test types."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | BadLine | None] = asyncio.Queue()

    def type(self, *lines: str | BadLine | None) -> None:
        for line in lines:
            self._lines.put_nowait(line)

    async def lines(self) -> AsyncIterator[str | BadLine]:
        while (line := await self._lines.get()) is not None:
            yield line


async def chat(node: FakeNode, *lines: str | BadLine | None) -> str:
    screen, keyboard = Recorder(), Input()
    keyboard.type(*lines, None)
    await asyncio.wait_for(Chat(node.as_node(), Session(), screen).run(keyboard.lines()), 20)
    return screen.text.removeprefix(f"NODE_ID: {node.id}\n")


def test_a_conversation() -> None:
    node = FakeNode(ALICE, BOB)
    lines = ["hello?", "@alice hi", "more", "@" + BOB.id, "to bob", "/bye", "to nobody", "/nodes", "/exit", "late"]
    assert asyncio.run(chat(node, *lines)) == (
        f"{NO_CONVERSATION}\n{NEW}\nYou: hi\n* [1] queued\nYou: more\n* [2] queued\n"
        f"{NEW}\nYou: to bob\n* [3] queued\n{END}\n{NO_CONVERSATION}\n"
        f"{ALICE.id}  alice  here\n{BOB.id}  bbbbb  here\n"
    )
    assert node.sent == [(ALICE.id, "hi"), (ALICE.id, "more"), (BOB.id, "to bob")]


def test_errors_are_shown_and_the_chat_goes_on() -> None:
    node = FakeNode(ALICE)
    shown = asyncio.run(chat(node, "@carol hi", BadLine(NOT_UTF8), "/dance", "@alice", "hi"))
    assert shown == (
        f"! nobody is known as carol\n! {NOT_UTF8}\n! unknown command /dance; /help lists them\n"
        f"{NEW}\nYou: hi\n* [1] queued\n"
    )


def test_links_that_failed_are_named() -> None:
    node = FakeNode()
    node.links = [LinkStatus("udp", None), LinkStatus("ethernet:eth9", LinkError("there is no interface eth9"))]
    assert asyncio.run(chat(node)) == "! link ethernet:eth9: there is no interface eth9\n"


def test_answers_are_shown_in_order() -> None:
    async def run() -> None:
        node = FakeNode(ALICE)
        node.answer_at_once = False
        screen, keyboard = Recorder(), Input()
        running = asyncio.ensure_future(Chat(node.as_node(), Session(), screen).run(keyboard.lines()))
        keyboard.type("@alice one", "two", "three", "/bye", None)
        while len(node.answers) < 3:
            await asyncio.sleep(0)
        node.answer(2)
        node.answer(1, EMPTY)
        node.queue.put_nowait(StatusChanged(f"{2:032x}", ALICE.id, Status.SENT))
        while not node.queue.empty():
            await asyncio.sleep(0)
        assert "three" not in screen.text and END not in screen.text
        node.answer(0)
        await asyncio.wait_for(running, 20)
        expected = (
            f"{NEW}\nYou: one\n* [1] queued\n! {EMPTY}\nYou: three\n* [2] queued\n* [2] sent\n{END}\n"
        )
        assert screen.text.endswith(expected)

    asyncio.run(run())


def test_a_window_of_messages_shares_a_disk_sync() -> None:
    async def run() -> None:
        node = FakeNode(ALICE)
        node.answer_at_once = False
        screen, keyboard = Recorder(), Input()
        running = asyncio.ensure_future(Chat(node.as_node(), Session(), screen).run(keyboard.lines()))
        total = 5 * WINDOW
        keyboard.type("@alice", *(f"line {n}" for n in range(total)), None)
        answered = 0
        while answered < total:
            while len(node.answers) <= answered:
                await asyncio.sleep(0)
            # Long enough for more to be sent, if nothing held them back.
            for _ in range(3 * WINDOW):
                await asyncio.sleep(0)
            assert len(node.answers) - answered <= WINDOW + 2
            while answered < len(node.answers):
                node.answer(answered)
                answered += 1
        await asyncio.wait_for(running, 20)
        own = [line for line in screen.text.splitlines() if line.startswith("You: ")]
        assert own == [f"You: line {n}" for n in range(total)]

    asyncio.run(run())


def test_messages_are_confirmed_when_shown() -> None:
    async def run() -> None:
        node = FakeNode(ALICE)
        screen, keyboard = Recorder(), Input()
        running = asyncio.ensure_future(Chat(node.as_node(), Session(), screen).run(keyboard.lines()))
        node.receive(ALICE.id, "one")
        node.receive(BOB.id, "two")
        node.known.append(NodeInfo(BOB.id, "bob", True, 0.0))
        await screen.until("bob: two\n* answer with @bob text\n")
        assert "alice: one\n* answer with @alice text\n" in screen.text
        assert node.confirmed == ["one", "two"]
        keyboard.type(None)
        await running

    asyncio.run(run())


def test_a_screen_that_breaks_ends_the_chat() -> None:
    class Broken(Recorder):
        def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None:
            if "You" in text:
                raise BrokenPipeError
            super().show(text, then)

    async def run() -> None:
        keyboard = Input()
        keyboard.type("@alice hello")
        await Chat(FakeNode(ALICE).as_node(), Session(), Broken()).run(keyboard.lines())

    with pytest.raises(BrokenPipeError):
        asyncio.run(asyncio.wait_for(run(), 20))


def test_people() -> None:
    node = FakeNode(ALICE, BOB)
    shown = asyncio.run(
        chat(node, "/verify", "/verify alice", "/verify alice yes", "/verify alice no", "/block " + BOB.id, "/contacts", "@alice", "/verify")
    )
    words = f"one two {ALICE.id[:3]}"
    asked = (
        f"* safety words of you and alice {ALICE.id}: {words}\n* alice sees the same words with /verify: read them to each "
        "other, by voice or face to face. If they are the same, type /verify alice yes\n"
    )
    assert shown == (
        f"{NOBODY_TO_VERIFY}\n{asked}* alice {ALICE.id} is verified\n* alice {ALICE.id} is not verified\n"
        f"* bbbbb {BOB.id} is blocked\n{ALICE.id}  alice  seen\n{BOB.id}  bbbbb  blocked\n{NEW}\n{asked}"
    )
    assert [call[0] for call in node.calls] == ["verify", "unverify", "block"]


def test_a_conversation_goes_by_its_name() -> None:
    node = FakeNode(ALICE)
    asyncio.run(chat(node, "@alice hi", "more", f"@{ALICE.id} by id", "again"))
    assert node.names == ["alice", "alice", ALICE.id, ALICE.id]


def test_the_past() -> None:
    node = FakeNode(ALICE)
    assert asyncio.run(chat(node, "/history", "@alice", "/history 5 some words")) == f"{NOTHING_FOUND}\n{NEW}\n{NOTHING_FOUND}\n"
    assert node.calls == [("history", None, None, 20), ("history", ALICE.id, "some words", 5)]


def test_contacts_and_files(tmp_path: Path) -> None:
    node = FakeNode(ALICE, replace(BOB, is_contact=True))
    file = tmp_path / "a file"
    shown = asyncio.run(
        chat(node, f"/contacts export {file}", f"/contacts export {file}", f"/contacts import {file}", f"/contacts import {tmp_path}/x", "/contacts export qr")
    )
    lines = shown.splitlines()
    assert lines[:4] == [
        f"* 1 contacts were written to {file}",
        f"! {file}: File exists",
        f"* imported bbbbb {BOB.id}",
        IMPORTED,
    ]
    assert lines[4] == f"! {tmp_path}/x: No such file or directory"
    assert lines[-1] == str(Contact("f" * 64, "me")) and len(lines) > 20


def test_paths_that_lead_nowhere() -> None:
    node = FakeNode(ALICE)
    shown = asyncio.run(chat(node, "/contacts export a\0b", "/contacts import a\0b", "/contacts import ~no-such-user/x"))
    assert shown == "! a path contains no NUL\n" * 2 + "! ~no-such-user/x: No such file or directory\n"


def test_what_is_loud() -> None:
    class Listening(Recorder):
        def show(self, text: str, then: Callable[[], None] | None = None, *, loud: bool = False) -> None:
            super().show(f"LOUD {text}" if loud else text, then)

    async def run() -> None:
        node, screen, keyboard = FakeNode(), Listening(), Input()
        running = asyncio.ensure_future(Chat(node.as_node(), Session(), screen).run(keyboard.lines()))
        node.queue.put_nowait(Warning("link", "gone"))
        node.queue.put_nowait(Warning("nickname-taken", "beware"))
        await screen.until(f"LOUD {WARNING}\n! beware\n")
        assert "\n! gone\n" in screen.text
        keyboard.type(None)
        await running

    asyncio.run(run())


# -- rooms ----------------------------------------------------------------------------------------------------------------


def test_a_room_is_made_and_filled() -> None:
    node = FakeNode(ALICE)
    lines = ["/room", "/invite alice", "/room hikers", "/invite alice", "hello", "/remove alice", "/send x", "/verify"]
    shown = asyncio.run(chat(node, *lines, "/history", "/room", "/leave", "/leave", "/leave hikers", "/join hikers"))
    row = f"{1:032x}  hikers  made by you; members: you"
    assert shown == (
        f"{NO_ROOMS}\n{NO_ROOM}\n* made the room hikers: /invite <name or id> brings others in\n{NEW}\n{row}\n"
        "* [hikers] alice is invited\n[hikers] You: hello\n* [1] queued\n"
        f"{NO_FILES}\n{NOBODY_TO_VERIFY}\n{NOTHING_FOUND}\n{row}\n* left the room hikers\n{END}\n{NO_ROOM}\n"
        "* left the room hikers\n* asked to join the room hikers\n"
    )
    assert node.calls == [
        ("invite", "hikers", ALICE.id),
        ("say", "hikers", "hello"),
        ("remove", "hikers", ALICE.id),
        ("history", None, None, 20),
        ("leave", "hikers"),
        ("leave", "hikers"),
        ("join", "hikers"),
    ]
