"""The journal of answers: what survives, and in which state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from r1lab.evaluation.inside.answer_journal import Journal, JournalError, key_of


def test_answers_are_found_again(tmp_path):
    path = tmp_path / "deep" / "answers.jsonl"
    with Journal(path) as journal:
        assert journal.get("a") is None
        journal.add("a", {"content": "½ — naïve\nline"})
        assert journal.get("a") == {"content": "½ — naïve\nline"}
    with Journal(path) as journal:
        assert journal.get("a") == {"content": "½ — naïve\nline"}
        assert (len(journal), journal.torn, journal.unreadable) == (1, 0, 0)


def test_a_cut_last_line_is_taken_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"content": "one"})
        journal.add("b", {"content": "two"})
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path) as journal:
        assert journal.torn > 0
        assert journal.get("a") and journal.get("b") is None
        journal.add("b", {"content": "two again"})
    with Journal(path) as journal:
        assert journal.get("b") == {"content": "two again"}
        assert (journal.torn, journal.unreadable) == (0, 0)


def test_damage_in_the_middle_costs_that_line_alone(tmp_path):
    path = tmp_path / "answers.jsonl"
    with Journal(path) as journal:
        for key in "abc":
            journal.add(key, {"content": key})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "\0\0\0", "[1]", lines[2]]) + "\n")
    with Journal(path) as journal:
        assert journal.unreadable == 2
        assert [journal.get(key) is not None for key in "abc"] == [True, False, True]


def test_what_was_added_survives_kill_9(tmp_path):
    script = """
        import sys, time
        from pathlib import Path
        from answer_journal import Journal
        journal = Journal(Path(sys.argv[1]))
        for index in range(100):
            journal.add(str(index), {"content": "x" * 1000})
        print("added", flush=True)
        time.sleep(60)
    """
    path = tmp_path / "answers.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        env=os.environ | {"PYTHONPATH": "r1lab/evaluation/inside"},
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline() == b"added\n"
    # While it lives, nobody else may write.
    with pytest.raises(JournalError, match="in use by another"):
        Journal(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Journal(path) as journal:
        assert (len(journal), journal.torn) == (100, 0)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(JournalError, match=r"answers\.jsonl cannot be written"):
        Journal(tmp_path / "answers.jsonl")


def test_a_line_is_plain_json(tmp_path):
    path = tmp_path / "answers.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"content": "one", "completion_tokens": 3})
    assert json.loads(path.read_text()) == {"key": "a", "content": "one", "completion_tokens": 3}


def test_the_key_is_everything_asked_in_any_order():
    one = key_of(messages=[{"role": "user", "content": "?"}], temperature=0.6, sample=0)
    assert one == key_of(sample=0, temperature=0.6, messages=[{"content": "?", "role": "user"}])
    assert one != key_of(messages=[{"role": "user", "content": "?"}], temperature=0.6, sample=1)
