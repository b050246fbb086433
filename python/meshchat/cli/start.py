"""Starts the node that the options describe."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TextIO

from ..identity import Identity
from ..node import Node
from .common import Progress, mailbox


async def start(
    options: argparse.Namespace,
    home: Path | None,
    passphrase: str | None,
    making_key: str,
    stream: TextIO,
    *,
    temporary: bool = False,
    key_bits: int | None = None,
) -> Node:
    """A running node; `making_key` is shown on `stream` while a key is made for it."""
    node = Node(
        home,
        temporary=temporary,
        nickname=getattr(options, "nickname", None),
        passphrase=passphrase,
        key_bits=key_bits,
        links=options.link or ["udp"],
        v1=getattr(options, "v1", None) or [],
        network_key_file=options.network_key_file,
        mailbox=mailbox(options),
        downloads=getattr(options, "downloads", None),
        keep_history=getattr(options, "keep_history", None),
    )
    if not temporary and Identity.exists(home):
        await node.start()
        return node
    with Progress(making_key, stream) as progress:
        running = asyncio.ensure_future(node.start())
        while not running.done():
            await asyncio.wait([running], timeout=progress.interval)
            progress.tick()
        await running
    return node
