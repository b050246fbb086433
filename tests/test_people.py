"""History, trust and contacts between real chats."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from harness import PYTHON, TERMINAL_SIZE, Namespace, Program, World, chat_command, meet


def command(world: World, host: Namespace, *arguments: str | Path) -> Program:
    return world.start(host, PYTHON, "-m", "meshchat", *arguments)


def answer(program: Program, code: int = 0) -> list[str]:
    """Its lines, when it has ended."""
    assert program.end() == code, program.report()
    return program.lines


def test_history_while_a_chat_runs_and_after(world: World, host: Namespace) -> None:
    homes = [world.home(name) for name in ("alice", "bob")]
    alice, bob = (world.chat(host, home) for home in homes)
    _, bob_id = meet(alice, bob)
    alice.type("@bob the treasure is under the oak", "and dig deep")
    bob.wait_for_text("alice: and dig deep")
    bob.type("@alice I shall")
    alice.wait_for_text("bob: I shall")
    if "* [2] read" not in alice.lines:
        alice.wait_for_text("* [2] read")
    for running in (True, False):
        if not running:
            alice.exit()
        lines = answer(command(world, host, "history", "--home", homes[0], "--search", "TREAS"))
        assert len(lines) == 1 and lines[0].endswith("You to bob: the treasure is under the oak [read]")
        lines = answer(command(world, host, "history", "--home", homes[0], "--with", bob_id[:8], "--json", "--since", "1h"))
        assert [json.loads(line)["direction"] for line in lines] == ["out", "out", "in"]
    for path in homes[0].iterdir():
        assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path
    assert stat.S_IMODE(homes[0].stat().st_mode) == 0o700


def test_a_new_home_is_private(world: World, host: Namespace) -> None:
    home = world.folder("outer") / "home"
    chat = world.chat(host, home)
    chat.node_id()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {"messages.db", "messages.db-wal", "messages.db-shm", "identity.pem", "confirmed"} <= modes.keys()
    assert set(modes.values()) == {0o600}, modes


def twins(world: World, host: Namespace) -> tuple[Program, Program, Program, str, str]:
    """Alice talks to bob; then carol comes and calls herself bob, too."""
    alice, bob = world.chat(host, world.home("alice")), world.chat(host, world.home("bob"))
    _, bob_id = meet(alice, bob)
    alice.type("@bob hello")
    bob.wait_for_text("alice: hello")
    carol = world.chat(host, world.home("carol"), "--nickname", "bob")
    alice.wait_for(r"=+ WARNING =+")
    alice.wait_for(r"! the nickname 'bob' of .*")
    return alice, bob, carol, bob_id, carol.node_id()


def test_an_impostor_stops_what_goes_to_the_name(world: World, host: Namespace) -> None:
    alice, bob, carol, bob_id, carol_id = twins(world, host)
    alice.type("a secret")
    refused = alice.wait_for(r"! 'bob' is the nickname of .*")[0]
    assert bob_id in refused and carol_id in refused and "/verify" in refused and "full id" in refused
    alice.type("@bob another secret")
    alice.wait_for(r"! 'bob' is the nickname of .*")
    alice.type(f"@{bob_id} by the id")
    bob.wait_for_text("alice: by the id")
    # They compare words; then the name is bob's again.
    alice.type("/verify")
    words = alice.wait_for(rf"\* safety words of you and bob {bob_id}: (.*)")[1]
    bob.type("/verify alice")
    assert bob.wait_for(r"\* safety words of you and alice [0-9a-f]{64}: (.*)")[1] == words
    alice.type(f"/verify {bob_id} yes")
    alice.wait_for_text(f"* bob {bob_id} is verified")
    alice.type("@bob by the name")
    bob.wait_for_text("alice: by the name")
    carol.exit()
    assert not any("alice:" in line for line in carol.lines)


def test_an_impostor_of_a_verified_node_changes_nothing_but_is_told(world: World, host: Namespace) -> None:
    alice, bob = world.chat(host, world.home("alice")), world.chat(host, world.home("bob"))
    _, bob_id = meet(alice, bob)
    alice.type("/verify bob yes")
    alice.wait_for_text(f"* bob {bob_id} is verified")
    world.chat(host, world.home("carol"), "--nickname", "bob").node_id()
    alice.wait_for(r"=+ WARNING =+")
    assert "still means" in alice.wait_for(r"! the nickname 'bob' of .*")[0]
    alice.type("@bob hello")
    bob.wait_for_text("alice: hello")


@pytest.mark.parametrize("which", ["python", "c"])
def test_the_warning_rings_on_a_terminal(world: World, host: Namespace, which: str) -> None:
    alice = world.start(host, *chat_command(which, world.home("alice")), terminal=True)
    alice.wait_for(r".*NODE_ID: [0-9a-f]{64}")
    world.chat(host, world.home("bob")).node_id()
    alice.wait_for(r".*\* found bob .*")
    world.chat(host, world.home("carol"), "--nickname", "bob").node_id()
    alice.wait_for(r".*\x07\x1b\[1;31m=+ WARNING =+")


def test_a_blocked_node_is_silent(world: World, host: Namespace) -> None:
    homes = [world.home(name) for name in ("alice", "bob", "carol")]
    alice, bob, carol = (world.chat(host, home) for home in homes)
    _, bob_id, _ = meet(alice, bob, carol)
    alice.type("/block bob")
    alice.wait_for_text(f"* bob {bob_id} is blocked")
    bob.type("@alice do you hear me?")
    bob.wait_for_text("* [1] queued")
    # It would have come before this.
    carol.type("@alice good morning")
    alice.wait_for_text("carol: good morning")
    alice.type("@bob hello", "/nodes")
    alice.wait_for(rf"! {bob_id} is blocked.*")
    alice.wait_for_text(f"{bob_id}  bob  here, blocked")
    listed = json.loads("\n".join(answer(command(world, host, "contacts", "--home", homes[0], "--json"))))
    assert {node["id"]: node["trust"] for node in listed}[bob_id] == "blocked"
    # Also after a restart, until it is taken back from the command line.
    alice.exit()
    alice = world.chat(host, homes[0])
    alice.wait_for(r"\* found carol .*")
    assert not any("do you hear me" in line for line in alice.lines)
    answer(command(world, host, "contacts", "unblock", "bob", "--home", homes[0]))
    alice.wait_for_text("bob: do you hear me?")


def test_contacts_by_hand(world: World, host: Namespace) -> None:
    homes = [world.home(name) for name in ("alice", "bob")]
    alice, bob = (world.chat(host, home) for home in homes)
    _, bob_id = meet(alice, bob)
    folder = world.folder("files")
    alice.type("@bob hello", f"/contacts export {folder / 'mine'}")
    alice.wait_for_text(f"* 1 contacts were written to {folder / 'mine'}")
    assert stat.S_IMODE((folder / "mine").stat().st_mode) == 0o600
    bob.exit()
    # Somebody who has never met bob writes to him.
    carol = world.chat(host, world.home("carol"))
    carol.type(f"/contacts import {folder / 'mine'}", "/contacts", "@bob from a stranger")
    carol.wait_for_text(f"* imported bob {bob_id}")
    carol.wait_for_text(f"{bob_id}  bob  seen")
    carol.wait_for_text("* [1] queued")
    world.chat(host, homes[1]).wait_for_text("carol: from a stranger")
    line = (folder / "mine").read_text().strip()
    carol.type("/contacts import " + line[:-1])
    carol.wait_for(r"! the contact's checksum is wrong.*")


def test_contacts_from_the_command_line(world: World, host: Namespace) -> None:
    home = world.home("alice")
    own = answer(command(world, host, "id", "--home", home, "--qr"))
    assert own[-1].startswith("meshchat:1:") and len(own) > 15
    assert max(map(len, own[:-1])) <= TERMINAL_SIZE[1]
    other = world.home("bob")
    contact = answer(command(world, host, "id", "--qr", "--home", other))[-1]
    lines = answer(command(world, host, "contacts", "--home", home, "import", contact, "--verified"))
    bob_id = contact.split(":")[2]
    assert lines[-1] == f"{bob_id}  {bob_id[-5:]}  verified"
    assert answer(command(world, host, "contacts", "export", "--home", home))[-1] == contact
    words = json.loads(answer(command(world, host, "contacts", "verify", bob_id, "--home", home, "--json"))[-1])["words"]
    assert len(words) == 8
    lines = answer(command(world, host, "contacts", "block", bob_id, "--home", home))
    assert lines[-1].endswith("blocked")
    assert answer(command(world, host, "contacts", "export", "--home", home)) == []
    assert answer(command(world, host, "contacts", "verify", bob_id, "--yes", "--home", home), 1) == []
    missing = command(world, host, "contacts", "import", "/nowhere", "--home", home)
    assert answer(missing, 1) == [] and "/nowhere" in missing.errors()
