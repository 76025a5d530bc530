"""Lines on standard error that the parent process reads: JSON that begins with the event's name."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lighteval_model import Counts

#: Seconds between two lines of progress. The first and the last of a phase always come.
_OFTEN = 1.0


def emit(event: str, **fields: Any) -> None:
    """One line for the parent."""
    # One write: print writes the end of the line by itself where nothing is buffered, and another
    # thread's or process's log can come between.
    sys.stderr.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stderr.flush()


def parse(line: str) -> tuple[str, dict[str, Any] | None]:
    """What of a line is a log, and its event if it has one.

    Others write to the same pipe: a progress bar leaves its line open before an event.
    """
    start = line.find('{"event":')
    if start < 0:
        return line, None
    try:
        event, end = json.JSONDecoder().raw_decode(line, start)
    except json.JSONDecodeError:
        return line, None
    rest = line[:start] + line[end:]
    return (rest if rest.strip() else ""), event


class Progress:
    """Lines of progress, not more often than a parent can use."""

    def __init__(self, task: str, phase: str):
        self._task, self._phase = task, phase
        self._began = self._said = float("-inf")

    def __call__(self, counts: Counts) -> None:
        """After an answer."""
        self._say(
            counts.done,
            counts.total,
            kept=counts.kept,
            tokens=counts.tokens,
            truncated=counts.truncated,
        )

    def scored(self, done: int, total: int) -> None:
        """After a score."""
        self._say(done, total)

    def _say(self, done: int, total: int, **fields: Any) -> None:
        now = time.monotonic()
        if self._said == float("-inf"):
            self._began = now
        elif done < total and now - self._said < _OFTEN:
            return
        self._said = now
        seconds = round(now - self._began, 3)
        head = {"task": self._task, "phase": self._phase, "done": done, "total": total}
        emit("progress", **head, **fields, seconds=seconds)
