"""A benchmark's rows: from the hub, or from files of the same schema on this machine."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation_job import JobError

_SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_AWAY = "give evaluate.data_dir a folder with the same columns"


@dataclass(frozen=True)
class Rows:
    """Rows, and where they are from."""

    rows: list[dict[str, Any]]
    source: str

    @property
    def fingerprint(self) -> str:
        """A hash of the content, wherever it lies."""
        content = json.dumps(self.rows, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def checked(rows: Rows, columns: Sequence[str]) -> Rows:
    """The same rows, if each has what the benchmark reads; JobError otherwise."""
    if not rows.rows:
        raise JobError(f"{rows.source} has no rows", _AWAY, "data")
    for number, row in enumerate(rows.rows, start=1):
        for column in columns:
            if row.get(column) in (None, "", []):
                raise JobError(
                    f"row {number} of {rows.source} has no {column!r}; it has: {', '.join(row)}",
                    f"the benchmark's columns are: {', '.join(columns)}",
                    "data",
                )
    return rows


def from_files(path: Path, split: str, subset: str) -> Rows:
    """Rows of a file, or of the files in a folder that hold the split: ``test.jsonl``,
    ``main/test-00000-of-00001.parquet``, ``gpqa_diamond.csv``, or whichever is the only one.
    """
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = _of_split(path, split, subset)
    else:
        raise JobError(f"{path} does not exist", _AWAY, "data")
    if not files:
        raise JobError(f"{path} has no {split}.jsonl (nor .json, .parquet, .csv)", _AWAY, "data")
    rows = [row for file in files for row in _read(file)]
    return Rows(rows, str(path))


def _of_split(folder: Path, split: str, subset: str) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    in_subset = [path for path in found if subset in (*path.relative_to(folder).parts, path.stem)]
    for candidates in (in_subset, found):
        named = [path for path in candidates if path.stem.split("-")[0] == split]
        if named:
            return named
    if in_subset or len(found) <= 1:
        return in_subset or found
    names = ", ".join(str(path.relative_to(folder)) for path in found[:5])
    raise JobError(
        f"{folder} has several files, and none is called {split}: {names}",
        f"call the benchmark's file {split}.jsonl",
        "data",
    )


def _read(path: Path) -> Iterable[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path).to_pylist()
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                return list(csv.DictReader(file))
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            rows = json.loads(text)
        else:
            # not splitlines: a row may hold any of the other characters that it takes for line ends
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise JobError(f"{path} cannot be read: {error}", _AWAY, "data") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise JobError(f"{path} holds something else than rows with names", _AWAY, "data")
    return rows


def from_hub(download: Callable[[], Any], repo: str, split: str) -> Rows:
    """Rows of LightEval's own download; JobError where there is no way to them."""
    try:
        splits = download()
    except Exception as error:  # of datasets, hub and network: whichever, the rows are not there
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JobError(
            f"{repo} cannot be had from the Hugging Face hub: {type(error).__name__}: {reason}",
            "log in if the data asks for it (HF_TOKEN, and its terms accepted on the hub), or, "
            f"without a network, {_AWAY}",
            "data",
        ) from error
    if split not in splits:
        raise JobError(f"{repo} has no split {split!r}; it has: {', '.join(splits)}", _AWAY, "data")
    return Rows([dict(row) for row in splits[split]], repo)
