"""From groups to parquet: ``data/train.parquet`` and ``data/test.parquet``, whole or not at all.

Rows are streamed: what is in memory is the rows of one row group, and 8 bytes for each row written.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem
from r1lab.generation.formats import Form, rows_of, schema_of, table_of
from r1lab.generation.request import Message, digest
from r1lab.generation.steps.base import Group

if TYPE_CHECKING:
    import numpy
    import pyarrow

#: Beside the data: how it was made. ``data=local`` reads no folder of such a name.
MADE = "_made"
SETTINGS = "settings.json"
#: A row group has so many rows, or fewer where they are long: so many characters.
GROUP_ROWS, GROUP_CHARS = 10_000, 32 * 2**20
_END = 2**64


@dataclass
class Written:
    """What is in a folder. Prompts are distinct ones; ``left_out`` says why rows are not there."""

    folder: Path
    rows: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def place(wanted: Path, settings: Mapping[str, Any]) -> Path:
    """``wanted`` if it is free or was made with the same ``settings``; else ``wanted-2``, ..."""
    number = 1
    while True:
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if empty or settings_of(folder) == json.loads(json.dumps(settings, default=str)):
            return folder
        number += 1


def settings_of(folder: Path) -> dict[str, Any] | None:
    """What the data in a folder was made with; None where it is not ours."""
    try:
        found = json.loads((folder / MADE / SETTINGS).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(
    groups: Iterable[Group],
    folder: Path,
    form: Form,
    settings: Mapping[str, Any],
    finish: Callable[[Path, Written], None] = lambda folder, written: None,
) -> Written:
    """Write the rows, ``_made/settings.json`` and what ``finish`` adds (a card, lists); then put
    it in the place of what ``folder`` had.

    It is made beside the folder, so that nobody ever sees half of it; where something fails, the
    folder is as it was. ConfigError where there is nothing to write, or no split to be had.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.new")
    _remove(fresh)
    (fresh / MADE).mkdir(parents=True)
    try:
        written = _fill(groups, fresh, form)
        text = json.dumps(settings, indent=2, default=str, ensure_ascii=False)
        (fresh / MADE / SETTINGS).write_text(text + "\n", encoding="utf-8")
        finish(fresh, written)
        _swap(fresh, folder)
    except BaseException:
        _remove(fresh)
        raise
    written.folder = folder
    return written


def _swap(fresh: Path, folder: Path) -> None:
    for path in fresh.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    old = folder.with_name(f".{folder.name}.old")
    _remove(old)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _fill(groups: Iterable[Group], folder: Path, form: Form) -> Written:
    share = form.test_size if form.test_size < 1 else 0
    written = Written(folder)
    with _Files(folder, form) as files:
        for group in groups:
            where = _place_of(group.prompt.messages, form.seed)
            rows = rows_of(group, form)
            if not rows:
                written.left_out["without a gold" if group.samples else "without a sample"] += 1
            split = "test" if where < share * _END else "train"
            for row in rows:
                files.add(split, row, where)
    splits = files.places()
    if not sum(map(len, splits.values())):
        fix = "loosen the steps (each says what it dropped), or ask for more samples"
        raise ConfigError(Problem("steps", None, "no sample is left to write", fix))
    if form.test_size and (form.test_size >= 1 or not all(map(len, splits.values()))):
        splits = _split_again(folder, form, splits)
    import numpy

    written.rows = {name: len(places) for name, places in splits.items() if len(places)}
    written.prompts = {name: len(numpy.unique(splits[name])) for name in written.rows}
    written.columns = files.columns
    return written


def _place_of(messages: list[Message], seed: int) -> int:
    """A prompt's place in [0, 2**64), as if drawn with the seed."""
    return int(digest(held_out=seed, messages=messages)[:16], 16)


def _split_again(
    folder: Path, form: Form, splits: dict[str, numpy.ndarray]
) -> dict[str, numpy.ndarray]:
    """Hold out a number of prompts, the ones with the first places; a share of few prompts may have
    found none, or left none: then it is one.
    """
    import numpy
    import pyarrow.parquet as parquet

    one = "train" if len(splits["train"]) else "test"
    places = splits[one]
    distinct = numpy.unique(places)
    count = int(form.test_size) if form.test_size >= 1 else (len(distinct) - 1, 1)[one == "train"]
    if not 0 < count < len(distinct):
        said = f"holding out {max(count, 1)} of {len(distinct)} prompts leaves nothing to train on"
        fix = "set a smaller generate.test_size, or 0"
        raise ConfigError(Problem("generate.test_size", form.test_size, said, fix))
    held_out = places <= distinct[count - 1]
    whole = folder / ".all.parquet"
    (folder / f"{one}.parquet").rename(whole)
    first = 0
    with parquet.ParquetFile(whole) as file:
        writers = {name: _open(folder / f"{name}.parquet", file.schema_arrow) for name in splits}
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            mine = held_out[first : first + len(table)]
            first += len(table)
            for name, mask in (("train", ~mine), ("test", mine)):
                if mask.any():
                    writers[name].write_table(table.filter(mask))
        for writer in writers.values():
            writer.close()
    whole.unlink()
    return {"train": places[~held_out], "test": places[held_out]}


def _open(path: Path, schema: pyarrow.Schema) -> Any:
    import pyarrow.parquet as parquet

    return parquet.ParquetWriter(path, schema, compression="zstd")


class _Files:
    """Both files, of one schema; each is there once it has a row."""

    def __init__(self, folder: Path, form: Form) -> None:
        self._folder, self._form = folder, form
        self._places = {"train": array("Q"), "test": array("Q")}
        self._rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
        self._chars = 0
        self._writers: dict[str, Any] = {}
        self._schema: pyarrow.Schema | None = None

    @property
    def columns(self) -> list[str]:
        return [] if self._schema is None else list(self._schema.names)

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            for writer in self._writers.values():
                writer.close()

    def add(self, split: str, row: dict[str, Any], where: int) -> None:
        self._places[split].append(where)
        self._rows[split].append(row)
        self._chars += _chars(row)
        if len(self._rows[split]) >= GROUP_ROWS or self._chars >= GROUP_CHARS:
            self._flush()

    def places(self) -> dict[str, numpy.ndarray]:
        """Where the prompt of each row is, in the order of the rows."""
        import numpy

        return {name: numpy.array(p, dtype=numpy.uint64) for name, p in self._places.items()}

    def _flush(self) -> None:
        if self._schema is None:
            self._schema = schema_of([*self._rows["train"], *self._rows["test"]], self._form)
        for name, rows in self._rows.items():
            if rows:
                if name not in self._writers:
                    self._writers[name] = _open(self._folder / f"{name}.parquet", self._schema)
                self._writers[name].write_table(table_of(rows, self._schema))
                rows.clear()
        self._chars = 0


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_chars, value.values()))
    return sum(map(_chars, value)) if isinstance(value, list) else 8
