"""Bare Ethernet between two machines: no IP anywhere."""

from __future__ import annotations

import pytest

from harness import PYTHON, Namespace, World, meet

ETHER_TYPE = 0x88B5
LINK = ("--link", "ethernet:eth0")


# Prints each frame on an interface, in either direction, until its input ends.
SNIFFER = """
import select, socket, sys
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
sniffer.bind((sys.argv[1], 3))
print("listening", flush=True)
while sys.stdin not in (ready := select.select([sniffer, sys.stdin], [], [])[0]) or sniffer in ready:
    if sniffer in ready:
        print(sniffer.recv(1 << 16).hex(), flush=True)
"""


class Capture:
    """What goes over the cable, as anybody can see it who is plugged in."""

    def __init__(self, world: World, namespace: Namespace, interface: str = "eth0") -> None:
        self._program = world.start(namespace, PYTHON, "-c", SNIFFER, interface, privileged=True)
        self._program.wait_for_text("listening")

    def frames(self) -> list[bytes]:
        """Ends the capture; what it saw."""
        self._program.close_input()
        assert self._program.end() == 0, self._program.report()
        return [bytes.fromhex(line) for line in self._program.lines[1:]]


def test_a_conversation_that_a_listener_cannot_read(world: World) -> None:
    left, right = world.wire()
    capture = Capture(world, left)
    alice = world.chat(left, world.home("alice"), *LINK, privileged=True)
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    alice_id, _ = meet(alice, bob)
    secrets = ["the treasure is under the oak", "and the spade is in the shed" * 500]
    alice.type(f"@bob {secrets[0]}")
    bob.wait_for_text(f"alice: {secrets[0]}")
    bob.type(f"@{alice_id} {secrets[1]}")
    alice.wait_for_text(f"bob: {secrets[1]}")
    bob.wait_for_text("* [1] delivered")
    alice.exit()
    bob.exit()

    frames = capture.frames()
    assert len(frames) > 20
    assert {int.from_bytes(frame[12:14], "big") for frame in frames} == {ETHER_TYPE}
    seen = b"".join(frames)
    for word in (b"treasure", b"spade", b"shed"):
        assert word not in seen
    stations = {frame[6:12] for frame in frames}
    assert len(stations) == 2
    for station in stations:
        assert sum(len(frame) for frame in frames if frame[6:12] == station) > 1000


def test_ethernet_needs_a_privilege(world: World) -> None:
    left, _ = world.wire()
    chat = world.chat(left, world.home("alice"), *LINK)
    assert chat.end() == 1
    assert chat.errors().startswith("meshchat: error: ") and "CAP_NET_RAW" in chat.errors()
    assert chat.errors().count("\n") == 1

    both = world.chat(left, world.home("bob"), *LINK, "--link", "udp")
    both.node_id()
    assert "CAP_NET_RAW" in both.wait_for("! link ethernet:eth0: .*")[0]
    both.exit()


@pytest.mark.parametrize("others", [(), ("--link", "udp")])
def test_an_interface_that_is_not_there(world: World, host: Namespace, others: tuple[str, ...]) -> None:
    chat = world.chat(host, world.home("alice"), "--link", "ethernet:eth9", *others, privileged=True)
    if others:
        chat.node_id()
        chat.wait_for("! link ethernet:eth9: .*")
        chat.exit()
    else:
        assert chat.end() == 1
        assert "eth9" in chat.errors() and chat.errors().count("\n") == 1


def test_a_cable_that_is_pulled(world: World) -> None:
    """What is written meanwhile arrives when the cable is back."""
    left, right = world.wire()
    alice = world.chat(left, world.home("alice"), *LINK, privileged=True)
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    _, bob_id = meet(alice, bob)
    right.run("ip", "link", "set", "eth0", "down")
    alice.wait_for_text(f"* lost bob {bob_id}")
    alice.type("@bob written in between")
    alice.wait_for_text("* [1] queued")
    right.run("ip", "link", "set", "eth0", "up")
    bob.wait_for_text("alice: written in between")
    alice.wait_for_text("* [1] delivered")


def test_a_node_in_the_middle(world: World) -> None:
    """Who is on two links makes one mesh of them: bob on Ethernet and carol on UDP talk through alice."""
    left, right = world.wire()
    alice = world.chat(left, world.home("alice"), *LINK, "--link", "udp", privileged=True)
    carol = world.chat(left, world.home("carol"))
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    everybody = {"alice": alice, "bob": bob, "carol": carol}
    for chat in everybody.values():
        for _ in range(2):
            chat.wait_for(r"\* found (alice|bob|carol) .*")
    for name, chat in everybody.items():
        chat.type(*(f"@{other} {name} to {other}" for other in everybody if other != name))
    for name, chat in everybody.items():
        for _ in range(2):
            chat.wait_for(rf"(\w+): \1 to {name}")


def test_two_ways_to_one_node(world: World) -> None:
    """They are one node, found once, and each message comes once, also when one way ends."""
    left, right = world.wire()
    for namespace, address in ((left, "192.0.2.1/24"), (right, "192.0.2.2/24")):
        namespace.run("ip", "address", "add", address, "dev", "eth0")
    both = (*LINK, "--link", "udp")
    alice = world.chat(left, world.home("alice"), *both, privileged=True)
    bob = world.chat(right, world.home("bob"), *both, privileged=True)
    meet(alice, bob)
    texts = [f"line {n}" for n in range(1, 101)]
    alice.type("@bob", *texts[:50])
    bob.wait_for_text("alice: line 50")
    right.run("ip", "address", "flush", "dev", "eth0")
    alice.type(*texts[50:])
    bob.wait_for_text("alice: line 100")
    alice.wait_for_text("* [100] delivered")
    assert [line for line in bob.lines if line.startswith("alice: ")] == [f"alice: {text}" for text in texts]
    assert len([line for line in bob.lines if line.startswith("* found")]) == 1
    assert not any(line.startswith("* lost") for line in (*alice.lines, *bob.lines))


def test_two_programs_on_one_interface(world: World) -> None:
    """They share its address, and talk to each other and to the machine at the other end."""
    left, right = world.wire()
    alice, carol = (world.chat(left, world.home(name), *LINK, privileged=True) for name in ("alice", "carol"))
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    everybody = {"alice": alice, "bob": bob, "carol": carol}
    for chat in everybody.values():
        for _ in range(2):
            chat.wait_for(r"\* found (alice|bob|carol) .*")
    for name, chat in everybody.items():
        chat.type(*(f"@{other} {name} to {other}" for other in everybody if other != name))
    for name, chat in everybody.items():
        for _ in range(2):
            chat.wait_for(rf"(\w+): \1 to {name}")
