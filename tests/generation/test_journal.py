"""The journal of answers: what survives, in which state, and how fast."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from r1lab.generation.journal import INDEX, JOURNAL, Journal
from r1lab.generation.lines import JournalError
from r1lab.generation.request import Answer, Request

ROOT = Path(__file__).resolve().parents[2]


def key(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()[:32]


def request(name: object, sample: int = 0, row: int = 7) -> Request:
    return Request(key(name), sample, row, [{"role": "user", "content": f"{name}?"}])


def fill(folder: Path, names: str, samples: int = 1) -> None:
    with Journal(folder) as journal:
        for name in names:
            for sample in range(samples):
                assert journal.add(request(name, sample), Answer(f"{name}{sample}"))


def contents(folder: Path, names: str) -> dict[str, list[str]]:
    with Journal(folder) as journal:
        return {n: [answer.content for _, answer, _ in journal.read(key(n))] for n in names}


def run_python(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_answer_is_found_again_as_it_was(tmp_path):
    answer = Answer("½ — naïve\nline\u2028", "so\0", "length", 3, 8, 1.25)
    with Journal(tmp_path / "deep") as journal:
        assert journal.add(request("a", 2), answer, attempts=3, model="m")
        assert journal.read(key("a")) == [(2, answer, {"attempts": 3, "model": "m"})]
    with Journal(tmp_path / "deep") as journal:
        assert journal.read(key("a")) == [(2, answer, {"attempts": 3, "model": "m"})]
        assert (len(journal), journal.torn, journal.unreadable, journal.mended) == (1, 0, 0, None)
    assert json.loads((tmp_path / "deep" / JOURNAL).read_text())["row"] == 7


def test_a_line_is_utf8_even_with_half_a_surrogate_pair(tmp_path):
    with Journal(tmp_path) as journal:
        journal.add(request("a"), Answer("half \ud83d pair"))
    json.loads((tmp_path / JOURNAL).read_bytes().decode())
    assert contents(tmp_path, "a") == {"a": ["half \ud83d pair"]}


def test_what_is_missing_is_known_before_and_after_it_reaches_the_index(tmp_path):
    with Journal(tmp_path) as journal:
        assert journal.missing(key("a"), 3) == [0, 1, 2]
        journal.add(request("a", 1), Answer("x"))
        assert journal.missing(key("a"), 3) == [0, 2]
        assert journal.has(key("a"), 1) and not journal.has(key("a"), 0)
    with Journal(tmp_path) as journal:
        journal.add(request("a", 0), Answer("y"))  # one in the index, one on its way
        assert journal.missing(key("a"), 4) == [2, 3]
        assert [sample for sample, _, _ in journal.read(key("a"))] == [0, 1]
        assert journal.missing(key("a"), 1) == [] and len(journal) == 2


def test_the_first_answer_of_a_sample_stays(tmp_path):
    with Journal(tmp_path) as journal:
        assert journal.add(request("a"), Answer("first"))
        assert not journal.add(request("a"), Answer("second"))
    with Journal(tmp_path) as journal:
        assert not journal.add(request("a"), Answer("third"))
        assert len(journal) == 1 and journal.duplicates == 0
    assert contents(tmp_path, "a") == {"a": ["first"]}
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 1


def test_facts_may_not_pass_for_the_answer(tmp_path):
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match="content"):
        journal.add(request("a"), Answer("x"), content="y")


def test_a_line_cut_anywhere_costs_that_answer_alone(tmp_path):
    fill(tmp_path, "ab")
    content = (tmp_path / JOURNAL).read_bytes()
    begin = content.index(b"\n") + 1
    for cut in range(begin, len(content), 9):  # at every byte: test_lines.py
        (tmp_path / JOURNAL).write_bytes(content[:cut])
        with Journal(tmp_path) as journal:
            assert journal.torn == cut - begin
            assert journal.has(key("a"), 0) and journal.missing(key("b"), 1) == [0]
            assert journal.add(request("b"), Answer("again"))
            assert [journal.read(key(n))[0][1].content for n in "ab"] == ["a0", "again"]
    assert contents(tmp_path, "ab") == {"a": ["a0"], "b": ["again"]}


def test_damage_in_the_middle_costs_those_lines_alone(tmp_path):
    fill(tmp_path, "abcdef")
    lines = (tmp_path / JOURNAL).read_bytes().splitlines()
    lines[1] = b"\0" * len(lines[1])  # what a machine that died leaves
    lines[2] = bytes(range(128, 256))
    lines[3] = b"[" * 10_000
    lines[4] = json.dumps({"key": key("e"), "sample": True, "content": "x"}).encode()
    (tmp_path / JOURNAL).write_bytes(b"\n".join(lines) + b"\n")
    with Journal(tmp_path) as journal:
        assert (journal.unreadable, len(journal)) == (4, 2)
        assert [n for n in "abcdef" if journal.missing(key(n), 1)] == list("bcde")
        assert journal.add(request("b"), Answer("again"))
    with Journal(tmp_path) as journal:
        assert (journal.unreadable, len(journal), journal.mended) == (4, 3, None)
    assert contents(tmp_path, "abf") == {"a": ["a0"], "b": ["again"], "f": ["f0"]}


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "page", "version", "boot"])
def test_the_index_can_be_thrown_away(tmp_path, damage):
    fill(tmp_path, "abc", samples=200)
    index = tmp_path / INDEX
    if damage == "missing":
        index.unlink()
    elif damage == "empty":
        index.write_bytes(b"")
    elif damage == "text":
        index.write_text("no database" * 999)
    elif damage == "page":
        content = bytearray(index.read_bytes())
        content[8192:16384] = os.urandom(8192)
        index.write_bytes(content)
    else:
        database = sqlite3.connect(index)
        if damage == "version":
            database.execute("PRAGMA user_version = 999")
        else:  # it was open when another start of the machine ended
            database.execute("UPDATE state SET value = 1 WHERE name = 'open'")
            database.execute("UPDATE state SET value = 'earlier' WHERE name = 'boot'")
        database.commit()
        database.close()
    with Journal(tmp_path) as journal:
        assert len(journal) == 600 and not journal.missing(key("c"), 200)
        assert (journal.mended is None) == (damage == "missing")
    with Journal(tmp_path) as journal:
        assert journal.mended is None and len(journal) == 600


def test_an_index_of_another_journal_is_seen(tmp_path):
    fill(tmp_path / "one", "ab")
    fill(tmp_path / "two", "cdefg")
    (tmp_path / "one" / JOURNAL).replace(tmp_path / "two" / JOURNAL)  # shorter
    assert contents(tmp_path / "two", "ac") == {"a": ["a0"], "c": []}
    fill(tmp_path / "three", "xyzvw")
    (tmp_path / "three" / JOURNAL).replace(tmp_path / "two" / JOURNAL)  # longer
    assert contents(tmp_path / "two", "ax") == {"a": [], "x": ["x0"]}


def test_a_line_that_was_swapped_by_hand_is_seen_when_it_is_read(tmp_path):
    fill(tmp_path, "abcd")
    with Journal(tmp_path) as journal:
        for name in range(200):  # beyond the ends that the index compares
            journal.add(request(name), Answer("x" * 100))
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    lines[middle], lines[middle + 1] = lines[middle + 1], lines[middle]
    longer = json.dumps({**json.loads(lines[middle]), "content": "y" * 101}).encode() + b"\n"
    shorter = json.dumps({**json.loads(lines[middle + 1]), "content": "z" * 99}).encode() + b"\n"
    lines[middle : middle + 2] = [longer, shorter]
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    moved = json.loads(longer)["key"]
    with Journal(tmp_path) as journal:
        assert journal.mended is None
        assert journal.read(moved)[0][1].content == "y" * 101
        assert journal.mended is not None and len(journal) == 204


def test_two_journals_in_one_file_count_once(tmp_path):
    fill(tmp_path / "one", "ab")
    fill(tmp_path / "two", "bc")
    one, two = tmp_path / "one" / JOURNAL, tmp_path / "two" / JOURNAL
    one.write_bytes(one.read_bytes() + two.read_bytes().replace(b"b0", b"B0"))
    with Journal(tmp_path / "one") as journal:
        assert (len(journal), journal.duplicates) == (3, 1)
        assert journal.read(key("b"))[0][1].content == "b0"
    with Journal(tmp_path / "one") as journal:
        assert (len(journal), journal.duplicates) == (3, 1)


def test_a_journal_serves_one_process_at_a_time(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from r1lab.generation.journal import Journal, JournalError
        try:
            Journal(Path(sys.argv[1]))
        except JournalError as error:
            print(error)
    """
    with Journal(tmp_path) as journal:
        (tmp_path / JOURNAL).read_bytes()  # must not give up the lock
        said = run_python(script, tmp_path)
        assert "in use by another generation" in said and f"process {os.getpid()}" in said
        with pytest.raises(JournalError, match="this very process"):
            Journal(tmp_path)
        assert journal.add(request("a"), Answer("x"))
    assert run_python(script, tmp_path) == ""


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(tmp_path / "file" / "below")


def test_killed_at_50_random_moments_it_has_every_answer_that_was_acknowledged(tmp_path):
    # Forks of one process, so that 50 kills take seconds.
    script = """
        import os, random, signal, sys, time
        from pathlib import Path
        from r1lab.generation import journal as module
        from r1lab.generation.request import Answer, Request

        module._INDEX_ROWS = 50  # the index is written as often as it can be
        folder = Path(sys.argv[1])
        acknowledged = set()
        for kill in range(50):
            read, write = os.pipe()
            child = os.fork()
            if not child:
                os.close(read)
                with module.Journal(folder) as journal:
                    assert len(journal) >= len(acknowledged)
                    for number in range(20_000):
                        if journal.missing(f"{number:032x}", 1):
                            request = Request(f"{number:032x}", 0, number, [])
                            assert journal.add(request, Answer("x" * (number % 3000)))
                            os.write(write, number.to_bytes(4))
                os._exit(0)
            os.close(write)
            time.sleep(random.uniform(0.004, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            with open(read, "rb") as said:
                content = said.read()
            acknowledged |= {content[i : i + 4] for i in range(0, len(content), 4)}
        print(len(acknowledged), max(int.from_bytes(a) for a in acknowledged))
    """
    acknowledged, highest = map(int, run_python(script, tmp_path).split())
    # In order, and none asked twice; a kill may come between an answer and its acknowledgement.
    assert acknowledged > 100 and 0 <= highest + 1 - acknowledged <= 50
    with Journal(tmp_path) as journal:
        assert len(journal) in (highest + 1, highest + 2) and journal.mended is None
        assert not [n for n in range(highest + 1) if journal.missing(f"{n:032x}", 1)]
        assert (journal.unreadable, journal.duplicates) == (0, 0)
        (_, answer, _) = journal.read(f"{highest:032x}")[0]
        assert answer.content == "x" * (highest % 3000)
    rows = [json.loads(line) for line in (tmp_path / JOURNAL).read_bytes().splitlines()]
    assert len({(row["key"], row["sample"]) for row in rows}) == len(rows)


def test_it_keeps_up_with_any_server(tmp_path):
    count = 20_000
    asked = [request(number) for number in range(count)]
    with Journal(tmp_path) as journal:
        begin = time.process_time()  # others may have the machine meanwhile
        for one in asked:
            journal.add(one, Answer("x" * 200))
        added = count / (time.process_time() - begin)
        begin = time.process_time()
        for one in asked:
            assert not journal.missing(one.key, 1)
        looked = count / (time.process_time() - begin)
    assert added > 10_000 and looked > 20_000


MEMORY = """
    import hashlib, re, sys
    from pathlib import Path
    from r1lab.generation.journal import INDEX, Journal
    from r1lab.generation.request import Answer, Request

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    def peak():  # MiB; getrusage's would begin with that of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\\s+(\\d+)", status).group(1)) / 1024
    def key(number):
        return hashlib.sha256(str(number).encode()).hexdigest()[:32]
    before = peak()
    with Journal(folder) as journal:
        for number in range(count):
            journal.add(Request(key(number), 0, number, []), Answer("x" * 200))
        assert not any(journal.missing(key(number), 1) for number in range(count))
    (folder / INDEX).unlink()
    with Journal(folder) as journal:
        assert len(journal) == count
    print(peak() - before)
"""


def test_memory_stays_flat(tmp_path):
    assert 1 < float(run_python(MEMORY, tmp_path, 50_000)) < 30


@pytest.mark.slow
def test_memory_stays_flat_over_a_million_answers(tmp_path):
    grown = float(run_python(MEMORY, tmp_path, 1_000_000))
    print(f"peak memory grew by {grown:.1f} MiB")
    assert 1 < grown < 60
