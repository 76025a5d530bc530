"""A comparison as tables for people: in a terminal of 100 columns, and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1lab.evaluation.compare import Score, Task, listed, shown
from r1lab.evaluation.statistics import CONFIDENCE, POWER, Estimate

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 100
_HEAD = ("benchmark", "score", "A", "B", "B - A", "p", "detectable")
_FLIPS = ("question", "A", "B", "gold", "answer of A", "answer of B")
#: Characters of an id, a gold and an answer in the table of flips.
_ID, _GOLD, _ANSWER = 16, 14, 18
_ALPHA = 1.0 - CONFIDENCE


def show(names: tuple[str, str], found: Sequence[Task], flips: int) -> None:
    """Print all of it; ``names`` say what A and B are, ``flips`` are shown at most a benchmark."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.width = max(min(console.width, WIDTH), 80)
    for letter, name in zip("AB", names, strict=True):
        console.print(Text(f"{letter}  {name}"), soft_wrap=True)
    console.print()
    console.print(_table(_HEAD, _rows(found), text_columns=2))
    for line in notes(found):
        console.print(Text(line))
    for task in found:
        console.print(Text(f"\n{_flipped(task)}"))
        if task.flips[:flips]:
            console.print(_table(_FLIPS, _flip_rows(task, flips), text_columns=1))
        if len(task.flips) > flips:
            console.print(f"and {len(task.flips) - flips} more (--flips, --json)")


def markdown(names: tuple[str, str], found: Sequence[Task], flips: int) -> str:
    """The same tables and notes."""
    lines = [f"A: `{names[0]}`  ", f"B: `{names[1]}`", ""]
    lines += [*_marked(_HEAD, _rows(found), text_columns=2), ""]
    lines += [f"- {line}" for line in notes(found)]
    for task in found:
        lines += ["", _flipped(task)]
        if task.flips[:flips]:
            lines += ["", *_marked(_FLIPS, _flip_rows(task, flips), text_columns=1)]
    return "\n".join([*lines, ""])


def notes(found: Sequence[Task]) -> list[str]:
    """What the numbers mean, and all that a reader must know before believing them."""
    lines = [line for task in found for line in _verdicts(task)]
    tests = len(found)
    if tests > 1:
        lines.append(
            f"{tests} benchmarks are {tests} chances to be lucky: a p below {_ALPHA / tests:.2g} "
            f"keeps the chance of any false alarm at {_ALPHA:.0%} (Bonferroni)"
        )
    for task in found:
        lines += _doubts(task)
    return lines


def _verdicts(task: Task) -> list[str]:
    lines = []
    for name, score in task.scores.items():
        size, p = score.difference.estimate.value, score.difference.p_value
        if math.isnan(size):
            said = "nothing was judged in both"
        elif not score.difference.differing:
            said = "no question differs"
        elif p <= _ALPHA:
            said = f"B is {'better' if size > 0 else 'worse'} by {abs(100 * size):.1f} points"
        else:
            said = f"no difference is shown{_blind(score)}"
        lines.append(f"{task.task} ({name}): {said}")
    return lines


def _blind(score: Score) -> str:
    size = score.difference.detectable
    if math.isnan(size):
        return "; these questions are too few to show any"
    return f"; one of {100 * size:.1f} points would be found {POWER:.0%} of the time"


def _doubts(task: Task) -> list[str]:
    lines = []
    for key, values in task.differing.items():
        one, two = shown(values)
        lines.append(f"warning: {task.task}: {key} was {one} in A and {two} in B")
    if task.unknown:
        roots = list(dict.fromkeys(key.partition(".")[0] for key in task.unknown))
        lines.append(f"warning: {task.task}: only one of the two recorded: {', '.join(roots)}")
    for letter, ids in zip("AB", task.only, strict=True):
        if ids:
            lines.append(
                f"warning: {task.task}: left out, for only {letter} has them: {len(ids)} questions "
                f"({listed(ids)})"
            )
    for name, score in task.scores.items():
        if score.unjudged:
            lines.append(
                f"warning: {task.task} ({name}): left out, for no sample was judged in one of the "
                f"two: {score.unjudged} questions"
            )
    for letter, share in zip("AB", task.truncated, strict=True):
        if share:
            lines.append(f"{task.task}: {share:.1%} of the answers of {letter} were cut by length")
    if None not in task.mean_tokens:
        one, two = task.mean_tokens
        lines.append(f"{task.task}: {one:.0f} tokens an answer in A, {two:.0f} in B")
    if task.same_texts:
        lines.append(
            f"{task.task}: {task.same_texts} of {task.texts} answers are the same word for word"
        )
    return lines


def _flipped(task: Task) -> str:
    better = sum(flip.scores[1] > flip.scores[0] for flip in task.flips)
    worse = len(task.flips) - better
    most = max(task.samples)
    solved = "" if most == 1 else " (solved: right in at least half of the samples)"
    return f"{task.task}: {better} questions solved only by B, {worse} only by A{solved}"


def _rows(found: Sequence[Task]) -> list[list[str]]:
    rows = []
    for task in found:
        one, two = task.samples
        label = f"{task.task} {task.questions} x {one if one == two else f'{one}/{two}'}"
        for name, score in task.scores.items():
            rows.append(
                [
                    label,
                    name,
                    _estimate(score.first),
                    _estimate(score.second),
                    _estimate(score.difference.estimate, sign="+"),
                    _p(score.difference.p_value),
                    _points(score.difference.detectable),
                ]
            )
            label = ""
    return rows


def _flip_rows(task: Task, count: int) -> list[list[str]]:
    return [
        [
            _tail(flip.id, _ID),
            *(f"{score:.2f}".removesuffix(".00") for score in flip.scores),
            _tail(flip.gold, _GOLD),
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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(head):
        left = place < text_columns or name.startswith(("answer", "gold"))
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _marked(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> list[str]:
    rule = ["---" if place < text_columns else "---:" for place in range(len(head))]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
