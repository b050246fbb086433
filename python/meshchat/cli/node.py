"""meshchat node: a node without a chat."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from ..chat import insecure
from ..chat.safe import safe
from ..control.server import Server
from ..errors import StoppedError
from ..events import Broadcast, Event, Message, NodeFound, NodeInfo, NodeLost, RouteChanged, StatusChanged, Warning
from ..files import FileDone, FileEvent, FileFailed, FileOffered, FileProgress
from ..node import Node
from ..rooms import RoomChanged
from .common import (
    add_home,
    add_keep_history,
    add_links,
    add_mailbox,
    add_network_key,
    add_nickname,
    add_passphrase,
    add_temporary,
    add_v1,
    until_signal,
    with_passphrase,
)
from .start import start

if TYPE_CHECKING:
    from .common import Subparsers

_DESCRIPTION = """\
Runs a node that forwards for others, until SIGTERM or Ctrl-C ends it (exit code 0). The first line of its output is
its NODE_ID; what happens is logged on standard error. Messages for it are received and stay on its disk, unconfirmed,
until a chat with the same home shows them."""


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("node", help="run a node without a chat, for others", description=_DESCRIPTION)
    add_home(parser)
    add_temporary(parser)
    add_links(parser)
    add_mailbox(parser)
    add_v1(parser)
    add_network_key(parser)
    add_nickname(parser)
    add_keep_history(parser)
    add_passphrase(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return with_passphrase(options, lambda passphrase: asyncio.run(_until_ended(options, passphrase)))


async def _until_ended(options: argparse.Namespace, passphrase: str | None) -> int:
    # To be ended is what it waits for.
    code = await until_signal(_serve(options, passphrase), signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return 0 if code > 128 else code


async def _serve(options: argparse.Namespace, passphrase: str | None) -> int:
    node = await start(
        options, options.home, passphrase, "making a key; this takes some seconds", sys.stderr, temporary=options.temporary
    )
    try:
        async with Server(node, node.home) as server:
            print(f"NODE_ID: {node.id}", flush=True)
            if server.problem is not None:
                _log(f"warning: {server.problem}")
            await _log_events(node)
    finally:
        await node.stop()
    raise StoppedError("the node has stopped; start it again")


async def _log_events(node: Node) -> None:
    for link in node.links:
        _log(f"link {link.spec}: {link.error or 'open'}")
    names = {other.id: other.name for other in await node.nodes()}
    async for event in node.events(auto_confirm=False):
        if isinstance(event, (NodeFound, RouteChanged, NodeLost)):
            names[event.node.id] = event.node.name
        text = describe(event, names)
        if text is not None:
            _log(text)


def describe(event: Event, names: dict[str, str]) -> str | None:
    """What the log says of an event; `names` has the names of known ids."""
    if isinstance(event, NodeFound):
        return f"found {event.node.name} {event.node.id}{_way(event.node, names)}"
    if isinstance(event, RouteChanged):
        return f"route changed to {event.node.name} {event.node.id}{_way(event.node, names)}"
    if isinstance(event, NodeLost):
        return f"lost {event.node.name} {event.node.id}"
    if isinstance(event, Message):
        name = names.get(event.sender, event.sender[-5:])
        return f"message from {name} {event.sender}: it waits on disk for a chat"
    if isinstance(event, Broadcast):
        return f"broadcast of {names.get(event.sender, event.sender[-5:])} {event.sender}: {event.text}"
    if isinstance(event, StatusChanged):
        return f"message {event.id} to {event.to}: {event.status}"
    if isinstance(event, (FileOffered, FileProgress, FileDone, FileFailed)):
        return _describe_file(event, names)
    if isinstance(event, RoomChanged):
        who = "" if event.node is None else f": {names.get(event.node, event.node[-5:])} {event.node}"
        return f"room {event.name} {event.room}: {event.change}{who}"
    if isinstance(event, Warning):
        return f"warning: {event.text}"
    return insecure.describe(event)


def _describe_file(event: FileEvent, names: dict[str, str]) -> str | None:
    file = event.file
    name = names.get(file.peer, file.peer[-5:])
    if isinstance(event, FileProgress):
        # That it goes on is no news.
        return None
    if isinstance(event, FileOffered):
        return f"file '{file.name}' of {file.size} bytes is offered by {name} {file.peer}: it waits for a chat"
    direction = "from" if file.incoming else "to"
    outcome = "whole and verified" if isinstance(event, FileDone) else file.reason
    return f"file '{file.name}' {direction} {name} {file.peer}: {outcome}"


def _way(node: NodeInfo, names: dict[str, str]) -> str:
    route = node.route
    if route is None:
        return ""
    if route.hops == 1:
        return f", 1 hop on {route.link}"
    next_hop = names.get(route.next_hop, route.next_hop[-5:])
    return f", {route.hops} hops through {next_hop} on {route.link}, metric {route.metric}"


def _log(text: str) -> None:
    time = datetime.now().astimezone().isoformat(timespec="milliseconds")
    try:
        os.write(2, f"{time} {safe(text)}\n".encode())
    except OSError:
        # A log that nobody takes any more is no reason to stop forwarding.
        pass
