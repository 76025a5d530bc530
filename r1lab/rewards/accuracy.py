"""1 for a right final answer, 0 for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1lab.rewards.base import Completion, Reward
from r1lab.verify.verifier import (
    DEFAULT_DEADLINE_S,
    OnUnparseable,
    check_parameters,
    get_verifier,
    judge,
)


class Accuracy(Reward):
    """1.0 when the final answer equals the gold, 0.0 when it does not or there is none.

    ``on_unparseable`` says what a gold that cannot be parsed is worth: ``skip`` (``None``, the
    default), ``one`` or ``zero``. ``deadline_s`` is the most that one comparison may take.
    """

    def __init__(
        self, on_unparseable: OnUnparseable = "skip", deadline_s: float = DEFAULT_DEADLINE_S
    ):
        super().__init__()
        check_parameters(on_unparseable, deadline_s)
        self.on_unparseable, self.deadline_s = on_unparseable, deadline_s

    def prepare(self) -> None:
        get_verifier(self.deadline_s).warm()

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], solution: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        texts = [self.text(completion) for completion in completions]
        right = judge(texts, solution, self.on_unparseable, self.deadline_s, self.counts)
        return [None if verdict is None else float(verdict) for verdict in right]
