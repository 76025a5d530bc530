"""Prompts and answers, written shortly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from r1lab.generation.request import Answer, Prompt
from r1lab.generation.steps.base import Context, Group, Sample, Step


def context(**given: Any) -> Context:
    return Context(**{"config": {}, "has_gold": True, "has_samples": 4, **given})


def answer(given: str | Answer) -> Answer:
    return Answer(given, finish_reason="stop") if isinstance(given, str) else given


def group(
    row: int,
    *answers: str | Answer,
    gold: str | None = None,
    text: str | None = None,
    **values: Any,
) -> Group:
    messages = [{"role": "user", "content": f"Question {row}?" if text is None else text}]
    samples = [Sample(number, answer(given)) for number, given in enumerate(answers)]
    return Group(Prompt(row, messages, gold, values), samples, len(samples))


def boxed(value: Any) -> str:
    return f"<think>\nIt is {value}.\n</think>\n\\boxed{{{value}}}"


def ready(step: Step, **given: Any) -> Step:
    made = context(**given)
    assert step.check("steps.it", made) == []
    step.prepare(made)
    return step


def left(groups: Iterable[Group]) -> dict[int, list[int]]:
    """The numbers of the samples that stayed, by row; a prompt that was dropped is missing."""
    return {group.prompt.row: [sample.number for sample in group.samples] for group in groups}


def dropped(step: Step) -> dict[str, int]:
    return {
        why.partition(": ")[2]: count
        for why, count in step.counts.items()
        if count and why.startswith("dropped")
    }
