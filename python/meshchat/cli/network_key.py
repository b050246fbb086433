"""meshchat network-key: the key of a private mesh."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..chat.safe import safe
from ..identity import create_network_key

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "network-key",
        help="make the key of a private mesh",
        description="Makes a new network key. Nodes that are given it with --network-key-file hear each other and nobody "
        "else, and nobody else can tell who they are.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a new file, which is never overwritten")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    create_network_key(options.file)
    print(f"made {safe(str(options.file))}: copy it, secretly, to every node of the mesh")
    return 0
