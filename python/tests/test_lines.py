"""Input lines, from bytes and from descriptors."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from pathlib import Path

from meshchat.chat.lines import MAX_LINE, NOT_UTF8, TOO_LONG, BadLine, Splitter, read_lines


def plain(lines: list[str | BadLine]) -> list[str]:
    return [f"bad: {line.why}" if isinstance(line, BadLine) else line for line in lines]


def test_every_cut_gives_the_same_lines() -> None:
    data = "ein\nzwei\r\n\ndrei Žluťoučký\n\nvier".encode() + b"\n\xff\xfe\nlast"
    whole = Splitter()
    expected = plain(whole.feed(data) + whole.finish())
    assert expected == ["ein", "zwei", "", "drei Žluťoučký", "", "vier", f"bad: {NOT_UTF8}", "last"]
    chance = random.Random(1)
    for _ in range(200):
        splitter, lines, rest = Splitter(), [], data
        while rest:
            size = chance.randint(1, 9)
            lines += splitter.feed(rest[:size])
            rest = rest[size:]
        assert plain(lines + splitter.finish()) == expected


def test_a_line_without_end_is_bounded() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 65536) == []
        assert len(splitter._rest) <= MAX_LINE
    assert plain(splitter.feed(b"x\nnext\n")) == [f"bad: {TOO_LONG}", "next"]
    assert plain(splitter.feed(b"y" * MAX_LINE + b"\n")) == ["y" * MAX_LINE]
    assert plain(splitter.feed(b"y" * (MAX_LINE + 1)) + splitter.finish()) == [f"bad: {TOO_LONG}"]
    assert splitter.finish() == []


async def collect(descriptor: int) -> list[str]:
    return plain([line async for line in read_lines(descriptor)])


def test_pipe() -> None:
    reader, writer = os.pipe()
    lines = [f"line {n}" for n in range(50_000)]

    def write() -> None:
        with open(writer, "wb") as pipe:
            pipe.write("\n".join(lines).encode())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert asyncio.run(collect(reader)) == lines
        assert os.get_blocking(reader), "the mode of a descriptor is shared with other processes"
    finally:
        thread.join()
        os.close(reader)


def test_file_and_null(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo")
    for name, expected in ((path, ["one", "two"]), (Path(os.devnull), [])):
        with name.open("rb") as file:
            assert asyncio.run(collect(file.fileno())) == expected


def test_terminal() -> None:
    main, terminal = os.openpty()
    os.write(main, b"typed\n\x04")
    try:
        assert asyncio.run(collect(terminal)) == ["typed"]
        os.close(main)
        assert asyncio.run(collect(terminal)) == [], "a terminal that hangs up ends the input"
    finally:
        os.close(terminal)


def test_reading_waits_for_the_reader() -> None:
    """A line is not fetched before the last one has been dealt with."""
    reader, writer = os.pipe()

    async def run() -> None:
        lines = read_lines(reader)
        os.write(writer, b"one\n")
        assert await anext(lines) == "one"
        os.write(writer, b"two\n")
        await asyncio.sleep(0)
        assert os.read(reader, 100) == b"two\n"

    asyncio.run(run())
    os.close(reader)
    os.close(writer)


