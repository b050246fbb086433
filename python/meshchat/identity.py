"""The identity in a home, for tools that show or make one without starting a node."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Union

from . import _core, _jobs

StrPath = Union[str, "os.PathLike[str]"]


def default_home() -> Path:
    """The home of a node that is told none: ``$MESHCHAT_HOME``, else ``meshchat`` in the XDG data directory."""
    return _core.default_home()


def create_network_key(file: StrPath) -> None:
    """Makes a network key for a private mesh: a new file of mode 0600, to be copied to all of its nodes.

    A file that exists is not overwritten: :class:`KeyExistsError`.
    """
    _core.create_network_key(file)


class Identity:
    """The key pair of a home. Get one from :meth:`create` or :meth:`load`; both block until it is there."""

    def __init__(self, core: _core.Identity) -> None:
        self._core = core

    @staticmethod
    def exists(home: StrPath | None = None) -> bool:
        """Whether `home` (None: the default home) holds a key."""
        return _core.identity_exists(home)

    @classmethod
    def create(
        cls,
        home: StrPath | None = None,
        *,
        bits: int = _core.DEFAULT_KEY_BITS,
        passphrase: str | None = None,
        tick: Callable[[], None] | None = None,
    ) -> Identity:
        """Makes a new key of `bits` (2048 to 4096, in steps of 8) in `home`.

        This takes seconds, in which `tick` is called ten times each.

        A key that exists already is never overwritten.
        """
        return cls(_jobs.wait(_core.create_identity(home, bits, passphrase), tick))

    @classmethod
    def load(cls, home: StrPath | None = None, *, passphrase: str | None = None) -> Identity:
        """Reads the key in `home`."""
        return cls(_jobs.wait(_core.load_identity(home, passphrase)))

    @property
    def id(self) -> str:
        """NODE_ID, 64 hexadecimal digits."""
        return self._core.id

    def public_pem(self) -> str:
        """The public key as PEM ``SubjectPublicKeyInfo``."""
        return self._core.public_pem()

    def safety_words(self, peer: str) -> list[str]:
        """Eight words to compare by voice with the node `peer` (its full id).

        They are the same on both sides only if each has the other's true key.
        """
        return self._core.safety_words(peer)

    def __repr__(self) -> str:
        return f"<meshchat.Identity {self.id}>"
