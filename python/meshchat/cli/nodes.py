"""meshchat nodes: who is known, and the ways there."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..chat.safe import safe
from ..events import NodeInfo
from .asking import a_node, add_options
from .common import run_with_node

if TYPE_CHECKING:
    from .common import Subparsers

#: Seconds that a node of this command's own listens, unless --wait says otherwise.
_LISTEN = 3.0

_HEADER = ("ID", "NICKNAME", "NEXT HOP", "HOPS", "METRIC", "LINK", "LAST HEARD")
_AWAY = "-"


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("nodes", help="list the nodes that are known, and the ways there")
    fields = "id, nickname, present, last_seen (seconds since 1970), next_hop, hops, metric, mtu, link, trust, contact"
    parser.add_argument("--json", action="store_true", help=f"as a JSON array of objects with {fields}")
    add_options(
        parser, wait=f"time to listen before the list (default: {_LISTEN:g} for a node of this command's own, else 0)"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_with_node(options, _list)


async def _list(options: argparse.Namespace, passphrase: str | None) -> int:
    async with a_node(options, passphrase) as asked:
        wait = options.wait if options.wait is not None else _LISTEN if asked.is_own else 0.0
        await asyncio.sleep(wait)
        nodes = await asked.node.nodes()
    if options.json:
        print(json.dumps([as_json(node) for node in nodes], indent=1))
    elif nodes:
        print(table(nodes, time.time(), _width()))
    else:
        print("no node has been found yet; --wait gives them more time", file=sys.stderr)
    return 0


def as_json(node: NodeInfo) -> dict[str, Any]:
    """One object for each node; what belongs to its route is null while it is out of reach."""
    route = node.route
    return {
        "id": node.id,
        "nickname": node.nickname,
        "present": node.present,
        "last_seen": node.last_seen,
        "next_hop": route and route.next_hop,
        "hops": route and route.hops,
        "metric": route and route.metric,
        "mtu": route and route.mtu,
        "link": route and route.link,
        "trust": str(node.trust),
        "contact": node.is_contact,
    }


def table(nodes: Sequence[NodeInfo], now: float, width: int | None) -> str:
    """Columns, with shorter ids where the full ones do not fit into `width`."""
    names = {node.id: safe(node.name) for node in nodes}
    rows = [_HEADER, *(_row(node, names, now) for node in nodes)]
    text = _columns(rows)
    if width is not None and max(map(len, text)) > width:
        text = _columns([(_short(identity), *rest) for identity, *rest in rows])
    return "\n".join(text)


def _row(node: NodeInfo, names: dict[str, str], now: float) -> tuple[str, ...]:
    heard = age(now - node.last_seen) if node.last_seen else "never"
    nickname = safe(node.nickname or "")
    if node.route is None:
        return (node.id, nickname, _AWAY, _AWAY, _AWAY, _AWAY, heard)
    route = node.route
    next_hop = "direct" if route.hops == 1 else names.get(route.next_hop, route.next_hop[-5:])
    return (node.id, nickname, next_hop, str(route.hops), str(route.metric), safe(route.link), heard)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _short(identity: str) -> str:
    """Both ends can be typed after ping, trace and @."""
    return f"{identity[:10]}…{identity[-5:]}" if len(identity) == 64 else identity


def age(seconds: float) -> str:
    """How long ago, to one unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _width() -> int | None:
    """Columns of the terminal, if it is one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
