"""Real processes on networks that a test makes and that end with it.

A network namespace lives as long as the process that holds it, and that one ends when this process does: nothing has to
be cleaned up by name, and nothing stays behind a test that was killed. As root the namespaces are made directly, else in
a user namespace.
"""

from __future__ import annotations

import fcntl
import functools
import os
import pty
import re
import select
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
KEYS = Path(__file__).parent / "keys"
PYTHON = sys.executable

#: Seconds that a test waits for something before it fails. Far more than anything takes on a loaded machine.
PATIENCE = 15.0

# Debian's users do not have the folders of sysctl in their PATH.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

#: Lines and columns of a program's terminal.
TERMINAL_SIZE = (24, 80)

# Nobody, with no capability. Where this user cannot run the tests' Python (in root's home, say), root without any.
_NOBODY = 65534
_AS_NOBODY = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--inh-caps=-all"]
_AS_WEAK_ROOT = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]


def is_root() -> bool:
    return os.geteuid() == 0


@functools.cache
def _unprivileged() -> tuple[list[str], int]:
    """A prefix that gives up every privilege, and the user that it leaves one with."""
    if not is_root():
        return [], os.geteuid()
    check = "import sys, asyncio, sqlite3, meshchat, prompt_toolkit; print(sys.base_prefix)"
    tried = subprocess.run([*_AS_NOBODY, PYTHON, "-c", check], capture_output=True, text=True)
    if tried.returncode == 0 and tried.stdout.strip() == sys.base_prefix:
        return _AS_NOBODY, _NOBODY
    return _AS_WEAK_ROOT, 0


@functools.cache
def _key_of(name: str) -> bytes:
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(command, check=True, capture_output=True).stdout


class Namespace:
    """A network of its own, with nothing but a loopback interface that is up; with `mounts` of its own, too, if they are wanted."""

    def __init__(self, inside: Namespace | None = None, *, mounts: bool = False) -> None:
        self._user: int | None = inside._user if inside else None
        self._kinds = ["--net", "--mount"] if mounts else ["--net"]
        command = ["unshare", *self._kinds]
        if not is_root() and inside is None:
            command = ["unshare", "--user", "--map-root-user", *self._kinds]
        elif self._user is not None:
            command = ["nsenter", f"--target={self._user}", "--user", "--preserve-credentials", *command]
        self._holder = subprocess.Popen(
            [*command, "sh", "-c", "echo ready && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError("no network namespace can be made here: run the tests as root, or allow user namespaces")
        if not is_root() and inside is None:
            self._user = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def enter(self, *, privileged: bool = False) -> list[str]:
        """A prefix that runs a command in this namespace."""
        enter = ["nsenter", f"--target={self.pid}", *self._kinds]
        if self._user is not None:
            enter += ["--user", "--preserve-credentials"]
            return enter if privileged else [*enter, *_AS_WEAK_ROOT]
        return enter if privileged else [*enter, *_unprivileged()[0]]

    def run(self, *command: str) -> str:
        done = subprocess.run([*self.enter(privileged=True), *command], capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        self._holder.communicate()


class World:
    """Namespaces, homes and programs of one test."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._programs: list[Program] = []
        self._root = Path(tempfile.mkdtemp(prefix="meshchat-test-"))
        self._stack.callback(shutil.rmtree, self._root)
        self._give_away(self._root)

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for program in self._programs:
            program.kill()
            if kind is not None:
                print(program.report(), file=sys.stderr)
        self._stack.close()

    def namespace(self, inside: Namespace | None = None, *, mounts: bool = False) -> Namespace:
        namespace = Namespace(inside, mounts=mounts)
        self._stack.callback(namespace.close)
        return namespace

    def wire(self) -> tuple[Namespace, Namespace]:
        """Two namespaces with a cable between them, `eth0` at each end, and no IP of any kind on it."""
        left = self.namespace()
        right = self.namespace(left)
        for end in (left, right):
            for which in ("all", "default"):
                end.run("sysctl", "-q", "-w", f"net.ipv6.conf.{which}.disable_ipv6=1")
        left.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(right.pid))
        for end in (left, right):
            end.run("ip", "link", "set", "eth0", "up")
            assert "inet" not in end.run("ip", "address", "show", "dev", "eth0")
        return left, right

    def folder(self, name: str) -> Path:
        path = self._root / name
        path.mkdir(mode=0o700)
        self._give_away(path)
        return path

    def home(self, name: str, *, key: str | None = None) -> Path:
        """A home with the key tests/keys/<name>.pem."""
        home = self.folder(name)
        path = home / "identity.pem"
        shutil.copyfile(KEYS / f"{key or name}.pem", path)
        path.chmod(0o600)
        self._give_away(path)
        return home

    def new_home(self, name: str) -> Path:
        """A home with a key of its own; a home of the same name in another test has the same one."""
        home = self.folder(name)
        path = home / "identity.pem"
        path.write_bytes(_key_of(name))
        path.chmod(0o600)
        self._give_away(path)
        return home

    def _give_away(self, path: Path) -> None:
        """To the user that the programs run as, who is not always root."""
        if is_root():
            os.chown(path, _unprivileged()[1], -1)

    def start(
        self,
        namespace: Namespace,
        *command: str | Path,
        privileged: bool = False,
        terminal: bool = False,
        env: dict[str, str] | None = None,
    ) -> Program:
        arguments = [*namespace.enter(privileged=privileged), *map(str, command)]
        program = Program(arguments, {**self.environment(), **(env or {})}, terminal)
        self._programs.append(program)
        return program

    def environment(self) -> dict[str, str]:
        dropped = ("MESHCHAT_HOME", "MESHCHAT_PASSPHRASE")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        # Temporary homes, too, go with the test, for a program that is killed leaves its own behind.
        folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_DATA_HOME"), str(self._root))
        return {**kept, **folders, "PYTHONDONTWRITEBYTECODE": "1"}

    def chat(
        self,
        namespace: Namespace,
        home: Path,
        *options: str,
        privileged: bool = False,
        env: dict[str, str] | None = None,
    ) -> Program:
        """The Python chat, in plain mode, nicknamed like its home unless the options say otherwise."""
        command = chat_command("python", home, "--plain", *options)
        return self.start(namespace, *command, privileged=privileged, env=env)

    def c_chat(self, namespace: Namespace, home: Path, *options: str, privileged: bool = False) -> Program:
        """The C chat."""
        return self.start(namespace, *chat_command("c", home, *options), privileged=privileged)


def mailbox(world: World, host: Namespace, home: Path, *options: str) -> Program:
    """A node without a chat that offers a mailbox."""
    command: list[str | Path] = [PYTHON, "-m", "meshchat", "node", "--home", home, "--nickname", home.name]
    return world.start(host, *command, "--mailbox", *options)


def count(home: Path, table: str) -> int:
    """How many rows there are in the database of a node that runs."""
    with closing(sqlite3.connect(f"file:{home / 'messages.db'}?mode=ro", uri=True)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def leave(chat: Program, *observers: Program, name: str, node_id: str) -> None:
    """A chat ends, and is missed."""
    chat.exit()
    for observer in observers:
        observer.wait_for_text(f"* lost {name} {node_id}")


def chat_command(which: str, home: Path, *options: str) -> list[str]:
    """Starts the chat in "python" or "c", nicknamed like its home unless the options say otherwise."""
    program = [str(c_chat_path())] if which == "c" else [PYTHON, "-m", "meshchat", "chat"]
    nickname = [] if "--nickname" in options else ["--nickname", home.name]
    return [*program, "--home", str(home), *nickname, *options]


def c_chat_path() -> Path:
    path = Path(os.environ.get("MESHCHAT_C_CHAT") or REPOSITORY / "target/installed/bin/meshchat-chat-c")
    if not path.is_file():
        raise FileNotFoundError(f"the C chat is not at {path}: run make test-end-to-end, or set MESHCHAT_C_CHAT")
    return path.resolve()


class Program:
    """A process whose lines a test reads and writes."""

    def __init__(self, command: Sequence[str], env: dict[str, str], terminal: bool = False) -> None:
        self.command = command
        self.lines: list[str] = []
        self._partial = b""
        self._next = 0
        self._errors = tempfile.TemporaryFile()
        if terminal:
            self._input = self._output = self._start_on_terminal(env)
        else:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=env
            )
            assert self.process.stdin is not None and self.process.stdout is not None
            self._input, self._output = self.process.stdin.fileno(), self.process.stdout.fileno()

    def _start_on_terminal(self, env: dict[str, str]) -> int:
        main, other = pty.openpty()
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", *TERMINAL_SIZE, 0, 0))
        env = {**env, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(
            self.command,
            stdin=other,
            stdout=other,
            stderr=other,
            env=env,
            start_new_session=True,
            # Its controlling terminal: Ctrl-C is a signal there.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(other)
        return main

    # -- output -------------------------------------------------------------------------------------------------

    def read(self, deadline: float) -> bytes:
        """The next bytes of output; none at its end."""
        if not select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more came\n{self.report()}")
        try:
            return os.read(self._output, 1 << 16)
        except OSError:
            # So a terminal tells that its last user has gone.
            return b""

    def _all_lines(self, patience: float = PATIENCE) -> Iterator[str]:
        """Each line once, from where the last reader left; ends with the output."""
        deadline = time.monotonic() + patience
        while True:
            while self._next < len(self.lines):
                self._next += 1
                yield self.lines[self._next - 1]
            data = self.read(deadline)
            if not data:
                return
            *ends, self._partial = (self._partial + data).split(b"\n")
            self.lines += [end.decode("utf-8", "replace").rstrip("\r") for end in ends]

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """The next line that is `pattern`, a regular expression; lines before it are passed over."""
        for line in self._all_lines(patience):
            if match := re.fullmatch(pattern, line):
                return match
        raise AssertionError(f"no line {pattern!r} came before the end\n{self.report()}")

    def wait_for_text(self, text: str) -> None:
        """The next line that is exactly `text`."""
        self.wait_for(re.escape(text))

    def wait_for_prompt(self, text: str) -> None:
        """Waits for text that no newline ends; nothing that was written until then is a line."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self._partial:
            data = self.read(deadline)
            assert data, f"{text!r} did not come before the end\n{self.report()}"
            self._partial += data
        self._partial = b""

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that nothing tells of, while what comes is read."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it never came true\n{self.report()}"
            if select.select([self._output], [], [], 0.05)[0]:
                *ends, self._partial = (self._partial + self.read(deadline)).split(b"\n")
                self.lines += [end.decode("utf-8", "replace").rstrip("\r") for end in ends]

    def node_id(self) -> str:
        """NODE_ID, which a chat shows first."""
        return self.wait_for(r"(?:.*\x1b\[K)?NODE_ID: ([0-9a-f]{64})")[1]

    # -- input --------------------------------------------------------------------------------------------------

    def type(self, *lines: str | bytes) -> None:
        data = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        os.write(self._input, data) if len(data) <= 4096 else self._type_much(data)

    def _type_much(self, data: bytes) -> None:
        """Writes while reading, so that neither side waits for the other."""
        deadline = time.monotonic() + PATIENCE
        os.set_blocking(self._input, False)
        while data:
            readable, writable, _ = select.select([self._output], [self._input], [], deadline - time.monotonic())
            if writable:
                data = data[os.write(self._input, data[: 1 << 16]) :]
            if readable:
                *ends, self._partial = (self._partial + self.read(deadline)).split(b"\n")
                self.lines += [end.decode("utf-8", "replace").rstrip("\r") for end in ends]
            assert readable or writable, f"it takes no input\n{self.report()}"
        os.set_blocking(self._input, True)

    def press(self, keys: str) -> None:
        os.write(self._input, keys.encode())

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    # -- end ----------------------------------------------------------------------------------------------------

    def end(self) -> int:
        """Waits for the end of output and process; its exit code."""
        for _ in self._all_lines():
            pass
        return self.process.wait(PATIENCE)

    def exit(self) -> None:
        """Ends a chat, as its user would."""
        self.type("/exit")
        code = self.end()
        assert code == 0, f"exit code {code}\n{self.report()}"

    def kill(self) -> None:
        """kill -9, and what had been written until then is read."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def heard(self, sender: str) -> list[str]:
        """What `sender` wrote, as a chat has shown it."""
        start = f"{sender}: "
        return [line.removeprefix(start) for line in self.lines if line.startswith(start)]

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    def report(self) -> str:
        lines = "\n".join(f"  {line}" for line in self.lines[-60:])
        return f"--- {' '.join(map(str, self.command))} ({self.process.poll()})\n{lines}\n  errors: {self.errors()}"


def meet(*chats: Program) -> list[str]:
    """Waits until each of the chats has found all others; their ids."""
    ids = [chat.node_id() for chat in chats]
    for me, chat in zip(ids, chats, strict=True):
        missing = {other for other in ids if other != me}
        while missing:
            missing.discard(chat.wait_for(r"\* found \S+ ([0-9a-f]{64})")[1])
    return ids
