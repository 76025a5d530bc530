"""Dead letters: what is still missing, and why."""

from __future__ import annotations

import json
from pathlib import Path

from r1lab.generation.dead_letters import DeadLetters
from r1lab.generation.journal import Journal
from r1lab.generation.request import Answer, Request


def request(number: int, sample: int = 0) -> Request:
    return Request(f"{number:032x}", sample, number, [{"role": "user", "content": f"{number}?"}])


def letters_of(path: Path) -> list[tuple[int, int, str]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["row"], row["sample"], row["reason"]) for row in rows]


def test_a_letter_says_what_was_asked_and_why_it_failed(tmp_path):
    with DeadLetters(tmp_path / "letters.jsonl") as letters:
        letters.add(request(3, 1), "400: the prompt is too long", "refused", 1)
    row = json.loads((tmp_path / "letters.jsonl").read_text())
    assert row.pop("time").startswith("20")
    assert row == {
        "key": f"{3:032x}",
        "sample": 1,
        "row": 3,
        "prompt": [{"role": "user", "content": "3?"}],
        "reason": "400: the prompt is too long",
        "kind": "refused",
        "attempts": 1,
    }


def test_what_was_answered_since_leaves_the_file(tmp_path):
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(request(1), "500", "failed", 10)
        letters.add(request(2, 3), "500", "failed", 10)
    with Journal(tmp_path) as journal, DeadLetters(path) as letters:
        letters.add(request(2, 3), "timeout", "failed", 10)  # again, for another reason
        letters.add(request(4), "timeout", "failed", 10)
        journal.add(request(1), Answer("at last"))
        assert letters.rewrite(lambda key, sample: not journal.has(key, sample)) == 2
        assert letters_of(path) == [(2, 3, "timeout"), (4, 0, "timeout")]
        letters.add(request(5), "more", "failed", 10)  # it can be written to after that
    assert [row for row, _, _ in letters_of(path)] == [2, 4, 5]
    assert not (tmp_path / "letters.jsonl.new").exists()


def test_damage_does_not_outlive_the_next_rewrite(tmp_path):
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(request(1), "500", "failed", 10)
    path.write_bytes(b"\0\0\n[1]\n" + path.read_bytes() + b'{"key": "torn')
    with DeadLetters(path) as letters:
        assert letters.rewrite(lambda key, sample: True) == 1
    assert letters_of(path) == [(1, 0, "500")]
