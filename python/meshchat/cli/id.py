"""meshchat id: the identity of a home."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ..chat.past import qr_lines
from ..errors import ArgumentError, StorageError
from ..history import Contact, History
from ..identity import Identity
from .common import Progress, add_home, add_passphrase, ask, given_passphrase, with_passphrase

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser("id", help="show, make or export this node's identity")
    parser.add_argument("--qr", action="store_true", help="show this node as a contact: a QR code and a line of text")
    parser.set_defaults(run=lambda options: _qr(parser, options))
    actions = parser.add_subparsers(title="actions", metavar="ACTION")

    show = _add_action(actions, "show", help="show NODE_ID")
    show.add_argument("--json", action="store_true", default=False, help="as a JSON object")
    show.set_defaults(run=_show)

    create = _add_action(actions, "create", help="make a key")
    create.add_argument("--bits", metavar="BITS", type=_bits, default=None, help="size of the RSA key, 2048 to 4096 (default: 3072)")
    create.add_argument("--protect", action="store_true", default=False, help="ask for a passphrase that protects the key file")
    create.add_argument("--json", action="store_true", default=False, help="as a JSON object")
    create.set_defaults(run=_create)

    export = _add_action(actions, "export", help="print the public key as PEM")
    export.set_defaults(run=_export)

    words = _add_action(actions, "words", help="show the words to compare by voice with another person")
    words.add_argument("peer", metavar="PEER", help="the other's NODE_ID, 64 hexadecimal digits")
    words.add_argument("--json", action="store_true", default=False, help="as a JSON object")
    words.set_defaults(run=_words)

    add_home(parser)
    add_passphrase(parser)
    for action in (show, create, export, words):
        add_home(action)
        add_passphrase(action)


def _bits(text: str) -> int:
    bits = int(text)
    if not 0 <= bits < 1 << 32:
        raise argparse.ArgumentTypeError(f"{text} is no size of an RSA key: it has 2048 to 4096 bits")
    return bits


def _add_action(actions: Subparsers, name: str, *, help: str) -> argparse.ArgumentParser:
    # Without defaults, so that an option before the action counts as well.
    return actions.add_parser(name, help=help, argument_default=argparse.SUPPRESS)


def _load(options: argparse.Namespace) -> Identity:
    return with_passphrase(options, lambda passphrase: Identity.load(options.home, passphrase=passphrase))


def _print_id(identity: Identity, as_json: bool) -> int:
    print(json.dumps({"id": identity.id}) if as_json else f"NODE_ID: {identity.id}")
    return 0


def _show(options: argparse.Namespace) -> int:
    return _print_id(_load(options), options.json)


def _create(options: argparse.Namespace) -> int:
    passphrase = given_passphrase(options)
    if passphrase is None and options.protect:
        passphrase = ask("New passphrase: ")
        if not passphrase or ask("The same again: ") != passphrase:
            raise ArgumentError("the passphrases are empty or not the same; nothing was made")
    size = {} if options.bits is None else {"bits": options.bits}
    with Progress("making a key; this takes some seconds") as progress:
        identity = Identity.create(options.home, passphrase=passphrase, tick=progress.tick, **size)
    return _print_id(identity, options.json)


def _qr(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if not options.qr:
        parser.error("an action is needed (show, create, export, words), or --qr")
    identity = _load(options)
    contact = str(Contact(identity.id, _own_nickname(options, identity)))
    print(qr_lines(contact))
    print(contact)
    return 0


def _own_nickname(options: argparse.Namespace, identity: Identity) -> str | None:
    try:
        return History(options.home).nickname(identity.id)
    except StorageError:
        # No node has run with this key yet.
        return None


def _export(options: argparse.Namespace) -> int:
    print(_load(options).public_pem(), end="")
    return 0


def _words(options: argparse.Namespace) -> int:
    words = _load(options).safety_words(options.peer)
    print(json.dumps({"peer": options.peer.lower(), "words": words}) if options.json else " ".join(words))
    return 0
