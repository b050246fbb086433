"""Clocks that are wrong: nothing is lost, and the order stays."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from harness import PYTHON, Namespace, Program, World, count, leave, mailbox, meet


class Clock:
    """A clock that the test sets, for the programs that are started with it."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._file = world.folder(name) / "offset"
        self.set("+0")

    def set(self, offset: str) -> None:
        """By which the clock is wrong, for instance -365d."""
        self._file.write_text(offset)
        self._file.parent.chmod(0o755)

    def chat(self, machine: Namespace, home: Path) -> Program:
        env = {
            # The dynamic linker knows what $LIB is.
            "LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # Whoever sets a computer's clock does not change for how long it has been running.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return self._world.chat(machine, home, env=env)


def past(world: World, machine: Namespace, home: Path) -> list[str]:
    """The years and the messages of a history."""
    command = [PYTHON, "-m", "meshchat", "history", "--home", str(home)]
    program = world.start(machine, *command)
    assert program.end() == 0
    return [re.sub(r"^(....)-..-.. ..:..  ", r"\1 ", line) for line in program.lines]


def test_clocks_are_set_back_a_year(world: World, host: Namespace) -> None:
    today = datetime.now()
    now, then = today.year, (today - timedelta(days=365)).year
    clock = Clock(world, "clock")
    alice_home, bob_home = world.home("alice"), world.home("bob")
    alice, bob = clock.chat(host, alice_home), clock.chat(host, bob_home)
    meet(alice, bob)
    alice.type("@bob before")
    alice.wait_for_text("* [1] read")
    clock.set("-365d")
    alice.type("a year ago")
    bob.wait_for_text("alice: a year ago")
    alice.wait_for_text("* [2] read")
    # And after a restart, when all that is remembered comes from the future.
    alice.exit()
    bob.exit()
    alice, bob = clock.chat(host, alice_home), clock.chat(host, bob_home)
    meet(alice, bob)
    bob.type("@alice and back")
    alice.wait_for_text("bob: and back")
    bob.wait_for_text("* [1] delivered")
    expected = [f"{now} alice: before", f"{then} alice: a year ago", f"{then} You to alice: and back [delivered]"]
    assert [line.replace("[read]", "[delivered]") for line in past(world, host, bob_home)] == expected


def test_a_mailbox_between_clocks_that_differ(world: World, host: Namespace) -> None:
    clock = Clock(world, "clock")
    alice_home, bob_home = world.home("alice"), world.home("bob")
    keeper = mailbox(world, host, world.home("carol"))
    keeper.node_id()
    alice, bob = clock.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob before")
    alice.wait_for_text("* [1] stored")
    clock.set("-365d")
    alice.type("a year ago")
    alice.wait_for_text("* [2] stored")
    alice.exit()
    bob = world.chat(host, bob_home)
    bob.wait_for_text("alice: a year ago")
    assert bob.heard("alice") == ["before", "a year ago"]
    bob.wait_until(lambda: count(bob_home, "outgoing WHERE status < 20") == 0)
    bob.exit()
    alice = clock.chat(host, alice_home)
    for _ in range(2):
        alice.wait_for(r"\* \[[0-9a-f]{8}\] delivered")
