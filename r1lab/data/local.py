"""Local files: jsonl, json, csv and parquet, one file or a folder of them.

All unreadable lines of all files are reported together, with their numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1lab.data.files import Bad, Row, iterate, read_rows
from r1lab.data.messages import as_found
from r1lab.data.rows import row_columns
from r1lab.data.source import Source, check_one_of, missing_columns
from r1lab.errors import ConfigError, Problem, nearest

if TYPE_CHECKING:
    from datasets import Dataset

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv"}
SUFFIXES |= {".parquet": "parquet", ".pq": "parquet"}
FORMATS = ("jsonl", "json", "csv", "parquet")

LIGHT_BYTES = 8 * 2**20
"""How much of a file the check before training reads: 8 MiB takes about 0.1 s."""

SHOWN = 10
"""How many bad lines are shown; all are counted."""

_TEST_STEMS = ("test", "validation", "valid", "val", "dev", "eval")


@dataclass(kw_only=True)
class Local(Source):
    """Rows of ``path``, a file or a folder; the format comes from the suffix unless it is given.

    In a folder, files whose names begin with test, validation, val, dev or eval are the test split,
    and all others are train; hidden files, and folders whose names begin with ``_`` or a dot, are
    not read. ``test_path`` names the test split's file or folder instead.
    """

    name: str = "local"
    path: str | None = None
    test_path: str | None = None
    format: str | None = None

    def load(self) -> dict[str, Dataset]:
        problems = self._check_paths("data")
        if problems:
            raise ConfigError(problems)
        splits: dict[str, Dataset] = {}
        for split, files in self._files().items():
            parts = []
            for file in files:
                try:
                    parts.append(self._read(file, split))
                except ConfigError as error:
                    problems += error.problems
            if not problems:
                splits[split] = _join(parts, files)
        if problems:
            raise ConfigError(problems)
        return splits

    def stream(self, split: str, key: str = "data.split") -> Iterator[Row]:
        """As :meth:`Source.stream`, line by line. Bad lines are raised after the last good row.

        A row has the columns of its line. jsonl and csv are never in memory as a whole.
        """
        problems = self._check_paths("data")
        if problems:
            raise ConfigError(problems)
        files = self._files()
        if split not in files:
            raise ConfigError(self.no_split(split, set(files), key))
        for file in files[split]:
            if self._format(file) == "parquet":
                try:
                    rows = self._read(file, split)
                except ConfigError as error:
                    problems += error.problems
                else:
                    yield from rows
                continue
            bad: list[Bad] = []
            count = 0
            for line, row in iterate(file, self._format(file) or "jsonl"):
                if isinstance(row, dict):
                    yield row
                else:
                    count += 1
                    bad += [(line, row)] if count <= SHOWN else []
            if bad:
                problems.append(_bad_lines(f"data.{self._key(split)}", file, bad, count))
        if problems:
            raise ConfigError(problems)

    def split_names(self) -> set[str] | None:
        return None if self._check_paths("data") else set(self._files())

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each split in name order, so that rows do not depend on the disk."""
        assert self.path is not None
        files = _files_under(Path(self.path).expanduser())
        if self.test_path is not None:
            return {"train": files, "test": _files_under(Path(self.test_path).expanduser())}
        root = Path(self.path).expanduser()
        test = [file for file in files if root.is_dir() and _is_test(file, root)]
        train = [file for file in files if file not in test]
        if (
            not train
        ):  # a folder with nothing but test files: its files are what there is to train on
            return {"train": files}
        return {"train": train, "test": test} if test else {"train": train}

    def _format(self, file: Path) -> str | None:
        return self.format or SUFFIXES.get(file.suffix.lower())

    def _key(self, split: str) -> str:
        return "test_path" if split == "test" and self.test_path is not None else "path"

    def _read(self, file: Path, split: str) -> Dataset:
        import datasets

        kind, key = self._format(file), f"data.{self._key(split)}"
        if kind == "parquet":
            try:
                return datasets.Dataset.from_parquet(str(file))
            except Exception as error:  # pyarrow's own, and datasets' wrappers of them
                raise ConfigError(_unreadable(key, file, _root_cause(error))) from error
        rows, bad = read_rows(file, kind or "jsonl")
        if bad:
            raise ConfigError(_bad_lines(key, file, bad))
        names = list(dict.fromkeys(name for row in rows for name in row))
        try:
            return datasets.Dataset.from_dict({name: [r.get(name) for r in rows] for name in names})
        except Exception as error:  # pyarrow: a column whose values have several types
            raise ConfigError(_mixed_types(key, file, rows, names, error)) from error

    def check(self, key: str = "data") -> list[Problem]:
        found = super().check(key)
        if self.format is not None:
            found += check_one_of(f"{key}.format", self.format, FORMATS)
        paths = self._check_paths(key)
        if paths or found:
            return found + paths
        for split, files in self._files().items():
            where = f"{key}.{self._key(split)}"
            seen: set[str] | None = set()
            rows = 0
            for file in files:
                columns, count, problems = self._peek(file, where)
                found += problems
                rows += count
                seen = None if columns is None or seen is None else seen | columns
            if not rows and not found:
                fix = f"set {where} to a file with data"
                value = getattr(self, self._key(split))
                found.append(Problem(where, value, f"the {split} split has zero rows", fix))
            elif seen is not None and rows:
                found += missing_columns(as_found(self, seen), seen, key, split)
        return found

    def known_columns(self) -> set[str] | None:
        """Return the columns in the train files' first bytes; None where that needs pyarrow."""
        if self._check_paths("data"):
            return None
        seen: set[str] = set()
        for file in self._files()["train"]:
            columns, _, _ = self._peek(file, "data.path")
            if columns is None:
                return None
            seen |= columns
        return seen

    def raw_columns(self) -> set[str] | None:
        return self.known_columns()

    def provides(self) -> set[str] | None:
        columns = self.known_columns()
        return None if columns is None else row_columns(as_found(self, columns), columns)

    def _check_paths(self, key: str) -> list[Problem]:
        if not self.path:
            fix = f"set {key}.path=FILE_OR_FOLDER ({', '.join(FORMATS)})"
            return [Problem(f"{key}.path", self.path, "names no file", fix)]
        found = []
        for name in ("path", "test_path"):
            value = getattr(self, name)
            if value is None:
                continue
            path = Path(value).expanduser()
            if not path.exists():
                fix = f"check the path (the current folder is {os.getcwd()}){_neighbours(path)}"
                found.append(Problem(f"{key}.{name}", value, "there is no such file", fix))
            elif not (files := _files_under(path)):
                fix = f"put files into it that end in {', '.join(SUFFIXES)}"
                found.append(Problem(f"{key}.{name}", value, "this folder has no data files", fix))
            else:
                found += [
                    problem for f in files for problem in self._check_file(f, f"{key}.{name}")
                ]
        return found

    def _check_file(self, file: Path, key: str) -> list[Problem]:
        if self._format(file) is None:
            prefix = key.rpartition(".")[0]
            fix = f"set {prefix}.format to one of: {', '.join(FORMATS)}"
            return [Problem(key, str(file), "its name does not tell the format", fix)]
        if not os.access(file, os.R_OK):
            return [Problem(key, str(file), "may not be read", f"run chmod u+r {file}")]
        if file.stat().st_size == 0:
            return [Problem(key, str(file), "the file is empty: zero rows", "write rows to it")]
        return []

    def _peek(self, file: Path, key: str) -> tuple[set[str] | None, int, list[Problem]]:
        """Return columns, rows (in the first bytes) and what is wrong, without ``datasets``."""
        kind = self._format(file)
        if kind == "parquet":
            with file.open("rb") as stream:
                magic = stream.read(4)
            problems = (
                [] if magic == b"PAR1" else [_unreadable(key, file, "this is no parquet file")]
            )
            return None, 1, problems
        long = file.stat().st_size > LIGHT_BYTES
        if kind == "json" and long:
            return None, 1, []
        rows, bad = read_rows(file, kind or "jsonl", limit=LIGHT_BYTES if long else None)
        columns = {name for row in rows for name in row}
        return columns, len(rows), [_bad_lines(key, file, bad)] if bad else []


def _files_under(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = (file for file in path.rglob("*") if file.is_file())
    return sorted(f for f in files if f.suffix.lower() in SUFFIXES and not _beside(f, path))


def _beside(file: Path, root: Path) -> bool:
    """Whether it lies beside the data: in a folder such as ``_made`` or ``.cache``, or hidden."""
    *folders, name = file.relative_to(root).parts
    return name.startswith(".") or any(folder.startswith((".", "_")) for folder in folders)


def _is_test(file: Path, root: Path) -> bool:
    """Whether the file's name, or a folder's between it and ``root``, says that it is held out."""
    return any(
        part.lower().startswith(f"{stem}{end}") or Path(part).stem.lower() == stem
        for part in file.relative_to(root).parts
        for stem in _TEST_STEMS
        for end in ("-", "_", ".")
    )


def _join(parts: list[Dataset], files: list[Path]) -> Dataset:
    from datasets import concatenate_datasets

    if len(parts) == 1:
        return parts[0]
    try:
        return concatenate_datasets(parts)
    except Exception as error:  # features that cannot be aligned, whatever class that has
        names = ", ".join(file.name for file in files)
        message = f"the files' columns have different types ({_root_cause(error)}): {names}"
        fix = "give each column one type in every file, or load one file"
        raise ConfigError(Problem("data.path", str(files[0].parent), message, fix)) from error


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unreadable(key: str, file: Path, said: str) -> Problem:
    fix = "write the file again, or set data.format"
    return Problem(key, str(file), f"cannot be read: {said}", fix, file=str(file))


def _bad_lines(key: str, file: Path, bad: list[Bad], total: int | None = None) -> Problem:
    """Say what is wrong with the lines of a file: the first of them, and how many there are."""
    total = len(bad) if total is None else total
    shown = "; ".join(f"line {line} {said}" for line, said in bad[:SHOWN])
    more = f"; and {total - SHOWN} more" if total > SHOWN else ""
    count = f"{total} unreadable line{'s' if total > 1 else ''}"
    fix = f"mend or remove the line{'s' if total > 1 else ''}"
    return Problem(key, str(file), f"{count}: {shown}{more}", fix, file=str(file))


def _mixed_types(
    key: str, file: Path, rows: list[Row], names: list[str], error: Exception
) -> Problem:
    """Name the column whose values have several types, and the first row that differs."""
    for name in names:
        first: type | None = None
        for index, row in enumerate(rows):
            value = row.get(name)
            first = type(value) if first is None and value is not None else first
            number = {first, type(value)} <= {int, float}
            if value is not None and type(value) is not first and not number:
                message = (
                    f"column {name!r} is {_say(first)} at first, but {_say(type(value))} in row "
                    f"{index} (rows counted from 0)"
                )
                fix = f"give every value of {name!r} one type, for instance text"
                return Problem(key, str(file), message, fix, file=str(file))
    return _unreadable(key, file, _root_cause(error))


def _say(kind: type | None) -> str:
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(kind or object, getattr(kind, "__name__", "nothing"))


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    near = nearest(path.name, [file.name for file in path.parent.iterdir()])
    return f"; did you mean {path.parent / near}?" if near else ""
