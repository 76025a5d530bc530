"""Two evaluations, question by question: what differs, and what could have been seen to differ."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from r1lab.errors import ConfigError, Problem
from r1lab.evaluation import statistics
from r1lab.evaluation.same_settings import differing
from r1lab.evaluation.samples import SCORES, Samples
from r1lab.evaluation.statistics import Difference, Estimate, Floats
from r1lab.verify.answers import final_answer

#: A question counts as solved by a model from this share of its samples on.
SOLVED = 0.5
#: Characters of a value that a refusal shows, around where the two differ.
_SHOWN = 60
#: Names that a refusal or a note lists.
_LISTED = 5


@dataclass(frozen=True)
class Options:
    """``force`` compares in spite of other settings, ``intersect`` only the common questions;
    ``tasks`` are all that both have where none is named; ``flips_by`` is the score of the flips.
    """

    force: bool = False
    intersect: bool = False
    tasks: Sequence[str] = ()
    flips_by: str = "strict"


@dataclass(frozen=True)
class Score:
    """One score of both. ``unjudged``: questions without a judged sample in one, left out."""

    first: Estimate
    second: Estimate
    difference: Difference
    unjudged: int


@dataclass(frozen=True)
class Flip:
    """A question that one of them solves and the other does not; ``scores`` are its means.

    ``answers`` are what the verifier reads in ``texts``: the first sample of each that is on the
    side on which most of its samples are.
    """

    id: str
    question: str
    gold: str
    scores: tuple[float, float]
    answers: tuple[str | None, str | None]
    texts: tuple[str, str]


@dataclass(frozen=True)
class Task:
    """``differing`` are settings with both values, ``unknown`` those that one did not record.

    ``only`` are questions (ids) that the other has not; ``same_texts`` counts the answers that are
    the same word for word, sample by sample, out of ``texts`` that both have.
    """

    task: str
    questions: int
    samples: tuple[int, int]
    scores: dict[str, Score]
    truncated: tuple[float | None, float | None]
    mean_tokens: tuple[float | None, float | None]
    same_texts: int
    texts: int
    flips: list[Flip]
    differing: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    only: tuple[list[str], list[str]] = ([], [])


def compare(
    first: Mapping[str, Samples], second: Mapping[str, Samples], options: Options
) -> list[Task]:
    """Every benchmark that both have; raises :class:`ConfigError` for what cannot be compared."""
    pairs = [_aligned(first[task], second[task]) for task in _tasks(first, second, options)]
    problems = [] if options.force else _refusals(pairs)
    if not options.intersect:
        problems += _unequal(pairs)
    if problems:
        raise ConfigError(problems)
    return [_compared(pair, options.flips_by) for pair in pairs]


def to_json(value: Any) -> Any:
    """Plain values; NaN, which JSON has no word for, is null."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def _tasks(
    first: Mapping[str, Samples], second: Mapping[str, Samples], options: Options
) -> list[str]:
    both = [task for task in first if task in second]
    missing = [task for task in options.tasks if task not in both]
    if missing or not both:
        said = "is not in both" if missing else "share no benchmark"
        fix = f"the first has {', '.join(first)}; the second has {', '.join(second)}"
        raise ConfigError(Problem("--task", ",".join(missing) or None, said, fix))
    return list(options.tasks) or both


@dataclass(frozen=True)
class _Pair:
    """Both with the same questions in the same order, and what had to be left out for that."""

    first: Samples
    second: Samples
    only: tuple[list[str], list[str]]
    differing: dict[str, tuple[Any, Any]]
    unknown: list[str]


def _aligned(first: Samples, second: Samples) -> _Pair:
    """Paired by ``question_id``; where none is shared, by the questions' text."""
    keys = first.ids, second.ids
    if not set(keys[0]) & set(keys[1]):
        keys = _by_text(first), _by_text(second)
    places = {key: row for row, key in enumerate(keys[1])}
    rows = [(row, places[key]) for row, key in enumerate(keys[0]) if key in places]
    if not rows:
        fix = "compare evaluations of the same data"
        paths = f"{first.path} and {second.path}"
        raise ConfigError(Problem(first.task, None, f"{paths} share no question", fix))
    only = (
        [name for name, key in zip(first.ids, keys[0], strict=True) if key not in places],
        [name for name, key in zip(second.ids, keys[1], strict=True) if key not in set(keys[0])],
    )
    found, unknown = differing(first.settings, second.settings)
    one, two = first.only([row for row, _ in rows]), second.only([row for _, row in rows])
    if one.most != two.most and "sampling.n" not in found:
        found["sampling.n"] = one.most, two.most
    worded = [pair for pair in zip(one.questions, two.questions, strict=True) if all(pair)]
    apart = next((pair for pair in worded if pair[0] != pair[1]), None)
    if apart is not None:
        found["question"] = apart
    return _Pair(one, two, only, found, unknown)


def _by_text(samples: Samples) -> list[str]:
    """Keys from the questions' words; an id of its own where the text is not known."""
    texts = [" ".join(question.split()) for question in samples.questions]
    return [
        hashlib.sha256(text.encode()).hexdigest() if text else name
        for text, name in zip(texts, samples.ids, strict=True)
    ]


def _refusals(pairs: Iterable[_Pair]) -> list[Problem]:
    """A problem for each setting that differs, with the benchmarks that it differs in."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        for key, values in pair.differing.items():
            found.setdefault((key, *shown(values)), []).append(pair.first.task)
    fix = "evaluate both alike, or compare all the same with --force"
    return [
        Problem(f"{key} ({', '.join(tasks)})", None, f"was {one} in A and {two} in B", fix)
        for (key, one, two), tasks in found.items()
    ]


def _unequal(pairs: Iterable[_Pair]) -> list[Problem]:
    problems = []
    for pair in pairs:
        said = [
            f"{len(ids)} only in {name} ({listed(ids)})"
            for name, ids in zip("AB", pair.only, strict=True)
            if ids
        ]
        if said:
            both = len(pair.first.ids)
            fix = f"evaluate both on all of them, or compare the {both} common ones: --intersect"
            message = f"the questions are not the same: {', '.join(said)}"
            problems.append(Problem(pair.first.task, None, message, fix))
    return problems


def shown(values: tuple[Any, Any]) -> tuple[str, str]:
    """Two values in a line each; long texts from a little before where they differ."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    start = 0
    if max(map(len, texts)) > _SHOWN:
        pairs = enumerate(zip(*texts, strict=False))
        at = next((place for place, (a, b) in pairs if a != b), min(map(len, texts)))
        start = max(0, at - _SHOWN // 3)
    one, two = (
        ("..." if start else "")
        + text[start : start + _SHOWN]
        + ("..." if len(text) > start + _SHOWN else "")
        for text in texts
    )
    return one, two


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _compared(pair: _Pair, flips_by: str) -> Task:
    first, second = pair.first, pair.second
    names = [name for name in SCORES if name in first.scores and name in second.scores]
    if not names:
        said = f"has {listed(list(first.scores))} in A and {listed(list(second.scores))} in B"
        fix = "evaluate again, which scores both ways"
        raise ConfigError(Problem(first.task, None, said, fix))
    by = flips_by if flips_by in names else names[0]
    alike, texts = _same_texts(first, second)
    return Task(
        task=first.task,
        questions=len(first.ids),
        samples=(first.most, second.most),
        scores={name: _scored(first.scores[name], second.scores[name]) for name in names},
        truncated=(_mean(first.truncated), _mean(second.truncated)),
        mean_tokens=(_mean(first.tokens), _mean(second.tokens)),
        same_texts=alike,
        texts=texts,
        flips=_flips(first, second, by),
        differing=pair.differing,
        unknown=pair.unknown,
        only=pair.only,
    )


def _scored(first: Floats, second: Floats) -> Score:
    """Both estimates are of the questions that both judged."""
    one, two = statistics.question_means(first), statistics.question_means(second)
    unknown = numpy.isnan(one) | numpy.isnan(two)
    return Score(
        statistics.estimate(numpy.where(unknown, numpy.nan, one)),
        statistics.estimate(numpy.where(unknown, numpy.nan, two)),
        statistics.difference(first, second),
        int(unknown.sum()),
    )


def _flips(first: Samples, second: Samples, by: str) -> list[Flip]:
    """The largest change first."""
    scores = first.scores[by], second.scores[by]
    means = statistics.question_means(scores[0]), statistics.question_means(scores[1])
    flipped = (means[0] >= SOLVED) != (means[1] >= SOLVED)
    flipped &= ~(numpy.isnan(means[0]) | numpy.isnan(means[1]))
    found = []
    for row in numpy.flatnonzero(flipped):
        texts = (
            _typical(first.texts[row], scores[0][row], means[0][row]),
            _typical(second.texts[row], scores[1][row], means[1][row]),
        )
        found.append(
            Flip(
                first.ids[row],
                first.questions[row],
                first.golds[row],
                (float(means[0][row]), float(means[1][row])),
                (final_answer(texts[0]), final_answer(texts[1])),
                texts,
            )
        )
    return sorted(found, key=lambda flip: -abs(flip.scores[1] - flip.scores[0]))


def _typical(texts: Any, scores: Floats, mean: float) -> str:
    """The first answer on the side where the question's mean is; the first, where none is."""
    on_side = (scores >= SOLVED) == (mean >= SOLVED)
    places = numpy.flatnonzero(on_side & ~numpy.isnan(scores))
    return str(texts[places[0]] if len(places) else texts[0])


def _same_texts(first: Samples, second: Samples) -> tuple[int, int]:
    samples = min(first.most, second.most)
    pairs = zip(first.texts[:, :samples].flat, second.texts[:, :samples].flat, strict=True)
    known = [one == two for one, two in pairs if one is not None and two is not None]
    return sum(known), len(known)


def _mean(values: Floats) -> float | None:
    """The mean of what is known, None where nothing is."""
    return None if numpy.isnan(values).all() else float(numpy.nanmean(values))
