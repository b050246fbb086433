"""meshchat contacts: whom this node's person knows, trusts and blocks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chat.past import exported, read_contacts, write_private
from ..chat.safe import safe
from ..errors import ArgumentError
from ..events import NodeInfo
from ..history import Contact
from .asking import Asked, a_node, add_options, add_target
from .common import run_with_node

if TYPE_CHECKING:
    from .common import Subparsers

Work = Callable[[argparse.Namespace, Asked], Coroutine[Any, Any, int]]

_DESCRIPTION = """Contacts are the nodes that you have written to, or that you have imported, verified or blocked."""


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("contacts", help="list, pass on, verify and block nodes", description=_DESCRIPTION)
    _add_options(parser)
    parser.set_defaults(run=_with_node(_list))
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    _add_action(actions, "list", "list the contacts (default)", _list)
    export = _add_action(actions, "export", "print the contacts that are not blocked, or write them into a file", _export)
    export.add_argument("file", metavar="FILE", type=Path, nargs="?", default=None, help="a new file, readable by nobody else")
    bring = _add_action(actions, "import", "keep the contacts of a file, or one that is given as text", _import)
    bring.add_argument("source", metavar="FILE|TEXT", help="a file with a contact a line, or meshchat:1:...")
    bring.add_argument("--verified", action="store_true", default=False, help="you know for sure whose they are: mark them as verified")
    verify = _add_action(actions, "verify", "show the safety words to compare with a node's person", _verify)
    verify.add_argument("--yes", action="store_true", default=False, help="you have compared them: mark the node as verified")
    for name, text, work in (
        ("unverify", "take a verification back", _unverify),
        ("block", "hear nothing of a node any more, and tell it nothing", _block),
        ("unblock", "take a block back", _unblock),
    ):
        add_target(_add_action(actions, name, text, work))
    add_target(verify)


def _add_action(actions: Subparsers, name: str, text: str, work: Work) -> argparse.ArgumentParser:
    # Without defaults, so that an option before the action counts as well.
    parser = actions.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
    _add_options(parser)
    parser.set_defaults(run=_with_node(work))
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON: nodes with id, nickname, trust, last_seen, contact")
    add_options(parser, wait="time that a program in the home has to answer")


def _with_node(work: Work) -> Callable[[argparse.Namespace], int]:
    async def ask(options: argparse.Namespace, passphrase: str | None) -> int:
        async with a_node(options, passphrase) as asked:
            return await work(options, asked)

    return lambda options: run_with_node(options, ask)


async def _list(options: argparse.Namespace, asked: Asked) -> int:
    contacts = [node for node in await asked.node.nodes() if node.is_contact]
    if not contacts and not options.json:
        print("no contacts yet: write to somebody, or import a contact", file=sys.stderr)
    _show(options, contacts)
    return 0


def _show(options: argparse.Namespace, nodes: list[NodeInfo]) -> None:
    if options.json:
        print(json.dumps([as_json(node) for node in nodes], indent=1))
        return
    for node in nodes:
        print(f"{node.id}  {safe(node.name)}  {node.trust}")


def as_json(node: NodeInfo) -> dict[str, Any]:
    return {
        "id": node.id,
        "nickname": node.nickname,
        "trust": str(node.trust),
        "last_seen": node.last_seen or None,
        "contact": str(Contact.of(node)),
    }


async def _export(options: argparse.Namespace, asked: Asked) -> int:
    lines = exported(await asked.node.nodes())
    if options.file is None:
        print(json.dumps(lines) if options.json else "".join(f"{line}\n" for line in lines), end="")
        return 0
    write_private(options.file, lines)
    print(f"{len(lines)} contacts were written to {safe(str(options.file))}")
    return 0


async def _import(options: argparse.Namespace, asked: Asked) -> int:
    source: str = options.source
    contacts = [Contact.parse(source)] if is_contact(source) else read_contacts(Path(source))
    if not contacts:
        raise ArgumentError(f"{source}: there is no contact in it")
    nodes = []
    for contact in contacts:
        node = await asked.node.import_contact(str(contact))
        nodes.append(await asked.node.verify(node.id) if options.verified else node)
    _show(options, nodes)
    return 0


def is_contact(text: str) -> bool:
    """Whether a text is meant as a contact rather than as the name of a file."""
    return text.lower().startswith("meshchat:")


async def _verify(options: argparse.Namespace, asked: Asked) -> int:
    node = await asked.node.resolve(options.node)
    if options.yes:
        _show(options, [await asked.node.verify(node.id)])
        return 0
    words = await asked.node.words(node.id)
    if options.json:
        print(json.dumps({**as_json(node), "words": words}))
        return 0
    print(f"{node.id}  {safe(node.name)}\n\n  {' '.join(words)}\n")
    print("Read them to each other, by voice or face to face. Are they the same on both sides?")
    print(f"Then: meshchat contacts verify {node.id} --yes")
    return 0


async def _unverify(options: argparse.Namespace, asked: Asked) -> int:
    node = await asked.node.resolve(options.node)
    _show(options, [await asked.node.unverify(node.id)])
    return 0


async def _block(options: argparse.Namespace, asked: Asked) -> int:
    _show(options, [await asked.node.block(await _known_or_full(options, asked))])
    return 0


async def _unblock(options: argparse.Namespace, asked: Asked) -> int:
    _show(options, [await asked.node.unblock(await _known_or_full(options, asked))])
    return 0


async def _known_or_full(options: argparse.Namespace, asked: Asked) -> str:
    """A full id need not be known."""
    given: str = options.node
    return given if len(given) == 64 else (await asked.node.resolve(given)).id
