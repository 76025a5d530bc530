"""Rows of completions from a JSON Lines file, which may be larger than memory.

The file is read twice. The first pass finds every mistake, with its line, and where each row and
each group is; the second reads the rows when their batch is scored.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from r1lab.errors import ConfigError, Problem

#: Fields of a row that are not columns for rewards.
OWN_FIELDS = frozenset({"completion", "prompt", "completion_ids", "completion_tokens"})
#: Names that TRL gives a reward by itself: a column of that name could not be passed on.
TAKEN = frozenset({"self", "completions", "prompts", "trainer_state", "log_extra", "log_metric"})
#: Up to here all rows are scored in one call, as one large training batch is.
WHOLE_ROWS, WHOLE_BYTES = 10_000, 256 << 20
BATCH_ROWS, BATCH_BYTES = 2_000, 64 << 20
_SHOWN = 20
_BOM = b"\xef\xbb\xbf"


class Rows:
    """Rows in the file's order; ``group[i]`` numbers row ``i``'s group from 0.

    A group is equal ``group`` fields, else equal prompts, else the row alone.
    """

    def __init__(self, name: str):
        self.name = name
        self.group = array("L")
        self.lines = array("L")
        self.sizes = array("L")
        #: How many rows hold each field; a field that is null counts.
        self.fields: Counter[str] = Counter()
        self.blank = 0
        self._ids: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.group)

    def read(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """These rows' fields."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file behind the rows, if there is one."""

    def where(self, index: int) -> str:
        """A row as an error message names it."""
        return f"line {self.lines[index]}"

    def lacking(self, field: str) -> list[int]:
        """The rows without ``field``."""
        if self.fields[field] == len(self):
            return []
        return [i for batch in self.batches() for i, row in self.pairs(batch) if field not in row]

    def pairs(self, indices: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        return zip(indices, self.read(indices), strict=True)

    def batches(self) -> list[Sequence[int]]:
        """Row numbers by the call they are scored in: all in one, or whole groups packed."""
        if len(self) <= WHOLE_ROWS and sum(self.sizes) <= WHOLE_BYTES:
            return [range(len(self))] if len(self) else []
        members: dict[int, list[int]] = {}
        for index, group in enumerate(self.group):
            members.setdefault(group, []).append(index)
        packed: list[Sequence[int]] = []
        batch: list[int] = []
        size = 0
        for rows in members.values():
            more = sum(self.sizes[index] for index in rows)
            if batch and (len(batch) + len(rows) > BATCH_ROWS or size + more > BATCH_BYTES):
                packed.append(batch)
                batch, size = [], 0
            batch, size = [*batch, *rows], size + more
        return [*packed, batch] if batch else packed

    def _note(self, row: Mapping[str, Any], line: int, size: int) -> None:
        self.fields.update(row.keys())
        self.lines.append(line)
        self.sizes.append(size)
        self.group.append(self._ids.setdefault(_group_key(row, len(self)), len(self._ids)))


class ListedRows(Rows):
    """Rows that are in memory already."""

    def __init__(self, name: str, rows: Sequence[dict[str, Any]]):
        super().__init__(name)
        self._rows = rows
        problems = []
        for number, row in enumerate(rows):
            problem = check_row(row, f"{name}, row {number}")
            problems += [problem] if problem else []
            self._note(row, number, len(str(row.get("completion"))))
        if problems:
            raise ConfigError(_first(problems))

    def where(self, index: int) -> str:
        return f"row {index}"

    def read(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        return [self._rows[index] for index in indices]


class FileRows(Rows):
    """Rows of a JSON Lines file; ``-`` is standard input, which is kept in a temporary file.

    Raises :class:`ConfigError` with every line that cannot be used (the first 20 are shown).
    """

    def __init__(self, path: str):
        super().__init__("standard input" if path == "-" else path)
        self._offsets = array("Q")
        self._file = _spooled(sys.stdin.buffer) if path == "-" else _opened(path)
        problems: list[Problem] = []
        offset = 0
        for line, raw in enumerate(self._file, start=1):
            begin, offset = offset, offset + len(raw)
            raw = raw.removeprefix(_BOM) if line == 1 else raw
            if not raw.strip():
                self.blank += 1
                continue
            if not len(self) and not problems and raw.lstrip()[:1] == b"[":
                raise ConfigError(_array(self.name))
            row, problem = _parse(raw, f"{self.name}, line {line}")
            if problem is not None:
                problems.append(problem)
            if row is not None:
                self._offsets.append(begin)
                self._note(row, line, len(raw))
        if problems:
            raise ConfigError(_first(problems))
        if not len(self):
            fix = 'write one object a line: {"completion": "...", "solution": "..."}'
            raise ConfigError(Problem(self.name, None, "holds no rows", fix))

    def read(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        rows = []
        for index in indices:
            self._file.seek(self._offsets[index])
            rows.append(json.loads(self._file.readline().removeprefix(_BOM).decode()))
        return rows

    def close(self) -> None:
        self._file.close()


def check_row(row: Mapping[str, Any], where: str) -> Problem | None:
    """What is wrong with a row's own fields; the data's columns are the rewards' business."""
    if "completion" not in row:
        has = ", ".join(list(row)[:10]) or "nothing"
        fix = "give every row a `completion`: a string, or a list of messages"
        return Problem(where, None, f"has no `completion`; it has: {has}", fix)
    completion = row["completion"]
    if not isinstance(completion, str) and not _is_conversation(completion):
        shown = json.dumps(completion, default=str)[:80]
        fix = 'write a string, or a list of messages [{"role": "assistant", "content": "..."}]'
        return Problem(where, None, f"`completion` is {shown}, which is no completion", fix)
    ids = row.get("completion_ids")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(i, int) for i in ids)):
        return Problem(
            where, repr(ids)[:80], "completion_ids is no list of token ids", "leave it out"
        )
    tokens = row.get("completion_tokens")
    good = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
    if tokens is not None and not good:
        message = "completion_tokens is no number of tokens"
        return Problem(where, tokens, message, "give a whole number from 0 on, or leave it out")
    return None


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(message, dict)
        and isinstance(message.get("content"), str | list | None)
        and isinstance(message.get("reasoning_content"), str | None)
        for message in value
    )


def _parse(raw: bytes, where: str) -> tuple[dict[str, Any] | None, Problem | None]:
    shown = raw[:60].decode("utf-8", "replace").strip()
    try:
        row = json.loads(raw.decode())
    except UnicodeDecodeError:
        return None, Problem(where, shown, "is not UTF-8 text", "save the file as UTF-8")
    except RecursionError:
        return None, Problem(where, shown, "is nested too deeply", "leave the line out")
    except ValueError as error:
        said = str(error)
        if isinstance(error, json.JSONDecodeError):  # whose own words count the lines of this line
            said = f"{error.msg} (character {error.pos + 1})"
        return None, Problem(where, shown, f"is no JSON: {said}", "write one JSON object a line")
    if not isinstance(row, dict):
        message = f"is a JSON {type(row).__name__}, not an object"
        return None, Problem(where, shown, message, 'write {"completion": "...", ...}')
    problem = check_row(row, where)
    return (None, problem) if problem else (row, None)


def _array(name: str) -> Problem:
    fix = f"write one object a line: jq -c '.[]' {name} > rows.jsonl"
    return Problem(name, None, "is a JSON array, and rows are read one a line", fix)


def _first(problems: list[Problem]) -> list[Problem]:
    if len(problems) <= _SHOWN:
        return problems
    more = f"{len(problems) - _SHOWN} more rows cannot be used"
    return [*problems[:_SHOWN], Problem("...", None, more, "mend the first ones, and see again")]


def _opened(path: str) -> IO[bytes]:
    file = Path(path).expanduser()
    if file.suffix in (".gz", ".parquet", ".csv", ".zst"):
        raise ConfigError(Problem("FILE", path, "is not JSON Lines", "convert it to .jsonl"))
    try:
        opened = file.open("rb")
        return opened if opened.seekable() else _spooled(opened)
    except OSError as error:
        fix = "give a .jsonl file, a run's folder, or - for standard input"
        raise ConfigError(Problem("FILE", path, f"cannot be read: {error.strerror}", fix)) from None


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """A pipe's content as a file that can be read again."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (read until the command ends)
    while chunk := stream.read(1 << 20):
        copy.write(chunk)
    copy.seek(0)
    return copy


def _group_key(row: Mapping[str, Any], number: int) -> bytes:
    for field in ("group", "prompt"):
        if row.get(field) is not None:
            text = json.dumps([field, row[field]], sort_keys=True, default=str)
            return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
    return f"row {number}".encode()
