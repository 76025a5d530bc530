"""Groups as the steps pass them on, for tests."""

from __future__ import annotations

from typing import Any

from r1lab.generation.request import Answer, Prompt
from r1lab.generation.steps.base import Group, Sample


def group(
    row: int,
    *answers: str,
    text: str | None = None,
    gold: str | None = "4",
    system: str | None = None,
    pass_rate: float | None = 0.5,
    reasoning: str | None = None,
    scores: dict[str, float | None] | None = None,
    **values: Any,
) -> Group:
    """A prompt with an answer of each text; every second one is wrong."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text or f"What is {row}+2?"})
    samples = [
        Sample(
            number,
            Answer(content, reasoning, "stop", 7, 10 + number),
            correct=number % 2 == 0,
            scores=dict(scores or {}),
        )
        for number, content in enumerate(answers)
    ]
    return Group(Prompt(row, messages, gold, values), samples, 4, pass_rate)
