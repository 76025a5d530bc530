"""1 for a right final answer, 0 for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from r1lab.rewards.base import Completion, Reward
from r1lab.rewards.compat import Compat, check_compat, first_message
from r1lab.verify.verifier import (
    DEFAULT_DEADLINE_S,
    OnUnparseable,
    check_parameters,
    get_verifier,
    judge,
)


class Accuracy(Reward):
    r"""1.0 when the final answer equals the gold, 0.0 when it does not or there is none.

    The final answer is what the completion commits to after its reasoning: the last ``<answer>``,
    the last box, or "the answer is"; reasoning without an end has none. It is compared by value
    (1/2 = 0.5 = ``\frac12``) in processes that are killed when one comparison takes longer than
    ``deadline_s`` seconds: the answer is then wrong, and counted as ``timeout``.

    ``on_unparseable`` says what a gold that cannot be parsed is worth: ``skip`` (``None``, the
    default), ``one`` or ``zero``.

    ``compat: open_r1`` gives the verdicts of open-r1's ``accuracy``: math-verify on the whole raw
    text, where only LaTeX counts as an answer and a box in the reasoning does too.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<think>\n1/4 + 1/4\n</think>\n<answer>\n\\boxed{\\frac{1}{2}}\n</answer>",
            "The answer is 0.5.",
            "<answer>\n\\boxed{\\frac{1}{4}}\n</answer>",
            "<think>\n\\boxed{\\frac{1}{2}}, but wait",
        ],
        "solution": ["\\frac{1}{2}"] * 4,
    }

    def __init__(
        self,
        on_unparseable: OnUnparseable = "skip",
        deadline_s: float = DEFAULT_DEADLINE_S,
        compat: Compat = None,
    ):
        super().__init__()
        check_parameters(on_unparseable, deadline_s)
        check_compat(compat)
        self.on_unparseable, self.deadline_s, self.compat = on_unparseable, deadline_s, compat

    def prepare(self) -> None:
        get_verifier(self.deadline_s).warm()

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], solution: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        read = first_message if self.compat else self.text
        right = judge(
            [read(completion) for completion in completions],
            solution,
            self.on_unparseable,
            self.deadline_s,
            self.counts,
            compat=self.compat,
        )
        return [None if verdict is None else float(verdict) for verdict in right]
