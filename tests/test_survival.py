"""Nothing is lost, doubled or out of order, whoever is killed when."""

from __future__ import annotations

from harness import Namespace, Program, World, meet

TOTAL = 1000
TEXTS = [f"message {n}" for n in range(1, TOTAL + 1)]


def drain(chat: Program) -> None:
    """What a killed chat had written."""
    chat.kill()
    chat.end()


def test_the_receiver_is_killed(world: World, host: Namespace) -> None:
    alice = world.chat(host, world.home("alice"))
    home = world.home("bob")
    runs = [world.chat(host, home)]
    meet(alice, runs[0])
    alice.type("@bob", *TEXTS)
    for stage in (100, 400, 700):
        runs[-1].wait_for(rf"alice: message ({stage}|{TOTAL})")
        drain(runs[-1])
        runs.append(world.chat(host, home))
    alice.wait_for_text(f"* [{TOTAL}] delivered")
    # One more, so that anything that came twice has come by now.
    alice.type("the end")
    runs[-1].wait_for_text("alice: the end")

    seen = runs[0].heard("alice")
    for run in runs[1:]:
        more = run.heard("alice")
        # To write a line and to note that it was written are two steps, and no program can do both at once. This
        # test kills just when a line appears, so between the two if anywhere: that line alone may be shown again.
        seen += more[1:] if more[:1] == seen[-1:] else more
    assert seen == [*TEXTS, "the end"]


def test_the_sender_is_killed(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    home = world.home("alice")
    alice = world.chat(host, home)
    meet(alice, bob)
    alice.type("@bob", *TEXTS)
    alice.wait_for_text("* [300] queued")
    drain(alice)
    # A line may have been on its way to the screen: accepted, but not shown.
    promised = alice.heard("You")
    assert promised == TEXTS[: len(promised)] and len(promised) >= 300

    again = world.chat(host, home)
    again.type("@bob the end")
    bob.wait_for_text("alice: the end")
    received = bob.heard("alice")
    assert received[-1] == "the end"
    assert received[:-1] == TEXTS[: len(received) - 1], "each once, in order"
    assert len(received) - 1 >= len(promised), "what was shown as queued is delivered"


def test_the_recipient_is_away(world: World, host: Namespace) -> None:
    alice_home, bob_home = world.home("alice"), world.home("bob")
    alice, bob = world.chat(host, alice_home), world.chat(host, bob_home)
    _, bob_id = meet(alice, bob)
    bob.exit()
    alice.wait_for_text(f"* lost bob {bob_id}")
    alice.type("@bob are you there?")
    alice.wait_for_text("* [1] queued")
    alice.exit()
    assert "* [1] sent" not in alice.lines

    # The sender comes back first, and still knows whom it wrote to.
    alice = world.chat(host, alice_home)
    alice.type("/nodes")
    alice.wait_for_text(f"{bob_id}  bob  away")
    bob = world.chat(host, bob_home)
    bob.wait_for_text("alice: are you there?")
    message = alice.wait_for(r"\* \[([0-9a-f]{8})\] delivered")[1]
    states = [line for line in alice.lines if line.startswith("* [") and not line.endswith((" sent", " read"))]
    assert states == [f"* [{message}] delivered"]
    bob.exit()

    # Shown and confirmed: not shown again.
    bob = world.chat(host, bob_home)
    meet(bob, world.chat(host, world.home("carol")))
    bob.type("/nodes")
    bob.wait_for(r"\S+  carol  here")
    assert bob.heard("alice") == []


def test_a_message_that_was_not_shown_comes_again(world: World, host: Namespace) -> None:
    """Whoever cannot show a message does not confirm it."""
    alice = world.chat(host, world.home("alice"))
    home = world.home("bob")
    bob = world.chat(host, home)
    meet(alice, bob)
    assert bob.process.stdout is not None
    bob.process.stdout.close()
    alice.type("@bob nobody reads this")
    alice.wait_for_text("* [1] delivered")
    assert bob.process.wait(60) == 1
    assert "Traceback" not in bob.errors()
    again = world.chat(host, home)
    again.wait_for_text("alice: nobody reads this")
