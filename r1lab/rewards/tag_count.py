"""A quarter for each tag of the asked form that stands in the text once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from r1lab.rewards.base import Completion, Reward, check_choice
from r1lab.rewards.compat import Compat, check_compat, first_message
from r1lab.rewards.format import check_tags


class TagCount(Reward):
    """0.25 for each of the four tags that stands in the text exactly once.

    The tags are ``<think>``, ``</think>``, ``<answer>`` and ``</answer>``, in any order, so that a
    model on its way to the form is paid for each step. What the chat template wrote of the answer
    ("<think>") belongs to the text.

    ``think_tag`` and ``answer_tag`` are the tags' names without brackets. With ``newlines:
    required`` a tag counts only on a line of its own; ``optional`` does not care.

    ``compat: open_r1`` counts "<think>\\n", "\\n</think>\\n", "\\n<answer>\\n" and "\\n</answer>"
    instead, without what the template wrote.

    Source: open-r1, after W. Brown's GRPO demonstration.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<think>\n3 + 4\n</think>\n<answer>\n7\n</answer>",
            "<think>\n3 + 4\n</think>\n7",
            "<think>\n3 + 4\n</think>\n<answer>\n7\n</answer>\n</answer>",
            "7",
        ],
    }

    def __init__(
        self,
        think_tag: str = "think",
        answer_tag: str = "answer",
        newlines: Literal["optional", "required"] = "optional",
        compat: Compat = None,
    ):
        super().__init__()
        check_tags(think_tag, answer_tag)
        check_choice("newlines", newlines, ("optional", "required"))
        check_compat(compat, think_tag=(think_tag, "think"), answer_tag=(answer_tag, "answer"))
        self.tags = [f"{slash}{tag}>" for tag in (think_tag, answer_tag) for slash in ("<", "</")]
        self.newlines, self.compat = newlines, compat

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float | None]:
        if self.compat:
            parts = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
            texts = [first_message(completion) for completion in completions]
            return [0.25 * sum(text.count(part) == 1 for part in parts) for text in texts]
        return [self.value(self.text(completion)) for completion in completions]

    def value(self, text: str) -> float:
        """The reward of one text."""
        once = [tag for tag in self.tags if text.count(tag) == 1]
        if self.newlines == "required":
            lines = {line.strip() for line in text.splitlines()}
            once = [tag for tag in once if tag in lines]
        return 0.25 * len(once)
