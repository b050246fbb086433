"""Files from node to node: whole and once, whoever is killed when, and with little sent again."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from harness import PYTHON, REPOSITORY, Namespace, Program, World, chat_command, meet
from test_mesh import relay
from topology import Network, chain

#: Size of the large files in MiB. Larger ones take longer, and everything else holds for them as well.
MIB = int(os.environ.get("MESHCHAT_TEST_FILE_MIB", "64"))

#: The rate of the cables. A file is to be on its way long enough to be disturbed.
RATE = os.environ.get("MESHCHAT_TEST_FILE_RATE", "200mbit")

#: Seconds for a large file: it takes a fraction, on an idle machine.
LONG = 60.0 + MIB

DROP = REPOSITORY / "examples/python/file_drop.py"

#: Sends a file to the node called "drop", or goes on with the one of an earlier run. Arguments: home, file, links.
SENDER = """
import asyncio, sys
import meshchat

async def run(home, path, *links):
    async with meshchat.Node(home, nickname="sender", links=links) as node:
        print("NODE_ID:", node.id, flush=True)
        quarter = 0
        async for event in node.events():
            if isinstance(event, meshchat.NodeFound) and event.node.nickname == "drop":
                if not await node.files():
                    await node.send_file(event.node, path)
            elif isinstance(event, meshchat.FileProgress):
                now = event.file.done * 4 // event.file.size
                if now != quarter:
                    quarter = now
                    print("quarter", quarter, flush=True)
            elif isinstance(event, meshchat.FileDone):
                print("done", flush=True)
            elif isinstance(event, meshchat.FileFailed):
                print("failed", event.file.reason, flush=True)
            elif isinstance(event, meshchat.Warning):
                print("warning", event.text, flush=True)

asyncio.run(run(*sys.argv[1:]))
"""


class Way:
    """A sender on machine 0, relays, and a recipient at the other end, with slow cables on the way."""

    def __init__(self, world: World, machines: int) -> None:
        self.world = world
        self.network: Network = chain(world, machines)
        self.last = machines - 1
        for machine in range(machines):
            for name in self.network.interfaces(machine):
                tbf = ("rate", RATE, "burst", "64k", "latency", "20ms")
                self.network.spaces[machine].run("tc", "qdisc", "add", "dev", name, "root", "tbf", *tbf)
        self.homes = [world.new_home(f"node{machine}") for machine in range(machines)]
        self.downloads = world.folder("downloads")
        self.file = world.folder("source") / "large.bin"
        write_random(self.file)

    def _start(self, machine: int, *command: str | Path) -> Program:
        links = [f"ethernet:{name}" for name in self.network.interfaces(machine)]
        return self.world.start(self.network.spaces[machine], PYTHON, *command, *links, privileged=True)

    def sender(self) -> Program:
        return self._start(0, "-c", SENDER, self.homes[0], self.file)

    def recipient(self) -> Program:
        return self._start(self.last, DROP, self.downloads, self.homes[self.last])

    def relay(self, machine: int) -> Program:
        return relay(self.world, self.network, self.homes[machine])

    def sent(self) -> int:
        """Bytes of all frames that the sender has sent."""
        return self.network.counters(0, "to1")[1]

    def check(self, sender: Program, recipient: Program) -> None:
        """It arrives, whole and alone."""
        recipient.wait_for(f"{self.downloads / 'large.bin'} from [0-9a-f]{{64}}", LONG)
        sender.wait_for("done", LONG)
        assert [path.name for path in self.downloads.iterdir()] == ["large.bin"]
        assert digest(self.downloads / "large.bin") == digest(self.file)


def write_random(path: Path) -> None:
    numbers = random.Random(1)
    with path.open("wb") as file:
        for _ in range(MIB):
            file.write(numbers.randbytes(1 << 20))


def digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sha256.update(piece)
    return sha256.hexdigest()


@pytest.fixture(scope="module")
def undisturbed() -> int:
    """Bytes of frames for the same file when nothing happens."""
    with World() as world:
        way = Way(world, 2)
        sender, recipient = way.sender(), way.recipient()
        way.check(sender, recipient)
        return way.sent()


def test_relays_are_killed(world: World, undisturbed: int) -> None:
    way = Way(world, 3)
    helper = way.relay(1)
    sender, recipient = way.sender(), way.recipient()
    for quarter in (1, 3):
        sender.wait_for(f"quarter {quarter}", LONG)
        helper.kill()
        helper = way.relay(1)
    way.check(sender, recipient)
    again = way.sent() / undisturbed - 1
    print(f"{MIB} MiB, relay killed twice: {again:.2%} sent again")
    assert again <= 0.05


def test_both_ends_are_killed(world: World, undisturbed: int) -> None:
    way = Way(world, 2)
    sender, recipient = way.sender(), way.recipient()
    sender.wait_for("quarter 1", LONG)
    recipient.kill()
    recipient = way.recipient()
    sender.wait_for("quarter 2", LONG)
    sender.kill()
    sender = way.sender()
    way.check(sender, recipient)
    again = way.sent() / undisturbed - 1
    print(f"{MIB} MiB, both ends killed: {again:.2%} sent again")
    assert again <= 0.05


def test_a_message_overtakes_a_file(world: World) -> None:
    network = chain(world, 2)
    for machine, name in ((0, "to1"), (1, "to0")):
        tbf = ("rate", RATE, "burst", "64k", "latency", "20ms")
        network.spaces[machine].run("tc", "qdisc", "add", "dev", name, "root", "tbf", *tbf)
    homes = [world.new_home(name) for name in ("alice", "bob")]
    chats = [
        world.chat(network.spaces[machine], home, *network.links(machine), privileged=True)
        for machine, home in enumerate(homes)
    ]
    alice, bob = chats
    meet(alice, bob)
    file = world.folder("source") / "large.bin"
    write_random(file)
    alice.type("@bob", f"/send {file}")
    bob.wait_for(r"\* alice offers \[1\] large\.bin \(.*")
    bob.type("/accept")
    alice.wait_for(r"\* \[1\] large\.bin: 25 %", LONG)
    alice.type("are you there?")
    bob.wait_for_text("alice: are you there?")
    alice.wait_for(r"\* \[1\] large\.bin has arrived at bob, whole and verified", LONG)
    delivered = alice.lines.index("* [1] delivered")
    assert delivered < alice.lines.index("* [1] large.bin has arrived at bob, whole and verified")
    bob.wait_for(r"\* \[1\] large\.bin is here, whole and verified: .*")


def test_a_disk_that_refuses_is_waited_for(world: World, host: Namespace) -> None:
    file = world.folder("source") / "large.bin"
    file.write_bytes(random.Random(3).randbytes(16 << 20))
    alice = world.chat(host, world.home("alice"))
    home = world.home("bob")
    limited = ["prlimit", f"--fsize={8 << 20}:{1 << 30}", *chat_command("python", home, "--plain")]
    bob = world.start(host, *limited)
    meet(alice, bob)
    alice.type("@bob", f"/send {file}")
    bob.wait_for(r"\* alice offers .*")
    bob.type("/accept")
    bob.wait_for(r"! the file 'large\.bin' waits: .*; check the folder, and it goes on")
    raise_limit = ["prlimit", f"--pid={bob.process.pid}", f"--fsize={1 << 30}:{1 << 30}"]
    assert subprocess.run([*host.enter(), *raise_limit]).returncode == 0
    bob.wait_for(r"\* \[1\] large\.bin is here, whole and verified: .*")
    assert digest(home / "downloads/large.bin") == digest(file)


def test_the_command_sends_and_tells_how_it_ended(world: World, host: Namespace) -> None:
    folder = world.folder("source")
    (folder / "a.txt").write_text("hello")
    drop = world.start(host, PYTHON, DROP, world.folder("downloads"), world.home("bob"))
    drop.node_id()

    def send(file: Path, *to: str) -> Program:
        home = world.home(f"alice-{len(list(folder.parent.iterdir()))}", key="alice")
        return world.start(host, PYTHON, "-m", "meshchat", "send", "--home", home, "--file", file, *to)

    sent = send(folder / "a.txt", "drop")
    assert sent.end() == 0, sent.report()
    assert "5 bytes arrived at drop, whole and verified" in sent.errors()
    drop.wait_for(r"\S+/downloads/a\.txt from [0-9a-f]{64}")
    for file, why in ((folder, "folder"), (folder / "nothing", "no such file")):
        failed = send(file, "drop")
        assert failed.end() == 2, failed.report()
        assert why in failed.errors()
    nobody = send(folder / "a.txt", "nobody", "--wait", "0.5")
    assert nobody.end() == 1 and "nobody was not found" in nobody.errors()
    assert world.start(host, PYTHON, "-m", "meshchat", "send", "drop").end() == 2


def test_the_command_fails_when_the_file_is_refused(world: World, host: Namespace) -> None:
    file = world.folder("source") / "a.txt"
    file.write_text("hello")
    bob = world.chat(host, world.home("bob"))
    bob.node_id()
    sent = world.start(host, PYTHON, "-m", "meshchat", "send", "--home", world.home("alice"), "--file", file, "bob")
    bob.wait_for(r"\* \S+ offers \[1\] a\.txt \(5 bytes\): /accept 1 or /refuse 1")
    bob.type("/refuse 1")
    assert sent.end() == 1, sent.report()
    assert "the recipient refused it" in sent.errors()
    bob.wait_for_text("* [1] a.txt: the recipient refused it")
