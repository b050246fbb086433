"""What is said through the control socket: JSON lines.

A request is ``{"id": 1, "do": "ping", ...}`` with the arguments that :data:`REQUESTS` names. Its answer is
``{"id": 1, "ok": value}`` or ``{"id": 1, "error": class, "text": text}`` and may come after the answer to a later
request. The socket belongs to the user of the node: nothing that comes from the network is ever read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import InternalError, MeshChatError
from ..events import NodeInfo, Route, TraceHop, Trust

#: Name of the socket in the home.
SOCKET = "control.sock"

#: Longest request in bytes; nothing that may be asked is nearly as long.
MAX_REQUEST = 4096

#: Longest answer in bytes: more nodes than a node can know.
MAX_ANSWER = 1 << 24

#: Clients at a time, and requests of one of them that wait for their answers. More wait, or are turned away.
MAX_CLIENTS = 32
MAX_WAITING = 64

#: Each request with its arguments and their types.
REQUESTS: dict[str, dict[str, type]] = {
    "nodes": {},
    "resolve": {"query": str},
    "ping": {"to": str, "timeout": float},
    "trace": {"to": str},
    "words": {"to": str},
    "import_contact": {"contact": str},
    "verify": {"node": str},
    "unverify": {"node": str},
    "block": {"node": str},
    "unblock": {"node": str},
}

# Longest path of a socket, without the NUL behind it.
_MAX_PATH = 107


@contextmanager
def address(home: Path) -> Iterator[str]:
    """The path of the socket in `home`, as the system's calls take it. They take no long one; then it leads over a
    descriptor of the folder."""
    path = home / SOCKET
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def node_to_json(node: NodeInfo) -> dict[str, Any]:
    return {**asdict(node), "trust": node.trust.value}


def node_from_json(value: dict[str, Any]) -> NodeInfo:
    route = None if value["route"] is None else Route(**value["route"])
    return NodeInfo(**{**value, "route": route, "trust": Trust(value["trust"])})


def hop_to_json(hop: TraceHop) -> dict[str, Any]:
    return asdict(hop)


def hop_from_json(value: dict[str, Any]) -> TraceHop:
    return TraceHop(**value)


def error_to_json(error: MeshChatError) -> dict[str, str]:
    return {"error": type(error).__name__, "text": str(error)}


def error_from_json(value: dict[str, Any]) -> MeshChatError:
    cls = getattr(errors, str(value.get("error")), None)
    if not (isinstance(cls, type) and issubclass(cls, MeshChatError)):
        cls = InternalError
    return cls(str(value.get("text")))
