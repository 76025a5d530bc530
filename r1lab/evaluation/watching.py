"""What a person sees while benchmarks run: bars on a terminal, some plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two plain lines about the same work.
_EVERY_S = 30.0
_PHASES = {"generate": "answers", "score": "scores"}


class Watch:
    """Shows the events of LightEval's process; warnings are kept for the end."""

    def __init__(self, console: Console):
        self._console = console
        self._bars: dict[tuple[str, str], Any] = {}
        self._progress: Any = None
        self._said: dict[tuple[str, str], float] = {}
        self.warnings: list[str] = []

    @contextmanager
    def live(self) -> Iterator[Watch]:
        """Bars inside, where there is a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = ("{task.description:<24}", BarColumn(), MofNCompleteColumn(), Remaining())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console) as bars:
            self._progress = bars
            yield self
        self._progress = None

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self._step(event)
        elif kind == "warning":
            self.warnings.append(event["message"])
            self._say(f"r1lab: warning: {event['message']}")

    def _step(self, event: dict[str, Any]) -> None:
        key = (event["task"], event["phase"])
        what, note = f"{key[0]} {_PHASES.get(key[1], key[1])}", _note(event)
        done, total = event["done"], event["total"]
        if self._progress is not None:
            if key not in self._bars:
                self._bars[key] = self._progress.add_task(what, total=total, note=note)
            self._progress.update(self._bars[key], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if done < total and now - self._said.setdefault(key, now) < _EVERY_S:
            return
        self._said[key] = now
        self._say(f"{what} {done}/{total}{f', {note}' if note else ''}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _note(event: dict[str, Any]) -> str:
    """Speed, and what should worry: answers that were cut."""
    parts = []
    if event.get("tokens") and event.get("seconds"):
        parts.append(f"{event['tokens'] / event['seconds']:.0f} tokens/s")
    if event.get("kept"):
        parts.append(f"{event['kept']} kept from before")
    if event.get("truncated") and event["done"]:
        parts.append(f"{event['truncated'] / event['done']:.0%} cut")
    return ", ".join(parts)
