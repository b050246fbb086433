"""Messages through a relay while sender, relay and receiver are killed again and again: nothing lost, nothing twice.

KILLS_MESSAGES and KILLS_ROUNDS make it longer (10000 and 10, for instance), KILLS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import meshchat

from harness import PYTHON, Program, World
from topology import chain

MESSAGES = int(os.environ.get("KILLS_MESSAGES", "2000"))
ROUNDS = int(os.environ.get("KILLS_ROUNDS", "3"))

NAMES = ("alice", "bob", "carol")

# Sends what is not on its disk yet, up to the numbers that it reads. Arguments: home, link, recipient, how many messages are on its disk.
SENDER = """
import asyncio, pathlib, sys
import meshchat
from meshchat.control.server import Server

async def run(home, link, recipient, sent):
    async with meshchat.Node(home, nickname="sender", links=[link]) as node, Server(node, pathlib.Path(home)):
        events = node.events()
        known = {other.id for other in await node.nodes()}
        while recipient not in known:
            event = await anext(events)
            if isinstance(event, meshchat.NodeFound):
                known.add(event.node.id)
        async def listen():
            async for _ in events:
                pass

        listening = asyncio.create_task(listen())
        window, sent = [], int(sent)
        while end := await asyncio.to_thread(sys.stdin.readline):
            for number in range(sent, int(end)):
                window.append(node.send_soon(recipient, f"message {number}"))
                if len(window) == 50:
                    await window.pop(0)
            sent = int(end)
        await listening

asyncio.run(run(*sys.argv[1:]))
"""

# Shows messages, each in one write that is followed by its confirmation. Arguments: home, link.
RECEIVER = """
import asyncio, os, pathlib, sys
import meshchat
from meshchat.control.server import Server

async def run(home, link):
    async with meshchat.Node(home, nickname="receiver", links=[link]) as node, Server(node, pathlib.Path(home)):
        async for event in node.events():
            if isinstance(event, meshchat.Message):
                os.write(1, (event.text + "\\n").encode())
                event.confirm()

asyncio.run(run(*sys.argv[1:]))
"""


# What a home's database tells of its messages.
QUESTIONS = {
    "messages to others by status": "SELECT status, count(*) FROM outgoing GROUP BY status",
    "the first that waits": "SELECT min(seq), text FROM outgoing WHERE status < 25",
    "messages from others": "SELECT count(*), max(arrival) FROM incoming",
    "messages that wait for an earlier one": "SELECT count(*) FROM held",
    "numbers": "SELECT key, value FROM meta",
}


class Chain:
    """The sender, the relay and the receiver; everything about them is told when the test fails."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._network = chain(world, 3)
        self._homes = [world.home(name) for name in NAMES]
        self._recipient = meshchat.Identity.load(self._homes[2]).id
        self._begun = time.monotonic()
        self._earlier: list[str] = []
        self._end = 0
        self._running = [self._start(machine) for machine in range(3)]

    def _start(self, machine: int) -> Program:
        links = [f"ethernet:{name}" for name in self._network.interfaces(machine)]
        command: list[str | Path]
        if machine == 1:
            options = [word for link in links for word in ("--link", link)]
            command = ["-m", "meshchat", "node", "--home", self._homes[1], *options]
        else:
            script, more = (SENDER, self._work()) if machine == 0 else (RECEIVER, [])
            command = ["-c", script, self._homes[machine], *links, *more]
        program = self._world.start(self._network.spaces[machine], PYTHON, *command, privileged=True)
        if machine == 0:
            program.type(str(self._end))
        return program

    def send_until(self, end: int) -> None:
        """Lets the sender send the messages before this one."""
        self._end = end
        self._running[0].type(str(end))

    def _work(self) -> list[str]:
        """What the sender needs to know.

        It does not look into its database itself: Python's SQLite and that of the node, in one process, would not see each other's
        locks, and the one would cut off the memory under the other.
        """
        file = self._homes[0] / "messages.db"
        (sent,) = _ask(file, "SELECT count(*) FROM outgoing")[0] if file.exists() else (0,)
        return [self._recipient, str(sent)]

    def kill(self, machine: int) -> None:
        """Kills one and starts it again."""
        self._tell(f"{NAMES[machine]} is killed")
        self._running[machine].kill()
        if machine == 2:
            self._running[2].end()
            self._earlier = self.shown()
        self._running[machine] = self._start(machine)

    def shown(self) -> list[str]:
        """All messages that the receiver has shown.

        To write a line and to note that it was written are two steps, and no program can do both at once: the line that was the
        last before a kill may be shown again.
        """
        lines = self._running[2].lines
        return self._earlier + (lines[1:] if lines[:1] == self._earlier[-1:] else lines)

    def wait_for(self, goal: int) -> None:
        """Waits until so many messages were shown."""
        while len(self.shown()) < goal:
            before = time.monotonic()
            self._running[2].wait_for(r"message \d+", patience=60)
            if time.monotonic() - before > 1:
                self._tell(f"the next came after {time.monotonic() - before:.3f} s")

    def damage(self) -> list[str]:
        """What is wrong with the databases."""
        found = [row[0] for home in self._homes for row in _ask(home / "messages.db", "PRAGMA integrity_check")]
        return [what for what in found if what != "ok"]

    def _tell(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun:8.3f} s, {len(self.shown())} shown: {what}")

    @contextmanager
    def reported(self) -> Iterator[None]:
        """What all know and have, when it fails within."""
        try:
            yield
        except AssertionError:
            self._tell("it fails")
            for machine, name in enumerate(NAMES):
                print(f"===== {name}")
                print(self._running[machine].report())
                for what, question in QUESTIONS.items():
                    print(f"{what}: {_ask(self._homes[machine] / 'messages.db', question)}")
                if self._running[machine].process.poll() is None:
                    self._run(machine, "nodes", "--json")
                    if machine != 2:
                        self._run(machine, "trace", self._recipient)
            raise

    def _run(self, machine: int, *question: str) -> None:
        command = [*self._network.spaces[machine].enter(privileged=True), PYTHON, "-m", "meshchat", question[0]]
        command += ["--home", str(self._homes[machine]), *question[1:]]
        environment = self._world.environment()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        print(f"{' '.join(question)}:\n{done.stdout}{done.stderr}")


def _ask(file: Path, question: str) -> list[tuple[Any, ...]]:
    """Rows of a database, which another process may have open."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return database.execute(question).fetchall()


def test_everybody_is_killed(world: World) -> None:
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(1 << 32))
    print(f"replay with KILLS_SEED={seed}")
    rng = random.Random(seed)
    three = Chain(world)
    with three.reported():
        victims = [machine for machine in range(3) for _ in range(ROUNDS)]
        rng.shuffle(victims)
        stages = [MESSAGES * stage // len(victims) for stage in range(len(victims) + 1)]
        for victim, begin, end in zip(victims, stages, stages[1:], strict=False):
            # Not all at once: they would be there before the first is killed.
            three.send_until(end)
            three.wait_for(rng.randrange(begin, end))
            three.kill(victim)
        three.wait_for(MESSAGES)
        assert three.shown() == [f"message {number}" for number in range(MESSAGES)]
        assert three.damage() == []
