"""AlexMesh v1 in the package and in the chat: insecure, and marked as such."""

from __future__ import annotations

import asyncio

import pytest

from meshchat import (
    ArgumentError,
    InsecureDelivered,
    InsecureFailed,
    InsecureMessage,
    InsecureNode,
    InsecureNodeFound,
    InsecureNodeLost,
    InsecureStreamClosed,
    InsecureStreamData,
    InsecureStreamOpened,
    LinkStatus,
    Message,
    NodeInfo,
    Status,
    StatusChanged,
    insecure_address,
)
from meshchat.chat.insecure import NEW_INSECURE, NOT_ASKED_FOR, InsecurePeer
from meshchat.chat.session import _MAX_HINTED, END, NEW, NO_CONVERSATION, Connect, Session, Wrong, parse
from meshchat.events import event_of

from fake import FakeNode
from test_run import chat

ONE, TWO = "v1:02:00:00:00:00:01", "v1:02:00:00:00:00:02"
ALICE = NodeInfo("a" * 64, "alice", True, 0.0)


def test_addresses() -> None:
    for text in (ONE, "V1:02-00-00-00-00-01", "02:00:00:00:00:01"):
        assert insecure_address(text) == ONE
    for text in ("", "v1:", "v1:02:00", "alice", ONE + "\0", "é" + ONE):
        with pytest.raises(ArgumentError, match="not the address of a v1 node"):
            insecure_address(text)


def test_events_of_the_binding() -> None:
    def event(*raw: object) -> object:
        return event_of(raw, lambda _: None, lambda _: None)  # type: ignore[arg-type]

    assert event("v1-found", ONE) == InsecureNodeFound(ONE)
    assert event("v1-lost", ONE) == InsecureNodeLost(ONE)
    assert event("v1-message", (ONE, "x", True)) == InsecureMessage(ONE, "x", True)
    assert event("v1-delivered", (1, ONE)) == InsecureDelivered(1, ONE)
    assert event("v1-failed", (1, ONE)) == InsecureFailed(1, ONE)
    assert event("v1-opened", (1, ONE, True)) == InsecureStreamOpened(1, ONE, True)
    assert event("v1-data", (1, ONE, b"x")) == InsecureStreamData(1, ONE, b"x")
    assert event("v1-closed", (1, ONE, "peer", "words")) == InsecureStreamClosed(1, ONE, "peer", "words")


def test_parse() -> None:
    assert parse(f"/connect \t {ONE} ") == Connect(ONE)
    assert parse("/connect ") == Wrong("! name a node: /connect v1:<address>")


def test_every_line_is_marked() -> None:
    session = Session()
    assert session.event(InsecureNodeFound(ONE)) == (
        f"* found insecure {ONE} (AlexMesh v1: anybody can read and forge)"
    )
    assert session.event(InsecureNodeLost(ONE)) == f"* lost insecure {ONE}"
    hint = f"\n* answer with @{ONE} text"
    assert session.event(InsecureMessage(ONE, "a\x1b[1m\nb", False)) == f"insecure {ONE}: a\ufffd[1m\n  b{hint}"
    assert session.event(InsecureMessage(ONE, "x", True)) == f"insecure {ONE} to all: x", "one hint"
    assert session.open(InsecurePeer(ONE)) == NEW_INSECURE
    assert session.open(InsecurePeer(ONE)) is None
    assert session.event(InsecureMessage(ONE, "x", False)) == f"insecure {ONE}: x"
    session.sending()
    assert session.event(InsecureDelivered(7, ONE)) is None, "before its turn"
    assert session.accepted_insecure(7, "hi") == (
        "You (insecure): hi\n* [1] sent (insecure)\n* [1] delivered (insecure)"
    )
    session.sending()
    assert session.accepted_insecure(8, "hi") == "You (insecure): hi\n* [2] sent (insecure)"
    assert session.event(InsecureFailed(8, ONE)) == "* [2] failed (insecure)"
    assert session.open(ALICE) == NEW


def test_a_nickname_that_looks_like_an_address_is_no_answer() -> None:
    session = Session()
    fake = NodeInfo("b" * 64, ONE, True, 0.0)
    session.learn([fake])
    event = Message(fake.id, "00" * 16, "hi", 0.0, 0.0, lambda: None)
    assert session.event(event) == f"{ONE}: hi\n* answer with @bbbbbbbb text"


def test_streams_of_others_open_a_conversation_only_where_none_is() -> None:
    session = Session()
    assert session.event(InsecureStreamOpened(1, ONE, True)) == f"* insecure {ONE} opened a stream\n{NEW_INSECURE}"
    hint = f"\n* answer with @{TWO} text"
    assert session.event(InsecureStreamOpened(2, TWO, True)) == f"* insecure {TWO} opened a stream{hint}"
    assert session.partner == InsecurePeer(ONE)
    assert session.event(InsecureStreamData(2, TWO, b"hello\r\n")) == f"insecure {TWO}: hello"
    assert session.event(InsecureStreamData(1, ONE, b"\xff\n\n")) == f"insecure {ONE}: \ufffd\n  "
    ended = InsecureStreamClosed(2, TWO, "peer", "closed by the peer")
    assert session.event(ended) == f"* the stream with insecure {TWO} has ended: closed by the peer"
    ended = InsecureStreamClosed(1, ONE, "idle", "idle for too long")
    assert session.event(ended) == f"* the stream with insecure {ONE} has ended: idle for too long\n{END}"
    assert session.partner is None
    session.open(ALICE)
    session.event(InsecureStreamOpened(3, ONE, True))
    assert session.partner == ALICE, "lines for alice go to nobody else"
    # A newer stream takes the place of an older one.
    session.event(InsecureStreamOpened(4, ONE, True))
    assert session.streams.of(ONE) == 4
    session.open(InsecurePeer(ONE))
    assert END not in (session.event(InsecureStreamClosed(3, ONE, "replaced", "")) or "")
    assert session.streams.of(ONE) == 4


def test_made_up_senders_fill_no_memory() -> None:
    session = Session()
    for number in range(3 * _MAX_HINTED):
        session.event(InsecureMessage(f"v1:02:00:00:00:{number >> 8:02x}:{number & 255:02x}", "x", False))
    assert len(session._hinted) <= _MAX_HINTED


def with_v1(*nodes: NodeInfo) -> FakeNode:
    node = FakeNode(*nodes)
    node.links = [LinkStatus("udp", None), LinkStatus("v1:eth0", None)]
    return node


def test_messages_to_a_v1_node() -> None:
    node = with_v1(ALICE)
    node.insecure = [InsecureNode(ONE, True)]
    shown = asyncio.run(chat(node, f"@{ONE.upper()} hi", "more", "@alice secret", "/nodes", "/bye", "x"))
    assert shown == (
        f"{NEW_INSECURE}\nYou (insecure): hi\n* [1] sent (insecure)\nYou (insecure): more\n* [2] sent (insecure)\n"
        f"{NEW}\nYou: secret\n* [3] queued\n{ALICE.id}  alice  here\n{ONE}  insecure  here\n{END}\n{NO_CONVERSATION}\n"
    )
    assert node.calls == [("send", ONE, "hi"), ("send", ONE, "more")]


def test_a_stream_to_a_v1_node() -> None:
    node = with_v1()
    shown = asyncio.run(chat(node, f"/connect {ONE}", "hi", "/bye", f"@{ONE} bye"))
    assert shown == (
        f"{NEW_INSECURE}\n* opening a stream to insecure {ONE}\nYou (insecure): hi\n{END}\n"
        f"{NEW_INSECURE}\nYou (insecure): bye\n* [1] sent (insecure)\n"
    )
    assert node.calls == [("connect", ONE), ("write", 1, b"hi\n"), ("close", 1), ("send", ONE, "bye")]


def test_v1_that_was_not_asked_for() -> None:
    node = FakeNode()
    shown = asyncio.run(chat(node, f"@{ONE} hi", f"/connect {ONE}", "@v1:nobody"))
    assert shown == f"{NOT_ASKED_FOR}\n" * 3
    assert node.calls == []
    shown = asyncio.run(chat(with_v1(), "@v1:nobody hi", "/connect alice"))
    assert shown == "! not the address of a v1 node, which looks like v1:02:00:5e:10:00:01\n" * 2


def test_statuses_of_both_kinds_have_their_own_numbers() -> None:
    session = Session()
    session.sending()
    session.accepted("m1" * 16, "secret")
    session.sending()
    session.accepted_insecure(1, "open")
    assert session.event(StatusChanged("m1" * 16, ALICE.id, Status.DELIVERED)) == "* [1] delivered"
    assert session.event(InsecureDelivered(1, ONE)) == "* [2] delivered (insecure)"
