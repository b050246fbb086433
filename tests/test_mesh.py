"""Nodes that cannot hear each other talk through others, on bare Ethernet, and the mesh heals while they do."""

from __future__ import annotations

from pathlib import Path

from harness import PYTHON, Namespace, Program, World
from topology import Network, chain, grid, ring

# Writes one line to every node that it finds, until it has heard from `count` nodes and each has what was written to it.
# Then it stays and passes frames on. Arguments: home, nickname, count, links.
TALKER = """
import asyncio, sys
import meshchat

async def run(home, nickname, count, *links):
    count = int(count)
    async with meshchat.Node(home, nickname=nickname, links=links) as node:
        print("NODE_ID:", node.id, flush=True)
        found, heard, delivered = set(), [], set()
        async for event in node.events():
            if isinstance(event, meshchat.NodeFound) and event.node.id not in found:
                found.add(event.node.id)
                node.send_soon(event.node.id, f"hello from {nickname}")
            elif isinstance(event, meshchat.Message):
                heard.append(event.text)
            elif isinstance(event, meshchat.StatusChanged) and event.status == meshchat.Status.DELIVERED:
                delivered.add(event.to)
            else:
                continue
            if len(delivered) == len(set(heard)) == count:
                print("heard", *sorted(heard), sep="|", flush=True)

asyncio.run(run(*sys.argv[1:]))
"""


def talk(world: World, network: Network) -> None:
    """Every pair of machines exchanges a line in each direction, each of which is shown once."""
    machines = range(len(network))
    homes = [world.new_home(f"node{machine}") for machine in machines]
    talkers = [
        world.start(
            network.spaces[machine],
            *(PYTHON, "-c", TALKER, homes[machine], f"node{machine}", len(network) - 1),
            *(f"ethernet:{name}" for name in network.interfaces(machine)),
            privileged=True,
        )
        for machine in machines
    ]
    for machine, talker in enumerate(talkers):
        texts = sorted(f"hello from node{other}" for other in machines if other != machine)
        talker.wait_for_text("|".join(["heard", *texts]))


def test_every_pair_of_a_chain(world: World) -> None:
    talk(world, chain(world, 5))


def test_every_pair_of_a_grid(world: World) -> None:
    talk(world, grid(world, 4))
