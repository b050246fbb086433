"""MeshChat beside babeld on the same meshes: how soon they carry traffic, how long a dead relay cuts it, what rest costs.

`make bench-mesh-peers` runs it and writes the table into docs/BENCHMARKS.md.

Both run in network namespaces, one after the other. An echo is sent every 50 ms from one end of the mesh to the other
by the same program: MeshChat's own over AlexMesh, ICMPv6 over babeld's routes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import meshchat

from harness import PATIENCE, PYTHON, REPOSITORY, Program, World
from topology import Network, chain, grid, ring, segment

DOCUMENT = REPOSITORY / "docs" / "BENCHMARKS.md"
MARKERS = ("<!-- mesh peers: written by make bench-mesh-peers -->\n", "<!-- end of mesh peers -->\n")

#: Seconds between two echoes. Outages are measured in steps of this.
INTERVAL = 0.05

#: Seconds that a mesh runs before its traffic at rest is counted, and for which it is counted: babeld repeats its routes
#: every 16 s, MeshChat every 60 s.
SETTLE, REST = 30.0, 120.0

#: Seconds that a mesh runs before its relay is taken away, and for which its echoes are watched from then on.
CALM, WATCHED = 10.0, 5.0

#: Longest outage that is waited for, in seconds: babeld's takes more than fifteen.
OUTAGE = 60.0

#: How a relay goes: it falls silent, or its neighbours see the carrier go.
HOWS = ("silent", "down")


# -- the two programs -------------------------------------------------------------------------------------------------

# Prints "echo SENT ANSWERED" for every echo that is answered, and "message ANSWERED" when the first message is
# delivered. Times are of the machine's monotonic clock. Arguments: home, target, links.
MESHCHAT_ECHO = """
import asyncio, sys, time
import meshchat

async def echo(node, target):
    sent = time.monotonic()
    try:
        await node.ping(target, timeout=2.0)
    except meshchat.MeshChatError:
        return
    print(f"echo {sent} {time.monotonic()}", flush=True)

async def echoes(node, target):
    due, waiting = time.monotonic(), set()
    while True:
        task = asyncio.create_task(echo(node, target))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        due += INTERVAL
        await asyncio.sleep(max(0.0, due - time.monotonic()))

async def run(home, target, *links):
    async with meshchat.Node(home, links=links) as node:
        print("NODE_ID:", node.id, flush=True)
        echoing = asyncio.create_task(echoes(node, target))
        async for event in node.events():
            if isinstance(event, meshchat.NodeFound) and event.node.id == target:
                node.send_soon(target, "hello")
            elif isinstance(event, meshchat.StatusChanged) and event.status == meshchat.Status.DELIVERED:
                print(f"message {time.monotonic()}", flush=True)

asyncio.run(run(*sys.argv[1:]))
"""

# The same over ICMPv6 (RFC 4443 section 4.1); the kernel of the target answers. Argument: target.
ICMP_ECHO = """
import select, socket, struct, sys, time

echoes = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
print("started", flush=True)
due, sent = time.monotonic(), {}
while True:
    left = due - time.monotonic()
    if left <= 0:
        due += INTERVAL
        number = len(sent) + 1
        sent[number] = time.monotonic()
        try:
            echoes.sendto(struct.pack("!BBHHH", 128, 0, 0, 77, number), (sys.argv[1], 0))
        except OSError:
            pass
    elif select.select([echoes], [], [], left)[0]:
        kind, _, _, mark, number = struct.unpack_from("!BBHHH", echoes.recv(2048))
        if (kind, mark) == (129, 77):
            print(f"echo {sent[number]} {time.monotonic()}", flush=True)
"""


@dataclass(frozen=True)
class Echo:
    """When it was sent and answered."""

    sent: float
    answered: float


class Running:
    """A program on every machine of a network; unless `target` is None, echoes from machine 0 to it."""

    name: str
    has_ip: bool
    network: Network
    #: When the last program had started.
    started: float
    nodes: list[Program]
    echo: Program

    def __init__(self, world: World, network: Network, target: int | None) -> None:
        raise NotImplementedError

    def silence(self, machine: int) -> None:
        """The machine is dead from one moment to the next, and no device tells of it."""
        raise NotImplementedError

    def next_echo(self) -> Echo:
        """The next echo that is answered."""
        match = self.echo.wait_for(r"echo (\S+) (\S+)", OUTAGE)
        return Echo(float(match[1]), float(match[2]))


class MeshChat(Running):
    name = "MeshChat"
    has_ip = False

    def __init__(self, world: World, network: Network, target: int | None) -> None:
        self.network = network
        homes = [world.new_home(f"node{machine}") for machine in range(len(network))]
        self.nodes = []
        for machine, (space, home) in enumerate(zip(network.spaces, homes, strict=True)):
            command: list[str | Path] = [PYTHON, "-m", "meshchat", "node", "--home", home, *network.links(machine)]
            if machine == 0 and target is not None:
                code = MESHCHAT_ECHO.replace("INTERVAL", str(INTERVAL))
                links = [f"ethernet:{name}" for name in network.interfaces(0)]
                command = [PYTHON, "-c", code, home, meshchat.Identity.load(homes[target]).id, *links]
            self.nodes.append(world.start(space, *command, privileged=True))
        self.echo = self.nodes[0]
        for node in self.nodes:
            node.node_id()
        self.started = time.monotonic()

    def silence(self, machine: int) -> None:
        self.nodes[machine].kill()


class Babeld(Running):
    name = "babeld"
    has_ip = True
    options: tuple[str, ...] = ()

    def __init__(self, world: World, network: Network, target: int | None) -> None:
        self.network = network
        for machine, space in enumerate(network.spaces):
            space.run("ip", "address", "add", f"{address(machine)}/128", "dev", "lo")
        if target is not None:
            code = ICMP_ECHO.replace("INTERVAL", str(INTERVAL))
            self.echo = world.start(network.spaces[0], PYTHON, "-c", code, address(target), privileged=True)
            self.echo.wait_for_text("started")
        folder = world.folder("babeld")
        self.nodes = []
        for machine, space in enumerate(network.spaces):
            files = ("-I", f"{folder}/{machine}.pid", "-S", f"{folder}/{machine}.state")
            command = ("babeld", *files, *self.options, *network.interfaces(machine))
            self.nodes.append(world.start(space, *command, privileged=True))
        self.started = time.monotonic()

    def silence(self, machine: int) -> None:
        # What babeld has set up is forwarded by the kernel, which survives babeld.
        self.network.spaces[machine].run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")
        self.nodes[machine].kill()


class TunedBabeld(Babeld):
    """With hellos four times as often as by default, and an eye on the carrier."""

    name = "babeld -H 1 -l"
    options = ("-H", "1", "-l")


def wait_until_ready(network: Network, *, ip: bool) -> None:
    """The kernel tells late of a carrier, and gives an interface its link-local address only then. A babeld that finds
    none looks again many seconds later."""
    deadline = time.monotonic() + PATIENCE
    for machine, space in enumerate(network.spaces):
        for name in network.interfaces(machine):
            while True:
                up = "LOWER_UP" in space.run("ip", "link", "show", "dev", name)
                shown = space.run("ip", "-6", "address", "show", "dev", name, "scope", "link") if ip else ""
                if up and (not ip or ("fe80:" in shown and "tentative" not in shown)):
                    break
                assert time.monotonic() < deadline, f"{name} of machine {machine} is not ready: {shown}"
                time.sleep(0.05)


def address(machine: int) -> str:
    return f"fd00::{machine + 1:x}"


# -- what is measured -------------------------------------------------------------------------------------------------

Kind = type[Running]
KINDS: list[Kind] = [MeshChat, Babeld, TunedBabeld]

Build = Callable[..., Network]


@dataclass(frozen=True)
class Mesh:
    """A mesh, and to which machine machine 0 sends its echoes."""

    name: str
    build: Build
    size: int
    target: int
    #: For how many of ten outages there is time. None where no other way is left.
    outages: int = 0
    #: Nothing is measured but what it sends at rest.
    only_rest: bool = False

    @contextmanager
    def running(self, kind: Kind, *, echoes: bool = True) -> Iterator[Running]:
        with World() as world:
            network = self.build(world, self.size, ip=kind.has_ip)
            wait_until_ready(network, ip=kind.has_ip)
            yield kind(world, network, self.target if echoes else None)


MESHES = [
    Mesh("2 machines", chain, 2, 1, only_rest=True),
    Mesh("chain of 5", chain, 5, 4),
    Mesh("ring of 6", ring, 6, 3, outages=10),
    Mesh("grid of 4 x 4", grid, 4, 15, outages=3),
    Mesh("segment of 10", segment, 10, 9, only_rest=True),
]


@dataclass(frozen=True)
class Rest:
    """Bytes a second, in whole frames, both directions of a link together."""

    link: float
    machine: float


def first_echo(mesh: Mesh, kind: Kind) -> float:
    """Seconds from the start of the last program to the first answer from the far end."""
    with mesh.running(kind) as running:
        # An answer may come before this process has read that all had started.
        return max(0.0, running.next_echo().answered - running.started)


def first_message(mesh: Mesh) -> float:
    """Seconds from the start of the last program to the receipt of the first message."""
    with mesh.running(MeshChat) as running:
        return max(0.0, float(running.echo.wait_for(r"message (\S+)")[1]) - running.started)


def outage(mesh: Mesh, kind: Kind, how: str) -> float:
    """Seconds for which echoes stay without answer when the first relay of their path is gone."""
    with mesh.running(kind) as running:
        echo = running.next_echo()
        while echo.sent < running.started + CALM:
            echo = running.next_echo()
        relay = relay_in_use(running)
        echo = running.next_echo()
        gone = time.monotonic()
        if how == "silent":
            running.silence(relay)
        else:
            for name in running.network.interfaces(relay):
                running.network.set(relay, name, "down")
        longest = 0.0
        while echo.sent < gone + WATCHED:
            before, echo = echo, running.next_echo()
            if echo.sent > gone:
                longest = max(longest, echo.sent - before.sent - INTERVAL)
        return longest


def relay_in_use(running: Running) -> int:
    """The neighbour that machine 0 sends its echoes to."""
    network = running.network
    return network.at_the_end(network.busiest(0, lambda: [running.next_echo() for _ in range(20)]))


def rest(mesh: Mesh, kind: Kind) -> Rest:
    """What is sent when nothing happens."""
    with mesh.running(kind, echoes=False) as running:
        network = running.network
        ends = [(machine, name) for machine in range(len(network)) for name in network.interfaces(machine)]
        time.sleep(SETTLE)
        before = sum(network.counters(*end)[1] for end in ends)
        since = time.monotonic()
        time.sleep(REST)
        sent = sum(network.counters(*end)[1] for end in ends) - before
        rate = sent / (time.monotonic() - since)
        links = len(ends) if mesh.build is segment else len(ends) // 2
        return Rest(rate / links, rate / len(network))


# -- runs and the table -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runs:
    """How often each number is measured."""

    starts: int
    outages: int


def repeat(times: int, at_once: int, measure: Callable[[], float]) -> list[float]:
    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(measure) for _ in range(times)]
        return [future.result() for future in running]


def seconds(values: list[float]) -> str:
    """Median (least..greatest)."""
    if not values:
        return "–"
    return f"{statistics.median(values):.2f} s ({min(values):.2f}..{max(values):.2f})"


def measure(kind: Kind, runs: Runs) -> list[tuple[str, str]]:
    """A row of the table for each mesh, without its first two columns."""
    with ThreadPoolExecutor(len(MESHES)) as pool:
        rests = list(pool.map(lambda mesh: rest(mesh, kind), MESHES))
    # Most of the time babeld waits for its timers: then several meshes disturb each other little.
    at_once = 1 if kind is MeshChat else 5
    rows = []
    for mesh, quiet in zip(MESHES, rests, strict=True):
        starts = [] if mesh.only_rest else repeat(runs.starts, 1, partial(first_echo, mesh, kind))
        times = runs.outages * mesh.outages // 10
        hows = [repeat(times, at_once, partial(outage, mesh, kind, how)) for how in HOWS]
        cells = [*map(seconds, [starts, *hows]), f"{quiet.link:.0f}", f"{quiet.machine:.0f}"]
        rows.append((mesh.name, " | ".join(cells)))
        print(kind.name, *rows[-1], sep=" | ", flush=True)
    return rows


def table(runs: Runs, kinds: Sequence[Kind]) -> str:
    measured = {kind.name: measure(kind, runs) for kind in kinds}
    message = repeat(runs.starts, 1, partial(first_message, MESHES[1]))
    heads = ["mesh", "program", "first echo", "relay dies: cut for", "links go down: cut for"]
    heads += ["at rest, B/s a link", "at rest, B/s a machine"]
    lines = [heads, ["---"] * 5 + ["---:"] * 2]
    for number, mesh in enumerate(MESHES):
        lines += [[mesh.name, name, rows[number][1]] for name, rows in measured.items()]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{text}\n\nFirst message of a chat across the chain of 5, in MeshChat: {seconds(message)}.\n"


def machine() -> str:
    babeld = subprocess.run(["babeld", "-V"], capture_output=True, text=True)
    peer = (babeld.stdout + babeld.stderr).strip()
    return f"{os.cpu_count()} cores, Linux {platform.release()}, {peer}, MeshChat {version('meshchat')}"


def write(text: str) -> None:
    """Puts the text between its markers in the document."""
    before, start, rest = DOCUMENT.read_text().partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not (start and end):
        raise SystemExit(f"{DOCUMENT} has lost the place for this table; put it back: {' '.join(MARKERS)}")
    DOCUMENT.write_text(f"{before}{start}\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="MeshChat beside babeld on the same meshes")
    parser.add_argument("--starts", type=int, default=5, help="cold starts of each mesh (default 5)")
    parser.add_argument("--outages", type=int, default=10, help="outages of each kind (default 10)")
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], help="one program, and write nothing")
    arguments = parser.parse_args()
    runs = Runs(arguments.starts, arguments.outages)
    kinds = [kind for kind in KINDS if arguments.only in (None, kind.name)]
    text = f"{table(runs, kinds)}\nMeasured on {machine()}."
    print(text)
    if arguments.only is None:
        write(text)


if __name__ == "__main__":
    main()
