"""The netcat in C: with itself, and with meshchat listen and connect."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from harness import PATIENCE, PYTHON, Namespace, World, c_chat_path
from test_streams import Tool, digest, random_file

_ETHERNET = ["--link", "ethernet:eth0"]
_PYTHON = [PYTHON, "-m", "meshchat"]


def netcat() -> list[str]:
    path = c_chat_path().with_name("meshchat-netcat-c")
    assert path.exists(), f"the netcat is not at {path}: run make test-end-to-end"
    return [str(path)]


def start(world: World, space: Namespace, which: str, home: Path, stdin: Path, *arguments: str) -> Tool:
    program = netcat() if which == "c" else _PYTHON
    folder = home.with_name(f"files of {home.name}")
    folder.mkdir(exist_ok=True)
    return Tool(world, space, folder, stdin, *arguments, "--home", str(home), *_ETHERNET, program=program)


@pytest.mark.parametrize("pair", ["c c", "c python", "python c"])
def test_megabytes_in_both_directions(world: World, pair: str) -> None:
    left, right = world.wire()
    inputs = [random_file(world.folder("near"), 5_000_001), random_file(world.folder("far"), 3_000_000)]
    listens, connects = pair.split()
    far = start(world, right, listens, world.home("bob"), inputs[1], "listen")
    near = start(world, left, connects, world.home("alice"), inputs[0], "connect", far.node_id())
    assert (near.end(), far.end()) == ((0, ""), (0, ""))
    assert digest(near.output) == digest(inputs[1]) and digest(far.output) == digest(inputs[0])


@pytest.mark.parametrize("pair", ["c c", "c python", "python c"])
@pytest.mark.parametrize("sender", ["near", "far"])
def test_one_direction_alone(world: World, pair: str, sender: str) -> None:
    """Who has nothing to say ends its direction at once, and takes everything all the same."""
    left, right = world.wire()
    data, nothing = random_file(world.folder("data"), 2_000_000), Path(os.devnull)
    listens, connects = pair.split()
    far = start(world, right, listens, world.home("bob"), data if sender == "far" else nothing, "listen")
    source = data if sender == "near" else nothing
    near = start(world, left, connects, world.home("alice"), source, "connect", far.node_id())
    assert (near.end(), far.end()) == ((0, ""), (0, ""))
    got, none = (far, near) if sender == "near" else (near, far)
    assert digest(got.output) == digest(data) and none.output.read_bytes() == b""


def test_who_cannot_be_connected(world: World) -> None:
    left, right = world.wire()
    nothing, alice = Path(os.devnull), world.home("alice")
    code, said = start(world, left, "c", alice, nothing, "connect", "7" * 64, "--wait", "0.2").end()
    assert code == 1 and said.startswith("meshchat-netcat-c: error: ") and said.count("\n") == 1
    bob = world.chat(right, world.home("bob"), *_ETHERNET, privileged=True)
    id = bob.node_id()
    code, said = start(world, left, "c", alice, nothing, "connect", id).end()
    assert code == 1 and "nobody takes connections" in said and said.count("\n") == 1
    for wrong in ("", "listen me", "connect", "connect bob", f"connect {id} --wait x", "--nothing"):
        code, said = start(world, left, "c", alice, nothing, *wrong.split()).end()
        assert code == 2 and said != ""


def test_whoever_is_killed_is_missed(world: World) -> None:
    """An end without an end: what came until then is not taken for all."""
    left, right = world.wire()
    far = start(world, right, "c", world.home("bob"), Path(os.devnull), "listen")
    command = [*netcat(), "connect", far.node_id(), "--home", str(world.home("alice")), *_ETHERNET]
    near = world.start(left, *command, privileged=True)
    near.type("the beginning")
    deadline = time.monotonic() + PATIENCE
    while not far.output.stat().st_size:
        assert time.monotonic() < deadline, near.report()
    near.process.send_signal(signal.SIGTERM)
    assert near.end() == 128 + signal.SIGTERM
    code, said = far.end()
    assert code == 1 and said.startswith("meshchat-netcat-c: error: "), said
    assert far.output.read_bytes() == b"the beginning\n"


def test_a_reader_that_is_gone(world: World) -> None:
    """Output that nobody takes any more is an error on both sides, not a death by a signal."""
    left, right = world.wire()
    data = random_file(world.folder("data"), 3_000_000)
    far = start(world, right, "c", world.home("bob"), data, "listen")
    id = far.node_id()
    command = [*netcat(), "connect", id, "--home", str(world.home("alice")), *_ETHERNET]
    script = '{ { "$@"; echo "code $?" >&3; } | head -c 1000 > /dev/null; } 3>&1'
    near = world.start(left, "sh", "-c", script, "sh", *command, privileged=True)
    # The first byte tells of the stream.
    near.type("go")
    near.wait_for_text("code 1")
    assert near.errors() == "meshchat-netcat-c: error: standard output: Broken pipe\n"
    code, said = far.end()
    assert code == 1 and said.startswith("meshchat-netcat-c: error: "), said
