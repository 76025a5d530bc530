"""What a person sees of a generation, and its curve."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from r1lab.generation import watch as tested
from r1lab.generation.client import Counts
from r1lab.generation.watch import Watch


class Watched:
    """A watch on a clock of the test's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int):
        self.now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: 1e9 + self.now)
        monkeypatch.setattr(tested, "time", clock)
        self.out = io.StringIO()
        self.curve = folder / "throughput.jsonl"
        self.points: list[tuple[dict[str, float], int]] = []
        console = Console(file=self.out, force_terminal=terminal, width=width)
        self.watch = Watch(console, self.curve, lambda row, step: self.points.append((row, step)))

    def at(self, now: float, counts: Counts, **facts: Any) -> None:
        self.now = counts.seconds = now
        for name, value in facts.items():
            setattr(counts, name, value)
        self.watch(counts)

    def lines(self) -> list[str]:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.out.getvalue())
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.fixture
def watched(tmp_path, monkeypatch):
    return lambda terminal=False, width=80: Watched(tmp_path, monkeypatch, terminal, width)


def test_without_a_terminal_there_is_a_line_now_and_then(watched):
    it = watched()
    counts = Counts(total=1000)
    with it.watch.live():
        for second in range(100):
            it.at(second, counts, answered=2 * second, completion_tokens=50 * second, in_flight=8)
    assert it.lines() == [
        "samples 60/1000, 50 tokens/s, 0:07:50 left, 8 in flight",
        "samples 120/1000, 50 tokens/s, 0:07:20 left, 8 in flight",
        "samples 180/1000, 50 tokens/s, 0:06:50 left, 8 in flight",
        "samples 198/1000, 50 tokens/s, 0:06:41 left, 8 in flight",
    ]


def test_the_speed_is_that_of_late(watched):
    it = watched()
    counts = Counts(total=100_000)
    with it.watch.live():
        for second in range(200):
            per_second = 100 if second < 100 else 1
            it.at(second, counts, answered=counts.answered + per_second)
    assert it.lines()[-1].startswith("samples 10100/100000, 1.0 a second, 24:58:20 left")


def test_all_that_went_wrong_is_in_the_line(watched):
    it = watched()
    counts = Counts(total=100, kept=40)
    counts.errors.update(http_500=3, busy=20)
    with it.watch.live():
        it.at(1.0, counts)
        it.at(2.0, counts, answered=10, dead=2, truncated=5, waiting_for_server="HTTP 503: busy")
    (line,) = it.lines()
    assert line.startswith("samples 52/100, 10.0 a second, 0:00:05 left, waiting for the server: ")
    assert "HTTP 503: busy, 23 errors (20 busy, 3 http_500), 2 failed for good" in line
    assert line.endswith("0 in flight, 50% cut, 40 kept from before")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_has_a_bar_that_fits(watched, width):
    it = watched(terminal=True, width=width)
    counts = Counts(total=480)
    counts.errors.update(http_500=7)
    with it.watch.live(480):
        it.at(0.5, counts)
        it.at(1.5, counts, answered=36, completion_tokens=400, in_flight=64)
        it.watch._bar.refresh()
    assert all(len(line) <= width for line in it.lines())
    shown = [line for line in it.lines() if "36/480" in line][-1]
    assert "━" in shown and "400 tokens/s" in shown, shown
    if width >= 80:
        assert "0:00:12 left" in shown and "7 errors" in shown


def test_the_curve_is_on_disk_and_in_the_record(watched):
    it = watched()
    counts = Counts(total=1000, limit=64)
    with it.watch.live():
        for second in range(26):
            it.at(second, counts, answered=4 * second, completion_tokens=40 * second, latency=8.0)
    rows = [json.loads(line) for line in it.curve.read_text().splitlines()]
    assert [row["samples"] for row in rows] == [40, 80, 100]
    assert rows[0]["time"] == 1e9 + 10
    assert rows[-1]["answers_per_second"] == 4.0
    assert rows[-1]["completion_tokens_per_second"] == 40.0
    assert rows[-1]["latency_mean"] == 0.08 and rows[-1]["limit"] == 64
    assert [(row["samples"], step) for row, step in it.points] == [(40, 40), (80, 80), (100, 100)]


def test_a_curve_that_cannot_be_written_is_said_once(watched):
    it = watched()
    it.curve.mkdir()
    with it.watch.live():
        for second in range(40):
            it.at(second, Counts(total=50), answered=second)
    assert sum("cannot be written" in line for line in it.lines()) == 1
    assert len(it.points) == 4


def test_the_end_is_no_second_point_of_the_same_samples(watched):
    it = watched()
    with it.watch.live():
        for second in range(12):
            it.at(second, Counts(total=5), answered=5)
    assert [step for _, step in it.points] == [5]


def test_the_end_is_shown_however_it_ends(watched):
    it = watched()
    with pytest.raises(KeyboardInterrupt), it.watch.live():
        it.at(1.0, Counts(total=10), answered=3)
        raise KeyboardInterrupt
    assert it.lines()[-1].startswith("samples 3/10")
    assert len(it.curve.read_text().splitlines()) == 1
