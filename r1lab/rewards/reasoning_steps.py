"""Rewards reasoning that is written as steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from r1lab.rewards.base import Completion, Reward, check_count
from r1lab.rewards.compat import Compat, check_compat, first_message

#: A step: "Step 2:" or a transition word anywhere, or the start of a line that is a list's item.
#: A digit after the period makes it a decimal number, and a bullet needs its space ("-5" is none).
_STEP = re.compile(
    r"\bStep\s+\d+:|^[ \t]*\d+\.(?!\d)|^[ \t]*[-*][ \t]|\b(?:First|Second|Next|Finally),",
    re.MULTILINE,
)
#: open-r1's: a number counts at the very start of the text only, a bullet from the second line on.
_OPEN_R1_STEP = re.compile(r"Step \d+:|\A\d+\.|\n[-*]|(?:First|Second|Next|Finally),")


class ReasoningSteps(Reward):
    """``min(1, steps / target_steps)``, where the text is written as a sequence of steps.

    A step is "Step N:", a numbered line, a bulleted line, or one of "First,", "Second,", "Next,"
    and "Finally,". It says nothing about what the steps hold, so give it a small weight beside a
    reward that looks at the answer.

    ``target_steps`` is the number that earns 1.0; the default of 3 is open-r1's.

    ``compat: open_r1`` counts a number at the very start of the text only, and every line after
    the first that begins with ``-`` or ``*`` ("-5" and "**bold**" too).
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "Step 1: add.\nStep 2: halve.\nStep 3: done.",
            "1. add\n2. halve",
            "It is 7.",
        ],
    }

    def __init__(self, target_steps: int = 3, compat: Compat = None):
        super().__init__()
        check_count("target_steps", target_steps)
        check_compat(compat)
        self.target_steps, self.compat = target_steps, compat

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float | None]:
        read, step = (first_message, _OPEN_R1_STEP) if self.compat else (self.text, _STEP)
        found = [sum(1 for _ in step.finditer(read(completion))) for completion in completions]
        return [min(1.0, steps / self.target_steps) for steps in found]
