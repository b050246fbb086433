"""What the commands that look at the mesh make of what they are told."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

import pytest

from meshchat import (
    Broadcast,
    InternalError,
    Message,
    Node,
    NodeFound,
    NodeInfo,
    NodeLost,
    OutOfReachError,
    RoomChange,
    RoomChanged,
    Route,
    RouteChanged,
    Status,
    StatusChanged,
    TimedOutError,
    TraceHop,
    UnknownNodeError,
    Warning,
)
from meshchat.cli import nodes, ping, trace
from meshchat.cli.asking import Asked, in_reach
from meshchat.cli.node import describe

CAROL = NodeInfo("c" * 64, "carol", True, 90.0, Route("c" * 64, 1, 96, 1400, "ethernet:eth0"))
BOB = NodeInfo("b" * 64, "bob\x1b[1m", True, 100.0, Route("c" * 64, 2, 200, 1400, "ethernet:eth0"))
AWAY = NodeInfo("d" * 59 + "12345", None, False, -1e6)
NAMES = {node.id: node.name for node in (CAROL, BOB)}


# -- nodes ------------------------------------------------------------------------------------------------------


def test_the_table() -> None:
    text = nodes.table([CAROL, BOB, AWAY], 100.0, None)
    header, carol, bob, away = [line.split() for line in text.splitlines()]
    assert header == ["ID", "NICKNAME", "NEXT", "HOP", "HOPS", "METRIC", "LINK", "LAST", "HEARD"]
    assert carol == [CAROL.id, "carol", "direct", "1", "96", "ethernet:eth0", "10", "s", "ago"]
    assert bob == [BOB.id, "bob\ufffd[1m", "carol", "2", "200", "ethernet:eth0", "0", "s", "ago"]
    assert away == [AWAY.id, "-", "-", "-", "-", "11", "d", "ago"]
    narrow = nodes.table([CAROL, BOB, AWAY], 100.0, 90)
    assert "cccccccccc…ccccc  carol" in narrow and "dddddddddd…12345  " in narrow
    assert max(map(len, narrow.splitlines())) <= 90
    assert nodes.table([CAROL], 100.0, 200) == nodes.table([CAROL], 100.0, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s ago"),
        (0.4, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86400 * 400, "400 d ago"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert nodes.age(seconds) == text


def test_json_names_everything() -> None:
    near, away = nodes.as_json(BOB), nodes.as_json(AWAY)
    assert list(near) == list(away)
    assert near == {
        "id": BOB.id,
        "nickname": BOB.nickname,
        "present": True,
        "last_seen": 100.0,
        "next_hop": CAROL.id,
        "hops": 2,
        "metric": 200,
        "mtu": 1400,
        "link": "ethernet:eth0",
        "trust": "seen",
        "contact": False,
    }
    assert [away[name] for name in ("next_hop", "hops", "metric", "mtu", "link")] == [None] * 5


# -- ping -------------------------------------------------------------------------------------------------------


class Pinged:
    """Gives the answers that the test wants, in the order of the questions."""

    def __init__(self, *answers: float | Exception) -> None:
        self.answers = list(answers)

    async def ping(self, to: str, *, timeout: float) -> float:
        assert (to, timeout) == (CAROL.id, 0.5)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def pings(node: Pinged, *, as_json: bool) -> ping.Pings:
    result = ping.Pings(as_json)
    options = argparse.Namespace(count=len(node.answers), interval=0.0, timeout=0.5)
    asyncio.run(result.run(cast(Node, node), CAROL, options))
    result.show_sum()
    return result


def test_pings(capsys: pytest.CaptureFixture[str]) -> None:
    node = Pinged(0.001, TimedOutError("late"), 0.003, OutOfReachError("away"))
    assert pings(node, as_json=False).times == [0.001, 0.003]
    assert capsys.readouterr().out == (
        f"PING carol {CAROL.id}\n"
        "carol: seq=1 time=1.000 ms\ncarol: seq=2 no answer\ncarol: seq=3 time=3.000 ms\ncarol: seq=4 out of reach\n"
        f"--- carol {CAROL.id}\n4 sent, 2 answered, 50 % lost\nmin/avg/max = 1.000 ms / 2.000 ms / 3.000 ms\n"
    )


def test_pings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    pings(Pinged(0.25, TimedOutError("late")), as_json=True)
    first, second, total = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {"seq": 1, "id": CAROL.id, "rtt": 0.25, "error": None}
    assert second == {"seq": 2, "id": CAROL.id, "rtt": None, "error": "no answer"}
    summary = {"sent": 2, "answered": 1, "loss_percent": 50.0, "min": 0.25, "avg": 0.25, "max": 0.25}
    assert total == {"id": CAROL.id, **summary}


def test_pings_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert pings(Pinged(TimedOutError("late")), as_json=False).times == []
    assert capsys.readouterr().out.endswith("\n1 sent, 0 answered, 100 % lost\n")


def test_a_defect_ends_the_pings() -> None:
    with pytest.raises(InternalError):
        pings(Pinged(0.1, InternalError("oh"), 0.1), as_json=False)


# -- trace ------------------------------------------------------------------------------------------------------


def test_hops() -> None:
    names: dict[str, str | None] = {CAROL.id: "carol", AWAY.id: None}
    assert trace.line(TraceHop(1, CAROL.id, 0.0015), names) == f" 1  carol  {CAROL.id}  1.500 ms"
    assert trace.line(TraceHop(2, AWAY.id, 0.002), names) == f" 2  12345  {AWAY.id}  2.000 ms"
    assert trace.line(TraceHop(3, None, 0.002), names) == " 3  ?  2.000 ms"
    assert trace.line(TraceHop(10, None, None), names) == "10  *"


# -- waiting ----------------------------------------------------------------------------------------------------


class Appearing:
    """A node that is unknown, then away, then here."""

    def __init__(self, *answers: NodeInfo | Exception) -> None:
        self.answers = list(answers)

    async def resolve(self, query: str) -> NodeInfo:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_waiting_for_a_node() -> None:
    def found(wait: float, *answers: NodeInfo | Exception) -> NodeInfo:
        return asyncio.run(in_reach(Asked(cast(Node, Appearing(*answers)), False), "carol", wait))

    away = NodeInfo(CAROL.id, "carol", False, 0.0)
    unknown = UnknownNodeError("nobody")
    assert found(60, unknown, away, CAROL) == CAROL
    assert found(0, CAROL) == CAROL
    with pytest.raises(UnknownNodeError, match="carol was not found within 0 s"):
        found(0, unknown)
    with pytest.raises(OutOfReachError, match="carol was not in reach within 0.15 s"):
        found(0.15, unknown, away)


class Young(Appearing):
    """A node that has just started: the first answers do not find the way back."""

    def __init__(self, *pings: float | Exception) -> None:
        super().__init__(CAROL)
        self.pings = list(pings)

    async def ping(self, to: str, *, timeout: float) -> float:
        assert to == CAROL.id and 0 < timeout <= 1
        answer = self.pings.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_new_node_waits_until_it_is_known() -> None:
    young = Young(TimedOutError("1"), OutOfReachError("2"), TimedOutError("3"), 0.1, 0.1)
    assert asyncio.run(in_reach(Asked(cast(Node, young), True), "carol", 60)) == CAROL
    assert young.pings == [0.1]
    silent = Young(*[OutOfReachError("never")] * 10)
    assert asyncio.run(in_reach(Asked(cast(Node, silent), True), "carol", 0.15)) == CAROL, "the questions themselves tell"
    assert 7 <= len(silent.pings) < 10


# -- the log of a node ------------------------------------------------------------------------------------------


def test_the_log() -> None:
    def described(event: object) -> str | None:
        return describe(event, NAMES)  # type: ignore[arg-type]

    assert described(NodeFound(CAROL)) == f"found carol {CAROL.id}, 1 hop on ethernet:eth0"
    assert described(RouteChanged(BOB)) == (
        f"route changed to {BOB.name} {BOB.id}, 2 hops through carol on ethernet:eth0, metric 200"
    )
    assert described(Broadcast(CAROL.id, "hello")) == f"broadcast of carol {CAROL.id}: hello"
    assert described(NodeLost(AWAY)) == f"lost 12345 {AWAY.id}"
    message = Message(CAROL.id, "00" * 16, "secret", 0.0, 0.0, lambda: None)
    assert described(message) == f"message from carol {CAROL.id}: it waits on disk for a chat"
    assert described(StatusChanged("0" * 32, BOB.id, Status.SENT)) == f"message {'0' * 32} to {BOB.id}: sent"
    assert described(Warning("link", "udp: gone")) == "warning: udp: gone"
    joined = RoomChanged("0a" * 16, "hikers", RoomChange.JOINED, CAROL.id)
    assert described(joined) == f"room hikers {'0a' * 16}: joined: carol {CAROL.id}"
    invited = RoomChanged("0a" * 16, "hikers", RoomChange.INVITED, None)
    assert described(invited) == f"room hikers {'0a' * 16}: invited"
