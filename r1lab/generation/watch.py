"""What a person sees while answers come, and the throughput's curve on disk and in MLflow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from r1lab.generation.client import Counts

#: Seconds between two plain lines, and between two points of the curve.
_LINE_S, _POINT_S = 30.0, 10.0
#: Seconds of which the speed that is shown is the mean.
_RECENT_S = 30.0


class Watch:
    """Called with the counts twice a second: a bar on a terminal, a line now and then elsewhere.

    ``point`` is given a row of the curve every ten seconds, and the last one.
    """

    def __init__(
        self, console: Console, curve: Path, point: Callable[[dict[str, float], int], None]
    ):
        self._console, self._curve, self._point = console, curve, point
        self._bar: Any = None
        self._task: Any = None
        self._line = self._pointed = 0.0
        self._pointed_at = -1  # samples
        self._recent: list[tuple[float, int, int]] = []
        self._last: Counts | None = None
        self._curve_failed = False

    @contextmanager
    def live(self, total: int | None = None) -> Iterator[Watch]:
        """A bar inside, where there is a terminal; the curve's last point afterwards."""
        self._line = self._pointed = time.monotonic()
        try:
            if not self._console.is_terminal:
                yield self
                return
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.table import Column

            rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns = (
                TextColumn("samples"),
                BarColumn(bar_width=16),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", table_column=rest),
            )
            with Progress(*columns, console=self._console, expand=True) as self._bar:
                self._task = self._bar.add_task("samples", total=total, note="")
                yield self
        finally:
            if self._last is not None:
                self._show(self._last, time.monotonic(), last=True)

    def __call__(self, counts: Counts) -> None:
        now = time.monotonic()
        self._last = counts
        self._recent.append((now, counts.answered, counts.completion_tokens))
        while len(self._recent) > 2 and now - self._recent[1][0] >= _RECENT_S:
            self._recent.pop(0)
        self._show(counts, now)

    def _show(self, counts: Counts, now: float, last: bool = False) -> None:
        note = self._note(counts)
        if self._bar is not None:
            self._bar.update(self._task, completed=counts.done, total=counts.total, note=note)
        elif last or now - self._line >= _LINE_S:
            self._line = now
            total = f"/{counts.total}" if counts.total is not None else ""
            line = f"samples {counts.done}{total}, {note}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        due = counts.done != self._pointed_at if last else now - self._pointed >= _POINT_S
        if due and counts.seconds:
            self._pointed, self._pointed_at = now, counts.done
            row = self._row(counts)
            self._write({"time": round(time.time(), 1), **row})
            self._point(row, counts.done)

    def _write(self, row: dict[str, float]) -> None:
        """A curve that cannot be written (the disk is full, say) is no reason to stop."""
        try:
            with self._curve.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            if not self._curve_failed:
                said = f"r1lab: warning: {self._curve} cannot be written: {error.strerror}"
                self._console.print(said, markup=False, highlight=False, soft_wrap=True)
            self._curve_failed = True

    def _row(self, counts: Counts) -> dict[str, float]:
        answers, tokens = self._speed()
        return {
            "answers_per_second": round(answers, 3),
            "completion_tokens_per_second": round(tokens, 3),
            "samples": counts.done,
            "in_flight": counts.in_flight,
            "limit": counts.limit,
            "errors": sum(counts.errors.values()),
            "dead_letters": counts.dead,
            "truncated": counts.truncated,
            "latency_mean": round(counts.latency / max(1, counts.answered), 4),
        }

    def _speed(self) -> tuple[float, float]:
        """Answers and tokens a second, of late."""
        (begin, answers, tokens), (end, now_answers, now_tokens) = self._recent[0], self._recent[-1]
        seconds = max(end - begin, 1e-9)
        if end == begin:
            return 0.0, 0.0
        return (now_answers - answers) / seconds, (now_tokens - tokens) / seconds

    def _note(self, counts: Counts) -> str:
        """What matters most first: a terminal shows as much as it has room for."""
        answers, tokens = self._speed() if self._recent else (0.0, 0.0)
        parts = [
            f"{tokens:.0f} tokens/s" if counts.completion_tokens else f"{answers:.1f} a second"
        ]
        if answers > 0 and counts.total is not None and counts.done < counts.total:
            parts.append(f"{_clock((counts.total - counts.done) / answers)} left")
        if counts.waiting_for_server:
            parts.append(f"waiting for the server: {counts.waiting_for_server}")
        if counts.errors:
            each = ", ".join(f"{count} {kind}" for kind, count in counts.errors.most_common(3))
            count = counts.errors.total()
            parts.append(f"{count} error{'s' * (count > 1)} ({each})")
        if counts.dead:
            parts.append(f"{counts.dead} failed for good")
        parts.append(f"{counts.in_flight} in flight")
        if counts.truncated:
            parts.append(f"{counts.truncated / max(1, counts.answered):.0%} cut")
        if counts.kept:
            parts.append(f"{counts.kept} kept from before")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
