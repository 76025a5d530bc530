"""From the config's ``steps`` to a stream of what they keep, and the count of it.

The steps are generators in a row: a group passes through all of them before the next one is read,
but for those that a step holds together, so that memory does not grow with the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from rich.table import Table

from r1lab import components, targets
from r1lab.errors import Problem
from r1lab.generation.steps.base import Context, Group, Step

#: The first row of the count: what the model answered.
ANSWERED = "(answers)"
_NO_SAMPLE = "dropped prompts: no sample left"


@dataclass
class Tally:
    """What came into a step and went out of it; ``counts`` are the step's own."""

    step: str
    counts: Counter[str] = field(default_factory=Counter)
    prompts_in: int = 0
    prompts_out: int = 0
    samples_in: int = 0
    samples_out: int = 0

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.step,
            "prompts_in": self.prompts_in,
            "prompts_out": self.prompts_out,
            "samples_in": self.samples_in,
            "samples_out": self.samples_out,
            "counts": {why: count for why, count in self.counts.items() if count},
        }


def check(nodes: Mapping[str, Any], context: Context) -> tuple[dict[str, Step], list[Problem]]:
    """The steps of a config by name, in its order, and everything that is wrong with them."""
    steps: dict[str, Step] = {}
    problems: list[Problem] = []
    before: list[type[Step]] = []
    for name, node in nodes.items():
        key = f"steps.{name}"
        step, found = components.check(key, node)
        found = found or _check_kind(key, node, step)
        if not found:
            steps[name] = step
            found = step.check(key, replace(context, before=tuple(before)))
        problems += found
        kind = _kind(node)
        if kind is not None:
            before.append(kind)
    return steps, problems


def run(
    steps: Mapping[str, Step],
    groups: Iterable[Group],
    context: Context,
    progress: Callable[[int], None] = lambda prompts: None,
) -> Flow:
    """What the steps keep of ``groups``, as it is asked for; ``progress`` is told what was read.

    Steps start from zero, so that the same ones can be run again.
    """
    return Flow(steps, groups, context, progress)


class Flow(Iterator[Group]):
    """The groups that stay, one by one; :meth:`rows` counts up to where it is.

    The steps are prepared before the first group and closed after the last one, or where something
    fails, or by :meth:`close` if the rest is not wanted.
    """

    def __init__(
        self,
        steps: Mapping[str, Step],
        groups: Iterable[Group],
        context: Context,
        progress: Callable[[int], None],
    ):
        self._steps, self._context, self._progress = dict(steps), context, progress
        for step in self._steps.values():
            step.counts.clear()
            step.listed.clear()
        self._answered = Tally(ANSWERED)
        self._tallies = [Tally(name, step.counts) for name, step in self._steps.items()]
        self._kept = self._work(groups)

    def __next__(self) -> Group:
        return next(self._kept)

    def close(self) -> None:
        """Stop here, and close the steps."""
        self._kept.close()

    def rows(self) -> list[dict[str, Any]]:
        """The count, a row a step; the first is what came in."""
        return [tally.row() for tally in (self._answered, *self._tallies)]

    def _work(self, groups: Iterable[Group]) -> Generator[Group, None, None]:
        with ExitStack() as stack:
            for step in self._steps.values():
                step.prepare(self._context)
                stack.callback(step.close)
            stream = self._left(self._reading(groups), self._answered)
            for step, tally in zip(self._steps.values(), self._tallies, strict=True):
                stream = self._left(step.apply(self._entering(stream, tally)), tally)
            yield from stream

    def _reading(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in self._entering(groups, self._answered):
            self._progress(1)
            yield group

    def _entering(self, groups: Iterable[Group], tally: Tally) -> Iterator[Group]:
        for group in groups:
            tally.prompts_in += 1
            tally.samples_in += len(group.samples)  # now: the step may change the group
            yield group

    def _left(self, groups: Iterable[Group], tally: Tally) -> Iterator[Group]:
        for group in groups:
            if not group.samples:
                tally.counts[_NO_SAMPLE] += 1
                continue
            tally.prompts_out += 1
            tally.samples_out += len(group.samples)
            yield group


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The count for a terminal: what each step left, and why it dropped the rest."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("step")
    shown.add_column("prompts", justify="right")
    shown.add_column("samples", justify="right")
    shown.add_column("what it did", overflow="fold")
    for row in rows:
        said = ", ".join(f"{why}: {count:,}" for why, count in row["counts"].items())
        shown.add_row(row["step"], f"{row['prompts_out']:,}", f"{row['samples_out']:,}", said)
    return shown


def metrics(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The numbers under MLflow names: ``steps/verify/samples_out``, ..."""
    return {
        f"steps/{str(row['step']).strip('()')}/{what}": float(row[what])
        for row in rows
        for what in ("prompts_in", "prompts_out", "samples_in", "samples_out")
    }


def _kind(node: Any) -> type[Step] | None:
    """The class that a node names, also where its parameters are wrong."""
    try:
        kind = targets.resolve(node["_target_"])
    except (targets.TargetError, KeyError, TypeError):
        return None  # said by components.check
    return kind if isinstance(kind, type) and issubclass(kind, Step) else None


def _check_kind(key: str, node: Mapping[str, Any], step: Any) -> list[Problem]:
    where, path = f"{key}._target_", node["_target_"]
    if not isinstance(step, Step):
        fix = "derive it from r1lab.generation.steps.base.Step"
        return [Problem(where, path, "is no step of a generation", fix)]
    if type(step).apply is Step.apply:
        fix = "give it apply(self, groups), which yields the groups that stay"
        return [Problem(where, path, "does nothing: it has no apply()", fix)]
    if not hasattr(step, "counts"):
        return [Problem(where, path, "has no counts", "call super().__init__() in its constructor")]
    return []
