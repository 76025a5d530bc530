"""Where rows come from: the fields that every data source has, and what it promises.

A source is a small frozen-by-convention dataclass. Its constructor is the shape of its config file
(``conf/data/*.yaml`` holds every field), ``load`` does the work in the training process, and
``check`` finds what can be found without importing ``datasets``: the parent process calls it before
anything is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from r1lab.data.prompts import PROMPTS
from r1lab.errors import ConfigError, Problem, nearest, suggest

if TYPE_CHECKING:
    from datasets import Dataset

ANSWER_FORMATS = ("hashes", "boxed")
"""How the answer is read out of a worked solution: after the last ``####``, or the last box."""

BAD_ROWS = ("error", "drop")


def default_columns() -> dict[str, str | None]:
    """Return the column names that need no configuration: each role's own name."""
    return {"prompt": "prompt", "solution": "solution", "messages": None}


@dataclass(kw_only=True)
class Source:
    """What all sources share. Subclasses add fields and ``load``.

    ``columns`` maps our names to the data's own; ``null`` means that the data has none. ``prompt``,
    ``solution``, ``messages``, ``completion`` (what SFT learns to answer; null: the solution) and
    ``system`` (a system prompt a row) have a meaning; any other name renames a column for a reward.
    """

    name: str = "data"
    columns: dict[str, str | None] = field(default_factory=default_columns)
    #: A key of ``PROMPTS``, or the text itself. For prompts: SFT's `messages` stay as they are.
    system_prompt: str | None = None
    #: Reads the final answer out of the solution column: null (it is the answer), hashes, boxed.
    answer_format: str | None = None
    #: What a row without a prompt, solution or usable messages does: error (lists all), or drop.
    bad_rows: str = "error"
    #: Distinct solutions to parse before training; null: every one.
    check_solutions: int | None = 5000
    shuffle: bool = True
    shuffle_seed: int = 0
    #: Held-out rows: a number, or a share below 1. Carved from train where there is no test split.
    test_size: int | float = 0
    max_train: int | None = None
    max_test: int | None = None

    #: Whether ``load`` itself makes ``test_size`` rows, so that nothing is carved from train.
    makes_test: ClassVar[bool] = False

    def load(self) -> dict[str, Dataset]:
        """Return the raw splits: ``train``, and ``test`` where there is one."""
        raise NotImplementedError(f"{type(self).__name__} must implement load()")

    def stream(self, split: str, key: str = "data.split") -> Iterator[dict[str, Any]]:
        """Yield the raw rows of a split in the data's own order, all of them.

        Nothing is held out, shuffled or capped. A split that is not there is a ConfigError at
        ``key``. Sources whose ``load`` holds all rows in memory override it.
        """
        splits = self.load()
        if split not in splits:
            raise ConfigError(self.no_split(split, set(splits), key))
        for batch in splits[split].iter(batch_size=1000):
            for row in zip(*batch.values(), strict=True):
                yield dict(zip(batch, row, strict=True))

    def split_names(self) -> set[str] | None:
        """Return the splits that ``load`` gives, as known without loading; None where not."""
        return None

    def raw_columns(self) -> set[str] | None:
        """Return the columns that ``load`` gives, as known without loading; None where not."""
        return None

    def no_split(self, split: str, known: set[str], key: str) -> Problem:
        """Return what to say of a split that is not there."""
        return Problem(key, split, f"{self.name} has no such split", suggest(split, known))

    def provides(self) -> set[str] | None:
        """Return the columns of a GRPO row as known without loading; None where they are not."""
        return None

    def check(self, key: str = "data") -> list[Problem]:
        """Return what is wrong with these values, from the values and the file system alone."""
        return [
            *self._check_columns(key),
            *self._check_prompt(key),
            *self._check_sizes(key),
            *check_one_of(f"{key}.bad_rows", self.bad_rows, BAD_ROWS),
            *([] if self.answer_format is None else self._check_format(key)),
        ]

    def column(self, role: str) -> str | None:
        """Return the data's own name of ``prompt``, ``solution``, ..., or None."""
        return self.columns.get(role)

    def system_text(self) -> str | None:
        """Return the system prompt's text: what its name stands for, or the text that was given."""
        if self.system_prompt is None:
            return None
        return PROMPTS.get(self.system_prompt, self.system_prompt)

    def _check_format(self, key: str) -> list[Problem]:
        found = check_one_of(f"{key}.answer_format", self.answer_format, ANSWER_FORMATS)
        if not found and self.column("solution") is None:
            message = "reads the answer out of the solution column, but there is none"
            fix = f"name it: {key}.columns.solution=..., or set {key}.answer_format=null"
            found = [Problem(f"{key}.answer_format", self.answer_format, message, fix)]
        return found

    def _check_columns(self, key: str) -> list[Problem]:
        if not isinstance(self.columns, Mapping):
            message = "is a mapping from our names to the data's column names"
            fix = f"write {key}.columns.prompt=... and {key}.columns.solution=..."
            return [Problem(f"{key}.columns", self.columns, message, fix)]
        found = [
            Problem(f"{key}.columns.{role}", name, "is no column name", "write a name, or null")
            for role, name in self.columns.items()
            if name is not None and (not isinstance(name, str) or not name)
        ]
        if not any(self.columns.get(role) for role in ("prompt", "messages")):
            message = "neither data.columns.prompt nor data.columns.messages is set"
            fix = f"set {key}.columns.prompt (or .messages, for SFT) to the data's column"
            found.append(Problem(f"{key}.columns", dict(self.columns), message, fix))
        return found

    def _check_prompt(self, key: str) -> list[Problem]:
        prompt = self.system_prompt
        where = f"{key}.system_prompt"
        if prompt is None or prompt in PROMPTS:
            return []
        if not isinstance(prompt, str):
            return [Problem(where, prompt, "is not text", f"use one of: {', '.join(PROMPTS)}")]
        if not prompt.strip():
            return [Problem(where, prompt, "is empty", "write null for no system prompt")]
        if len(prompt.split()) == 1:  # a name: a system prompt of one word helps nobody
            message = "is not the name of a system prompt, and too short to be one"
            return [Problem(where, prompt, message, suggest(prompt, PROMPTS))]
        return []

    def _check_sizes(self, key: str) -> list[Problem]:
        found = []
        size = self.test_size
        share = isinstance(size, float) and not size.is_integer()
        if not _is_number(size) or size < 0 or (share and size >= 1):
            message = "is neither a number of rows nor a share of them"
            fix = "write a whole number (0: nothing held out), or a share between 0 and 1"
            found.append(Problem(f"{key}.test_size", size, message, fix))
        for name in ("max_train", "max_test", "check_solutions"):
            value = getattr(self, name)
            least = 0 if name == "check_solutions" else 1
            if value is not None and not _is_count(value, least):
                fix = f"write a whole number from {least} on, or null for no limit"
                found.append(Problem(f"{key}.{name}", value, "is not a number of rows", fix))
        if not _is_count(self.shuffle_seed, 0):
            fix = "write a whole number from 0 on"
            found.append(Problem(f"{key}.shuffle_seed", self.shuffle_seed, "is not a seed", fix))
        return found


def check_one_of(key: str, value: Any, known: tuple[str, ...]) -> list[Problem]:
    """Return a problem unless ``value`` is one of ``known``."""
    if isinstance(value, str) and value in known:
        return []
    return [Problem(key, value, "is not a known value", suggest(str(value), known))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_count(key: str, value: Any, least: int) -> list[Problem]:
    """Return a problem unless ``value`` is a whole number from ``least`` on."""
    if _is_count(value, least):
        return []
    fix = f"write a whole number from {least} on"
    return [Problem(key, value, "is not a whole number in range", fix)]


def missing_columns(source: Source, columns: set[str], key: str, split: str) -> list[Problem]:
    """Return a problem for every configured column that ``columns`` does not have."""
    return [
        Problem(
            f"{key}.columns.{role}",
            name,
            f"the {split} split has no such column; it has: {', '.join(sorted(columns))}",
            _column_fix(name, columns, key, role),
        )
        for role, name in source.columns.items()
        if name is not None and name not in columns
    ]


def _column_fix(name: str, columns: set[str], key: str, role: str) -> str:
    """Write the fix for a column that is not there."""
    near = nearest(name, columns)
    better = f"{key}.columns.{role}={near}" if near else f"{key}.columns.{role}=COLUMN"
    return f"set {better}, or {key}.columns.{role}=null if there is none"
