"""The chat on a terminal, as its user sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from harness import PATIENCE, PYTHON, TERMINAL_SIZE, Namespace, Program, World, chat_command, meet

both_chats = pytest.mark.parametrize("which", ["python", "c"])


class Screen:
    """What a terminal shows of a program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        lines, columns = TERMINAL_SIZE
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while not condition(self.lines):
            data = self._program.read(deadline)
            assert data, "\n".join(self.lines)
            self._stream.feed(data)
        return self.lines

    def until_line(self, line: str) -> None:
        self.until(lambda lines: line in lines)


def on_terminal(world: World, host: Namespace, which: str, name: str) -> tuple[Program, Screen]:
    program = world.start(host, *chat_command(which, world.home(name)), terminal=True)
    return program, Screen(program)


@both_chats
def test_incoming_lines_leave_the_input_line_whole(world: World, host: Namespace, which: str) -> None:
    other = world.chat(host, world.home("bob"))
    program, screen = on_terminal(world, host, which, "alice")
    screen.until(lambda lines: any(line.startswith("* found bob") for line in lines))
    other.wait_for(r"\* found alice .*")
    screen.until(lambda lines: lines[-1] == ">")

    program.press("@bob half of a li")
    screen.until(lambda lines: lines[-1] == "> @bob half of a li")
    other.type("@alice one", *(f"more {n}" for n in range(30)), "last")
    screen.until(lambda lines: "bob: last" in lines and lines[-1] == "> @bob half of a li")
    assert [line for line in screen.lines if "half" in line] == ["> @bob half of a li"]

    program.press("ne\r")
    other.wait_for_text("alice: half of a line")
    screen.until(lambda lines: "You: half of a line" in lines and lines[-1] == "bob>")
    screen.until_line("* [1] delivered")
    assert not any("@bob" in line for line in screen.lines), "a line that was sent is shown once, as one's own"

    program.press("/bye\r")
    screen.until(lambda lines: "================= END =================" in lines and lines[-1] == ">")
    program.press("/exit\r")
    assert program.end() == 0


@both_chats
def test_messages_that_were_shown_do_not_come_again(world: World, host: Namespace, which: str) -> None:
    other = world.chat(host, world.home("bob"))
    program, screen = on_terminal(world, host, which, "alice")
    other.wait_for(r"\* found alice .*")
    other.type("@alice once")
    screen.until_line("bob: once")
    program.press("/exit\r")
    assert program.end() == 0
    alice = world.chat(host, program_home(program))
    alice.node_id()
    other.type("twice")
    alice.wait_for_text("bob: twice")
    assert "bob: once" not in alice.lines


def program_home(program: Program) -> Path:
    return Path(program.command[program.command.index("--home") + 1])


@both_chats
def test_keys_that_end_the_chat(world: World, host: Namespace, which: str) -> None:
    for key, code in (("\x03", 130), ("\x04", 0)):
        program, screen = on_terminal(world, host, which, {"\x03": "alice", "\x04": "bob"}[key])
        screen.until(lambda lines: bool(lines) and lines[-1] == ">")
        program.press(key)
        assert program.end() == code
        assert "Traceback" not in "\n".join(screen.lines)


def test_plain_on_a_terminal(world: World, host: Namespace) -> None:
    home = world.home("alice")
    program = world.start(host, PYTHON, "-m", "meshchat", "chat", "--plain", "--home", home, terminal=True)
    other = world.chat(host, world.home("bob"))
    meet(program, other)
    program.type("@bob hello")
    other.wait_for(r"\S+: hello")
    program.press("\x04")
    assert program.end() == 0


@both_chats
def test_a_passphrase_is_asked_for_and_not_shown(world: World, host: Namespace, which: str) -> None:
    command = chat_command(which, world.home("locked"))
    for typed, code in (("close sesame\r", 1), ("\x03", 130), ("\x04", 130)):
        program = world.start(host, *command, terminal=True)
        program.wait_for_prompt("Passphrase of the key: ")
        program.press(typed)
        assert program.end() == code
        assert not any("sesame" in line for line in program.lines)
    program = world.start(host, *command, terminal=True)
    program.wait_for_prompt("Passphrase of the key: ")
    program.press("open sesame\r")
    screen = Screen(program)
    screen.until(lambda lines: bool(lines) and lines[-1] == ">")
    assert not any("sesame" in line for line in screen.lines)
    program.press("/exit\r")
    assert program.end() == 0
