"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import Namespace, World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def host(world: World) -> Namespace:
    """A machine without any network but its loopback interface."""
    return world.namespace()
