"""A file of lines on disks that are full or fail, which take real file systems to show."""

from __future__ import annotations

import errno
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1lab.generation.dead_letters import DeadLetters
from r1lab.generation.journal import JOURNAL, Journal
from r1lab.generation.lines import JournalError, Lines
from r1lab.generation.request import Answer, Request
from tests.generation.small_disk import small_file_system


def request(number: int) -> Request:
    return Request(f"{number:032x}", 0, number, [{"role": "user", "content": "?"}])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    with small_file_system(tmp_path / "small", "1m") as folder:
        yield folder


def until_it_fails(journal: Journal, size: int) -> tuple[int, str]:
    for number in range(10_000):
        try:
            journal.add(request(number), Answer("x" * size))
        except JournalError as error:
            return number, str(error)
    raise AssertionError("the disk was never full")


@pytest.mark.parametrize("size", [100, 3000, 100_000])
def test_a_full_disk_keeps_what_came_before_and_is_gone_on_from(small_disk: Path, size: int):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    with Journal(small_disk / "g") as journal:
        kept, said = until_it_fails(journal, size)
        assert "is full" in said and "make room" in said and "the same line again" in said
        assert len(journal) == kept and journal.missing(f"{kept:032x}", 1) == [0]
    lines = (small_disk / "g" / JOURNAL).read_bytes().splitlines(keepends=True)
    assert len(lines) == kept and all(json.loads(line) for line in lines)
    assert lines[-1].endswith(b"\n")
    ballast.unlink()
    with Journal(small_disk / "g") as journal:
        assert (len(journal), journal.torn, journal.unreadable) == (kept, 0, 0)
        assert journal.add(request(kept), Answer("x" * size))


def test_a_full_disk_leaves_the_old_dead_letters(small_disk: Path):
    with DeadLetters(small_disk / "letters.jsonl") as letters:
        letters.add(request(1), "x" * 400_000, "refused", 1)
        (small_disk / "ballast").write_bytes(b"x" * 400_000)
        with pytest.raises(JournalError, match="cannot be written"):
            letters.rewrite(lambda key, sample: True)
    assert [path.name for path in small_disk.iterdir()] != []
    assert len((small_disk / "letters.jsonl").read_bytes().splitlines()) == 1


def test_a_limit_on_the_size_of_files_is_said(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(tmp_path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # Python ignores SIGXFSZ
        try:
            kept, said = until_it_fails(journal, 3000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "as large as a file may get" in said and kept > 10
        assert journal.add(request(kept), Answer("after"))
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == kept + 1


def test_half_a_line_that_cannot_be_taken_back_ends_the_writing(tmp_path: Path, monkeypatch):
    write = os.write  # fakes: no disk here fails in this way
    lines = Lines(tmp_path / "lines")
    lines.append(b"whole\n")

    def half(file: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(file, data[: len(data) - 5])

    def refuse(file: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(JournalError, match=r"error\. All of its 6 bytes are kept"):
            lines.append(b"this one is cut\n")
    with pytest.raises(JournalError, match="half a line"):
        lines.append(b"another\n")
    lines.close()
    lines = Lines(tmp_path / "lines")
    assert lines.torn > 0 and lines.append(b"another\n") == 6
    lines.close()
    assert (tmp_path / "lines").read_bytes() == b"whole\nanother\n"


def test_writes_that_are_cut_short_are_continued(tmp_path: Path, monkeypatch):
    write = os.write
    lines = Lines(tmp_path / "lines")
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    assert [lines.append(b"one line\n"), lines.append(b"two\n")] == [0, 9]
    lines.close()
    assert (tmp_path / "lines").read_bytes() == b"one line\ntwo\n"


def test_the_disk_has_it_once_a_second_and_a_slow_disk_holds_nobody_up(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def slow(file: int) -> None:
        synced.append(time.monotonic())
        time.sleep(0.3)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)
    lines = Lines(tmp_path / "lines")
    begin, longest = time.monotonic(), 0.0
    while time.monotonic() - begin < 1.2:
        before = time.monotonic()
        lines.append(b"line\n")
        longest = max(longest, time.monotonic() - before)
        time.sleep(0.001)
    assert len(synced) == 1 and longest < 0.25
    lines.close()
    assert len(synced) == 2


def test_a_disk_that_fails_later_is_said(tmp_path: Path, monkeypatch):
    lines = Lines(tmp_path / "lines")

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    lines.append(b"line\n")
    with pytest.raises(JournalError, match="Input/output error"):
        lines.close()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_cut_tail_of_any_length_is_taken_off(tmp_path: Path, size: int):
    path = tmp_path / "lines"
    path.write_bytes(b"whole\n" + b"\0" * size)
    lines = Lines(path)
    assert (lines.torn, lines.end) == (size, 6)
    lines.close()
    assert path.read_bytes() == b"whole\n"


def test_a_line_cut_at_any_byte_is_taken_off_and_written_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # hundreds of them
    path, line = tmp_path / "lines", json.dumps({"content": "½\n" * 40}).encode() + b"\n"
    for cut in range(len(line)):
        path.write_bytes(line + line[:cut])
        lines = Lines(path)
        assert lines.torn == cut and lines.append(line) == len(line)
        lines.close()
        assert path.read_bytes() == line + line
