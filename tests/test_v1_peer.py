"""The v1 peer by itself: its bytes are those of the protocol, and two of it talk to each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import v1_peer
from harness import PYTHON, REPOSITORY, Namespace, Program, World
from v1_peer import EVERYONE, Flag, Frame, Kind, Segment, unpadded

VECTORS: dict[str, Any] = json.loads((REPOSITORY / "meshcore/tests/vectors/v1.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_golden_frames(vector: dict[str, Any]) -> None:
    frame = Frame(
        vector["type"],
        bytes.fromhex(vector["origin"]),
        bytes.fromhex(vector["destination"]),
        vector["ttl"],
        vector["message_id"],
        bytes.fromhex(vector["payload"]),
    )
    assert frame.encode().hex() == vector["frame"]
    assert Frame.decode(frame.encode()) == frame
    segment = Segment.decode(frame.payload)
    if (fields := vector.get("segment")) is None:
        assert segment is None
    else:
        data = bytes.fromhex(fields["data"])
        assert segment == Segment(fields["stream"], fields["flags"], fields["seq"], fields["ack"], data)
        assert segment.encode() == frame.payload


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=lambda vector: vector["name"])
def test_texts_are_no_segments(vector: dict[str, Any]) -> None:
    assert Segment.decode(bytes.fromhex(vector["payload"])) is None


def test_what_is_no_frame() -> None:
    whole = Frame(Kind.MESSAGE, b"\2" * 6, EVERYONE, 1, 2, b"text").encode()
    assert Frame.decode(whole[:22]) is None
    assert Frame.decode(b"\2" + whole[1:]) is None
    assert Frame.decode(b"") is None


def test_positions_wrap() -> None:
    segment = Segment.decode(Segment(1, Flag.DATA, 2**32 + 5, -1, b"x").encode())
    assert segment == Segment(1, Flag.DATA, 5, 2**32 - 1, b"x")


def test_texts_of_addresses() -> None:
    mac = bytes.fromhex("02005e10abff")
    for text in ("v1:02:00:5e:10:ab:ff", "02-00-5E-10-AB-FF", v1_peer.mac_text(mac)):
        assert v1_peer.mac_of(text) == mac
    with pytest.raises(ValueError, match="not a MAC address"):
        v1_peer.mac_of("02:00")
    assert unpadded(b"text\0\0") == b"text"


def peer(world: World, namespace: Namespace, *command: str) -> tuple[Program, str]:
    """Starts a v1 peer; its address."""
    path = Path(v1_peer.__file__)
    program = world.start(namespace, PYTHON, path, "eth0", *command, privileged=True)
    return program, program.wait_for("v1 (.*)")[1]


def test_two_of_it_exchange_messages(world: World) -> None:
    left, right = world.wire()
    listener, address = peer(world, left, "listen")
    sender, from_address = peer(world, right, "message", address, "ahoj, Žofie")
    assert sender.end() == 0
    listener.wait_for_text(f"message {from_address} ahoj, Žofie")
    peer(world, right, "broadcast", "all of you")
    listener.wait_for_text(f"broadcast {from_address} all of you")
    nobody, _ = peer(world, right, "message", "02:00:00:00:00:77", "is anybody there?")
    assert nobody.end() == 1


def test_two_of_it_chat(world: World) -> None:
    left, right = world.wire()
    server, address = peer(world, left, "chat-server")
    client, client_address = peer(world, right, "chat-client", address)
    client.wait_for_text(f"open {address}")
    server.wait_for_text(f"open {client_address}")
    client.type("hello", "Žofie")
    server.wait_for_text("data hello")
    server.wait_for_text("data Žofie")
    server.type("ahoj")
    client.wait_for_text("data ahoj")
    client.close_input()
    assert client.end() == 0
    assert server.end() == 0
    assert server.lines[-1] == client.lines[-1] == "closed"
