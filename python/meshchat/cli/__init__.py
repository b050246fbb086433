"""The command ``meshchat``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from ..errors import ArgumentError, MeshChatError
from . import bench, chat, connect, contacts, history, id, listen, network_key, node, nodes, ping, send, trace


class _Version(argparse.Action):
    """--version; reading the package's metadata takes time that the other commands need not spend."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"meshchat {version('meshchat')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshchat", description="Messages between nodes on the same wire, without any server."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    people = (chat, history, contacts)
    mesh = (node, nodes, ping, trace)
    for command in (*people, *mesh, send, listen, connect, bench, id, network_key):
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 for failure, 2 for wrong use, 130 after Ctrl-C."""
    _open_standard_streams()
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except ArgumentError as error:
        return _failed(error, 2)
    except UnicodeEncodeError as error:
        # An argument that is no UTF-8: Python keeps such bytes as what no text holds.
        return _failed(ArgumentError(f"{error.object!r} is no text in UTF-8"), 2)
    except BrokenPipeError:
        # Whoever read the output has gone. Python must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (MeshChatError, OSError) as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        return 130


def _open_standard_streams() -> None:
    """Opens those that the caller closed, lest the database becomes standard output."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks shall not end the command.
            stream.reconfigure(errors="backslashreplace")


def _failed(error: Exception, code: int) -> int:
    print(f"meshchat: error: {error}", file=sys.stderr)
    return code
