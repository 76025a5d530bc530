"""``rewards audit``: whether the data's golds can be parsed, and verify against themselves.

Rows are counted from 0 in the split as it is loaded, before anything is dropped, shuffled or held
out, so that an offender can be found in the source.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from r1lab import targets
from r1lab.data import conversation as chat
from r1lab.data.rows import answer_format_of, values
from r1lab.data.source import Source, missing_columns
from r1lab.errors import FAILED, ConfigError, Problem
from r1lab.lab import show
from r1lab.lab.command import Request, check_data, composed, emit
from r1lab.verify.answers import gold_answer
from r1lab.verify.verifier import get_verifier

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN = 20
#: Offenders of one kind that the JSON object lists; all are counted.
LISTED = 1000
_TEXT = 500
_BATCH = 2000
WHAT = {
    "empty": "rows without a gold",
    "no_final_answer": "solutions in which answer_format finds no answer",
    "unparseable": "golds that cannot be parsed: rewards that verify give None",
    "not_itself_plain": "golds that do not equal themselves as they stand",
    "not_itself_boxed": "golds that do not equal themselves in a box: a right answer scores 0",
    "duplicate": "rows with the prompt and the gold of an earlier one",
    "contradiction": "rows with the prompt of an earlier one and another gold",
}
#: What ``--strict`` fails for; the others cost time, not truth.
STRICT = ("empty", "no_final_answer", "unparseable", "not_itself_boxed", "contradiction")


def run(request: Request) -> int:
    """Audit every split, and print the object or the tables."""
    config = composed(request, check_data)
    start = time.perf_counter()
    source = targets.build(config["data"])
    if source.column("solution") is None:
        fix = "name it (data.columns.solution=COLUMN), or choose other data"
        message = f"{source.name} has no golds to audit"
        raise ConfigError(Problem("data.columns.solution", None, message, fix))
    found: dict[str, Any] = {"data": source.name, "splits": {}, "seconds": 0.0}
    splits = source.load()
    problems = [
        problem
        for split, rows in splits.items()
        for problem in missing_columns(source, set(rows.column_names), "data", split)
    ]
    if problems:
        raise ConfigError(problems)
    for split, rows in splits.items():
        found["splits"][split] = _split(source, rows)
    found["seconds"] = time.perf_counter() - start
    if request.json:
        emit(found)
    else:
        show.audit(found, request.number("--rows", SHOWN))
    failed = any(
        part["offenders"][kind]["count"] for part in found["splits"].values() for kind in STRICT
    )
    return FAILED if failed and request.strict else 0


def _split(source: Source, rows: Dataset) -> dict[str, Any]:
    offenders: dict[str, list[dict[str, Any]]] = {kind: [] for kind in WHAT}
    golds: list[str | None] = []
    seen: dict[str, tuple[int, str | None]] = {}
    for number, row in enumerate(values(source, rows)):
        gold = _gold(source, row, number, offenders)
        golds.append(gold)
        prompt = row.get("prompt", row.get("messages"))
        key = json.dumps(prompt, sort_keys=True, default=str)
        first, other = seen.setdefault(key, (number, gold))
        if first != number:
            kind = "duplicate" if other == gold else "contradiction"
            text = gold if kind == "duplicate" else f"{gold} here, {other} there"
            offenders[kind].append({"row": number, "text": str(text)[:_TEXT], "other": first})
    distinct = list(dict.fromkeys(gold for gold in golds if gold is not None))
    verdicts: dict[str, dict[str, bool]] = {kind: {} for kind in _CHECKS}
    with show.progress("checking golds", len(_CHECKS) * len(distinct)) as advance:
        for first in range(0, len(distinct), _BATCH):
            batch = distinct[first : first + _BATCH]
            for kind, check in _CHECKS.items():
                verdicts[kind] |= zip(batch, check(batch), strict=True)
                advance(len(batch))
    present = [(number, gold) for number, gold in enumerate(golds) if gold is not None]
    for kind, fine in verdicts.items():
        for number, gold in present:
            readable = verdicts["unparseable"][gold]
            if not fine[gold] and (readable or kind == "unparseable"):
                offenders[kind].append({"row": number, "text": gold[:_TEXT]})
    parsed = len(present) - len(offenders["unparseable"])
    return {
        "rows": len(golds),
        "golds": len(present),
        "distinct": len(distinct),
        "parse": _share(parsed, len(present)),
        "verify_plain": _share(parsed - len(offenders["not_itself_plain"]), len(present)),
        "verify_boxed": _share(parsed - len(offenders["not_itself_boxed"]), len(present)),
        "offenders": {
            kind: {"what": WHAT[kind], "count": len(found), "rows": found[:LISTED]}
            for kind, found in offenders.items()
        },
    }


def _gold(
    source: Source, row: dict[str, Any], number: int, offenders: dict[str, list[dict[str, Any]]]
) -> str | None:
    """A row's gold as rewards get it, None where there is none."""
    text = chat.text_of(row.get("solution"))
    if text is None:
        offenders["empty"].append({"row": number, "text": repr(row.get("solution"))[:_TEXT]})
        return None
    gold = chat.final_answer(text, answer_format_of(source, row))
    if gold is None:
        offenders["no_final_answer"].append({"row": number, "text": text[-_TEXT:]})
    return gold


def _parse(golds: Sequence[str]) -> list[bool]:
    return get_verifier().parses_batch(golds)


def _equal_plain(golds: Sequence[str]) -> list[bool]:
    """Whether each gold equals itself as it stands."""
    return _right([(gold, gold) for gold in golds])


def _equal_boxed(golds: Sequence[str]) -> list[bool]:
    """Whether each gold equals its own answer in a box, as a right completion gives it."""
    return _right([(rf"\boxed{{{gold_answer(gold) or gold}}}", gold) for gold in golds])


def _right(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [verdict.correct is True for verdict in get_verifier().verify_batch(pairs)]


_CHECKS: dict[str, Callable[[Sequence[str]], list[bool]]] = {
    "unparseable": _parse,
    "not_itself_plain": _equal_plain,
    "not_itself_boxed": _equal_boxed,
}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
