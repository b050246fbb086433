"""The C chat and the Python chat say the same, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import v1_peer
from harness import PYTHON, Namespace, Program, World, chat_command, meet
from topology import chain

LONGEST = "x" * (1 << 20)


def both(world: World, run: Callable[[str], list[str]]) -> None:
    python, c = run("python"), run("c")
    assert python == c


def plain(which: str) -> list[str]:
    return ["--plain"] if which == "python" else []


def start(world: World, host: Namespace, which: str, home: Path, *options: str, **env: str) -> Program:
    options = (*plain(which), "--nickname", "alice", *options)
    return world.start(host, *chat_command(which, home, *options), env=env)


def heard(program: Program) -> list[str]:
    """What a chat wrote, without what differs from run to run: paths, programs' names, whether "sent" was told before
    "delivered", and when "read" was."""
    home = program.command[program.command.index("--home") + 1]
    errors = re.sub(r"^(meshchat|meshchat-chat-c): ", "PROGRAM: ", program.errors(), flags=re.MULTILINE)
    lines = [line.replace(home, "HOME") for line in (*program.lines, *errors.splitlines())]
    lines = [re.sub(r"(setcap \S+) .*", r"\1 PROGRAM", line) for line in lines]
    return [line for line in lines if not re.fullmatch(r"\* \[[0-9a-f]+\] (sent|read)", line)]


def told_in_time(program: Program) -> list[str]:
    """What a chat wrote, history included: without ids of rooms, times, and whether a message was read by then."""
    lines = [re.sub(r"\b[0-9a-f]{32}\b", "ID", line) for line in heard(program)]
    lines = [re.sub(r"\[(delivered|read)\]$", "[arrived]", line) for line in lines]
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", line) for line in lines]


def test_a_conversation(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        alice_id = alice.node_id()
        alice.type("/nodes", "nobody listens", "@", "@ nobody", "@nobody hello", "/dance\tnow", "/", "/help", "/bye", " \t ")
        alice.type(b"caf\xe9", b"/caf\xe9", "@bo\x1b[31mb", "y" * (3 << 20), "/bye now")
        alice.wait_for("! no conversation .*")
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        bob_id = alice.wait_for(r"\* found bob (.*)")[1]
        world.chat(host, world.home(f"carol-{which}", key="carol"), "--nickname", "carol")
        alice.wait_for(r"\* found carol .*")
        steps = [
            ("@bob \t hello\tyou \x1b[2J\u202e\u061cend \t", "1"),
            ("  indented, Žofie 👩‍🚀", "2"),
            (f"@{bob_id[:9].upper()} by id", "3"),
            (f"@{bob_id[-5:]} by the last digits", "4"),
            (LONGEST, "5"),
            ("@carol another conversation", "6"),
        ]
        for line, number in steps:
            alice.type(line)
            alice.wait_for_text(f"* [{number}] delivered")
        alice.type(LONGEST + "x", "@carol", f"@{alice_id} to myself", "@" + "0" * 64, "@" + "0" * 64 + " hello")
        alice.type("@carol")
        bob.wait_for_text(f"alice: {LONGEST}")
        bob.type("@alice one", "two", "three\x1b[1m\rend", "@alice four")
        alice.wait_for_text("bob: four")
        alice.type("/bye\t", "/bye", "to nobody", "/nodes")
        alice.wait_for(rf"{bob_id}  bob  here")
        bob.type("five")
        alice.wait_for_text("bob: five")
        bob.exit()
        alice.wait_for(r"\* lost bob .*")
        alice.type("@bob wait for me", "and me", "/exit now", "/help")
        assert alice.end() == 0
        return heard(alice)

    both(world, run)


def test_a_node_behind_another_one(world: World) -> None:
    network = chain(world, 3)
    carol_home, bob_home = world.home("carol"), world.home("bob")
    carol = world.chat(network.spaces[1], carol_home, *network.links(1), privileged=True)
    bob = world.chat(network.spaces[2], bob_home, *network.links(2), privileged=True)
    carol_id, bob_id = meet(carol, bob)

    def run(which: str) -> list[str]:
        home = world.home(f"alice-{which}", key="alice")
        command = chat_command(which, home, *plain(which), "--nickname", "alice", *network.links(0))
        alice = world.start(network.spaces[0], *command, privileged=True)
        for _ in range(2):
            alice.wait_for(r"\* found (bob|carol) .*")
        alice.type("/nodes")
        alice.wait_for_text(f"{bob_id}  bob  here, 2 hops through carol")
        alice.exit()
        assert f"{carol_id}  carol  here" in alice.lines
        # Who is found first is a matter of luck, as is whether the kernel has told by then that the cable is in.
        return sorted(line for line in heard(alice) if not line.startswith("! link"))

    both(world, run)


def test_programs_of_version_1(world: World) -> None:
    def run(which: str) -> list[str]:
        left, right = world.wire()
        for host, mac in ((left, "02:00:5e:10:00:01"), (right, "02:00:5e:10:00:02")):
            host.run("ip", "link", "set", "eth0", "address", mac)
        home = world.home(f"alice-{which}", key="alice")
        chat = world.start(left, *chat_command(which, home, *plain(which), "--v1", "eth0"), privileged=True)
        chat.node_id()

        def peer(*command: str) -> Program:
            return world.start(right, PYTHON, Path(v1_peer.__file__), "eth0", *command, privileged=True)

        other = "v1:02:00:5e:10:00:02"
        listener = peer("listen")
        chat.wait_for(rf"\* found insecure {other} .*")
        chat.type("/nodes", f"@{other}", "one")
        chat.wait_for_text("* [1] delivered (insecure)")
        chat.type(f"@{other} two\x1b", "/bye", "/connect", "/connect x y", "@V1:x", "@v1:", f"@{other} " + "x" * 1477)
        chat.wait_for_text("* [2] delivered (insecure)")
        chat.type("x" * 1478, f"/connect\t{other[3:].upper()} ", "hello?")
        chat.wait_for(rf"\* the stream with insecure {other} has ended: no answer")
        listener.kill()
        listener.process.wait()
        server = peer("chat-server")
        server.wait_for("v1 .*")
        chat.type(f"/connect {other}")
        chat.wait_for(".*the stream is open")
        server.type("a \t b", "\x1b[2J\u202e")
        chat.wait_for("insecure .*\ufffd")
        chat.type("to the server", "/bye")
        chat.wait_for(".*closed here")
        assert server.end() == 0
        assert peer("message", "02:00:5e:10:00:01", "from v1").end() == 0
        chat.wait_for_text(f"* answer with @{other} text")
        client = peer("chat-client", "02:00:5e:10:00:01")
        chat.wait_for(".*NEW: INSECURE.*")
        client.type("bye")
        client.close_input()
        chat.wait_for(".*closed by the peer")
        chat.wait_for(".* END .*")
        chat.exit()
        return heard(chat)

    both(world, run)


def test_version_1_was_not_asked_for(world: World, host: Namespace) -> None:
    def run(which: str) -> list[str]:
        chat = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        chat.node_id()
        chat.type("@v1:02:00:5e:10:00:02 text", "/connect v1:02:00:5e:10:00:02", "/exit")
        assert chat.end() == 0
        return heard(chat)

    both(world, run)


# Waits for a message, and says something to everybody.
SHOUT = r"""
import sys, meshchat
with meshchat.Node(sys.argv[1], nickname="dave").blocking() as node:
    while not isinstance(node.next_event(), meshchat.Message):
        pass
    node.broadcast("hear\nme \x1b[1m")
    node.next_event(timeout=60)
"""


def test_a_broadcast(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        dave = world.start(host, PYTHON, "-c", SHOUT, world.home(f"dave-{which}", key="dave"))
        alice.wait_for(r"\* found dave .*")
        alice.type("@dave go")
        # Which comes first is a matter of luck.
        for text in ("* [1] delivered", "dave to all: hear", "  me \ufffd[1m"):
            if text not in alice.lines:
                alice.wait_for_text(text)
        alice.exit()
        assert dave.end() == 0, dave.report()
        return sorted(heard(alice))

    both(world, run)


def test_people_and_the_past(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        alice_id = alice.node_id()
        files = world.folder(f"files-{which}")
        alice.type("/contacts", "/history", "/verify", "/block", "/unblock\t", "/verify nobody", "/block nobody x")
        alice.type("/contacts forget x", "/contacts export", "/contacts import", "/contacts import nowhere")
        alice.type(f"/block {alice_id}", f"/verify {'0' * 64}", "/verify nobody maybe", "/contacts import meshchat:1:x")
        alice.wait_for("! not a contact.*")
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        bob_id = alice.wait_for(r"\* found bob (.*)")[1]
        alice.type("@bob Dobré \x1b ráno")
        alice.wait_for_text("* [1] read")
        bob.type("@alice hello\x1b[2J")
        alice.wait_for("bob: hello.*")
        alice.type("/history", "/history 1", "/history 1 rano", "/history  zzz", "/history 0", "/history 5000 x", "/history !")
        alice.wait_for("! nothing to search for.*")
        alice.type("/verify", "/verify bob", "/verify bob yes", "/contacts", "/nodes", "/verify bob no", "/bye", "/history")
        alice.type(f"/contacts export {files}/a b", f"/contacts export {files}/a b", f"/contacts import {files}/a b")
        alice.wait_for(r"\* compare safety words .*")
        line = (files / "a b").read_text().strip()
        (files / "wrong").write_text(f"# bob\n\n{line}\n{line}x\n")
        (files / "empty").write_text("# nobody\n")
        alice.type(f"/contacts import {line}", f"/contacts import {files}/wrong", f"/contacts import {files}/empty")
        alice.type(f"/contacts import {files}", f"/contacts export {files}/no/where")
        alice.type("/block bob", "@bob hello", "/nodes", f"/verify {bob_id} yes", "/unblock bob", "/block " + "0" * 64)
        alice.type("@bob the end")
        alice.wait_for_text("* [2] delivered")
        alice.exit()
        return [line.replace(str(files), "FILES") for line in told_in_time(alice)]

    both(world, run)


def test_a_name_that_somebody_else_takes(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        bob_id = alice.wait_for(r"\* found bob (.*)")[1]
        alice.type("@bob hello")
        alice.wait_for_text("* [1] delivered")
        world.chat(host, world.home(f"carol-{which}", key="carol"), "--nickname", "bob").node_id()
        alice.wait_for(r"=+ WARNING =+")
        alice.wait_for(r"\* found bob .*")
        alice.type("a secret", "@bob a secret", "/verify bob", f"@{bob_id} by the id", "/verify", f"/verify {bob_id} yes")
        alice.type("@bob by the name")
        bob.wait_for_text("alice: by the name")
        alice.wait_for_text("* [3] delivered")
        alice.exit()
        return sorted(heard(alice))

    both(world, run)


def test_names_that_two_have(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        for name in ("bob", "carol"):
            twin = world.chat(host, world.home(f"{name}-{which}", key=name), "--nickname", "twin")
            alice.wait_for(r"\* found twin .*")
            twin.wait_for(r"\* found alice .*")
            twin.type(f"@alice I am {name}")
            alice.wait_for(r"\* answer with .*")
        alice.type("@twin who?", "/exit")
        assert alice.end() == 0
        return heard(alice)

    both(world, run)


def test_files(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        folder = world.folder(f"files-{which}")
        for name, size in (("small.txt", 5), ("empty", 0), ("one", 1), ("large.bin", 1_234_567)):
            (folder / name).write_bytes(b"x" * size)
        home = world.home(f"alice-{which}", key="alice")
        alice = start(world, host, which, home, HOME=str(folder))
        alice.type("/files", "/accept", "/refuse 1", "/accept x", "/refuse -1", "/accept 1234567890", "/send", "/send \t x")
        alice.wait_for("! files go to .*")
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        alice.wait_for(r"\* found bob .*")
        bob.wait_for(r"\* found alice .*")
        alice.type("@bob", f"/send {folder}", f"/send {folder}/nothing", f"/send  {folder}/small.txt \t")
        bob.wait_for(r"\* alice offers \[1\] small\.txt \(5 bytes\): /accept 1 or /refuse 1")
        alice.type("/send ~/one")
        bob.wait_for(r"\* alice offers \[2\] one \(1 byte\): .*")
        alice.wait_for_text("* offering [2] one (1 byte) to bob")
        alice.type("/files", "/accept", "/accept 1", "/refuse 2")
        bob.wait_for_text("* [2] one: the sender cancelled it")
        bob.type("/accept")
        alice.wait_for_text("* [1] small.txt has arrived at bob, whole and verified")
        for number, name in ((3, "large.bin"), (4, "empty")):
            bob.type("@alice", f"/send {folder}/{name}")
            alice.wait_for(rf"\* bob offers \[{number}\] {name} .*")
        alice.type("/accept", "/accept 9", "/accept 3")
        alice.wait_for(r"\* \[3\] large\.bin is here, .*")
        alice.type("/accept 3", "/accept")
        alice.wait_for(r"\* \[4\] empty is here, .*")
        alice.type("/refuse", "/files", "/bye", "/send x", "/exit")
        assert alice.end() == 0
        assert (home / "downloads/large.bin").read_bytes() == b"x" * 1_234_567
        # How far it is told of depends on how fast it goes.
        lines = [line for line in heard(alice) if not re.fullmatch(r"\* \[\d+\] large\.bin: \d+ %", line)]
        return [line.replace(str(folder), "FOLDER") for line in lines]

    both(world, run)


def test_a_room(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        alice.node_id()
        alice.type("/room", "/join", "/leave", "/invite \t", "/remove", "/invite bob", "/remove bob", "/leave hikers")
        alice.type("/join hikers", "/room two words", "/room hi\x1bkers", "/rooms", "/roomhikers")
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        alice.wait_for(r"\* found bob .*")
        bob.wait_for(r"\* found alice .*")
        alice.type("/room \t hikers ")
        room = alice.wait_for(r"([0-9a-f]{32})  hikers  made by you; members: you")[1]
        alice.type("to nobody", "/invite nobody", "/invite bob", "/invite bob", "/send x", "/verify", "/history")
        bob.wait_for_text("* you are invited to the room hikers: /join hikers or /leave hikers")
        alice.type("/room")
        alice.wait_for(".*; invited: bob")
        bob.type("/join hikers")
        bob.wait_for_text("* you are in the room hikers: /room hikers opens it")
        alice.wait_for_text("* [hikers] bob has joined")
        alice.type("good \x1b morning")
        alice.wait_for_text("* [1] delivered to bob")
        bob.wait_for_text("[hikers] alice: good \ufffd morning")
        bob.type("/room hikers", "hello\x1b all")
        alice.wait_for_text("[hikers] bob: hello\ufffd all")
        alice.type(f"/room {room[:6]}", "/room", "/history", "/history 1 hello", "@bob", "/history", "to you alone")
        alice.wait_for_text("* [2] delivered")
        for text in ("are you there?", "nobody?"):
            bob.type(text)
            alice.wait_for_text(f"[hikers] bob: {text}")
        alice.type("/bye", "/history", "/room hikers", "/remove bob")
        alice.wait_for_text("* [hikers] bob was removed")
        alice.type("/remove bob", "/invite bob")
        bob.wait_for_text("* you are invited to the room hikers: /join hikers or /leave hikers")
        bob.type("/join hikers")
        alice.wait_for_text("* [hikers] bob has joined")
        bob.wait_for_text("* you are in the room hikers: /room hikers opens it")
        bob.type("/leave hikers")
        alice.wait_for_text("* [hikers] bob has left")
        alice.type("/room", "/leave")
        alice.wait_for_text("* the room hikers is closed")
        alice.type("/room", "/room hikers", "too late", "/leave hikers", "/room", "/history", "/exit")
        assert alice.end() == 0
        return told_in_time(alice)

    both(world, run)


def test_the_rooms_of_somebody_else(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        alice = start(world, host, which, world.home(f"alice-{which}", key="alice"))
        bob = world.chat(host, world.home(f"bob-{which}", key="bob"), "--nickname", "bob")
        alice.wait_for(r"\* found bob .*")
        bob.wait_for(r"\* found alice .*")
        for room in ("climbers", "hikers", "divers"):
            bob.type(f"/room {room}", "/invite alice")
            alice.wait_for_text(f"* you are invited to the room {room}: /join {room} or /leave {room}")
        alice.type("/leave divers", "/room climbers", "too early", "/join climbers")
        alice.wait_for_text("* you are in the room climbers: /room climbers opens it")
        alice.type("/room climbers", "/invite bob", "/remove bob", "let us climb")
        alice.wait_for_text("* [1] delivered to bob")
        bob.type("/room climbers", "/remove alice")
        alice.wait_for(r"=+ END =+")
        alice.type("to nobody", "/room climbers", "too late", "/history", "/leave climbers", "/join hikers")
        alice.wait_for_text("* you are in the room hikers: /room hikers opens it")
        alice.type("/room hikers")
        alice.wait_for(".*  hikers  .*")
        bob.type("/leave hikers")
        alice.wait_for(r"=+ END =+")
        alice.type("too late", "/history", "/leave hikers", "/join hikers", "/exit")
        assert alice.end() == 0
        return told_in_time(alice)

    both(world, run)


def test_queued_from_an_earlier_run(world: World) -> None:
    def run(which: str) -> list[str]:
        host = world.namespace()
        homes = [world.home(f"{name}-{which}", key=name) for name in ("alice", "bob")]
        bob = world.chat(host, homes[1], "--nickname", "bob")
        alice = start(world, host, which, homes[0])
        alice.wait_for(r"\* found bob .*")
        bob.exit()
        alice.wait_for(r"\* lost bob .*")
        alice.type("@bob later")
        alice.wait_for_text("* [1] queued")
        alice.exit()
        again = start(world, host, which, homes[0])
        again.node_id()
        world.chat(host, homes[1], "--nickname", "bob").wait_for_text("alice: later")
        again.wait_for(r"\* \[[0-9a-f]{8}\] delivered")
        again.exit()
        return [re.sub(r"\[[0-9a-f]{8}\]", "[id]", line) for line in heard(again)]

    both(world, run)


def test_home_in_use(world: World, host: Namespace) -> None:
    home = world.home("alice")
    world.chat(host, home).node_id()

    def run(which: str, env: dict[str, str]) -> list[str]:
        command = chat_command(which, home, *plain(which), "--nickname", "alice", "--link", "udp")
        if env:
            del command[command.index("--home") : command.index("--home") + 2]
        program = world.start(world.namespace(), *command, env=env)
        program.node_id()
        program.exit()
        assert program.lines[:2] == [
            f"* the home {home} is in use by a running chat or node; going on with a temporary identity",
            "* making a key; this takes some seconds",
        ]
        return [re.sub("[0-9a-f]{64}", "ID", line) for line in program.lines] + program.errors().splitlines()

    both(world, lambda which: run(which, {}))
    both(world, lambda which: run(which, {"MESHCHAT_HOME": str(home)}))


@pytest.mark.parametrize(
    ("options", "env", "code", "says"),
    [
        (["--link", "carrier-pigeon"], {}, 2, "is not a link"),
        (["--link", "ethernet:nowhere"], {}, 1, "there is no interface"),
        (["--link", "ethernet:lo", "--link", "udp"], {}, 0, "! link ethernet:lo: no permission"),
        (["--link", "udp", "--link", "ethernet:nowhere"], {}, 0, "! link ethernet:nowhere: there is no interface"),
        (["--nickname", "two words"], {}, 2, "white space"),
        (["--network-key-file", "/nowhere"], {}, 1, "/nowhere: there is no network key"),
        (["--network-key-file", "/dev/null"], {}, 1, "/dev/null: not a network key"),
        (["--home", "/proc/nowhere"], {}, 1, "/proc/nowhere"),
        ([], {"MESHCHAT_PASSPHRASE": "the key has none"}, 0, "NODE_ID"),
        ([], {"MESHCHAT_PASSPHRASE": ""}, 0, "NODE_ID"),
    ],
)
def test_start(
    world: World, host: Namespace, options: list[str], env: dict[str, str], code: int, says: str
) -> None:
    def run(which: str) -> list[str]:
        program = start(world, host, which, world.home(f"alice-{which}", key="alice"), *options, **env)
        program.close_input()
        assert program.end() == code, program.report()
        assert says in program.report()
        return heard(program)

    both(world, run)


@pytest.mark.parametrize("passphrase", ["", "close sesame", "open sesame"])
def test_protected_key(world: World, host: Namespace, passphrase: str) -> None:
    def run(which: str) -> list[str]:
        program = start(world, host, which, world.home(f"locked-{which}", key="locked"), MESHCHAT_PASSPHRASE=passphrase)
        program.close_input()
        assert program.end() == (0 if passphrase == "open sesame" else 1), program.report()
        return heard(program)

    both(world, run)


@pytest.mark.parametrize("spoil", [lambda key: key.chmod(0o644), lambda key: key.write_text("no key")])
def test_unusable_key(world: World, host: Namespace, spoil: Callable[[Path], object]) -> None:
    def run(which: str) -> list[str]:
        home = world.home(f"alice-{which}", key="alice")
        spoil(home / "identity.pem")
        program = start(world, host, which, home)
        program.close_input()
        assert program.end() == 1
        return heard(program)

    both(world, run)


def test_a_key_is_made(world: World, host: Namespace) -> None:
    def run(which: str) -> list[str]:
        program = start(world, host, which, world.folder(f"new-{which}"))
        program.close_input()
        assert program.end() == 0
        return [re.sub("[0-9a-f]{64}", "ID", line) for line in heard(program)]

    both(world, run)


def test_signals(world: World, host: Namespace) -> None:
    def run(which: str) -> list[str]:
        codes = []
        for number in (1, 2, 15):
            program = start(world, host, which, world.home(f"alice-{which}-{number}", key="alice"))
            program.node_id()
            program.process.send_signal(number)
            codes.append(str(program.end()))
        return codes

    both(world, run)
