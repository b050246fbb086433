"""The C chat and the Python chat understand each other."""

from __future__ import annotations

import pytest

from harness import World, meet


@pytest.mark.parametrize("link", ["udp", "ethernet:eth0"])
def test_c_and_python(world: World, link: str) -> None:
    on_ethernet = link != "udp"
    if on_ethernet:
        left, right = world.wire()
    else:
        left = right = world.namespace()
    python = world.chat(left, world.home("alice"), "--link", link, privileged=on_ethernet)
    c = world.c_chat(right, world.home("bob"), "--link", link, privileged=on_ethernet)
    python_id, c_id = meet(python, c)

    python.type("@bob written in Python 🐍")
    c.wait_for_text("alice: written in Python 🐍")
    c.wait_for_text("* answer with @alice text")
    python.wait_for_text("* [1] delivered")

    c.type(f"@{python_id[:12]} written in C")
    c.wait_for_text("================= NEW =================")
    c.wait_for_text("You: written in C")
    c.wait_for_text("* [1] queued")
    python.wait_for_text("bob: written in C")
    c.wait_for_text("* [1] delivered")

    c.type("/nodes", "/bye", "/dance", "nobody listens")
    c.wait_for_text(f"{python_id}  alice  here")
    c.wait_for_text("================= END =================")
    c.wait_for_text("! unknown command /dance; /help lists them")
    c.wait_for_text("! no conversation is open: start one with @<name or id> text")
    c.exit()
    python.wait_for_text(f"* lost bob {c_id}")


def test_large_message_both_ways(world: World) -> None:
    host = world.namespace()
    python = world.chat(host, world.home("alice"))
    c = world.c_chat(host, world.home("bob"))
    meet(python, c)
    large = "0123456789abcdef" * 65536
    python.type("@bob", large)
    c.wait_for_text(f"alice: {large}")
    c.type("@alice", large)
    python.wait_for_text(f"bob: {large}")
