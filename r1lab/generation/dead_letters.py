"""Requests that failed for good, and why: what is still missing, for a person to read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from r1lab.generation.journal import line_of
from r1lab.generation.lines import JournalError, Lines
from r1lab.generation.request import Request

DEAD_LETTERS = "dead_letters.jsonl"

_Id = tuple[str, int]  # key, sample


class DeadLetters:
    """The letters in ``path``, one line each. Use it as a context, with the journal open.

    Every generation asks for what they are about again; :meth:`rewrite` at its end leaves the last
    letter of each request that is still without an answer.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lines = Lines(path)

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, request: Request, reason: str, kind: str, attempts: int) -> None:
        """Write down a request that nobody will try again today."""
        letter = {
            "key": request.key,
            "sample": request.sample,
            "row": request.row,
            "prompt": request.messages,
            "reason": reason,
            "kind": kind,
            "attempts": attempts,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._lines.append(line_of(letter))

    def rewrite(self, keep: Callable[[str, int], bool]) -> int:
        """Leave the letters whose (key, sample) ``keep`` wants; return how many those are.

        The file is replaced at once: a process that is killed meanwhile leaves the old one.
        """
        last = {letter: place for letter, place, _ in self._letters()}
        new = self.path.with_name(self.path.name + ".new")
        kept = 0
        try:
            with new.open("wb") as file:
                for letter, place, line in self._letters():
                    if last[letter] == place and keep(*letter):
                        file.write(line)
                        kept += 1
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            new.unlink(missing_ok=True)
            raise JournalError(f"{new} cannot be written: {error.strerror}") from error
        self._lines.close()
        os.replace(new, self.path)
        self._lines = Lines(self.path)
        return kept

    def close(self) -> None:
        self._lines.close()

    def _letters(self) -> Iterator[tuple[_Id, int, bytes]]:
        """Each letter that can be read, and where it begins."""
        for place, line in self._lines.after(0):
            try:
                row = json.loads(line.decode())
                yield (str(row["key"]), int(row["sample"])), place, line
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # damage of a machine that died: the request is asked again all the same
