"""meshchat trace: the way to a node."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ..chat.safe import safe
from ..events import TraceHop
from .asking import a_node, add_options, in_reach
from .common import run_with_node
from .ping import milliseconds

if TYPE_CHECKING:
    from .common import Subparsers

_WAIT = 5.0


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "trace",
        help="show the way to a node",
        description="Shows each node on the way, with the round-trip time to it. Exit code 1 when the last one is silent.",
    )
    parser.add_argument("node", metavar="ID", help="a NODE_ID, its beginning, its last five or more digits, or a nickname")
    fields = "hop, id, nickname, rtt (seconds)"
    parser.add_argument("--json", action="store_true", help=f"as a JSON array of objects with {fields}")
    add_options(parser, wait=f"time until the node must be in reach (default: {_WAIT:g})")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_with_node(options, _trace)


async def _trace(options: argparse.Namespace, passphrase: str | None) -> int:
    async with a_node(options, passphrase) as asked:
        target = await in_reach(asked, options.node, _WAIT if options.wait is None else options.wait)
        hops = await asked.node.trace(target.id)
        nicknames = {node.id: node.nickname for node in await asked.node.nodes()}
    if options.json:
        rows = [{"hop": hop.hop, "id": hop.node, "nickname": nicknames.get(hop.node or ""), "rtt": hop.rtt} for hop in hops]
        print(json.dumps(rows, indent=1))
    else:
        print(f"TRACE {safe(target.name)} {target.id}")
        for hop in hops:
            print(line(hop, nicknames))
    return 0 if hops and hops[-1].node == target.id else 1


def line(hop: TraceHop, nicknames: dict[str, str | None]) -> str:
    """A hop with the name and id of who answered; ``*`` for nobody, ``?`` for somebody who is not known here."""
    if hop.rtt is None:
        return f"{hop.hop:2}  *"
    if hop.node is None:
        return f"{hop.hop:2}  ?  {milliseconds(hop.rtt)}"
    name = safe(nicknames.get(hop.node) or hop.node[-5:])
    return f"{hop.hop:2}  {name}  {hop.node}  {milliseconds(hop.rtt)}"
