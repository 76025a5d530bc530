"""What goes wrong on the user's side, said once and clearly.

A user's mistake is a :class:`ConfigError` or a :class:`PrerequisiteError`: the command line prints
it without a traceback. Anything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: Exit codes of commands and of the worker: a user's mistake as argparse has it, a failure, a stop
#: by Ctrl-C as shells have it.
MISTAKE, FAILED, INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration: where it is, what stands there, and what to write instead.

    ``key`` is the dotted path as one would type it on the command line; ``fix`` is an imperative
    sentence; ``file`` names the YAML or data file the value came from, where that is known.
    """

    key: str
    value: Any
    message: str
    fix: str
    file: str | None = None

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        where = f" (in {self.file})" if self.file else ""
        return f"{self.key}{shown}{where}: {self.message}\n    fix: {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``plan --json``; a value JSON does not know becomes its ``repr``."""
        row = asdict(self)
        if not isinstance(row["value"], str | int | float | bool | list | dict | type(None)):
            row["value"] = repr(row["value"])
        return row


class R1labError(Exception):
    """Base of the errors that print without a traceback."""


class ConfigError(R1labError):
    """Every mistake found in a configuration, together."""

    def __init__(self, problems: Problem | Iterable[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class RunFailed(R1labError):
    """A run that did not finish, for a reason that was said already."""


class PrerequisiteError(R1labError):
    """Something that this run needs is not installed or not there, and the command that gets it."""

    def __init__(self, missing: str, why: str, install: str):
        self.missing, self.why, self.install = missing, why, install
        super().__init__(f"{missing} is missing: {why}\n    fix: {install}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.missing, self.why, self.install)


def first_cause(error: str) -> str:
    """One line of an error's text: a traceback ends with the cause, a user's mistake begins so."""
    lines = [line for line in error.strip().splitlines() if line.strip()] or ["unknown"]
    who, traceback, _ = lines[0].partition("Traceback")  # "rank 1: ", where there are several
    return who + lines[-1] if traceback else lines[0]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` most likely misspells, if any comes close."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A fix for an unknown ``name``: the nearest known one, else all of them."""
    near = nearest(name, known)
    if near:
        return f"did you mean {prefix}{near}?"
    listed = ", ".join(sorted(known)[:30]) or "nothing"
    return f"choose one of: {listed}"
