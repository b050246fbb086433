"""The language of the chat."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from meshchat import (
    Broadcast,
    HistoryEntry,
    Message,
    NodeFound,
    NodeInfo,
    NodeLost,
    RoomChange,
    RoomChanged,
    RoomInfo,
    RoomStanding,
    Route,
    RouteChanged,
    Status,
    StatusChanged,
    Trust,
    Warning,
)
from meshchat import FileDone, FileFailed, FileInfo, FileOffered, FileProgress, FileState
from meshchat.chat.files import NO_FILES, NO_OFFER, SEVERAL_OFFERS, size_text
from meshchat.chat.safe import safe
from meshchat.chat.past import NO_CONTACTS, history_line, parse_history
from meshchat.chat.session import (
    END,
    NEW,
    NO_CONVERSATION,
    NO_NODES,
    WARNING,
    Admit,
    Attend,
    Contacts,
    Decide,
    Enter,
    Judge,
    Open,
    Order,
    Past,
    Say,
    SendFile,
    Session,
    Wrong,
    is_loud,
    parse,
)

ALICE = NodeInfo("a" * 59 + "12345", "alice", True, 0.0)
NAMELESS = NodeInfo("b" * 59 + "6789a", None, True, 0.0)


def message(sender: str, text: str) -> Message:
    return Message(sender, "00" * 16, text, 0.0, 0.0, lambda: None)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("@alice hello you", Open("alice", "hello you")),
        ("@alice", Open("alice", "")),
        ("@alice   ", Open("alice", "")),
        ("@alice \t hello\tyou  \t", Open("alice", "hello\tyou")),
        ("@alice\thello", Open("alice", "hello")),
        ("hello @alice", Say("hello @alice")),
        ("  indented \t", Say("  indented")),
        ("/nodes", Order("nodes")),
        ("/bye ", Order("bye")),
        ("/nodes\tplease", Order("nodes")),
        ("/exit", Order("exit")),
        ("/help", Order("help")),
        ("/x y", Wrong("! unknown command /x; /help lists them")),
        ("/x\x1b[31m", Wrong("! unknown command /x\ufffd[31m; /help lists them")),
        ("/history", Past("")),
        ("/history 5 \ttwo words ", Past("5 \ttwo words")),
        ("/verify", Judge("verify", "", "")),
        ("/verify bob", Judge("verify", "bob", "")),
        ("/verify\tbob \t yes", Judge("verify", "bob", "yes")),
        ("/verify bob no", Judge("verify", "bob", "no")),
        ("/verify bob maybe", Wrong("! too many words: /verify <name or id> yes")),
        ("/block", Wrong("! name a node: /block <name or id>")),
        ("/block bob", Judge("block", "bob", "")),
        ("/block bob yes", Wrong("! too many words: /block <name or id>")),
        ("/unblock bob", Judge("unblock", "bob", "")),
        ("/contacts", Contacts("list", "")),
        ("/contacts export a file", Contacts("export", "a file")),
        ("/contacts\timport \t x", Contacts("import", "x")),
        ("/contacts export", Wrong("! name a file: /contacts export FILE")),
        (
            "/contacts forget x",
            Wrong("! unknown action; /contacts, /contacts export FILE or qr, /contacts import FILE or TEXT"),
        ),
        ("@", Wrong("! name somebody: @<name or id> text")),
        ("@ hello", Wrong("! name somebody: @<name or id> text")),
        ("", None),
        (" \t ", None),
        ("@anna\nhello\nthere", Open("anna", "hello\nthere")),
        ("/verify anna\nyes", Judge("verify", "anna", "yes")),
    ],
)
def test_parse(line: str, command: object) -> None:
    assert parse(line) == command


def test_safe_text() -> None:
    assert safe("a\tb") == "a\tb"
    assert safe("one\ntwo\r\nthree") == "one\n  two\n  three"
    assert safe("\x1b]0;title\x07 \r \x9b1m \x7f \u202eabc\u2028") == (
        "\ufffd]0;title\ufffd \ufffd \ufffd1m \ufffd \ufffdabc\ufffd"
    )
    assert safe("Žofie 👩‍🚀") == "Žofie 👩‍🚀"


def test_conversation_opens_and_ends() -> None:
    session = Session()
    assert session.close() == NO_CONVERSATION
    assert session.open(ALICE) == NEW
    assert session.open(ALICE) is None
    assert session.open(NAMELESS) == NEW
    assert session.partner == NAMELESS
    assert session.close() == END
    assert session.close() == NO_CONVERSATION
    assert session.open(NAMELESS) == NEW


def test_presence() -> None:
    session = Session()
    assert session.event(NodeFound(ALICE)) == f"* found alice {ALICE.id}"
    assert session.event(NodeLost(ALICE)) == f"* lost alice {ALICE.id}"
    assert session.event(NodeFound(NAMELESS)) == f"* found 6789a {NAMELESS.id}"
    assert session.event(Warning("link", "link udp: gone\x07")) == "! link udp: gone\ufffd"


def test_nodes() -> None:
    session = Session()
    assert session.list_nodes([], []) == NO_NODES
    away = NodeInfo(NAMELESS.id, None, False, 0.0)
    assert session.list_nodes([ALICE, away], []) == f"{ALICE.id}  alice  here\n{away.id}  6789a  away"
    assert session.knows(ALICE.id)


def test_ways() -> None:
    session = Session()
    near = NodeInfo(ALICE.id, "alice", True, 0.0, Route(ALICE.id, 1, 96, 1400, "udp"))
    far = NodeInfo(NAMELESS.id, None, True, 0.0, Route(ALICE.id, 3, 300, 1400, "udp"))
    assert session.list_nodes([near, far], []) == (
        f"{ALICE.id}  alice  here\n{NAMELESS.id}  6789a  here, 3 hops through alice"
    )
    assert session.event(Broadcast(ALICE.id, "hear\nme")) == "alice to all: hear\n  me"
    assert session.event(RouteChanged(far)) is None, "who talks need not know"


def test_hints() -> None:
    session = Session()
    session.learn([ALICE, NAMELESS])
    assert session.event(message(ALICE.id, "hi")) == "alice: hi\n* answer with @alice text"
    assert session.event(message(ALICE.id, "hi")) == "alice: hi", "once a sender"
    assert session.event(message(NAMELESS.id, "x\ny")) == "6789a: x\n  y\n* answer with @6789a text"
    session.open(ALICE)
    assert session.event(message(ALICE.id, "hi")) == "alice: hi", "the partner needs no hint"
    assert session.event(message(NAMELESS.id, "x")) == "6789a: x\n* answer with @6789a text"
    session.close()
    assert session.event(message(ALICE.id, "hi")) == "alice: hi\n* answer with @alice text"


def test_unique_names() -> None:
    session = Session()
    double = NodeInfo("a" * 58 + "912345", "alice", True, 0.0)
    session.learn([ALICE, double])
    assert session.unique_name(ALICE.id) == "a" * 58 + "a", "a shared nickname will not do, nor will a shared prefix"
    cafe = NodeInfo("c" * 64, "BB", True, 0.0)
    session.learn([NAMELESS, cafe])
    assert session.unique_name(cafe.id) == "cccccccc", "a nickname that is another's id prefix will not do"
    assert session.unique_name("d" * 64) == "d" * 64, "somebody unknown"
    session.learn([NodeInfo("9" * 59 + "6789a", None, True, 0.0)])
    assert session.unique_name(NAMELESS.id) == "bbbbbbbb", "last digits that are shared will not do"
    session.learn([NodeInfo("e" * 64, "ba", True, 0.0), NodeInfo("f" * 62 + "ba", None, True, 0.0)])
    assert session.unique_name("e" * 64) == "ba", "two digits at the end of an id are not looked for"


def test_own_messages() -> None:
    session = Session()
    session.sending()
    assert session.accepted("m1" * 16, "one") == "You: one\n* [1] queued"
    assert session.event(StatusChanged("m1" * 16, ALICE.id, Status.QUEUED)) is None, "was shown"
    assert session.event(StatusChanged("m1" * 16, ALICE.id, Status.SENT)) == "* [1] sent"
    assert session.event(StatusChanged("m1" * 16, ALICE.id, Status.DELIVERED)) == "* [1] delivered"
    session.sending()
    assert session.refused(ValueError("too long")) == "! too long"
    session.sending()
    assert session.accepted("m2" * 16, "two") == "You: two\n* [2] queued", "a refused message has no number"


def test_statuses_of_an_earlier_run() -> None:
    session = Session()
    assert session.event(StatusChanged("0123456789abcdef" * 2, ALICE.id, Status.DELIVERED)) == "* [01234567] delivered"


def test_status_before_its_turn() -> None:
    session = Session()
    session.sending()
    session.sending()
    old = "0123456789abcdef" * 2
    assert session.event(StatusChanged("m2" * 16, ALICE.id, Status.SENT)) is None
    assert session.event(StatusChanged(old, ALICE.id, Status.DELIVERED)) is None
    assert session.accepted("m1" * 16, "one") == "You: one\n* [1] queued"
    expected = "You: two\n* [2] queued\n* [2] sent\n* [01234567] delivered"
    assert session.accepted("m2" * 16, "two") == expected


def test_trust_is_shown() -> None:
    session = Session()
    friend = NodeInfo(ALICE.id, "alice", True, 0.0, trust=Trust.VERIFIED, is_contact=True)
    pest = NodeInfo(NAMELESS.id, None, False, 0.0, trust=Trust.BLOCKED, is_contact=True)
    assert session.list_nodes([friend, pest], []) == (
        f"{ALICE.id}  alice  here, verified\n{NAMELESS.id}  6789a  away, blocked"
    )
    assert session.list_contacts([friend, pest]) == f"{ALICE.id}  alice  verified\n{NAMELESS.id}  6789a  blocked"
    assert session.list_contacts([ALICE]) == NO_CONTACTS
    assert session.judged("verify", "yes", friend) == f"* alice {ALICE.id} is verified"
    shown = session.show_words(friend, ["one", "two"])
    assert f"you and alice {ALICE.id}: one two\n" in shown and shown.endswith("type /verify alice yes")


def test_an_impostor_is_loud() -> None:
    warning = Warning("nickname-taken", "somebody\x1b[0m")
    assert Session().event(warning) == f"{WARNING}\n! somebody\ufffd[0m"
    assert is_loud(warning) and not is_loud(Warning("link", "gone"))


def test_the_partner_goes_by_what_it_was_called() -> None:
    session = Session()
    session.open(ALICE, "alice")
    assert session.partner_query == "alice"
    session.open(ALICE, ALICE.id)
    assert session.partner_query == ALICE.id
    session.open(NAMELESS)
    assert session.partner_query == NAMELESS.id


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", (20, None)),
        ("5", (5, None)),
        ("0005 \t x  y", (5, "x  y")),
        ("5x", (20, "5x")),
        ("two words", (20, "two words")),
        ("99999999999999999999999 x", (1001, "x")),
        ("1001", (1001, None)),
        ("\u0665", (20, "\u0665")),
    ],
)
def test_what_history_is_asked_for(words: str, expected: tuple[int, str | None]) -> None:
    assert parse_history(words) == expected


def test_messages_of_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    name = lambda room: room[:4]  # noqa: E731
    received = HistoryEntry(1, False, ALICE.id, "alice", "00" * 16, "hi\nyou\x1b", 0.0, 86400.0, None)
    assert history_line(received, name) == "1970-01-02 00:00  alice: hi\n  you\ufffd"
    sent = HistoryEntry(2, True, NAMELESS.id, None, "00" * 16, "hi", 3600.0, None, Status.SENT)
    assert history_line(sent, name) == "1970-01-01 01:00  You to 6789a: hi [sent]"
    assert history_line(replace(received, room="abcdef"), name) == "1970-01-02 00:00  [abcd] alice: hi\n  you\ufffd"
    assert history_line(replace(sent, room="abcdef"), name) == "1970-01-01 01:00  [abcd] You: hi [sent]"
    monkeypatch.undo()
    time.tzset()


# -- rooms --------------------------------------------------------------------------------------------------------------

ROOM = RoomInfo("0a" * 16, "hikers", ALICE.id, RoomStanding.MEMBER, (ALICE.id, "f" * 64), (NAMELESS.id,), 3)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/room", Order("rooms")),
        ("/room  hikers ", Enter("hikers")),
        ("/join hikers", Attend("join", "hikers")),
        ("/join", Wrong("! name a room: /join ROOM")),
        ("/leave", Attend("leave", "")),
        ("/leave hikers", Attend("leave", "hikers")),
        ("/invite bob", Admit("invite", "bob")),
        ("/remove", Wrong("! name a node: /remove <name or id>")),
    ],
)
def test_lines_about_rooms(line: str, command: object) -> None:
    assert parse(line) == command


def room_session() -> Session:
    session = Session()
    session.rooms.own = "f" * 64
    session.learn([ALICE, NAMELESS])
    return session


def test_rooms_in_a_list() -> None:
    session = room_session()
    row = f"{ROOM.id}  hikers  made by alice; members: alice, you; invited: 6789a"
    assert session.rooms.rows([ROOM]) == row
    invited = replace(ROOM, standing=RoomStanding.INVITED, owner="f" * 64, invited=())
    assert session.rooms.rows([invited]).endswith("  you are invited; made by you; members: alice, you")
    assert session.rooms.rows([replace(ROOM, standing=RoomStanding.CLOSED)]).endswith("hikers  closed")
    assert session.rooms.rows([]) == "* no rooms yet: /room NAME makes one"


@pytest.mark.parametrize(
    ("change", "node", "text"),
    [
        (RoomChange.INVITED, None, "* you are invited to the room hikers: /join hikers or /leave hikers"),
        (RoomChange.JOINED, "f" * 64, "* you are in the room hikers: /room hikers opens it"),
        (RoomChange.JOINED, ALICE.id, "* [hikers] alice has joined"),
        (RoomChange.LEFT, ALICE.id, "* [hikers] alice has left"),
        (RoomChange.REMOVED, ALICE.id, "* [hikers] alice was removed"),
        (RoomChange.REMOVED, "f" * 64, "* you were removed from the room hikers"),
        (RoomChange.CLOSED, None, "* the room hikers is closed"),
    ],
)
def test_what_happens_to_rooms(change: RoomChange, node: str | None, text: str) -> None:
    assert room_session().event(RoomChanged(ROOM.id, "hikers", change, node)) == text


def test_a_conversation_in_a_room() -> None:
    session = room_session()
    hello = replace(message(ALICE.id, "hello"), room=ROOM.id)
    session.rooms.learn([ROOM])
    assert session.event(hello) == "[hikers] alice: hello\n* /room hikers opens the room"
    assert session.event(hello) == "[hikers] alice: hello"
    assert session.open(ROOM) == NEW
    session.sending()
    # The first member has it before the node's answer is shown.
    assert session.event(StatusChanged("m1", ALICE.id, Status.SENT)) is None
    assert session.event(StatusChanged("m1", ALICE.id, Status.DELIVERED)) is None
    shown = "[hikers] You: hi\n* [1] queued\n* [1] delivered to alice"
    assert session.accepted_in_room("m1", ROOM.id, "hi") == shown
    assert session.event(StatusChanged("m1", NAMELESS.id, Status.STORED)) is None
    assert session.event(StatusChanged("m1", NAMELESS.id, Status.READ)) is None
    assert session.event(StatusChanged("m1", NAMELESS.id, Status.DELIVERED)) == "* [1] delivered to 6789a"
    removed = RoomChanged(ROOM.id, "hikers", RoomChange.REMOVED, "f" * 64)
    assert session.event(removed) == f"* you were removed from the room hikers\n{END}"


# -- files --------------------------------------------------------------------------------------------------------------


def file(number: int, *, incoming: bool = True, done: int = 0, state: FileState = FileState.WAITING) -> FileInfo:
    reason = "the recipient refused it" if state is FileState.REFUSED else None
    return FileInfo(f"{number:032x}", ALICE.id, incoming, f"{number}.txt", 4000, done, state, reason, None, 0.0)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/send a file.txt ", SendFile("a file.txt")),
        ("/send \t /x", SendFile("/x")),
        ("/send", Wrong("! name a file: /send FILE")),
        ("/accept", Decide(True, None)),
        ("/accept 12", Decide(True, 12)),
        ("/refuse  3 ", Decide(False, 3)),
        ("/refuse x", Wrong("! name a file by its number: /refuse NUMBER; /files shows the numbers")),
        ("/accept \u0661", Wrong("! name a file by its number: /accept NUMBER; /files shows the numbers")),
        ("/files", Order("files")),
    ],
)
def test_lines_about_files(line: str, command: object) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_999, "999.9 kB"), (1 << 53, "9.0 PB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_what_is_said_of_a_file() -> None:
    session = Session()
    session.learn([ALICE])
    assert session.event(FileOffered(file(7))) == "* alice offers [1] 7.txt (4.0 kB): /accept 1 or /refuse 1"
    assert session.files.offering(file(8, incoming=False)) == "* offering [2] 8.txt (4.0 kB) to alice"
    # Each quarter once, and neither the beginning nor the end.
    told = [session.event(FileProgress(file(7, done=done))) for done in (0, 900, 1000, 1900, 3500, 4000)]
    assert told == [None, None, "* [1] 7.txt: 25 %", None, "* [1] 7.txt: 75 %", None]
    assert session.files.toolbar() == "< 7.txt ########## 100 % of 4.0 kB"
    done = FileDone(file(8, incoming=False, state=FileState.DONE))
    assert session.event(done) == "* [2] 8.txt has arrived at alice, whole and verified"
    assert session.event(FileFailed(file(7, state=FileState.REFUSED))) == "* [1] 7.txt: the recipient refused it"
    assert session.files.toolbar() == ""
    rows = session.files.rows([file(7), file(9, done=1000, state=FileState.ACCEPTED)])
    assert rows == "[1] 7.txt  4.0 kB  from alice  waiting\n[3] 9.txt  4.0 kB  from alice  25 %"
    assert session.files.rows([]) == NO_FILES


def test_which_file_is_meant() -> None:
    files = Session().files
    waiting, other, own = file(1), file(2), file(3, incoming=False)
    assert files.chosen([own], None) == NO_OFFER
    assert files.chosen([own, waiting], None) == waiting
    assert files.chosen([waiting, other], None) == SEVERAL_OFFERS
    assert files.chosen([waiting, other, own], 3) == own
    assert files.chosen([waiting], 4) == "! there is no file [4]; /files lists them"
