"""Bare Ethernet between two machines: no IP anywhere."""

from __future__ import annotations

import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from harness import Namespace, World, meet

ETHER_TYPE = 0x88B5
LINK = ("--link", "ethernet:eth0")


class Capture:
    """tcpdump on an interface."""

    def __init__(self, namespace: Namespace) -> None:
        self._file = tempfile.TemporaryFile()
        command = ["tcpdump", "-Z", "root", "-i", "eth0", "-U", "--immediate-mode", "-s", "0", "-w", "-"]
        self._process = subprocess.Popen(
            [*namespace.enter(privileged=True), *command], stdout=self._file, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = b""
        while b"listening on" not in said:
            line = self._process.stderr.readline()
            assert line, f"tcpdump does not run: {said.decode()}"
            said += line

    def frames(self) -> list[bytes]:
        """Ends the capture; what it saw."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate()
        self._file.seek(0)
        return list(pcap_frames(self._file.read()))


def pcap_frames(data: bytes) -> Iterator[bytes]:
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(f"{order}I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


def test_a_conversation_that_a_listener_cannot_read(world: World) -> None:
    left, right = world.wire()
    capture = Capture(left)
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


def test_both_links_at_once(world: World) -> None:
    """Two ways to the same node are one node, and one message."""
    left, right = world.wire()
    alice = world.chat(left, world.home("alice"), *LINK, "--link", "udp", privileged=True)
    neighbour = world.chat(left, world.home("carol"))
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    _, _, bob_id = meet(alice, neighbour, bob)
    # Carol and Bob share no link: Alice forwards.
    neighbour.type(f"@{bob_id} by way of alice")
    bob.wait_for_text("carol: by way of alice")
    neighbour.wait_for_text("* [1] delivered")
    assert not any("by way of" in line for line in alice.lines)
