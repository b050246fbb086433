"""Messages through a relay while sender, relay and receiver are killed again and again: nothing lost, nothing twice.

KILLS_MESSAGES and KILLS_ROUNDS make it longer (10000 and 10, for instance), KILLS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import meshchat

from harness import PYTHON, Program, World
from topology import chain

MESSAGES = int(os.environ.get("KILLS_MESSAGES", "2000"))
ROUNDS = int(os.environ.get("KILLS_ROUNDS", "3"))

# Goes on with the first message that is not on its disk. Arguments: home, link, recipient, count.
SENDER = """
import asyncio, sqlite3, sys
import meshchat

async def run(home, link, recipient, count):
    async with meshchat.Node(home, nickname="sender", links=[link]) as node:
        with sqlite3.connect(f"file:{home}/messages.db?mode=ro", uri=True) as database:
            (sent,) = database.execute("SELECT count(*) FROM outgoing").fetchone()
        events = node.events()
        known = {other.id for other in await node.nodes()}
        while recipient not in known:
            event = await anext(events)
            if isinstance(event, meshchat.NodeFound):
                known.add(event.node.id)
        window = []
        for number in range(sent, int(count)):
            window.append(node.send_soon(recipient, f"message {number}"))
            if len(window) == 50:
                await window.pop(0)
        async for _ in events:
            pass

asyncio.run(run(*sys.argv[1:]))
"""

# Shows messages, each in one write that is followed by its confirmation. Arguments: home, link.
RECEIVER = """
import asyncio, os, sys
import meshchat

async def run(home, link):
    async with meshchat.Node(home, nickname="receiver", links=[link]) as node:
        async for event in node.events():
            if isinstance(event, meshchat.Message):
                os.write(1, (event.text + "\\n").encode())
                event.confirm()

asyncio.run(run(*sys.argv[1:]))
"""


def test_everybody_is_killed(world: World) -> None:
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(1 << 32))
    print(f"replay with KILLS_SEED={seed}")
    rng = random.Random(seed)
    network = chain(world, 3)
    homes = [world.home(name) for name in ("alice", "bob", "carol")]
    recipient = meshchat.Identity.load(homes[2]).id

    def start(machine: int) -> Program:
        links = [f"ethernet:{name}" for name in network.interfaces(machine)]
        command: list[str | Path]
        if machine == 1:
            options = [word for link in links for word in ("--link", link)]
            command = ["-m", "meshchat", "node", "--home", homes[1], *options]
        else:
            script, more = (SENDER, [recipient, str(MESSAGES)]) if machine == 0 else (RECEIVER, [])
            command = ["-c", script, homes[machine], *links, *more]
        return world.start(network.spaces[machine], PYTHON, *command, privileged=True)

    running = [start(machine) for machine in range(3)]
    victims = [machine for machine in range(3) for _ in range(ROUNDS)]
    rng.shuffle(victims)
    earlier: list[str] = []
    for victim in victims:
        # Somewhere in the next part of the messages.
        goal = len(earlier) + len(running[2].lines) + rng.randrange(1, 2 * MESSAGES // len(victims))
        _wait_for(running[2], earlier, min(goal, MESSAGES - 1))
        running[victim].kill()
        if victim == 2:
            running[2].end()
            earlier = _joined(earlier, running[2].lines)
        running[victim] = start(victim)
    _wait_for(running[2], earlier, MESSAGES)
    assert _joined(earlier, running[2].lines) == [f"message {number}" for number in range(MESSAGES)]


def _wait_for(receiver: Program, earlier: list[str], goal: int) -> None:
    """Waits until so many messages were shown."""
    while len(_joined(earlier, receiver.lines)) < goal:
        receiver.wait_for(r"message \d+", patience=60)


def _joined(earlier: list[str], lines: list[str]) -> list[str]:
    """To write a line and to note that it was written are two steps, and no program can do both at once: the line that was the last
    before a kill may be shown again."""
    return earlier + (lines[1:] if lines[:1] == earlier[-1:] else lines)
