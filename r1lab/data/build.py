"""From a source to what a trainer takes: checked, split, shuffled, capped, with a report.

Everything that is wrong with the data is said before training, and together. What was left out or
could not be checked is counted in the report. The outcome depends on the source's values alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from r1lab.data import conversation as chat
from r1lab.data.messages import as_found, note
from r1lab.data.order import choose
from r1lab.data.rows import answer_format_of, make, row_columns, values
from r1lab.data.sift import SHOWN, Sift, row_numbers
from r1lab.data.source import Source, missing_columns
from r1lab.errors import ConfigError, Problem

if TYPE_CHECKING:
    from datasets import Dataset

FINGERPRINT_ROWS = 20_000
"""Rows that a fingerprint reads, evenly spaced: hashing all of 220,000 long ones takes minutes."""


@dataclass
class DataBundle:
    """Rows for a trainer, and the report on them (plain values, for logs and the model card)."""

    train: Dataset
    test: Dataset | None
    report: dict[str, Any]


def check_light(source: Source, need: set[str]) -> list[Problem]:
    """Return what is wrong, as far as it shows without ``datasets``: values, paths, first lines.

    ``need`` holds the columns of a row that the trainer and the rewards read. ``messages`` there
    stands for what SFT needs: messages, or a prompt with a completion or solution.
    """
    problems = source.check()
    if problems:
        return problems
    known = source.provides()
    return [p for name in sorted(need) for p in _check_need(source, name, known)]


def _check_need(source: Source, name: str, known: set[str] | None) -> list[Problem]:
    if name == "prompt":
        met = bool(source.column("prompt") or source.column("messages"))
    elif name in ("messages", "completion"):
        pair = source.column("prompt") and (
            source.column("completion") or source.column("solution")
        )
        met = bool(source.column("messages") or pair)
    elif name in source.columns:
        met = source.column(name) is not None
    else:
        met = known is None or name in known
    if met:
        return []
    has = f"; it has: {', '.join(sorted(known))}" if known else ""
    message = f"this run needs the column {name!r}, and {source.name} has none{has}"
    # Hydra wants a + for a role that the data's own config does not name.
    new = "" if name in source.columns else "+"
    fix = f"set {new}data.columns.{name} to the dataset's column, or choose other data or rewards"
    return [Problem(f"data.columns.{name}", source.column(name), message, fix)]


def build_data(
    source: Source,
    kind: str,
    need_solution: bool,
    *,
    parses: Callable[[Sequence[str]], Sequence[bool]] | None = None,
    need: frozenset[str] | set[str] = frozenset(),
) -> DataBundle:
    """Load and prepare a source's rows for ``kind`` sft or grpo; ConfigError lists all faults.

    ``parses`` says of each of many solutions whether it can be verified against; those that cannot
    are counted, and only when none can is that an error. ``need`` holds further columns that the
    rewards read.
    """
    if kind not in ("sft", "grpo"):
        raise ValueError(f"kind={kind!r}: expected sft or grpo")
    splits = source.load()
    given, source = (
        source,
        as_found(source, splits["train"].column_names if "train" in splits else ()),
    )
    _check_splits(source, splits, kind, need_solution, need)
    sift = Sift(source, kind, need_solution)
    kept = {split: sift.usable(split, rows) for split, rows in splits.items()}
    sift.raise_problems(kept)
    chosen = choose(source, kept)
    report: dict[str, Any] = {
        "source": _describe(source),
        "kind": kind,
        "rows": {split: len(rows) for split, rows in chosen.items()},
        "rows_loaded": {split: len(rows) for split, rows in splits.items()},
        "dropped": sift.report() if source.bad_rows == "drop" else {},
        "unparseable": {},
        "notes": note(given, source),
        "warnings": [],
    }
    origin = _origin(chosen, splits)
    if kind == "grpo" and need_solution and parses is not None:
        _check_solutions(source, chosen, splits, origin, parses, report)
    with _no_progress_bars():
        made = {
            split: make(source, splits[origin[split]].select(rows), kind)
            for split, rows in chosen.items()
        }
    report["columns"] = made["train"].column_names
    report["fingerprint"] = {split: fingerprint(rows) for split, rows in made.items()}
    return DataBundle(made["train"], made.get("test"), report)


def fingerprint(rows: Dataset) -> str:
    """Return a hash of the column names, the number of rows and (up to 20,000 of) the rows."""
    digest = hashlib.sha256(json.dumps([len(rows), sorted(rows.column_names)]).encode())
    step = max(1, -(-len(rows) // FINGERPRINT_ROWS))
    sample = rows if step == 1 else rows.select(range(0, len(rows), step))
    for row in sample:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def _check_splits(
    source: Source,
    splits: dict[str, Dataset],
    kind: str,
    need_solution: bool,
    need: frozenset[str] | set[str],
) -> None:
    """Raise for absent columns, empty splits and a held-out size that cannot be had."""
    problems: list[Problem] = []
    for split, rows in splits.items():
        if len(rows) == 0:
            fix = "check the split's name and the files behind it"
            problems.append(Problem("data", source.name, f"the {split} split has zero rows", fix))
            continue
        problems += missing_columns(source, set(rows.column_names), "data", split)
    if "train" not in splits:
        fix = "name one, or give a file for it"
        problems.append(Problem("data", source.name, "there is no train split", fix))
    if "test" in splits and source.test_size and not source.makes_test:
        message = f"{source.name} has a test split of its own ({len(splits['test'])} rows)"
        fix = "set data.max_test to shorten that, or data.test_size=0"
        problems.append(Problem("data.test_size", source.test_size, message, fix))
    wanted = {"messages"} if kind == "sft" else {"prompt", *need}
    wanted |= {"solution"} if kind == "grpo" and need_solution else set()
    if not problems:
        known = row_columns(source, set(splits["train"].column_names))
        problems = [p for name in sorted(wanted) for p in _check_need(source, name, known)]
    if problems:
        raise ConfigError(problems)


def _origin(chosen: dict[str, list[int]], splits: dict[str, Dataset]) -> dict[str, str]:
    """Return which loaded split each of ours was chosen from: a carved test split is from train."""
    return {split: split if split in splits else "train" for split in chosen}


def _check_solutions(
    source: Source,
    chosen: dict[str, list[int]],
    splits: dict[str, Dataset],
    origin: dict[str, str],
    parses: Callable[[Sequence[str]], Sequence[bool]],
    report: dict[str, Any],
) -> None:
    """Count the solutions that cannot be parsed; raise where that is every one of a split."""
    golds = {
        split: _golds(source, splits[origin[split]].select(numbers))
        for split, numbers in chosen.items()
    }
    distinct = list(dict.fromkeys(gold for split in golds.values() for gold in split))
    distinct = distinct[: source.check_solutions]
    verdicts = dict(zip(distinct, parses(distinct), strict=True))
    problems = []
    for split, numbers in chosen.items():
        known = [(n, g) for n, g in zip(numbers, golds[split], strict=True) if g in verdicts]
        bad, checked = sorted(number for number, gold in known if not verdicts[gold]), len(known)
        report["unparseable"][split] = {"checked": checked, "count": len(bad), "rows": bad[:SHOWN]}
        if bad and len(bad) == checked:
            message = f"none of the {checked} {split} solutions that were checked can be parsed"
            fix = "name the column of the final answer, or set data.answer_format (hashes, boxed)"
            key = "data.columns.solution"
            problems.append(Problem(key, source.column("solution"), message, fix))
        elif bad:
            report["warnings"].append(
                f"{len(bad)} of {checked} {split} solutions do not parse, so rewards that verify "
                f"against them give none: {row_numbers(bad)}"
            )
    if problems:
        raise ConfigError(problems)


def _golds(source: Source, rows: Dataset) -> list[str]:
    """The final answers of the rows' solutions."""
    return [
        chat.final_answer(chat.text_of(row["solution"]) or "", answer_format_of(source, row)) or ""
        for row in values(source, rows)
    ]


def _describe(source: Source) -> dict[str, Any]:
    """Return the source's values as plain ones, and its class."""
    values = json.loads(json.dumps(asdict(source), default=str))
    return {"class": f"{type(source).__module__}.{type(source).__name__}", **values}


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep the bars of short maps off the terminal, and leave the user's setting as it was."""
    from datasets.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
