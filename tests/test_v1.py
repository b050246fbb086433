"""Chats and a program that speaks only AlexMesh v1, on bare Ethernet between namespaces."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest

import v1_peer
from harness import PYTHON, Namespace, Program, World, chat_command
from v1_peer import EVERYONE, Frame, Kind, mac_of

NEW = "============ NEW: INSECURE ============"
END = "================= END ================="

each_chat = pytest.mark.parametrize("which", ["python", "c"])


def start_chat(world: World, host: Namespace, which: str, *options: str, name: str = "alice") -> Program:
    plain = ["--plain"] if which == "python" else []
    options = (*plain, "--nickname", name, "--v1", "eth0", *options)
    command = chat_command(which, world.home(f"{name}-{which}", key=name), *options)
    program = world.start(host, *command, privileged=True)
    program.node_id()
    return program


def start_peer(world: World, host: Namespace, *command: str) -> tuple[Program, str]:
    """A v1 program; its address."""
    program = world.start(host, PYTHON, Path(v1_peer.__file__), "eth0", *command, privileged=True)
    return program, "v1:" + program.wait_for("v1 (.*)")[1]


def found(chat: Program, address: str) -> None:
    chat.wait_for_text(f"* found insecure {address} (AlexMesh v1: anybody can read and forge)")


def address_of(host: Namespace) -> str:
    link = re.search("link/ether ([0-9a-f:]{17})", host.run("ip", "link", "show", "eth0"))
    assert link is not None
    return f"v1:{link[1]}"


@each_chat
def test_messages_both_ways(world: World, which: str) -> None:
    left, right = world.wire()
    chat = start_chat(world, left, which)
    listener, address = start_peer(world, right, "listen")
    own = address_of(left)
    found(chat, address)
    listener.wait_for_text(f"node {own[3:]}")
    chat.type("/nodes")
    chat.wait_for_text(f"{address}  insecure  here")
    chat.type(f"@{address}")
    chat.wait_for_text(NEW)
    for number, text in enumerate(("ahoj, Žofie", "and more"), 1):
        chat.type(text)
        listener.wait_for_text(f"message {own[3:]} {text}")
        chat.wait_for_text(f"You (insecure): {text}")
        chat.wait_for_text(f"* [{number}] sent (insecure)")
        chat.wait_for_text(f"* [{number}] delivered (insecure)")
    sender, sender_address = start_peer(world, right, "message", own, "hello from v1")
    assert sender.end() == 0, "it was acknowledged"
    assert sender_address == address
    chat.wait_for_text(f"insecure {address}: hello from v1")
    start_peer(world, right, "broadcast", "all of you")[0].end()
    chat.wait_for_text(f"insecure {address} to all: all of you")
    listener.kill()
    chat.type("is anybody there?")
    chat.wait_for_text("* [3] sent (insecure)")
    left.run("ip", "link", "set", "eth0", "down")
    chat.wait_for('! link v1:eth0: the interface "eth0" is down; .*')
    chat.wait_for_text("* [3] failed (insecure)")
    chat.wait_for_text(f"* lost insecure {address}")
    chat.exit()


@each_chat
def test_a_stream_of_the_chat(world: World, which: str) -> None:
    left, right = world.wire()
    chat = start_chat(world, left, which)
    server, address = start_peer(world, right, "chat-server")
    found(chat, address)
    chat.type(f"/connect {address}")
    chat.wait_for_text(NEW)
    chat.wait_for_text(f"* opening a stream to insecure {address}")
    chat.wait_for_text(f"* insecure {address} answers: the stream is open")
    server.wait_for_text(f"open {address_of(left)[3:]}")
    chat.type("hello", "Žofie")
    server.wait_for_text("data hello")
    server.wait_for_text("data Žofie")
    server.type("ahoj", "\x1b[31mred")
    chat.wait_for_text(f"insecure {address}: ahoj")
    chat.wait_for_text(f"insecure {address}: \ufffd[31mred")
    chat.type("/bye")
    chat.wait_for_text(END)
    chat.wait_for_text(f"* the stream with insecure {address} has ended: closed here")
    assert server.end() == 0
    assert server.lines[-1] == "closed"
    chat.type("to nobody")
    chat.wait_for("! no conversation .*")
    chat.exit()


@each_chat
def test_a_stream_to_the_chat(world: World, which: str) -> None:
    left, right = world.wire()
    chat = start_chat(world, left, which)
    client, address = start_peer(world, right, "chat-client", address_of(left))
    chat.wait_for_text(f"* insecure {address} opened a stream")
    chat.wait_for_text(NEW)
    client.wait_for_text(f"open {address_of(left)[3:]}")
    client.type("hello")
    chat.wait_for_text(f"insecure {address}: hello")
    chat.type("ahoj")
    chat.wait_for_text("You (insecure): ahoj")
    client.wait_for_text("data ahoj")
    client.close_input()
    chat.wait_for_text(f"* the stream with insecure {address} has ended: closed by the peer")
    chat.wait_for_text(END)
    assert client.end() == 0
    # The end of the chat ends its streams.
    client, _ = start_peer(world, right, "chat-client", address_of(left))
    chat.wait_for_text(NEW)
    chat.exit()
    assert client.end() == 0


@each_chat
def test_nobody_answers(world: World, which: str) -> None:
    left, _ = world.wire()
    chat = start_chat(world, left, which)
    nobody = "v1:02:00:00:00:00:77"
    chat.type(f"/connect {nobody}")
    chat.wait_for_text(f"* the stream with insecure {nobody} has ended: no answer")
    chat.wait_for_text(END)
    chat.type(f"/connect {address_of(left)}", "/connect nobody", "/connect", "@v1:nobody")
    chat.wait_for_text("! that is the address of this node")
    chat.wait_for_text("! not the address of a v1 node, which looks like v1:02:00:5e:10:00:01")
    chat.wait_for_text("! name a node: /connect v1:<address>")
    chat.wait_for_text("! not the address of a v1 node, which looks like v1:02:00:5e:10:00:01")
    chat.exit()


@each_chat
def test_the_mesh_goes_on_beside_it(world: World, which: str) -> None:
    """Two chats on one wire are found twice: by v2, which is secure, and by v1."""
    left, right = world.wire()
    alice = start_chat(world, left, which, "--link", "ethernet:eth0")
    bob = start_chat(world, right, which, "--link", "ethernet:eth0", name="bob")
    alice.wait_for(r"\* found bob .*")
    bob.wait_for(r"\* found alice .*")
    alice.type("@bob a secret")
    bob.wait_for_text("alice: a secret")
    alice.type(f"@{address_of(right)} in the open")
    bob.wait_for_text(f"insecure {address_of(left)}: in the open")
    alice.exit()
    bob.exit()


@each_chat
def test_relaying(world: World, which: str) -> None:
    """left - middle - right: the chat in the middle passes on what v1 nodes say to each other through it."""
    left, middle = world.wire()
    chat = start_chat(world, middle, which)
    listener, address = start_peer(world, left, "listen")
    found(chat, address)
    # A frame of somebody behind the peer, for somebody behind the chat, comes back as a broadcast with a smaller ttl.
    listener.kill()
    wire, _ = start_peer(world, left, "raw")
    frame = Frame(Kind.MESSAGE, mac_of("02:00:00:00:00:51"), mac_of("02:00:00:00:00:52"), 3, 1, b"passing through")
    wire.type(frame.encode().hex())
    passed_on = replace(frame, ttl=2).encode()
    wire.wait_for(f"frame {passed_on.hex()}(00)*")
    chat.exit()


@each_chat
def test_hostile_bytes(world: World, which: str) -> None:
    left, right = world.wire()
    chat = start_chat(world, left, which)
    own = mac_of(address_of(left))
    wire, address = start_peer(world, right, "raw")
    me, syn = mac_of(address), struct.pack(">HBII", 7, 1, 0, 0)
    # Ethernet fills frames up with zeros: what is cut off here is not seen as such before the header is whole.
    valid = Frame(Kind.MESSAGE, me, own, 3, 7, b"text").encode()
    wire.type(*(valid[:length].hex() for length in range(1, 15)))
    hostile = [
        Frame(9, me, own, 3, 8, b"unknown type"),
        Frame(Kind.MESSAGE, own, own, 255, 9, b"from oneself"),
        Frame(Kind.MESSAGE, EVERYONE, own, 255, 10, b"from nobody"),
        Frame(Kind.MESSAGE, b"\xff" * 6, own, 255, 11, b"from everybody"),
        Frame(Kind.STATUS, me, own, 255, 12, b"ACK:18446744073709551616"),
        Frame(Kind.STATUS, me, own, 255, 13, b"ACK:\xff"),
        Frame(Kind.MESSAGE, me, own, 255, 14, struct.pack(">HBII", 9, 8, 1, 1) + b"data of no stream"),
        Frame(Kind.MESSAGE, me, EVERYONE, 255, 15, syn),
        Frame(Kind.HANDSHAKE, me, own, 255, 2**64 - 1, b"\xff" * 1000),
        Frame(Kind.MESSAGE, me, own, 0, 2**64 - 1, b"\x1b]0;title\x07\x9b1m\xe2\x80\xaetxet\nYou: forged"),
    ]
    wire.type(*(frame.encode().hex() for frame in hostile))
    # C1 controls are not UTF-8 by themselves.
    chat.wait_for_text(f"insecure {address}: \ufffd]0;title\ufffd\ufffd1m\ufffdtxet")
    chat.wait_for_text("  You: forged")
    shown = "\n".join(chat.lines)
    assert "from" not in shown.replace("forge", "") and "no stream" not in shown
    # All is well.
    sender, _ = start_peer(world, right, "message", address_of(left), "still there?")
    assert sender.end() == 0
    chat.wait_for_text(f"insecure {address}: still there?")
    chat.exit()


@each_chat
def test_an_interface_that_cannot_be_opened(world: World, which: str) -> None:
    host = world.namespace()
    plain = ["--plain"] if which == "python" else []
    home = world.home(f"alice-{which}", key="alice")
    chat = world.start(host, *chat_command(which, home, *plain, "--v1", "nowhere"), privileged=True)
    chat.wait_for_text('! link v1:nowhere: there is no interface "nowhere"; this machine has: lo')
    chat.exit()
    chat = world.start(host, *chat_command(which, home, *plain, "--v1", "no/where"))
    assert chat.end() == 2
    assert '"no/where" is no interface for AlexMesh v1' in chat.errors()
    chat = world.start(host, *chat_command(which, home, *plain, "--v1", "lo"))
    chat.wait_for("! link v1:lo: no permission for raw frames .*")
    chat.exit()


def test_from_a_script(world: World) -> None:
    left, right = world.wire()
    listener, address = start_peer(world, right, "listen")
    code = """
import sys, meshchat
with meshchat.Node(temporary=True, key_bits=2048, v1=["eth0"]).blocking() as node:
    while not isinstance(event := node.next_event(), meshchat.InsecureNodeFound):
        pass
    print(event.node, node.insecure_nodes()[0].address, flush=True)
    message = node.send_insecure(event.node, "from a script")
    while not isinstance(event := node.next_event(), meshchat.InsecureDelivered):
        pass
    print(event.id == message, flush=True)
    node.broadcast_insecure("to all")
    stream = node.connect_insecure(event.to)
    while not isinstance(event := node.next_event(), meshchat.InsecureStreamClosed):
        pass
    print(event.stream == stream, event.reason, flush=True)
    for call in (lambda: node.write_insecure(stream, b"x"), lambda: node.close_insecure(stream)):
        try:
            call()
        except meshchat.StreamClosedError as error:
            print(error, flush=True)
    try:
        node.send_insecure(event.peer, "x" * 1478)
    except meshchat.MessageTooLongError as error:
        print(error, flush=True)
"""
    script = world.start(left, PYTHON, "-c", code, privileged=True)
    script.wait_for_text(f"{address} {address}")
    listener.wait_for(f"message {address_of(left)[3:]} from a script")
    script.wait_for_text("True")
    listener.wait_for(f"broadcast {address_of(left)[3:]} to all")
    script.wait_for_text("True no-answer")
    for _ in range(2):
        script.wait_for("the insecure stream .* does not exist any more")
    script.wait_for_text("the text has 1478 bytes, a v1 frame carries 1477")
    assert script.end() == 0
