"""A program that speaks only AlexMesh v1 and AlexStream v1, for tests: what MeshChat's v1 mode has to get along with.

Written from the description of the protocol, and as simple-minded as a program may be: it answers an answer to its
handshake with yet another one, it knows duplicates by nothing but origin and message id, and it retransmits nothing.
Needs CAP_NET_RAW.

    v1_peer.py eth0 listen                    a node: what it takes from others is printed
    v1_peer.py eth0 message MAC TEXT          exits with 0 when the message is acknowledged
    v1_peer.py eth0 broadcast TEXT
    v1_peer.py eth0 chat-server               takes one stream; lines of standard input go out on it
    v1_peer.py eth0 chat-client MAC           opens one
    v1_peer.py eth0 raw                       sends lines of hex from standard input to everyone, as they are

It first prints "v1 MAC", then a line for each event: "node MAC", "message MAC TEXT", "broadcast MAC TEXT",
"acknowledged ID", "open MAC", "data TEXT", "closed", "frame HEX". The end of standard input ends a chat.
"""

from __future__ import annotations

import argparse
import enum
import os
import secrets
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass

ETHER_TYPE = 0x88B5
ETHERNET_BROADCAST = b"\xff" * 6
EVERYONE = bytes(6)
TTL = 5

HANDSHAKE_INTERVAL = 5.0
WAIT = 5.0

_FRAME = struct.Struct(">BB6s6sBQ")
_SEGMENT = struct.Struct(">HBII")


class Kind(enum.IntEnum):
    HANDSHAKE = 1
    MESSAGE = 2
    BROADCAST = 3
    STATUS = 4


class Flag(enum.IntFlag):
    SYN = 1
    ACK = 2
    FIN = 4
    DATA = 8


@dataclass(frozen=True)
class Frame:
    kind: int
    origin: bytes
    destination: bytes
    ttl: int
    message_id: int
    payload: bytes = b""

    def encode(self) -> bytes:
        header = _FRAME.pack(1, self.kind, self.origin, self.destination, self.ttl, self.message_id)
        return header + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Frame | None:
        """None: this is no v1 frame."""
        if len(data) < _FRAME.size or data[0] != 1:
            return None
        _, kind, origin, destination, ttl, message_id = _FRAME.unpack_from(data)
        return cls(kind, origin, destination, ttl, message_id, data[_FRAME.size :])


@dataclass(frozen=True)
class Segment:
    stream: int
    flags: int
    seq: int
    ack: int
    data: bytes = b""

    def encode(self) -> bytes:
        return _SEGMENT.pack(self.stream, self.flags, self.seq % 2**32, self.ack % 2**32) + self.data

    @classmethod
    def decode(cls, payload: bytes) -> Segment | None:
        """None: this is text, in which the third byte is no control character of these."""
        if len(payload) < _SEGMENT.size or payload[2] not in (1, 2, 3, 4, 8):
            return None
        stream, flags, seq, ack = _SEGMENT.unpack_from(payload)
        return cls(stream, flags, seq, ack, payload[_SEGMENT.size :])


def unpadded(text: bytes) -> bytes:
    return text.rstrip(b"\0")


def show(text: bytes) -> str:
    return unpadded(text).decode("utf-8", "replace")


def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def mac_of(text: str) -> bytes:
    mac = bytes.fromhex(text.removeprefix("v1:").replace(":", "").replace("-", ""))
    if len(mac) != 6:
        raise ValueError(f"{text} is not a MAC address")
    return mac


def say(*words: str) -> None:
    print(*words, flush=True)


class Wire:
    """Bare Ethernet frames of one interface."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER_TYPE))
        self._socket.bind((interface, ETHER_TYPE))
        self.mac: bytes = self._socket.getsockname()[4]

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, to: bytes, payload: bytes) -> None:
        self._socket.send(to + self.mac + ETHER_TYPE.to_bytes(2, "big") + payload)

    def receive(self) -> bytes:
        return self._socket.recv(1 << 16)[14:]


class Peer:
    """A node: handshakes, acknowledgements, rebroadcasts."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.nodes: set[bytes] = set()
        self.acknowledged: set[int] = set()
        self._seen: deque[tuple[bytes, int]] = deque(maxlen=1000)
        self._latest_id = 0
        self._handshake_at = 0.0
        say("v1", mac_text(wire.mac))

    def send(self, kind: Kind, destination: bytes, payload: bytes = b"") -> int:
        self._latest_id = max(time.time_ns() // 1_000_000, self._latest_id + 1)
        frame = Frame(kind, self.wire.mac, destination, TTL, self._latest_id, payload)
        self.wire.send(ETHERNET_BROADCAST if destination == EVERYONE else destination, frame.encode())
        return frame.message_id

    def step(self, *others: int, until: float | None = None) -> list[int]:
        """Waits for something to do, and does it. Those of the descriptors `others` that can be read come back."""
        now = time.monotonic()
        if now >= self._handshake_at:
            self.send(Kind.HANDSHAKE, EVERYONE)
            self._handshake_at = now + HANDSHAKE_INTERVAL
        wake = min(self._handshake_at, until if until is not None else self._handshake_at)
        readable = select.select([self.wire.fileno(), *others], [], [], max(0.0, wake - now))[0]
        if self.wire.fileno() in readable:
            frame = Frame.decode(self.wire.receive())
            if frame is not None and frame.origin != self.wire.mac:
                self._take(frame)
        return [other for other in others if other in readable]

    def _take(self, frame: Frame) -> None:
        if (frame.origin, frame.message_id) in self._seen:
            return
        self._seen.append((frame.origin, frame.message_id))
        if frame.destination not in (self.wire.mac, EVERYONE):
            if frame.ttl > 0:
                passed_on = Frame(
                    frame.kind, frame.origin, frame.destination, frame.ttl - 1, frame.message_id, frame.payload
                )
                self.wire.send(ETHERNET_BROADCAST, passed_on.encode())
            return
        who = mac_text(frame.origin)
        if frame.kind == Kind.HANDSHAKE:
            if frame.origin not in self.nodes:
                self.nodes.add(frame.origin)
                say("node", who)
            if frame.destination == self.wire.mac:
                self.send(Kind.HANDSHAKE, frame.origin)
        elif frame.kind == Kind.BROADCAST:
            say("broadcast", who, show(frame.payload))
        elif frame.kind == Kind.STATUS:
            text = show(frame.payload)
            if text.startswith("ACK:") and text[4:].isdecimal():
                self.acknowledged.add(int(text[4:]))
                say("acknowledged", text[4:])
        elif frame.kind == Kind.MESSAGE:
            segment = Segment.decode(frame.payload)
            if segment is not None:
                self.take_segment(frame.origin, segment)
            else:
                say("message", who, show(frame.payload))
                self.send(Kind.STATUS, frame.origin, b"ACK:%d" % frame.message_id)

    def take_segment(self, origin: bytes, segment: Segment) -> None:
        """A node without streams has no use for it."""


class ChatPeer(Peer):
    """A node with one stream, in either role."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.other: bytes | None = None
        self.open = False
        self.closed = False
        self._stream = 0
        self._seq = secrets.randbits(32)
        self._ack = 0
        self._waiting_for: int | None = None

    def _segment(self, flags: Flag, data: bytes = b"", length: int = 0) -> None:
        assert self.other is not None
        segment = Segment(self._stream, flags, self._seq, self._ack, data)
        self._seq = (self._seq + length) % 2**32
        self.send(Kind.MESSAGE, self.other, segment.encode())

    def connect(self, other: bytes) -> None:
        self.other, self._stream = other, secrets.randbits(16)
        self._segment(Flag.SYN, length=1)

    def write(self, data: bytes) -> None:
        self._segment(Flag.DATA, data, len(data))

    def finish(self) -> None:
        self._segment(Flag.FIN, length=1)
        self._waiting_for = self._seq

    def take_segment(self, origin: bytes, segment: Segment) -> None:
        if segment.flags == Flag.SYN and self.other is None:
            self.other, self._stream = origin, segment.stream
            self._ack = (segment.seq + 1) % 2**32
            self._segment(Flag.SYN | Flag.ACK, length=1)
            self._opened()
        if origin != self.other or segment.stream != self._stream:
            return
        if segment.flags == Flag.SYN | Flag.ACK and not self.open and segment.ack == self._seq:
            self._ack = (segment.seq + 1) % 2**32
            self._opened()
        elif segment.flags == Flag.DATA:
            text = unpadded(segment.data)
            self._ack = (segment.seq + len(text)) % 2**32
            self._segment(Flag.ACK)
            say("data", show(text).removesuffix("\n"))
        elif segment.flags == Flag.FIN:
            self._ack = (segment.seq + 1) % 2**32
            self._segment(Flag.ACK)
            self.closed = True
        elif segment.flags == Flag.ACK and segment.ack == self._waiting_for:
            self.closed = True

    def _opened(self) -> None:
        self.open = True
        say("open", mac_text(self.other or b""))


def listen(peer: Peer) -> int:
    while True:
        peer.step()


def message(peer: Peer, to: bytes, text: str) -> int:
    message_id = peer.send(Kind.MESSAGE, to, text.encode())
    end = time.monotonic() + WAIT
    while message_id not in peer.acknowledged and time.monotonic() < end:
        peer.step(until=end)
    return 0 if message_id in peer.acknowledged else 1


def chat(peer: ChatPeer, to: bytes | None) -> int:
    """Exits with 1 when the stream could not be opened, or was not closed in order."""
    end: float | None = None
    if to is not None:
        peer.connect(to)
        end = time.monotonic() + WAIT
    while not peer.open and (end is None or time.monotonic() < end):
        peer.step(until=end)
    if not peer.open:
        return 1
    partial, end = b"", None
    while not peer.closed and (end is None or time.monotonic() < end):
        for source in peer.step(*([] if end else [sys.stdin.fileno()]), until=end):
            data = os.read(source, 1 << 12)
            *lines, partial = (partial + data).split(b"\n")
            for line in lines:
                peer.write(line + b"\n")
            if not data:
                peer.finish()
                end = time.monotonic() + WAIT
    say("closed")
    return 0 if peer.closed else 1


def raw(wire: Wire) -> int:
    say("v1", mac_text(wire.mac))
    partial = b""
    while True:
        readable = select.select([wire.fileno(), sys.stdin.fileno()], [], [])[0]
        if wire.fileno() in readable:
            say("frame", wire.receive().hex())
        if sys.stdin.fileno() in readable:
            data = os.read(sys.stdin.fileno(), 1 << 12)
            if not data:
                return 0
            *lines, partial = (partial + data).split(b"\n")
            for line in lines:
                wire.send(ETHERNET_BROADCAST, bytes.fromhex(line.decode()))


def main() -> int:
    parser = argparse.ArgumentParser(description="a program that speaks only AlexMesh v1")
    parser.add_argument("interface")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("listen")
    command = commands.add_parser("message")
    command.add_argument("to", type=mac_of)
    command.add_argument("text")
    commands.add_parser("broadcast").add_argument("text")
    commands.add_parser("chat-server")
    commands.add_parser("raw")
    commands.add_parser("chat-client").add_argument("to", type=mac_of)
    arguments = parser.parse_args()

    wire = Wire(arguments.interface)
    if arguments.command == "listen":
        return listen(Peer(wire))
    if arguments.command == "raw":
        return raw(wire)
    if arguments.command == "message":
        return message(Peer(wire), arguments.to, arguments.text)
    if arguments.command == "broadcast":
        Peer(wire).send(Kind.BROADCAST, EVERYONE, arguments.text.encode())
        return 0
    return chat(ChatPeer(wire), getattr(arguments, "to", None))


if __name__ == "__main__":
    sys.exit(main())
