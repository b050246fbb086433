"""Disks that are full, read-only or damaged: a clear error, and no message that was accepted is lost."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness import PYTHON, Namespace, Program, World, leave, meet

FULL = "the disk is full; free some space, nothing that was accepted is lost"
DAMAGED = (
    "the database is damaged or not a database; "
    "move it away, with its -wal and -shm if there are, and put a backup in its place if there is one"
)


class Disk:
    """Alice's home on a small file system of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.machine = world.namespace(mounts=True)
        self.home = world.folder("alice")
        key = world.home("key", key="alice")
        self.machine.run("mount", "-t", "tmpfs", "-o", "size=3m", "none", str(self.home))
        # With the owner and the mode of the folder itself.
        self.machine.run("cp", "-a", f"{key}/.", str(self.home))

    def fill(self) -> None:
        self.machine.run("sh", "-c", f"! cat /dev/zero 2>&1 >'{self.home}/filler' | grep -v 'No space left'")

    def clear(self) -> None:
        self.machine.run("rm", f"{self.home}/filler")

    def remount(self, how: str) -> None:
        self.machine.run("mount", "-o", f"remount,{how}", str(self.home))

    def chat(self) -> Program:
        return self._world.chat(self.machine, self.home)


def fails(program: Program) -> str:
    """Its error."""
    assert program.end() == 1
    return program.errors()


def history(world: World, machine: Namespace, home: Path) -> Program:
    return world.start(machine, PYTHON, "-m", "meshchat", "history", "--home", home)


def test_the_disk_is_full_for_a_while(world: World) -> None:
    disk = Disk(world)
    alice, bob = disk.chat(), world.chat(disk.machine, world.home("bob"))
    meet(alice, bob)
    alice.type("@bob first")
    alice.wait_for_text("* [1] read")
    disk.fill()
    alice.type("refused")
    alice.wait_for_text(f"! {disk.home}/messages.db: {FULL}")
    bob.type("@alice there is no room for this")
    bob.wait_for_text("* [1] queued")
    # The disk of the one does not take it: the other keeps it.
    alice.wait_for_text(f"! {disk.home}/messages.db: {FULL}")
    disk.clear()
    alice.wait_for_text("bob: there is no room for this")
    bob.wait_for_text("* [1] delivered")
    alice.type("last")
    bob.wait_for_text("alice: last")
    assert bob.heard("alice") == ["first", "last"]
    assert alice.heard("bob") == ["there is no room for this"]


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_chat_does_not_start_on_a_disk_that_takes_nothing(world: World, trouble: str) -> None:
    disk, bob_home = Disk(world), world.home("bob")
    alice, bob = disk.chat(), world.chat(disk.machine, bob_home)
    _, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob accepted")
    alice.wait_for_text("* [1] queued")
    alice.kill()
    if trouble == "full":
        disk.fill()
        assert f"{disk.home}/messages.db: {FULL}" in fails(disk.chat())
    else:
        disk.remount("ro")
        assert f"{disk.home}/lock: cannot be written; check the owner, " in fails(disk.chat())
    # What needs no room still works.
    past = history(world, disk.machine, disk.home)
    past.wait_for(r".*  You to bob: accepted \[queued\]")
    if trouble == "full":
        disk.clear()
    else:
        disk.remount("rw")
    alice, bob = disk.chat(), world.chat(disk.machine, bob_home)
    bob.wait_for_text("alice: accepted")
    alice.wait_for(r"\* \[[0-9a-f]{8}\] delivered")


def flipped(data: bytes, begin: int, end: int | None = None) -> bytes:
    end = len(data) if end is None else end
    return data[:begin] + bytes(byte ^ 0xFF for byte in data[begin:end]) + data[end:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "the header": lambda data: flipped(data, 0, 100),
    "the schema": lambda data: flipped(data, 100, 4096),
    "the tables": lambda data: flipped(data, 4096),
    "the end": lambda data: data[:5000],
}


@pytest.mark.parametrize("where", DAMAGE)
def test_a_damaged_database(world: World, host: Namespace, where: str) -> None:
    alice_home, bob_home = world.home("alice"), world.home("bob")
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    alice_id, bob_id = meet(alice, bob)
    leave(bob, alice, name="bob", node_id=bob_id)
    alice.type("@bob waits")
    alice.wait_for_text("* [1] queued")
    file, copy = alice_home / "messages.db", alice_home / "copy.db"
    subprocess.run(["sqlite3", file, f".backup '{copy}'"], check=True)
    alice.exit()
    damaged = DAMAGE[where](file.read_bytes())
    file.write_bytes(damaged)
    for program in (world.chat(host, alice_home), history(world, host, alice_home)):
        assert f"{file}: {DAMAGED}" in fails(program)
    assert file.read_bytes() == damaged, "it is left for those who can mend it"

    # Moved away: the same node, which has forgotten everything.
    file.rename(alice_home / "damaged.db")
    alice = world.chat(host, alice_home)
    assert alice.node_id() == alice_id
    alice.exit()
    # Restored: everything is there.
    file.write_bytes(copy.read_bytes())
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    bob.wait_for_text("alice: waits")
    alice.wait_for(r"\* \[[0-9a-f]{8}\] delivered")


def test_a_database_of_a_later_version(world: World, host: Namespace) -> None:
    home = world.home("alice")
    alice = world.chat(host, home)
    alice.node_id()
    alice.exit()
    file = home / "messages.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    before = file.read_bytes()
    for program in (world.chat(host, home), history(world, host, home)):
        assert f"{file}: the database has schema 99, this program knows up to " in fails(program)
        assert "update MeshChat" in program.errors()
    assert file.read_bytes() == before
