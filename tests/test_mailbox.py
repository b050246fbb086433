"""Messages for nodes that are away, by way of mailboxes: real processes, real files, kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Namespace, World, count, leave, mailbox, meet


def letters(home: Path) -> int:
    """How many messages a mailbox keeps."""
    return count(home, "letters")


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_sender_and_recipient_never_meet(world: World, host: Namespace, killed: bool) -> None:
    alice_home, bob_home, carol_home = (world.home(name) for name in ("alice", "bob", "carol"))
    keeper = mailbox(world, host, carol_home)
    carol_id = keeper.node_id()
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob while you were out", "and once more")
    alice.wait_for_text("* [1] stored")
    alice.wait_for_text("* [2] stored")
    assert letters(carol_home) == 2
    alice.exit()

    if killed:
        keeper.kill()
        keeper = mailbox(world, host, carol_home)
        assert keeper.node_id() == carol_id
    bob = world.chat(host, bob_home)
    bob.wait_for_text("alice: while you were out")
    bob.wait_for_text("alice: and once more")
    # That they are delivered and read is told to the mailbox, as the sender is not there.
    bob.wait_until(lambda: count(bob_home, "incoming WHERE read") == 2)
    bob.wait_until(lambda: count(bob_home, "outgoing WHERE status < 20") == 0)
    bob.exit()

    alice = world.chat(host, alice_home)
    alice.wait_for(r"\* \[[0-9a-f]{8}\] delivered")
    alice.wait_for(r"\* \[[0-9a-f]{8}\] read")
    alice.wait_until(lambda: letters(carol_home) == 0)
    # Nothing comes twice.
    bob = world.chat(host, bob_home)
    alice.wait_for_text(f"* found bob {bob_id}")
    alice.type("@bob the end")
    bob.wait_for_text("alice: the end")
    assert bob.heard("alice") == ["the end"]


def test_one_of_two_mailboxes_is_lost(world: World, host: Namespace) -> None:
    alice_home, bob_home = world.home("alice"), world.home("bob")
    homes = [world.home("carol"), world.new_home("dave")]
    keepers = [mailbox(world, host, home) for home in homes]
    for keeper in keepers:
        keeper.node_id()
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    texts = [f"message {n}" for n in range(20)]
    alice.type(f"@bob {texts[0]}", *texts[1:])
    alice.wait_until(lambda: [letters(home) for home in homes] == [20, 20])
    alice.exit()
    keepers[0].kill()
    bob = world.chat(host, bob_home)
    for text in texts:
        bob.wait_for_text(f"alice: {text}")
    assert bob.heard("alice") == texts


def test_sender_and_recipient_know_different_mailboxes(world: World, host: Namespace) -> None:
    alice_home, bob_home = world.home("alice"), world.home("bob")
    carol = mailbox(world, host, world.home("carol"))
    carol.node_id()
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob by the only one that alice knows")
    alice.wait_for_text("* [1] stored")
    alice.exit()
    homes = [world.new_home("dave"), world.new_home("erin")]
    for home in homes:
        mailbox(world, host, home).node_id()
    bob = world.chat(host, bob_home)
    bob.wait_for_text("alice: by the only one that alice knows")
    # Its receipts go to two of the three, so one of them at least to a mailbox that alice did not know.
    bob.wait_until(lambda: count(bob_home, "outgoing WHERE status < 20") == 0)
    bob.wait_until(lambda: sum(letters(home) for home in homes) > 0)
    bob.exit()
    carol.kill()
    alice = world.chat(host, alice_home)
    alice.wait_for(r"\* \[[0-9a-f]{8}\] delivered")


def test_a_full_mailbox_says_so(world: World, host: Namespace) -> None:
    alice_home, bob_home, carol_home = (world.home(name) for name in ("alice", "bob", "carol"))
    keeper = mailbox(world, host, carol_home, "--mailbox-sender-quota", "5000")
    keeper.node_id()
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob 1", "2", "3", "4")
    alice.wait_for(r"! the mailbox [0-9a-f]{64} does not take messages: it has no more room for this node; .*")
    assert letters(carol_home) == 2
    bob = world.chat(host, bob_home)
    alice.wait_for_text("* [4] read")
    for text in "1234":
        bob.wait_for_text(f"alice: {text}")


def test_a_mailbox_that_makes_no_sense_is_refused(world: World, host: Namespace) -> None:
    for option, value in (("--mailbox-quota", "0"), ("--mailbox-quota", "many"), ("--mailbox-keep", "0d")):
        node = mailbox(world, host, world.home(f"alice{option}{value}", key="alice"), option, value)
        assert node.end() == 2
        assert f"argument {option}: invalid" in node.errors()
