"""The prompts of a data source, one by one, so that a million of them are never in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from r1lab.data import conversation as chat
from r1lab.data.rows import ROLES, answer_format_of, system_of
from r1lab.data.source import Source, missing_columns
from r1lab.errors import ConfigError, Problem, RunFailed
from r1lab.generation.request import Message, Prompt, digest
from r1lab.generation.template import DEFAULT, KEY, Template, Unrendered

#: Row numbers and reasons that a message lists; all are counted.
_SHOWN = 10
#: Fields of a source that shape a training run and not a generation, and what to set instead.
_OF_TRAINING = {
    "max_train": "set generate.limit, or data.max_train=null",
    "max_test": "set generate.limit, or data.max_test=null",
    "test_size": "set data.test_size=0; generate.test_size splits what is made",
}


class Prompts:
    """The prompts of ``split`` as training would ask them, the user turn by ``template``.

    All rows of the split, in the data's own order: nothing is held out, shuffled or capped. It ends
    after ``limit`` prompts. Equal prompts are asked once: the first row's.

    ``total``, ``repeated`` (rows whose prompt stood there before) and ``dropped`` (rows by reason,
    where ``data.bad_rows`` is drop) are known after :meth:`scan`. It can be iterated many times.
    """

    def __init__(
        self,
        source: Source,
        split: str = "train",
        template: str = DEFAULT,
        limit: int | None = None,
    ):
        self.source, self.split, self.limit = source, split, limit
        self.template = Template(template)
        self.total: int | None = None
        self.repeated = 0
        self.dropped: dict[str, int] = {}

    def __len__(self) -> int:
        """The number of prompts; :meth:`scan` counts them."""
        return self.scan() if self.total is None else self.total

    def __iter__(self) -> Iterator[Prompt]:
        """ConfigError before the first prompt where rows have none and that is an error."""
        if self.total is None:
            self.scan()
        return self._walk(_Tally())

    def check(self) -> list[Problem]:
        """What is wrong, as far as it shows without loading the data."""
        source, problems = self.source, self.source.check()
        if problems:
            return problems + self.template.check(None)
        splits = source.split_names()
        if splits is not None and self.split not in splits:
            problems.append(source.no_split(self.split, splits, "generate.split"))
        return problems + self._check_training() + self.template.check(source.raw_columns())

    def scan(self) -> int:
        """Go through the data once and return the number of prompts; ConfigError lists bad rows."""
        tally = _Tally()
        for _ in self._walk(tally):
            pass
        problems = self._problems(tally)
        if problems:
            raise ConfigError(problems)
        self.total, self.repeated = tally.prompts, tally.repeated
        self.dropped = {reason: bad.count for reason, bad in tally.bad.items()}
        return tally.prompts

    def _walk(self, tally: _Tally) -> Iterator[Prompt]:
        with closing(_Seen()) as seen:
            for number, row in enumerate(self.source.stream(self.split, "generate.split")):
                if number == 0:
                    self._check_columns(row)
                tally.rows += 1
                try:
                    messages, roles = self._messages(row)
                except _Bad as bad:
                    tally.note(str(bad), number)
                    continue
                if not seen.add(messages):
                    tally.repeated += 1
                    continue
                tally.prompts += 1
                yield Prompt(number, messages, self._gold(roles), row)
                if tally.prompts == self.limit:
                    return

    def _messages(self, row: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
        columns = self.source.columns.items()
        roles = {role: row.get(name) for role, name in columns if name and role in ROLES}
        messages = chat.prompt_of(roles.get("prompt", roles.get("messages")), None)
        if messages is None:
            raise _Bad("no prompt")
        if not self.template.as_is:
            users = [i for i, message in enumerate(messages) if message["role"] == "user"]
            if not users:
                raise _Bad("no user turn for generate.prompt_template")
            asked = messages[users[-1]]["content"]
            try:
                messages[users[-1]] = {"role": "user", "content": self.template.render(asked, row)}
            except Unrendered as error:
                raise _Bad(f"nothing that generate.prompt_template can use ({error})") from error
        return chat.with_system(messages, system_of(self.source, roles)), roles

    def _gold(self, roles: dict[str, Any]) -> str | None:
        text = chat.text_of(roles.get("solution"))
        return text and chat.final_answer(text, answer_format_of(self.source, roles))

    def _check_columns(self, row: Mapping[str, Any]) -> None:
        """Check against the first row's columns what could not be checked without loading."""
        if self.source.raw_columns() is not None:
            return
        columns = set(row)
        problems = missing_columns(self.source, columns, "data", self.split)
        problems += self.template.check(columns)
        if problems:
            raise ConfigError(problems)

    def _check_training(self) -> list[Problem]:
        message = "shapes a training run; a generation asks for all rows of a split"
        return [
            Problem(f"data.{name}", value, message, fix)
            for name, fix in _OF_TRAINING.items()
            if (value := getattr(self.source, name))
            and not (name == "test_size" and self.source.makes_test)
        ]

    def _problems(self, tally: _Tally) -> list[Problem]:
        name = self.source.name
        if not tally.rows:
            fix = "check the split's name and the files behind it"
            return [Problem("data", name, f"the {self.split} split has zero rows", fix)]
        if tally.prompts and self.source.bad_rows == "drop":
            return []
        fix = "mend them, or set data.bad_rows=drop to leave them out"
        if not tally.prompts:
            columns = ", ".join(
                f"{role}: {name}" for role, name in self.source.columns.items() if name
            )
            fix = f"name the right column in data.columns ({columns}), or change {KEY}"
        return [
            Problem("data", name, bad.say(reason, tally.rows, self.split), fix)
            for reason, bad in tally.bad.items()
        ]


class _Bad(Exception):
    """A row without a usable prompt; the message completes "rows have ..."."""


@dataclass
class _BadRows:
    count: int = 0
    first: list[int] = field(default_factory=list)

    def say(self, reason: str, total: int, split: str) -> str:
        more = f" and {self.count - _SHOWN} more" if self.count > _SHOWN else ""
        rows = ", ".join(map(str, self.first))
        shown = f"rows {rows}{more} (counted from 0)"
        return f"{self.count} of {total} {split} rows have {reason}: {shown}"


@dataclass
class _Tally:
    """What one pass over the data has met."""

    rows: int = 0
    prompts: int = 0
    repeated: int = 0
    bad: dict[str, _BadRows] = field(default_factory=dict)

    def note(self, reason: str, row: int) -> None:
        if reason not in self.bad and len(self.bad) >= _SHOWN:
            reason = "other faults"  # a template's may differ in every row
        bad = self.bad.setdefault(reason, _BadRows())
        bad.count += 1
        if bad.count <= _SHOWN:
            bad.first.append(row)


class _Seen:
    """Which prompts there were: in a file of SQLite's that nobody else sees, not in memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        run = self._database.execute
        run("PRAGMA cache_size = -16384")  # KiB
        run("PRAGMA journal_mode = OFF")
        run("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
        run("BEGIN")

    def add(self, messages: list[Message]) -> bool:
        """Whether it is new."""
        key = bytes.fromhex(digest(messages=messages))
        try:
            found = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,))
        except sqlite3.OperationalError as error:
            fix = "make room, or name another folder by the variable SQLITE_TMPDIR"
            raise RunFailed(f"no room for temporary files: {error}\n    fix: {fix}") from error
        return found.rowcount == 1

    def close(self) -> None:
        self._database.close()
