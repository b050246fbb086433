"""Rooms among real processes: who reads what, also who was away, also after kill -9."""

from __future__ import annotations

from pathlib import Path

from harness import PYTHON, REPOSITORY, Namespace, Program, World, count, meet

BOT = REPOSITORY / "examples/python/room_bot.py"


def lines_of(chat: Program, room: str) -> list[str]:
    return [line for line in chat.lines if line.startswith(f"[{room}] ")]


def open_room(owner: Program, *guests: tuple[str, Program]) -> None:
    """The owner makes the room "hikers", and all join it."""
    owner.type("/room hikers")
    owner.wait_for(r"\* made the room hikers: .*")
    for name, guest in guests:
        owner.type(f"/invite {name}")
        guest.wait_for_text("* you are invited to the room hikers: /join hikers or /leave hikers")
        guest.type("/join hikers")
        guest.wait_for_text("* asked to join the room hikers")
        guest.wait_for_text("* you are in the room hikers: /room hikers opens it")
        owner.wait_for_text(f"* [hikers] {name} has joined")
        guest.type("/room hikers")
        guest.wait_for(r"[0-9a-f]{32}  hikers  made by alice; members: .*")


def test_a_room_lives_and_dies(world: World, host: Namespace) -> None:
    alice, bob, carol = (world.chat(host, world.home(name)) for name in ("alice", "bob", "carol"))
    meet(alice, bob, carol)
    open_room(alice, ("bob", bob), ("carol", carol))
    bob.wait_for_text("* [hikers] carol has joined")
    alice.type("Saturday?")
    alice.wait_for_text("[hikers] You: Saturday?")
    for chat in (bob, carol):
        chat.wait_for_text("[hikers] alice: Saturday?")
    told = {f"* [1] delivered to {name}" for name in ("bob", "carol")}
    alice.wait_until(lambda: told <= set(alice.lines))
    carol.type("I am in")
    for chat in (alice, bob):
        chat.wait_for_text("[hikers] carol: I am in")

    # Only the owner decides, and who is out hears nothing more.
    bob.type("/remove carol")
    bob.wait_for(r"! only the node that made the room can do this.*")
    alice.type("/remove carol")
    carol.wait_for_text("* you were removed from the room hikers")
    alice.wait_for_text("* [hikers] carol was removed")
    bob.wait_for_text("* [hikers] carol was removed")
    alice.type("without carol")
    bob.wait_for_text("[hikers] alice: without carol")
    bob.type("indeed")
    alice.wait_for_text("[hikers] bob: indeed")
    carol.type("/room hikers", "am I still there?")
    carol.wait_for(r"! this node is no member of the room.*")
    assert lines_of(carol, "hikers")[-1] == "[hikers] You: I am in"

    bob.type("/history")
    bob.wait_for(r".*  \[hikers\] alice: without carol")
    bob.wait_for(r".*  \[hikers\] You: indeed \[(delivered|read)\]")
    alice.type("/leave", "/room")
    alice.wait_for_text("* left the room hikers")
    bob.wait_for_text("* the room hikers is closed")
    bob.wait_for_text("================= END =================")


def test_who_was_away_reads_it_later(world: World, host: Namespace) -> None:
    alice_home, bob_home, carol_home = (world.home(name) for name in ("alice", "bob", "carol"))
    alice, bob, carol = (world.chat(host, home) for home in (alice_home, bob_home, carol_home))
    _, bob_id, _ = meet(alice, bob, carol)
    keeper_command: list[str | Path] = [PYTHON, "-m", "meshchat", "node", "--home", world.new_home("keeper")]
    keeper = world.start(host, *keeper_command, "--nickname", "keeper", "--mailbox")
    keeper.node_id()
    open_room(alice, ("bob", bob), ("carol", carol))
    bob.kill()
    for chat in (alice, carol):
        chat.wait_for_text(f"* lost bob {bob_id}")
    alice.type("first")
    carol.wait_for_text("[hikers] alice: first")
    carol.type("second")
    alice.wait_for_text("[hikers] carol: second")
    unkept = "outgoing WHERE status < 20"
    alice.wait_until(lambda: count(alice_home, unkept) + count(carol_home, unkept) == 0)
    # Both are gone when he comes back, and so is the room's owner.
    alice.exit()
    carol.kill()
    bob = world.chat(host, bob_home)
    bob.wait_until(lambda: {"[hikers] alice: first", "[hikers] carol: second"} <= set(bob.lines))
    bob.type("/room")
    bob.wait_for(r"[0-9a-f]{32}  hikers  made by alice; members: .*")


def test_the_room_bot(world: World, host: Namespace) -> None:
    home = world.home("alice")
    bot = world.start(host, PYTHON, BOT, "games", home)
    bot_id = bot.node_id()
    bob, carol = world.chat(host, world.home("bob")), world.chat(host, world.home("carol"))
    for chat in (bob, carol):
        chat.wait_for_text(f"* found games-bot {bot_id}")
    bob.type("@games-bot hello", "join")
    bob.wait_for(r'games-bot: write "join" to be invited to the room')
    bob.wait_for(r"\* you are invited to the room games: .*")
    bob.type("/join games")
    bob.wait_for_text("* you are in the room games: /room games opens it")
    bob.wait_for_text("[games] games-bot: welcome, bob")
    # It keeps its room when it starts again.
    bot.kill()
    bot = world.start(host, PYTHON, BOT, "games", home)
    bot.node_id()
    carol.type("@games-bot join")
    carol.wait_for(r"\* you are invited to the room games: .*")
    carol.type("/join games", "/room games")
    carol.wait_for_text("[games] games-bot: welcome, carol")
    carol.type("who?")
    bob.wait_for_text("[games] games-bot: here are: bob, carol")
