"""meshchat connect: a stream to another node, as nc makes one to a port."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .asking import Asked, add_target, in_reach
from .common import run_with_node
from .joining import add_options, add_wait, join, own_node

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "connect",
        help="join standard input and output with a stream to a node",
        description="Opens an encrypted stream to a node where 'meshchat listen' runs, or another program that listens: "
        "standard input goes there, and what comes from there to standard output, until both have ended. On a terminal "
        "the end of what comes is the end. Exit code 0 when everything has arrived, 1 when not.",
    )
    add_target(parser)
    add_wait(parser)
    add_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_with_node(options, _connect)


async def _connect(options: argparse.Namespace, passphrase: str | None) -> int:
    async with own_node(options, passphrase) as node:
        target = await in_reach(Asked(node, True), options.node, options.wait)
        async with await node.connect(target) as connection:
            await join(connection, await connection.open(), opened=True)
    return 0
