"""The verifier against a labelled table of (gold, completion) pairs.

`pairs.jsonl` was written from principles, before looking at what the verifier says. A row holds
an `id`, its `kind`, the `gold` as a data set writes it, a `completion`, the label `equal` (null:
no one can verify this gold) and `why`. `hard` marks pairs in the style of competition benchmarks,
with near misses for wrong answers. Where careful graders could disagree, `policy` names the rule
in `POLICIES` by which the pair was labelled.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1lab.verify.verifier import Verifier

PAIRS = Path(__file__).with_name("pairs.jsonl")

POLICIES = {
    "rounding": "A decimal of fewer than six correct digits does not equal an exact gold; an exact "
    "value with its approximation beside it does, and so does a decimal that goes on with dots. "
    "A gold that is itself a decimal of three digits or more stands for what rounds to it.",
    "percent": "A percent sign divides by a hundred (50% = 0.5 = 1/2). Where only one side "
    "carries the sign, the question may have asked for percent: 37.5 = 37.5%.",
    "units": "A unit that one side leaves out was given by the question: equal. Another unit is "
    "wrong, unless the number was converted correctly. 60 degrees, 60 for a gold in degrees, "
    "and pi/3 are equal; 60 for a gold of pi/3 is not. A counted noun is a unit.",
    "ratio": "A ratio is its quotient, so it may be reduced, scaled or written as a fraction, "
    "but not inverted.",
    "notation": "Two standard notations of one object are equal (Euler's formula and polar "
    "form, a column and its transpose for a vector or point, a determinant and its value, "
    "zeta(2), C_n^k, a sum written with dots).",
    "equivalence": "An equation, inequality or system stands for its solutions: any other form "
    "with the same solutions is equal (|x-3|<2 and 1<x<5, a set-builder and its list). The name "
    "of the variable whose range is asked for does not matter. An expression is only equal to "
    "its value: 2x+2 is not x+1.",
    "bound-names": "The names of bound parameters and free constants do not matter (k or n in n "
    "= 4k+1), nor does the name of the left side (f(x) or y); a family may be described by "
    "congruence, formula or words; a narrower or wider family is wrong.",
    "order": "Sets, solutions and assignments come in any order; the coordinates of a tuple and "
    "the values of named things (minimum, maximum) do not. All solutions and nothing else: a "
    "missing or an extra one is wrong. Plus-minus stands for both signs, and two of them for "
    "all four.",
    "words": "Text answers ignore case, articles, punctuation and a sentence around the "
    "decisive words, on either side; a condition may be said in words or in symbols. A choice "
    "may be given by its letter, by its letter and text, or, where the gold holds both, by its "
    "text. No solution is the empty set, and not 0.",
    "commitment": "The last box counts, since models correct themselves, and the words beside "
    "it may complete it (a name, a unit, a domain). But boxes that one sentence joins are one "
    "list, boxes in a row without a word are no answer, an alternative is no answer, and "
    "neither is a condition that the question stated. A box that never closes is cut off.",
}

#: Kinds whose pairs have one label only: what must never score, and what cannot be verified.
ONE_LABEL = {"empty", "unfinished", "hidden", "many", "copied", "unverifiable"}

HARD_RECALL, HARD_FALSE_POSITIVES = 0.70, 0.015
RECALL, FALSE_POSITIVES = 0.90, 0.01

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [json.loads(line) for line in PAIRS.read_text().splitlines()]


@pytest.fixture(scope="module")
def verdicts(rows: list[Row]) -> Iterator[dict[str, bool | None]]:
    verifier = Verifier()
    found = verifier.verify_batch([(row["completion"], row["gold"]) for row in rows])
    yield {row["id"]: verdict.correct for row, verdict in zip(rows, found, strict=True)}
    verifier.close()


def check(rows: list[Row], verdicts: dict[str, bool | None], recall: float, wrong: float) -> None:
    """Both rates within their bounds, or the offenders by name."""
    equal = [row["id"] for row in rows if row["equal"] is True]
    other = [row["id"] for row in rows if row["equal"] is False]
    missed = [name for name in equal if verdicts[name] is not True]
    accepted = [name for name in other if verdicts[name] is True]
    report = (
        f"recall {1 - len(missed) / len(equal):.3f}, false positives "
        f"{len(accepted) / len(other):.4f}\naccepted: {accepted}\nmissed: {missed}"
    )
    assert len(accepted) <= wrong * len(other), report
    assert len(missed) <= (1 - recall) * len(equal), report


def test_hard_pairs(rows, verdicts):
    hard = [row for row in rows if row.get("hard")]
    check(hard, verdicts, HARD_RECALL, HARD_FALSE_POSITIVES)


def test_all_pairs(rows, verdicts):
    check(rows, verdicts, RECALL, FALSE_POSITIVES)


def test_what_nobody_can_verify_scores_nothing(rows, verdicts):
    unverifiable = [row for row in rows if row["equal"] is None]
    assert [row["id"] for row in unverifiable if verdicts[row["id"]] is True] == []
    blank = [row["id"] for row in unverifiable if not row["gold"].strip()]
    assert {name: verdicts[name] for name in blank} == dict.fromkeys(blank)


def test_what_must_never_score_does_not(rows, verdicts):
    """Reward hacks; a single one that scores is found by training."""
    hacks = [row["id"] for row in rows if row["kind"] in ONE_LABEL]
    assert [name for name in hacks if verdicts[name] is True] == []


def test_the_table_is_large_and_well_formed(rows):
    assert len(rows) >= 300
    assert sum(bool(row.get("hard")) for row in rows) >= 250
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    for row in rows:
        assert row["why"], row["id"]
        assert row.get("policy", "words") in POLICIES, row["id"]
    used = {row["policy"] for row in rows if "policy" in row}
    assert used == set(POLICIES), "a policy that labels no pair"


def test_every_kind_has_right_and_wrong_answers(rows):
    labels = defaultdict(set)
    for row in rows:
        labels[row["kind"]].add(row["equal"])
    assert {kind for kind, found in labels.items() if len(found) == 1} == ONE_LABEL
