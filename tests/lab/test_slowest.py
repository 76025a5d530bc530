"""Which rows are timed alone, and what their time holds."""

from __future__ import annotations

import time

import pytest

from r1lab.lab import slowest
from r1lab.lab.lengths import Lengths
from r1lab.lab.rows import ListedRows
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.format import Format


def test_starting_the_workers_leaves_the_rows_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowest, "_wake", lambda deadlines, number: time.sleep(0.3))
    rows = ListedRows("the rows", [{"completion": str(number)} for number in range(3)])
    rewards = [CheckedReward(Format(), "format")]
    found = slowest.slowest(rows, lambda: rewards, Lengths({}, True), count=2, budget=0.25)
    assert found["timed"] == 3
    assert len(found["rows"]) == 2
