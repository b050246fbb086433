"""What README.md says is true: its programs run, its screen is what the chat shows, its files are there."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from meshchat.cli import _parser

from harness import PYTHON, REPOSITORY, Namespace, World, meet
from test_terminal import Screen
from topology import chain

README = (REPOSITORY / "README.md").read_text()
PACKAGE_README = (REPOSITORY / "python/README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def screens() -> list[str]:
    """What terminals show after a command."""
    return re.findall(r"^```\n(\$ .*?)^```$", README, re.MULTILINE | re.DOTALL)


def only_block(text: str, language: str) -> str:
    (block,) = blocks(text, language)
    return block


@pytest.mark.parametrize("text", [README, PACKAGE_README], ids=["README.md", "python/README.md"])
def test_the_python_program_echoes(world: World, host: Namespace, text: str) -> None:
    home = world.home("carol")
    echo = world.start(host, PYTHON, "-u", "-c", only_block(text, "python"), env={"MESHCHAT_HOME": str(home)})
    alice = world.chat(host, world.home("alice"))
    nickname = alice.wait_for(r"\* found (\S+) [0-9a-f]{64}")[1]
    alice.type(f"@{nickname} is there an echo?")
    alice.wait_for_text(f"{nickname}: is there an echo?")
    alice.exit()
    assert (echo.process.poll(), echo.errors()) == (None, "")


def test_the_c_program_compiles_and_starts(world: World, host: Namespace) -> None:
    command = re.search(r"`(cc hello\.c [^`]*)`", README)
    assert command, "README.md says how to compile hello.c"
    folder = world.folder("c")
    (folder / "hello.c").write_text(only_block(README, "c"))
    prefix = world.folder("prefix")
    install("install-c", PREFIX=prefix, DESTDIR="")
    libraries = prefix / "lib"
    env = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "CPATH": "", "LIBRARY_PATH": ""}
    strict = command[1].replace("cc ", "cc -std=c99 -Wall -Wextra -Wpedantic -Werror ", 1)
    compiled = subprocess.run(["sh", "-c", strict], cwd=folder, env=env, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    home = world.home("carol")
    program = world.start(
        host, folder / "a.out", privileged=True, env={"MESHCHAT_HOME": str(home), "LD_LIBRARY_PATH": str(libraries)}
    )
    program.node_id()
    assert (program.end(), program.errors()) == (0, "")


def shortened(line: str) -> str:
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{49}([0-9a-f]{5})\b", r"\1…\2", line)


def settled(lines: list[str]) -> list[str]:
    """Without that a message was sent, which is told when the receipt takes its time."""
    return [shortened(line) for line in lines if not line.endswith("] sent")]


def test_the_conversation(world: World, host: Namespace) -> None:
    """Each line of the screen, and behind it what anna typed."""
    first, *rest = screens()[0].splitlines()
    shown = [re.split(r" {2,}\(anna types (.*)\)$", line) for line in rest]
    ben = world.chat(host, world.home("ben", key="bob"))
    home = world.home("anna", key="alice")
    command = first.removeprefix("$ .venv/bin/meshchat ").split()
    anna = world.start(host, PYTHON, "-m", "meshchat", *command, "--home", home, terminal=True)
    screen = Screen(anna)
    ben.wait_for(r"\* found anna .*")
    for count, (line, *typed) in enumerate(shown):
        if typed:
            anna.press(f"{typed[0]}\r")
        if line.startswith("ben: "):
            ben.type(f"@anna {line.removeprefix('ben: ')}")
        wanted = [line for line, *_ in shown[: count + 1]]
        screen.until(lambda lines: settled(lines)[: len(wanted)] == wanted)


def test_the_trace(world: World) -> None:
    """The way over carol, but for the times."""
    network = chain(world, 3)
    homes = [world.home(name, key=key) for name, key in (("anna", "alice"), ("carol", "carol"), ("ben", "bob"))]
    chats = [
        world.chat(space, home, *network.links(machine), privileged=True)
        for machine, (space, home) in enumerate(zip(network.spaces, homes, strict=True))
    ]
    meet(*chats)
    first, *rest = screens()[1].splitlines()
    command = first.removeprefix("$ .venv/bin/meshchat ").split()
    trace = world.start(network.spaces[0], PYTHON, "-m", "meshchat", *command, "--home", homes[0], privileged=True)
    assert trace.end() == 0, trace.report()
    shown, said = ([re.sub(r"[0-9.]+ ms$", "", shortened(line)) for line in lines] for lines in (trace.lines, rest))
    assert shown == said


def test_its_commands_exist() -> None:
    """Every command line that it names is one."""
    commands = re.findall(r"(?:`|\$ )(?:\.venv/bin/)?meshchat ([a-z][^`\n]*)", README)
    assert len(commands) > 8
    for command in commands:
        if command == "id":
            continue
        options = _parser().parse_args(command.split())
        assert callable(options.run), command


def test_links_lead_somewhere() -> None:
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (REPOSITORY / path).exists(), path
    for path in re.findall(r"`((?:docs|examples|tests|scripts|include)/[\w./]+)`", README):
        assert (REPOSITORY / path).exists(), path


def test_versions_are_those_of_the_manifests() -> None:
    rust = re.search(r'rust-version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text())
    python = re.search(r'requires-python = ">=(.*)"', (REPOSITORY / "python/pyproject.toml").read_text())
    assert rust and python
    assert f"Rust ({rust[1]} or later)" in README and f"Python ({python[1]} or later)" in README
    assert f"Rust {rust[1]} or later" in PACKAGE_README


def test_make_knows_what_is_said_of_it() -> None:
    makefile = (REPOSITORY / "Makefile").read_text() + (REPOSITORY / "ffi/install.mk").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    texts = README + (REPOSITORY / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:^|`|sudo )make ([a-z-]+)", texts, re.MULTILINE))
    assert {"chat", "test", "install"} <= named <= targets


def install(target: str, **variables: object) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", target, *(f"{key}={value}" for key, value in variables.items())]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_install_and_uninstall(world: World) -> None:
    stage = world.folder("a stage")
    install("install-c", PREFIX="/opt/mesh", DESTDIR=stage)
    installed = {str(path.relative_to(stage)) for path in stage.rglob("*") if not path.is_dir()}
    programs = {"bin/meshchat-chat-c", "bin/meshchat-netcat-c"}
    expected = programs | {"include/meshchat.h", "lib/libmeshchat.a", "lib/libmeshchat.so"}
    assert {f"opt/mesh/{name}" for name in expected} <= installed
    assert "prefix=/opt/mesh\n" in (stage / "opt/mesh/lib/pkgconfig/meshchat.pc").read_text()
    for link in (stage / "opt/mesh/lib").iterdir():
        assert not link.is_symlink() or (not os.path.isabs(os.readlink(link)) and link.exists())
    install("uninstall-c", PREFIX="/opt/mesh", DESTDIR=stage)
    assert [path for path in stage.rglob("*") if not path.is_dir()] == []
