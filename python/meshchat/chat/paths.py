"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

from ..errors import ArgumentError


def typed_path(text: str) -> Path:
    """The path that somebody means; a leading ``~`` is a home, as in a shell."""
    if "\0" in text:
        raise ArgumentError("a path contains no NUL")
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        # Nobody is called so: a name like any other.
        return path
