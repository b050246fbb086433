"""Two people on one machine, without any privilege."""

from __future__ import annotations

import os
import signal

import pytest

from harness import Namespace, World, meet

NEW = "================= NEW ================="
END = "================= END ================="


def test_a_conversation(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    alice_id, bob_id = meet(alice, bob)

    alice.type("@bob hello, Žofie 👋")
    for line in (NEW, "You: hello, Žofie 👋", "* [1] queued"):
        alice.wait_for_text(line)
    bob.wait_for_text("alice: hello, Žofie 👋")
    bob.wait_for_text("* answer with @alice text")
    alice.wait_for_text("* [1] delivered")

    bob.type(f"@{alice_id[:10]}", "and to you")
    for line in (NEW, "You: and to you", "* [1] queued"):
        bob.wait_for_text(line)
    alice.wait_for_text("bob: and to you")
    bob.wait_for_text("* [1] delivered")

    alice.type("/nodes", "/bye", "nobody listens", "/help", "/dance", "/nodes")
    alice.wait_for_text(f"{bob_id}  bob  here")
    alice.wait_for_text(END)
    alice.wait_for_text("! no conversation is open: start one with @<name or id> text")
    alice.wait_for("/exit .*")
    alice.wait_for_text("! unknown command /dance; /help lists them")

    bob.exit()
    alice.wait_for_text(f"* lost bob {bob_id}")
    alice.type("/nodes")
    alice.wait_for_text(f"{bob_id}  bob  away")
    alice.close_input()
    assert alice.end() == 0


def test_own_lines_come_in_order_before_their_states(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    meet(alice, bob)
    texts = [f"line {n}" for n in range(1, 501)]
    alice.type("@bob", *texts)
    alice.wait_for_text("* [500] read")
    assert [line for line in alice.lines if line.startswith("You: ")] == [f"You: {text}" for text in texts]
    for number in range(1, 501):
        own = [line for line in alice.lines if line.startswith(f"* [{number}] ")]
        states = [line.rsplit(" ", 1)[1] for line in own]
        assert [state for state in states if state != "sent"] == ["queued", "delivered", "read"], own
    bob.wait_for_text("alice: line 500")
    assert [line for line in bob.lines if line.startswith("alice: ")] == [f"alice: {text}" for text in texts]


def test_a_stranger_cannot_steer_the_terminal(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    meet(alice, bob)
    alice.type("@bob \x1b]0;owned\x07\x1b[2J\rbob: fake \u202ereversed")
    bob.wait_for_text("alice: \ufffd]0;owned\ufffd\ufffd[2J\ufffdbob: fake \ufffdreversed")


def test_large_and_broken_lines(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    meet(alice, bob)
    longest = "x" * (1 << 20)
    alice.type("@bob", longest, longest + "x", "y" * (3 << 20), b"caf\xe9", "the end")
    alice.wait_for_text("* [1] queued")
    assert "1048576" in alice.wait_for("! .*")[0].replace(",", "") or "MiB" in alice.lines[-1]
    alice.wait_for_text("! the line is longer than 1 MiB: nothing was sent")
    alice.wait_for_text("! the line is not UTF-8: nothing was sent")
    alice.wait_for_text("You: the end")
    alice.wait_for_text("* [2] delivered")
    bob.wait_for_text(f"alice: {longest}")
    bob.wait_for_text("alice: the end")


def test_unknown_and_ambiguous_names(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    twins = [world.chat(host, world.home(name), "--nickname", "twin") for name in ("bob", "carol")]
    ids = meet(alice, *twins)
    alice.type("@dave hello")
    assert "dave" in alice.wait_for("! .*")[0]
    alice.type("@" + "0" * 64 + " hello")
    alice.wait_for("! .*")
    alice.type("@twin hello")
    assert "twin" in alice.wait_for("! .*")[0]
    assert NEW not in alice.lines
    alice.type(f"@{ids[2]} hello")
    twins[1].wait_for_text("alice: hello")


def test_home_in_use(world: World, host: Namespace) -> None:
    home = world.home("alice")
    first = world.chat(host, home)
    first_id = first.node_id()
    second = world.chat(host, home)
    second.wait_for_text(f"* the home {home} is in use by a running chat or node; going on with a temporary identity")
    second.wait_for_text("* making a key; this takes some seconds")
    second_id = second.node_id()
    assert first_id != second_id
    first.wait_for(rf"\* found \S+ {second_id}")
    second.exit()
    first.exit()


def test_a_home_of_its_own(world: World, host: Namespace) -> None:
    """The first start makes a key, the second one finds it."""
    home = world.folder("new") / "deeper"
    chat = world.chat(host, home, "--nickname", "new")
    chat.wait_for_text("* making a key; this takes some seconds")
    chat_id = chat.node_id()
    chat.exit()
    assert (home / "identity.pem").stat().st_mode & 0o777 == 0o600
    again = world.chat(host, home)
    assert again.node_id() == chat_id
    assert not any(line.startswith("*") for line in again.lines)
    again.exit()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_the_chat_politely(world: World, host: Namespace, number: int, code: int) -> None:
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    _, bob_id = meet(alice, bob)
    os.kill(bob.process.pid, number)
    assert bob.end() == code
    assert bob.errors() == ""
    alice.wait_for_text(f"* lost bob {bob_id}")
