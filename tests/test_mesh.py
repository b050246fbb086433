"""Nodes that cannot hear each other talk through others, on bare Ethernet, and the mesh heals while they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import meshchat
import pytest

from harness import PYTHON, Program, World, chat_command, meet
from test_ethernet import Capture
from test_terminal import Screen
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
            *(PYTHON, "-c", TALKER, homes[machine], f"node{machine}", str(len(network) - 1)),
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


def test_every_pair_of_two_segments(world: World) -> None:
    """Machine 3 is plugged into both switches."""
    talk(world, Network(world, 7, segments=[(0, 1, 2, 3), (3, 4, 5, 6)]))


def relay(world: World, network: Network, home: Path, *options: str) -> Program:
    """Runs `meshchat node` on machine n in the home "node<n>"."""
    machine = int(home.name.removeprefix("node"))
    command = ("node", "--home", str(home), "--nickname", home.name, *network.links(machine), *options)
    return world.start(network.spaces[machine], PYTHON, "-m", "meshchat", *command, privileged=True)


def relays(world: World, network: Network, *machines: int) -> dict[int, Program]:
    return {machine: relay(world, network, world.new_home(f"node{machine}")) for machine in machines}


def chat(world: World, network: Network, machine: int, name: str) -> Program:
    return world.chat(network.spaces[machine], world.home(name), *network.links(machine), privileged=True)


def test_chats_on_terminals_at_the_ends_of_a_chain(world: World) -> None:
    network = chain(world, 5)
    homes = {name: world.home(name) for name in ("alice", "bob")}
    ends = [
        world.start(
            network.spaces[machine],
            *chat_command("python", homes[name], *network.links(machine)),
            privileged=True,
            terminal=True,
        )
        for machine, name in ((0, "alice"), (4, "bob"))
    ]
    ids = [node.node_id() for node in relays(world, network, 1, 2, 3).values()]
    alice, bob = (Screen(end) for end in ends)
    alice.until(lambda lines: any(line.startswith("* found bob") for line in lines))
    ends[0].press("@bob are you there?\r")
    bob.until_line("alice: are you there?")
    ends[1].press("@alice yes, four links away\r")
    alice.until_line("bob: yes, four links away")

    command = ("trace", "bob", "--json", "--home", str(homes["alice"]))
    trace = world.start(network.spaces[0], PYTHON, "-m", "meshchat", *command, privileged=True)
    assert trace.end() == 0, trace.report()
    hops = json.loads("\n".join(trace.lines))
    assert [hop["hop"] for hop in hops] == [1, 2, 3, 4]
    assert [hop["id"] for hop in hops[:-1]] == ids and hops[-1]["nickname"] == "bob"
    assert all(hop["rtt"] > 0 for hop in hops)


# -- healing ------------------------------------------------------------------------------------------------------

TEXTS = [f"line {n}" for n in range(1, 401)]


def speak(alice: Program, bob: Program) -> None:
    alice.type("@bob is this long enough to be seen" + " on the wire" * 500)
    bob.wait_for("alice: is this long enough.*")


def converse(alice: Program, bob: Program, mishap: Callable[[], object]) -> None:
    """A conversation in the middle of which something happens: each line comes once, in order, and nobody is lost."""
    before = len(bob.heard("alice"))
    alice.type("@bob", *TEXTS[:200])
    bob.wait_for_text("alice: line 100")
    mishap()
    alice.type(*TEXTS[200:])
    alice.wait_for_text(f"* [{before + len(TEXTS)}] delivered")
    # One more, so that anything that came twice has come by now.
    alice.type("the end")
    bob.wait_for_text("alice: the end")
    assert bob.heard("alice")[before:] == [*TEXTS, "the end"]
    assert not any(line.startswith(("* lost alice", "* lost bob")) for line in (*alice.lines, *bob.lines))


class Ring:
    """alice and bob at opposite sides of a ring of 6, who chat through one half of it."""

    def __init__(self, world: World) -> None:
        self.network = ring(world, 6)
        self.homes = {machine: world.new_home(f"node{machine}") for machine in (1, 2, 4, 5)}
        self.nodes = {machine: relay(world, self.network, home) for machine, home in self.homes.items()}
        self.alice, self.bob = chat(world, self.network, 0, "alice"), chat(world, self.network, 3, "bob")
        for node in self.nodes.values():
            node.node_id()
        self.alice.wait_for(r"\* found bob .*")
        self.relay = self.network.at_the_end(self.network.busiest(0, self.speak))

    def speak(self) -> None:
        speak(self.alice, self.bob)

    def kill_relay(self) -> None:
        self.nodes[self.relay].kill()

    def set_links_down(self) -> None:
        for name in self.network.interfaces(self.relay):
            self.network.set(self.relay, name, "down")

    def lose_everything(self) -> None:
        """The relay runs, hears nothing and is heard by nobody, and no device tells of it."""
        for name in self.network.interfaces(self.relay):
            self.network.drop(self.relay, name, 100)


@pytest.mark.parametrize("mishap", [Ring.kill_relay, Ring.set_links_down, Ring.lose_everything])
def test_a_ring_heals_while_two_people_chat(world: World, mishap: Callable[[Ring], None]) -> None:
    ring = Ring(world)
    converse(ring.alice, ring.bob, lambda: mishap(ring))


def test_a_relay_that_comes_and_goes(world: World) -> None:
    ring = Ring(world)
    for state in ("down", "up") * 3:
        for name in ring.network.interfaces(ring.relay):
            ring.network.set(ring.relay, name, state)
        ring.speak()


def test_a_relay_that_starts_again(world: World) -> None:
    """It carries the chat when the other half of the ring fails."""
    ring = Ring(world)
    ring.kill_relay()
    ring.speak()
    again = relay(world, ring.network, ring.homes[ring.relay])
    again.node_id()
    for machine in {1, 2} if ring.relay == 5 else {4, 5}:
        ring.nodes[machine].kill()
    ring.speak()
    assert again.process.poll() is None


def test_a_lossy_chain(world: World) -> None:
    network = chain(world, 3)
    for machine, name in ((0, "to1"), (1, "to0"), (1, "to2"), (2, "to1")):
        network.drop(machine, name, 10)
    alice, bob = chat(world, network, 0, "alice"), chat(world, network, 2, "bob")
    relays(world, network, 1)
    alice.wait_for(r"\* found bob .*")
    converse(alice, bob, lambda: None)


def test_two_links_to_one_node(world: World) -> None:
    """The session outlives the link that it uses."""
    network = Network(world, 2, [(0, 1)], [[0, 1]])
    alice, bob = chat(world, network, 0, "alice"), chat(world, network, 1, "bob")
    meet(alice, bob)

    used = network.busiest(0, lambda: speak(alice, bob))
    converse(alice, bob, lambda: network.set(0, used, "down"))


def test_an_interface_that_vanishes_and_comes_back(world: World) -> None:
    network = chain(world, 3)
    alice, bob = chat(world, network, 0, "alice"), chat(world, network, 2, "bob")
    relays(world, network, 1)
    bob_id = bob.node_id()
    alice.wait_for_text(f"* found bob {bob_id}")
    network.unplug(1, 2)
    alice.wait_for_text(f"* lost bob {bob_id}")
    alice.type("@bob written in between")
    alice.wait_for_text("* [1] queued")
    network.plug(1, 2)
    bob.wait_for_text("alice: written in between")
    alice.wait_for_text("* [1] delivered")


def test_a_private_mesh(world: World) -> None:
    """alice and bob talk through node1; carol, who has no key, is on bob's segment, and meets nobody."""
    network = Network(world, 4, [(0, 1)], [(1, 2, 3)])
    key = world.folder("keys") / "network.key"
    meshchat.create_network_key(key)
    private = ("--network-key-file", str(key))
    capture = Capture(world, network.spaces[1], "lan0")
    carol_home = world.home("carol")
    carol = world.chat(network.spaces[3], carol_home, *network.links(3), privileged=True)
    carol_id = carol.node_id()
    node = relay(world, network, world.new_home("node1"), *private)
    alice, bob = (
        world.chat(network.spaces[machine], world.home(name), *network.links(machine), *private, privileged=True)
        for machine, name in ((0, "alice"), (2, "bob"))
    )
    ids = [program.node_id() for program in (alice, bob, node)]
    alice.wait_for_text(f"* found bob {ids[1]}")
    alice.type("@bob between us")
    bob.wait_for_text("alice: between us")
    alice.wait_for_text("* [1] delivered")

    command = ("nodes", "--json", "--home", str(carol_home))
    nodes = world.start(network.spaces[3], PYTHON, "-m", "meshchat", *command)
    assert nodes.end() == 0 and json.loads("\n".join(nodes.lines)) == [], nodes.report()
    seen = b"".join(capture.frames())
    assert bytes.fromhex(carol_id)[:16] in seen
    for name, identity in zip((b"alice", b"bob", b"node1"), ids, strict=True):
        assert bytes.fromhex(identity)[:16] not in seen and name not in seen
