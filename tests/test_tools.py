"""The commands that look at the mesh: node, nodes, ping, trace."""

from __future__ import annotations

import fcntl
import json
import signal
import stat
from pathlib import Path
from typing import Any

from harness import PYTHON, Namespace, Program, World, meet
from test_ethernet import LINK, Capture
from topology import chain


def meshchat(world: World, namespace: Namespace, *arguments: str | Path, privileged: bool = False) -> Program:
    return world.start(namespace, PYTHON, "-m", "meshchat", *arguments, privileged=privileged)


def ended(program: Program, code: int = 0) -> str:
    """What a command wrote, after it ended with that exit code."""
    assert program.end() == code, program.report()
    return "\n".join(program.lines)


def ask(world: World, namespace: Namespace, *arguments: str | Path, code: int = 0) -> Any:
    """What a command says as JSON."""
    return json.loads(ended(meshchat(world, namespace, *arguments, "--json"), code))


def relay(world: World, namespace: Namespace, home: Path, *options: str, privileged: bool = False) -> Program:
    command = ["node", "--home", str(home), "--nickname", home.name, *options]
    return meshchat(world, namespace, *command, privileged=privileged)


class Chain:
    """alice - carol - bob: alice and bob hear only carol, who has no chat."""

    def __init__(self, world: World) -> None:
        self.world = world
        network = chain(world, 3)
        self.left, middle, right = network.spaces
        self.alice_home = world.home("alice")
        self.carol = relay(world, middle, world.home("carol"), *network.links(1), privileged=True)
        self.alice = world.chat(self.left, self.alice_home, *network.links(0), privileged=True)
        self.bob = world.chat(right, world.home("bob"), *network.links(2), privileged=True)
        self.carol_id = self.carol.node_id()
        self.alice_id, self.bob_id = meet_over(self.alice, self.bob)

    def ask(self, *arguments: str, code: int = 0) -> Any:
        return ask(self.world, self.left, *arguments, "--home", self.alice_home, code=code)


def meet_over(*chats: Program) -> list[str]:
    ids = [chat.node_id() for chat in chats]
    for me, chat in zip(ids, chats, strict=True):
        for other in ids:
            if other != me:
                chat.wait_for(rf"\* found \S+ {other}")
    return ids


def test_a_chain(world: World) -> None:
    mesh = Chain(world)
    mesh.alice.type("@bob over somebody else")
    mesh.bob.wait_for_text("alice: over somebody else")

    nodes = {node["id"]: node for node in mesh.ask("nodes")}
    assert nodes.keys() == {mesh.bob_id, mesh.carol_id}
    near, far = nodes[mesh.carol_id], nodes[mesh.bob_id]
    way = ["next_hop", "hops", "metric", "mtu", "link"]
    assert list(far) == ["id", "nickname", "present", "last_seen", *way, "trust", "contact"]
    assert (near["nickname"], near["hops"], near["next_hop"]) == ("carol", 1, mesh.carol_id)
    assert (far["nickname"], far["hops"], far["next_hop"]) == ("bob", 2, mesh.carol_id)
    assert far["present"] and far["link"] == "ethernet:to1" and far["metric"] >= 192 and far["mtu"] > 1000
    mesh.alice.type("/nodes")
    mesh.alice.wait_for_text(f"{mesh.bob_id}  bob  here, 2 hops through carol")

    hops = mesh.ask("trace", "bob")
    assert [(hop["hop"], hop["id"], hop["nickname"]) for hop in hops] == [
        (1, mesh.carol_id, "carol"),
        (2, mesh.bob_id, "bob"),
    ]
    assert all(0 < hop["rtt"] < 2 for hop in hops)
    shown = ended(meshchat(world, mesh.left, "trace", mesh.bob_id[-5:], "--home", mesh.alice_home))
    assert [line.split()[:3] for line in shown.splitlines()] == [
        ["TRACE", "bob", mesh.bob_id],
        ["1", "carol", mesh.carol_id],
        ["2", "bob", mesh.bob_id],
    ]

    shown = ended(meshchat(world, mesh.left, "ping", "bob", "-c", "3", "-i", "0.05", "--home", mesh.alice_home))
    lines = shown.splitlines()
    assert lines[0] == f"PING bob {mesh.bob_id}" and lines[4] == f"--- bob {mesh.bob_id}"
    assert [line.split(" time=")[0] for line in lines[1:4]] == [f"bob: seq={n}" for n in (1, 2, 3)]
    assert lines[5] == "3 sent, 3 answered, 0 % lost" and lines[6].startswith("min/avg/max = ")

    mesh.carol.process.send_signal(signal.SIGTERM)
    assert mesh.carol.end() == 0 and mesh.carol.lines == [f"NODE_ID: {mesh.carol_id}"]
    log = mesh.carol.errors()
    assert f" found alice {mesh.alice_id}, 1 hop on ethernet:to0\n" in log
    assert f" found bob {mesh.bob_id}, 1 hop on ethernet:to2\n" in log
    assert "warning" not in log
    mesh.alice.wait_for_text(f"* lost bob {mesh.bob_id}")
    shown = ended(meshchat(world, mesh.left, "ping", "bob", "--wait", "0", "--home", mesh.alice_home), code=1)
    assert shown == ""


def test_a_node_keeps_messages_for_a_chat(world: World, host: Namespace) -> None:
    home = world.home("carol")
    alice = world.chat(host, world.home("alice"))
    carol = relay(world, host, home)
    carol_id = carol.node_id()
    alice.wait_for_text(f"* found carol {carol_id}")
    alice.type("@carol for later")
    alice.wait_for_text("* [1] delivered")
    carol.process.send_signal(signal.SIGINT)
    assert carol.end() == 0
    assert "it waits on disk for a chat" in carol.errors() and "for later" not in carol.errors()
    world.chat(host, home).wait_for_text("alice: for later")


def test_a_node_of_the_tools_own(world: World, host: Namespace) -> None:
    """Nobody runs in the home: a node is started there, and waits for the one that is wanted."""
    home = world.home("alice")
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    (node,) = ask(world, host, "nodes", "--home", home, "--wait", "2")
    assert (node["id"], node["nickname"], node["hops"], node["link"]) == (bob_id, "bob", 1, "udp")
    first, last = [
        json.loads(line)
        for line in ended(meshchat(world, host, "ping", "bob", "-c", "1", "--json", "--home", home)).splitlines()
    ]
    assert list(first) == ["seq", "id", "time", "rtt", "error"] and first["error"] is None
    assert list(last) == ["id", "sent", "answered", "loss_percent", "min", "avg", "max"]
    assert (last["sent"], last["answered"], last["loss_percent"]) == (1, 1, 0) and last["min"] == first["rtt"]
    (hop,) = ask(world, host, "trace", bob_id[:9], "--home", home)
    assert (hop["hop"], hop["id"], hop["nickname"]) == (1, bob_id, "bob")
    assert not (home / "control.sock").exists()
    bob.exit()

    gone = meshchat(world, host, "ping", "bob", "--wait", "0.2", "--home", home)
    assert gone.end() == 1 and "bob was not in reach within 0.2 s" in gone.errors() and gone.lines == []
    nobody = meshchat(world, host, "trace", "nobody", "--wait", "0.2", "--home", home)
    assert nobody.end() == 1 and "nobody was not found within 0.2 s" in nobody.errors()


def test_a_temporary_node(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    shown = ended(meshchat(world, host, "ping", "bob", "-c", "1", "--temporary", "--wait", "60"))
    assert f"PING bob {bob_id}" in shown
    left = [path.name for path in Path(world.environment()["TMPDIR"]).iterdir()]
    assert not any(name.startswith("meshchat-") for name in left), left


def test_ctrl_c_ends_a_ping_with_its_sum(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    ping = meshchat(world, host, "ping", "bob", "-i", "0.05", "--home", world.home("alice"))
    ping.wait_for(r"bob: seq=3 time=[0-9.]+ ms")
    ping.process.send_signal(signal.SIGINT)
    assert ping.end() == 0
    assert f"--- bob {bob_id}" in ping.lines and ping.lines[-1].startswith("min/avg/max = ")


def test_ping_of_a_node_that_vanishes(world: World) -> None:
    """Each question is counted, and the exit code is that of having got an answer."""
    left, right = world.wire()
    alice = world.chat(left, world.home("alice"), *LINK, privileged=True)
    bob = world.chat(right, world.home("bob"), *LINK, privileged=True)
    meet(alice, bob)
    home = Path(alice.command[alice.command.index("--home") + 1])
    ping = meshchat(world, left, "ping", "bob", "-i", "0.1", "-c", "40", "--timeout", "0.3", "--home", home)
    ping.wait_for(r"bob: seq=2 time=[0-9.]+ ms")
    bob.kill()
    ping.wait_for(r"bob: seq=\d+ no answer")
    assert ping.end() == 0
    total = next(line for line in ping.lines if " sent, " in line)
    assert total.startswith("40 sent, ") and not total.endswith(" 0 % lost")


def test_signals_leave_nothing_behind(world: World, host: Namespace) -> None:
    home = world.home("alice")
    bob = world.chat(host, world.home("bob"))
    bob.node_id()
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        program = meshchat(world, host, "nodes", "--wait", "600", "--home", home)
        bob.wait_for(r"\* found .*")
        program.process.send_signal(number)
        assert program.end() == code
        assert program.lines == [] and program.errors() == ""
        bob.wait_for(r"\* lost .*")
        with (home / "lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_program_that_answers_no_questions(world: World, host: Namespace) -> None:
    home = world.home("alice")
    chat = world.c_chat(host, home)
    chat.node_id()
    program = meshchat(world, host, "nodes", "--wait", "0.2", "--home", home)
    assert program.end() == 1 and "is in use by a program that answers no questions" in program.errors()
    chat.exit()


def test_the_socket_is_private_and_goes(world: World, host: Namespace) -> None:
    home = world.home("alice")
    alice = world.chat(host, home)
    alice.node_id()
    mode = (home / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    alice.kill()
    assert (home / "control.sock").exists(), "nobody tidies up after kill -9"
    assert ended(meshchat(world, host, "nodes", "--home", home, "--wait", "0")) == ""
    again = relay(world, host, home)
    again.node_id()
    assert ask(world, host, "nodes", "--home", home) == []
    again.process.send_signal(signal.SIGTERM)
    assert again.end() == 0 and not (home / "control.sock").exists()


def test_a_home_with_a_long_path(world: World, host: Namespace) -> None:
    """A socket's path is short; a home's need not be."""
    home = world.home("alice")
    deep = world.folder("deep-" + "x" * 120) / "home"
    home.rename(deep)
    node = relay(world, host, deep)
    node.node_id()
    assert ask(world, host, "nodes", "--home", deep) == []
    assert "warning" not in node.errors()


# -- private meshes ---------------------------------------------------------------------------------------------


def network_key(world: World, host: Namespace, folder: Path, name: str) -> str:
    path = folder / name
    shown = ended(meshchat(world, host, "network-key", path))
    assert shown.startswith(f"made {path}: ") and stat.S_IMODE(path.stat().st_mode) == 0o600
    return str(path)


def test_only_those_with_the_key_meet(world: World, host: Namespace) -> None:
    folder = world.folder("keys")
    ours, theirs = (network_key(world, host, folder, name) for name in ("ours", "theirs"))
    alice = world.chat(host, world.home("alice"), "--network-key-file", ours)
    bob = relay(world, host, world.home("bob"), "--network-key-file", ours)
    others = [world.chat(host, world.home("carol")), world.chat(host, world.home("dave"), "--network-key-file", theirs)]
    ids = [other.node_id() for other in others]
    alice_id = alice.node_id()
    bob_id = bob.node_id()
    alice.wait_for_text(f"* found bob {bob_id}")

    shown = ended(meshchat(world, host, "nodes", "--temporary", "--wait", "3", "--network-key-file", ours))
    assert sorted(line.split()[0] for line in shown.splitlines()[1:]) == sorted([alice_id, bob_id])
    shown = ended(meshchat(world, host, "nodes", "--temporary", "--wait", "3"))
    assert [line.split()[0] for line in shown.splitlines()[1:]] == [ids[0]]
    for other in others:
        other.exit()
        assert not any(ours in line for line in other.lines for ours in (alice_id, bob_id)), other.report()


def test_a_listener_without_the_key_learns_no_name(world: World) -> None:
    left, right = world.wire()
    key = network_key(world, left, world.folder("keys"), "network.key")
    capture = Capture(world, left)
    options = (*LINK, "--network-key-file", key)
    alice = world.chat(left, world.home("alice"), "--nickname", "alice-in-chains", *options, privileged=True)
    bob = world.chat(right, world.home("bob"), "--nickname", "bob-the-builder", *options, privileged=True)
    ids = meet(alice, bob)
    alice.type("@bob-the-builder hello")
    alice.wait_for_text("* [1] delivered")
    alice.exit()
    bob.exit()
    seen = b"".join(capture.frames())
    assert len(seen) > 5000
    for secret in (b"alice-in-chains", b"bob-the-builder", *(bytes.fromhex(node)[:16] for node in ids)):
        assert secret not in seen


def test_network_keys_that_cannot_be_used(world: World, host: Namespace) -> None:
    folder = world.folder("keys")
    key = Path(network_key(world, host, folder, "network.key"))
    again = meshchat(world, host, "network-key", key)
    assert again.end() == 1 and "is not overwritten" in again.errors()
    missing = relay(world, host, world.home("alice"), "--network-key-file", str(folder / "none"))
    assert missing.end() == 1 and "there is no network key" in missing.errors() and missing.lines == []
    key.chmod(0o644)
    too_open = meshchat(world, host, "nodes", "--home", world.home("bob"), "--network-key-file", key)
    assert too_open.end() == 1 and f"chmod 600 {key}" in too_open.errors()
