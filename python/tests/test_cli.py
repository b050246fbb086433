"""The command line, as far as no running node is needed."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from meshchat import cli
from meshchat.cli.common import Progress


CONTACTS = ("list", "export", "import", "verify", "unverify", "block", "unblock")


def meshchat(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshchat", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **{str(key): str(value) for key, value in options.items()}},
    )


@pytest.mark.parametrize(
    "command",
    [
        *(["history"], ["contacts"], *([["contacts", action] for action in CONTACTS])),
        *([], ["chat"], ["node"], ["nodes"], ["ping"], ["trace"]),
        *(["listen"], ["connect"], ["bench"]),
        *(["id"], ["id", "show"], ["id", "create"], ["id", "export"], ["id", "words"]),
    ],
)
def test_help(command: list[str]) -> None:
    shown = meshchat(*command, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage: meshchat"), shown


@pytest.mark.parametrize(
    "command",
    [
        *(["history", "x"], ["history", "--since", "yesterday"], ["history", "--limit", "-1"]),
        *(["history", "--export", "messages.db"], ["history", "--since", "2026-13-01"], ["history", "--limit", "x"]),
        *(["history", "--since", "999999w"], ["history", "--since", "0001-01-01"], ["history", "--home", ""]),
        *(["id", "create", "--bits", "-1"], ["id", "create", "--bits", "9" * 20], ["node", "--mailbox-quota", "1e30"]),
        *(["history", "--search", "\udcff"]),
        *(["contacts", "dance"], ["contacts", "import"], ["contacts", "verify"], ["contacts", "block"]),
        *(["chat", "--keep-history", "soon"], ["node", "--keep-history", "5y"]),
        *([], ["dance"], ["id"], ["id", "words"], ["id", "create", "--bits", "many"], ["chat", "--loud"]),
        *(["node", "x"], ["nodes", "--wait", "-1"], ["nodes", "--wait", "inf"], ["nodes", "--wait", "soon"]),
        *(["ping"], ["ping", "x", "-c", "0"], ["ping", "x", "-i", "0"], ["ping", "x", "--timeout", "11"]),
        *(["listen", "x"], ["connect"], ["connect", "x", "--wait", "soon"]),
        *(["bench"], ["bench", "x", "--listen"], ["bench", "x", "--time", "0"]),
        *(["ping", "x", "-i", "nan"], ["ping", "x", "--timeout", "0"], ["trace"], ["trace", "x", "y"]),
    ],
)
def test_wrong_use(command: list[str]) -> None:
    shown = meshchat(*command)
    assert shown.returncode == 2 and "error:" in shown.stderr and "Traceback" not in shown.stderr, shown


def test_version() -> None:
    shown = meshchat("--version")
    assert shown.returncode == 0 and shown.stdout.startswith("meshchat 0."), shown


def test_failure_is_one_line(tmp_path: Path) -> None:
    shown = meshchat("id", "show", "--home", str(tmp_path / "none"))
    assert shown.returncode == 1 and shown.stdout == ""
    assert shown.stderr.startswith("meshchat: error: ") and shown.stderr.count("\n") == 1


def test_unreadable_passphrase(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    shown = meshchat("id", "show", "--passphrase-file", str(missing))
    assert shown.returncode == 1 and str(missing) in shown.stderr and "Traceback" not in shown.stderr
    for content in (b"", b"\n", b"\xff\n"):
        missing.write_bytes(content)
        shown = meshchat("id", "show", "--passphrase-file", str(missing))
        assert shown.returncode == 2 and str(missing) in shown.stderr and "Traceback" not in shown.stderr


def test_output_that_nobody_reads() -> None:
    code = "import sys, meshchat.cli as c; c.id._show = lambda o: print('x' * 10**6) or 0; sys.exit(c.main(['id', 'show']))"
    reader, writer = os.pipe()
    os.close(reader)
    shown = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert shown.stderr == b"" and shown.returncode == 1


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.id, "_show", interrupted)
    assert cli.main(["id", "show"]) == 130
    assert capsys.readouterr() == ("", "")


def test_progress_without_terminal() -> None:
    stream = io.StringIO()
    with Progress("making a key", stream) as progress:
        progress.tick()
        progress.tick()
    assert stream.getvalue() == "making a key\n"


def test_progress_on_a_terminal() -> None:
    main, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream, Progress("making a key", stream) as progress:
        progress.tick()
    shown = b""
    while not shown.endswith(b"\x1b[K"):
        shown += os.read(main, 1000)
    os.close(main)
    assert shown.decode() == "\rmaking a key |\rmaking a key /\r\x1b[K"


def test_progress_on_a_narrow_terminal() -> None:
    main, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 8, 0, 0))
    with os.fdopen(terminal, "w") as stream, Progress("making a key", stream):
        pass
    shown = os.read(main, 1000)
    os.close(main)
    assert shown.decode() == "\rmakin |\r\x1b[K"


def test_closed_standard_streams_stay_reserved() -> None:
    """A file that is opened later must not become standard output."""
    code = "import os, meshchat.cli as c; c.main(['id', 'show', '--home', '/nonexistent']); os._exit(os.dup(2))"
    script = 'exec 0<&- 1>&-; exec "$0" -c "$1"'
    shown = subprocess.run(["sh", "-c", script, sys.executable, code], capture_output=True, text=True, timeout=60)
    assert shown.returncode > 2 and shown.stderr.startswith("meshchat: error: "), shown


def test_closed_standard_streams_do_not_matter(tmp_path: Path) -> None:
    made = meshchat("id", "create", "--bits", "2048", "--home", str(tmp_path))
    assert made.returncode == 0, made
    for streams in (">&-", "2>&-", "<&- >&- 2>&-"):
        command = f'"{sys.executable}" -m meshchat id show --home "{tmp_path}" {streams}'
        shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
        assert (shown.returncode, shown.stderr) == (0, ""), shown
