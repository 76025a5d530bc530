"""A comparison as tables for people: in a terminal of 100 columns, and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1lab.evaluation.compare import Score, Task, listed, shown
from r1lab.evaluation.statistics import CONFIDENCE, POWER, Estimate
from r1lab.verify.answers import gold_answer

if TYPE_CHECKING:
    from rich.table import Table

#: The terminal's columns that are used; numbers that are cut off are worse than long lines.
LEAST, MOST = 84, 100
_HEAD = ("score", "A", "B", "B - A", "p", "MDE")
_FLIPS = ("question", "A", "B", "gold", "answer of A", "answer of B")
#: Columns that are words.
_TEXTS = ("score", "question", "gold", "answer of A", "answer of B")
#: Characters of an id, a gold and an answer in the table of flips.
_ID, _GOLD, _ANSWER = 16, 14, 18
_ALPHA = 1.0 - CONFIDENCE


def show(names: tuple[str, str], found: Sequence[Task], flips: int) -> None:
    """Print all of it; ``names`` say what A and B are, ``flips`` are shown at most a benchmark."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.width = max(min(console.width, MOST), LEAST)
    for letter, name in zip("AB", names, strict=True):
        console.print(Text(f"{letter}  {name}"), soft_wrap=True)
    for task in found:
        console.print(Text(f"\n{_title(task)}", style="bold"))
        console.print(_table(_HEAD, _rows(task)))
        for line in notes(task):
            console.print(Text(line))
        if task.flips[:flips]:
            console.print(_table(_FLIPS, _flip_rows(task, flips)))
        if len(task.flips) > flips:
            console.print(f"and {len(task.flips) - flips} more (--flips N, --json)")
    console.print(Text("\n" + "\n".join(_legend(found))))


def markdown(names: tuple[str, str], found: Sequence[Task], flips: int) -> str:
    """The same, for a model card or an issue."""
    lines = [f"A: `{names[0]}`  ", f"B: `{names[1]}`"]
    for task in found:
        lines += ["", f"**{_title(task)}**", "", *_marked(_HEAD, _rows(task)), ""]
        lines += [f"- {line}" for line in notes(task)]
        if task.flips[:flips]:
            lines += ["", *_marked(_FLIPS, _flip_rows(task, flips))]
    return "\n".join([*lines, "", *_legend(found), ""])


def notes(task: Task) -> list[str]:
    """What the numbers mean, and all that a reader must know before believing them."""
    lines = [f"{name}: {_verdict(score)}" for name, score in task.scores.items()]
    for key, values in task.differing.items():
        one, two = shown(values)
        lines.append(f"warning: {key} was {one} in A and {two} in B")
    if task.unknown:
        roots = list(dict.fromkeys(key.partition(".")[0] for key in task.unknown))
        lines.append(f"warning: only one of the two recorded all of: {', '.join(roots)}")
    for letter, ids in zip("AB", task.only, strict=True):
        if ids:
            lines.append(f"warning: {len(ids)} questions are left out, only {letter} has them")
            lines[-1] += f" ({listed(ids)})"
    for name, score in task.scores.items():
        if score.unjudged:
            said = "questions are left out, for no sample was judged in one of the two"
            lines.append(f"warning: {name}: {score.unjudged} {said}")
    lines += _means(task)
    if task.texts and task.same_texts == task.texts:
        lines.append("warning: all answers are the same word for word: is it the same model?")
    better = sum(flip.scores[1] > flip.scores[0] for flip in task.flips)
    worse = len(task.flips) - better
    solved = "" if max(task.samples) == 1 else " (by half of the samples or more)"
    lines.append(f"questions solved{solved} only by B: {better}, only by A: {worse}")
    return lines


def _verdict(score: Score) -> str:
    size, least = score.difference.estimate.value, score.difference.detectable
    if math.isnan(size):
        return "nothing was judged in both"
    if score.difference.p_value <= _ALPHA:
        return f"B is {'better' if size > 0 else 'worse'} by {abs(100 * size):.1f} points"
    if not score.difference.differing:
        return "no question differs"
    if math.isnan(least):
        return "no difference is shown, and these questions are too few to show one"
    found = f"one of {100 * least:.1f} points would be found {POWER:.0%} of the time"
    return f"no difference is shown; {found}"


def _means(task: Task) -> list[str]:
    """Of truncation and length, in one line; nothing where nothing is known."""
    parts = []
    if None not in task.truncated:
        one, two = task.truncated
        parts.append(f"cut by length: {one:.1%} in A, {two:.1%} in B")
    if None not in task.mean_tokens:
        one, two = task.mean_tokens
        parts.append(f"tokens an answer: {one:.0f} in A, {two:.0f} in B")
    return ["; ".join(parts)] if parts else []


def _legend(found: Sequence[Task]) -> list[str]:
    lines = [
        f"Percent and points, with {CONFIDENCE:.0%} bootstrap intervals over questions. MDE: the "
        f"smallest true difference that is found {POWER:.0%} of the time (two-sided {_ALPHA:.0%})."
    ]
    if len(found) > 1:
        lines.append(
            f"{len(found)} benchmarks are {len(found)} chances to be lucky: p below "
            f"{_ALPHA / len(found):.2g} keeps the chance of any false alarm at {_ALPHA:.0%} "
            "(Bonferroni)."
        )
    return lines


def _title(task: Task) -> str:
    one, two = task.samples
    each = f"{one}" if one == two else f"{one} and {two}"
    many = "sample" if each == "1" else "samples"
    return f"{task.task}: {task.questions} questions x {each} {many}"


def _rows(task: Task) -> list[list[str]]:
    return [
        [
            name,
            _estimate(score.first),
            _estimate(score.second),
            _estimate(score.difference.estimate, sign="+"),
            _p(score.difference.p_value),
            _points(score.difference.detectable),
        ]
        for name, score in task.scores.items()
    ]


def _flip_rows(task: Task, count: int) -> list[list[str]]:
    return [
        [
            _tail(flip.id, _ID),
            *(f"{score:.2f}".removesuffix(".00") for score in flip.scores),
            _tail(gold_answer(flip.gold) or flip.gold, _GOLD),
            *("none" if answer is None else _tail(answer, _ANSWER) for answer in flip.answers),
        ]
        for flip in task.flips[:count]
    ]


def _estimate(estimate: Estimate, sign: str = "") -> str:
    """Percent, or points of a difference, with the interval."""
    value, low, high = (
        format(100 * x, f"{sign}.1f") for x in (estimate.value, estimate.low, estimate.high)
    )
    if math.isnan(estimate.value):
        return "-"
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _tail(text: str, width: int) -> str:
    """One line of the text's end, with what a terminal would act upon taken out."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[-4 * width :]).split())
    return clean if len(clean) <= width else f"...{clean[3 - width :]}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in head:
        table.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _marked(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---" if name in _TEXTS else "---:" for name in head]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
