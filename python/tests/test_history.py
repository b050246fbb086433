"""The history of a home, contacts as text, and the commands that show them, as far as no network is needed."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from meshchat import (
    ArgumentError,
    Contact,
    History,
    HistoryEntry,
    Message,
    Node,
    Status,
    StorageError,
    UnknownNodeError,
)
from meshchat.chat.past import qr_lines, read_contacts, write_private
from meshchat.cli import main
from meshchat.cli.common import kept
from meshchat.cli.history import a_time

#: NODE_IDs of the made-up nodes.
ANNA, BERT = "01" * 32, "02" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose database some node has made, with messages of two others put in."""
    home = tmp_path / "home"
    with Node(home, nickname="me", key_bits=2048, links=["udp"]).blocking():
        pass
    database = sqlite3.connect(home / "messages.db")
    for number, (peer, text) in enumerate([(1, "Dobré ráno"), (2, "good morning\x1b[2J"), (1, "see you")], 1):
        row = (bytes([peer]) * 32, bytes([number]) * 16, text, number * 1000, number * 1000 + 500)
        database.execute("INSERT INTO incoming (sender, id, text, sent, received) VALUES (?, ?, ?, ?, ?)", row)
    row = (b"\x09" * 16, b"\x01" * 32, "good night", 9000, 30)
    database.execute("INSERT INTO outgoing (id, peer, text, created, status) VALUES (?, ?, ?, ?, ?)", row)
    sql = "INSERT INTO peers (id, record, first_seen, last_seen, ties, nickname) VALUES (?, x'', 0, 0, 2, 'anna')"
    database.execute(sql, (b"\x01" * 32,))
    database.commit()
    database.close()
    return home


def texts(entries: list[HistoryEntry]) -> list[str]:
    return [entry.text for entry in entries]


def test_pages(home: Path) -> None:
    history = History(home)
    page = history.page()
    assert texts(page.entries) == ["Dobré ráno", "good morning\x1b[2J", "see you", "good night"] and not page.more
    first, last = page.entries[0], page.entries[-1]
    assert first == HistoryEntry(1, False, ANNA, "anna", "01" * 16, "Dobré ráno", 1.0, 1.5, None)
    assert last == HistoryEntry(4, True, ANNA, "anna", "09" * 16, "good night", 9.0, None, Status.DELIVERED)
    assert (first.time, last.time, page.entries[1].name) == (1.5, 9.0, "20202")
    page = history.page(limit=2)
    assert texts(page.entries) == ["see you", "good night"] and page.more
    assert texts(history.page(limit=2, before=page.entries[0].position).entries)[0] == "Dobré ráno"
    assert texts(history.page(limit=1, after=0).entries) == ["Dobré ráno"]
    assert texts(list(history.entries(with_="anna", search="G"))) == ["good night"]
    assert texts(list(history.entries(since=2.5, until=datetime.fromtimestamp(9)))) == ["good morning\x1b[2J", "see you"]
    assert texts(history.page(search="RANO dobre").entries) == ["Dobré ráno"]
    assert history.nickname(history.resolve("anna")) == "anna"


def test_what_makes_no_sense(home: Path, tmp_path: Path) -> None:
    history = History(home)
    for search in ("", "?!", '"'):
        with pytest.raises(ArgumentError, match="letter or a digit"):
            history.page(search=search)
    for limit in (0, -1, 1001):
        with pytest.raises(ArgumentError, match="1 to 1000"):
            history.page(limit=limit)
    for since in (float("nan"), float("inf"), datetime.min):
        with pytest.raises(ArgumentError, match="no time"):
            history.page(since=since)
    for before in (-1, 1 << 63):
        with pytest.raises(ArgumentError, match="before is no position"):
            history.page(before=before)
    with pytest.raises(ArgumentError, match="1 to 1000"):
        history.page(limit=10**30)
    with pytest.raises(UnknownNodeError, match="'nobody'"):
        history.page(with_="nobody")
    with pytest.raises(ArgumentError, match="not an id"):
        history.page(with_="x" * 64)
    with pytest.raises(StorageError, match="no node has run"):
        History(tmp_path).page()


def test_a_running_node_answers_the_same(home: Path) -> None:
    with Node(home).blocking() as node:
        assert texts(node.history(search="good").entries) == ["good morning\x1b[2J", "good night"]
        assert texts(node.history(with_="anna", limit=1).entries) == ["good night"]
        assert texts(History(home).page(search="good").entries) == ["good morning\x1b[2J", "good night"]


def test_what_is_kept(home: Path) -> None:
    with Node(home, keep_history=1).blocking():
        pass
    assert len(History(home).page().entries) == 4, "what was not confirmed stays, and the newest one"
    with Node(home).blocking() as node:
        for _ in range(3):
            message = node.next_event(timeout=15)
            assert isinstance(message, Message)
            message.confirm()
    # What has time to be forgotten at the start is, before the node ends.
    with Node(home, keep_history=1).blocking():
        pass
    assert texts(History(home).page().entries) == ["good night"]
    with Node(home, keep_history=timedelta(days=1)).blocking():
        pass
    assert History(home).page().entries == []
    for wrong in (-1, timedelta(seconds=-1)):
        with pytest.raises(ArgumentError, match="less than nothing"):
            Node(home, keep_history=wrong)


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    at = ["--home", str(home)]
    assert main(["history", *at, "--search", "good"]) == 0
    assert capsys.readouterr().out == (
        "1970-01-01 00:00  20202: good morning\ufffd[2J\n1970-01-01 00:00  You to anna: good night [delivered]\n"
    )
    assert main(["history", *at, "--with", "anna", "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "position": 4, "direction": "out", "peer": ANNA, "nickname": "anna", "room": None, "id": "09" * 16,
        "text": "good night", "sent_at": 9.0, "received_at": None, "status": "delivered",
    }  # fmt: skip
    assert main(["history", *at, "--limit", "0", "--until", "1970-01-01T00:00:02Z"]) == 0
    assert capsys.readouterr().out == "1970-01-01 00:00  anna: Dobré ráno\n"
    assert main(["history", *at, "--since", "1h"]) == 3
    assert main(["history", *at, "--search", "nowhere", "--export", str(home / "x.txt")]) == 3
    assert "no message was found" in capsys.readouterr().err and not (home / "x.txt").exists()
    assert main(["history", *at, "--search", "!"]) == 2
    assert main(["history", *at, "--with", "nobody"]) == 1
    assert main(["history", "--home", str(home / "nowhere")]) == 1
    assert "no node has run" in capsys.readouterr().err


def test_an_export(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "all.jsonl"
    assert main(["history", "--home", str(home), "--export", str(file)]) == 0
    assert f"exported 4 messages to {file}" in capsys.readouterr().out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["text"] for line in lines][:2] == ["Dobré ráno", "good morning\x1b[2J"], "nothing is lost in it"
    before = file.read_bytes()
    assert main(["history", "--home", str(home), "--export", str(file)]) == 1
    assert "File exists" in capsys.readouterr().err and file.read_bytes() == before
    assert main(["history", "--home", str(home), "--export", str(tmp_path / "all.txt"), "--limit", "2"]) == 0
    assert len((tmp_path / "all.txt").read_text().splitlines()) == 2
    assert main(["history", "--home", str(home), "--export", str(tmp_path / "all.db")]) == 2


def test_times() -> None:
    now = datetime.now()
    assert timedelta(hours=2) <= now - a_time("2h") + timedelta(seconds=1) < timedelta(hours=2, seconds=60)
    assert a_time("2026-11-30") == datetime(2026, 11, 30)
    assert a_time("2026-11-30T14:00Z").utcoffset() == timedelta(0)
    assert (kept("12h"), kept("2w"), kept("50")) == (timedelta(hours=12), timedelta(days=14), 50)


def test_contacts_as_text() -> None:
    contact = Contact(ANNA, "anna")
    assert str(contact) == f"meshchat:1:{ANNA}:{str(contact)[76:84]}:anna"
    assert Contact.parse(f" {contact}\n") == contact
    assert Contact.parse(str(Contact(BERT, None))) == Contact(BERT, None)
    for wrong, says in [("anna", "not a contact"), (str(contact)[:-1], "checksum"), ("meshchat:2:x", "version 2")]:
        with pytest.raises(ArgumentError, match=says):
            Contact.parse(wrong)
    with pytest.raises(ArgumentError, match="white space"):
        str(Contact(ANNA, "two words"))


def test_contacts_in_files(tmp_path: Path) -> None:
    file = tmp_path / "contacts"
    anna, bert = Contact(ANNA, "anna"), Contact(BERT, None)
    write_private(file, ["# mine", str(anna), "", str(bert)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_contacts(file) == [anna, bert]
    with pytest.raises(FileExistsError):
        write_private(file, [])
    (tmp_path / "wrong").write_text(f"{anna}\r\n{str(bert)[:-2]}\n")
    with pytest.raises(ArgumentError, match="wrong, line 2: .*not a contact|wrong, line 2: the contact's checksum"):
        read_contacts(tmp_path / "wrong")
    (tmp_path / "long").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ArgumentError, match="longer than 1 MiB"):
        read_contacts(tmp_path / "long")
    for other in (Path("/dev/null"), tmp_path):
        with pytest.raises(ArgumentError, match="not a file"):
            read_contacts(other)


def test_a_qr_code_fits_a_terminal() -> None:
    lines = qr_lines(str(Contact(ANNA, "x" * 32))).splitlines()
    assert len(lines) <= 24 and all(len(line) <= 80 for line in map(_visible, lines))


def _visible(line: str) -> str:
    import re

    return re.sub("\x1b\\[[0-9;]*m", "", line)
