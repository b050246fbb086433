"""Nodes in asyncio programs, the examples among them."""

from __future__ import annotations

import time

import pytest

from harness import PYTHON, REPOSITORY, Namespace, Program, World

EXAMPLES = REPOSITORY / "examples" / "python"


def script(world: World, host: Namespace, code: str, *arguments: object) -> Program:
    """A program with `run()` around the code, which may await."""
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    text = f"import asyncio, sys\nimport meshchat\nasync def run():\n{body}\nasyncio.run(run())\n"
    return world.start(host, PYTHON, "-u", "-c", text, *map(str, arguments))


def test_echo_bot_and_mini_chat(world: World, host: Namespace) -> None:
    bot = world.start(host, PYTHON, EXAMPLES / "echo_bot.py", world.home("bob"))
    bot_id = bot.node_id()
    chat = world.start(host, PYTHON, EXAMPLES / "mini_chat.py", bot_id, world.home("alice"))
    chat.wait_for_text("* found echo")
    chat.type("hello")
    chat.wait_for(r"\* [0-9a-f]{8} delivered")
    if f"{bot_id[-5:]}: 'hello'" not in chat.lines:
        chat.wait_for_text(f"{bot_id[-5:]}: 'hello'")
    chat.type("")
    chat.wait_for("! .*")
    chat.close_input()
    assert (chat.end(), chat.errors()) == (0, "")


def test_echo_bot_is_short() -> None:
    assert len((EXAMPLES / "echo_bot.py").read_text().splitlines()) < 40


def test_names_and_errors(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    code = """
try:
    meshchat.Node(links="udp")
except meshchat.ArgumentError as error:
    print(error)
async with meshchat.Node(sys.argv[1], nickname="alice") as node:
    print(node.id == meshchat.Identity.load(sys.argv[1]).id, node.nickname, node.home, node.links)
    async for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            break
    known = await node.resolve("bob")
    print(await node.nodes() == [known], await node.resolve(known.id[:12]) == known)
    for to in (known, known.id, "bob", known.id[:9]):
        print(len(await node.send(to, "hello")))
    for to, text in (("carol", "x"), ("0" * 64, "x"), ("bob", ""), ("bob", "x" * (2**20 + 1))):
        try:
            await node.send(to, text)
        except meshchat.MeshChatError as error:
            print(type(error).__name__)
    try:
        async with meshchat.Node(sys.argv[1]):
            pass
    except meshchat.HomeInUseError as error:
        print(type(error).__name__)
try:
    await node.nodes()
except meshchat.StoppedError as error:
    print(type(error).__name__)
"""
    home = world.home("alice")
    alice = script(world, host, code, home)
    alice.wait_for_text("links is a list of links, not a text: write ['udp']")
    alice.wait_for_text(f"True alice {home} [LinkStatus(spec='udp', error=None)]")
    alice.wait_for_text("True True")
    for _ in range(4):
        alice.wait_for_text("32")
    for name in ("UnknownNodeError", "UnknownNodeError", "EmptyMessageError", "MessageTooLongError"):
        alice.wait_for_text(name)
    alice.wait_for_text("HomeInUseError")
    alice.wait_for_text("StoppedError")
    assert alice.end() == 0, bob_id


def test_the_way_to_a_node(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    code = """
async with meshchat.Node(sys.argv[1], nickname="alice") as node:
    async for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            break
    bob = event.node
    # The first answers may not find the way back: bob knows alice a moment later than she him.
    while True:
        try:
            await node.ping(bob, timeout=1)
            break
        except meshchat.TimedOutError:
            pass
    print(bob.route.next_hop, bob.route.hops, bob.route.link, bob.route.metric >= 96, bob.route.mtu > 1000)
    for to in (bob, bob.id, "bob"):
        print(0 < await node.ping(to, timeout=10) < 10)
        (hop,) = await node.trace(to)
        print(hop.hop, hop.node, 0 < hop.rtt < 2)
    for to, timeout in (("bob", -1), ("bob", float("nan")), ("0" * 64, 1), (node.id, 1)):
        try:
            await node.ping(to, timeout=timeout)
        except meshchat.MeshChatError as error:
            print(type(error).__name__)
    try:
        await node.trace("0" * 64)
    except meshchat.OutOfReachError as error:
        print("no way")
    os.kill(int(sys.argv[2]), signal.SIGSTOP)
    # Each thread stops when it gets to it.
    states = lambda: [open(stat).read().rpartition(")")[2].split()[0] for stat in glob.glob(f"/proc/{sys.argv[2]}/task/*/stat")]
    while set(states()) != {"T"}:
        await asyncio.sleep(0)
    try:
        await node.ping(bob, timeout=0.1)
    except TimeoutError as error:
        print(type(error).__name__)
    os.kill(int(sys.argv[2]), signal.SIGCONT)
"""
    alice = script(world, host, f"import glob, os, signal\n{code}", world.home("alice"), bob.process.pid)
    alice.wait_for_text(f"{bob_id} 1 udp True True")
    for _ in range(3):
        alice.wait_for_text("True")
        alice.wait_for_text(f"1 {bob_id} True")
    for name in ("ArgumentError", "ArgumentError", "OutOfReachError", "ArgumentError"):
        alice.wait_for_text(name)
    alice.wait_for_text("no way")
    alice.wait_for_text("TimedOutError")
    assert alice.end() == 0, alice.report()


def test_a_script_without_an_event_loop(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    code = """
import sys, meshchat
with meshchat.Node(sys.argv[1], nickname="alice").blocking() as node:
    print(repr(node) == f"<blocking <meshchat.Node {node.id}>>", node.nickname, node.home, len(node.links))
    print(node.next_event(timeout=0))
    for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            break
    bob = event.node
    while True:
        try:
            node.ping(bob, timeout=1)
            break
        except meshchat.TimedOutError:
            pass
    print(node.resolve("bob") == bob, node.nodes() == [bob], 0 < node.ping(bob, timeout=10) < 10, len(node.trace(bob)))
    print(len(node.send(bob, "hello")))
    while not isinstance(event := node.next_event(), meshchat.Message):
        pass
    print("got", event.text)
    node.stop()
    try:
        node.nodes()
    except meshchat.StoppedError as error:
        print("stopped")
with meshchat.Node(sys.argv[1]).blocking() as node:
    try:
        for event in node.events():
            print(type(event).__name__)
    except KeyboardInterrupt:
        print("interrupted", len(node.nodes()))
"""
    home = world.home("alice")
    alice = world.start(host, PYTHON, "-u", "-c", code, home)
    alice.wait_for_text(f"True alice {home} 1")
    alice.wait_for_text("None")
    alice.wait_for_text("True True True 1")
    alice.wait_for_text("32")
    bob.wait_for_text("alice: hello")
    bob.type("@alice and back")
    alice.wait_for_text("got and back")
    alice.wait_for_text("stopped")
    alice.wait_for_text("NodeFound")
    alice.process.send_signal(2)
    alice.wait_for_text("interrupted 1")
    assert (alice.end(), alice.errors()) == (0, "")


def test_confirmation(world: World, host: Namespace) -> None:
    """A loop that is left before its message is done gets that message again."""
    bob = world.chat(host, world.home("bob"))
    home = world.home("alice")
    code = """
async with meshchat.Node(sys.argv[1], nickname="alice") as node:
    print("NODE_ID:", node.id)
    async for event in node.events():
        if isinstance(event, meshchat.Message):
            print("got", event.text)
            if sys.argv[2] == "explicitly":
                event.confirm()
            if event.text == sys.argv[3]:
                break
"""
    alice = script(world, host, code, home, "implicitly", "two")
    bob.wait_for(r"\* found alice .*")
    bob.type("@alice one", "two")
    alice.wait_for_text("got one")
    alice.wait_for_text("got two")
    assert alice.end() == 0
    again = script(world, host, code, home, "explicitly", "two")
    again.wait_for_text("got two")
    assert again.end() == 0 and "got one" not in again.lines
    bob.type("three")
    last = script(world, host, code, home, "explicitly", "three")
    last.wait_for_text("got three")
    assert last.end() == 0 and "got two" not in last.lines


@pytest.mark.parametrize(
    "ending",
    [
        "return",
        "sys.exit(0)",
        "import os; os._exit(0)",
        "asyncio.ensure_future(node.send('0' * 64, 'x')); asyncio.ensure_future(anext(node.events())); return",
        "asyncio.ensure_future(meshchat.Node(temporary=True, key_bits=4096).start()); await asyncio.sleep(0); return",
    ],
)
def test_a_program_may_end_with_its_node_running(world: World, host: Namespace, ending: str) -> None:
    code = f"node = meshchat.Node(sys.argv[1])\nawait node.start()\nglobal keep\nkeep = node\n{ending}"
    program = script(world, host, code, world.home("alice"))
    assert (program.end(), program.errors()) == (0, "")


def test_sends_in_parallel_keep_their_order(world: World, host: Namespace) -> None:
    bob = world.chat(host, world.home("bob"))
    code = """
async with meshchat.Node(sys.argv[1], nickname="alice") as node:
    order, accepted = [], {}
    events = node.events()
    async for event in events:
        if isinstance(event, meshchat.NodeFound):
            bob = event.node.id
            break
    async def watch():
        async for event in events:
            if isinstance(event, meshchat.StatusChanged):
                assert event.id in accepted, "a status came before the answer"
                if event.status is meshchat.Status.DELIVERED:
                    order.append(accepted[event.id])
                    if len(order) == 500:
                        break
    watching = asyncio.create_task(watch())
    async def send(n):
        accepted[await node.send(bob, f"text {n}")] = n
    await asyncio.gather(*(send(n) for n in range(500)))
    await watching
    print("all", sorted(order) == list(range(500)))
"""
    alice = script(world, host, code, world.home("alice"))
    alice.wait_for_text("all True")
    bob.wait_for_text("alice: text 499")
    assert [line for line in bob.lines if line.startswith("alice: ")] == [f"alice: text {n}" for n in range(500)]


def test_idle_nodes_do_not_poll(world: World, host: Namespace) -> None:
    """A node that nobody talks to sleeps nearly all of the time."""
    alice = world.chat(host, world.home("alice"))
    bob = world.chat(host, world.home("bob"))
    bob_id = bob.node_id()
    alice.wait_for(rf"\* found bob {bob_id}")

    def ticks() -> int:
        fields = open(f"/proc/{alice.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before, start = ticks(), time.monotonic()
    watcher = script(world, host, "await asyncio.sleep(3)")
    assert watcher.end() == 0
    used = (ticks() - before) / 100
    assert used < 0.2 * (time.monotonic() - start), f"{used} s of processor time"


def test_the_start_is_fast(world: World, host: Namespace) -> None:
    """From the command to NODE_ID, with a key that exists."""
    home = world.home("alice")
    times = []
    for _ in range(5):
        start = time.monotonic()
        chat = world.chat(host, home)
        chat.node_id()
        times.append(time.monotonic() - start)
        chat.exit()
    assert min(times) < 0.5, times
