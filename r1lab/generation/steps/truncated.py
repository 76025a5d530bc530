"""Answers that were cut off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from r1lab.generation.request import Answer
from r1lab.generation.steps.base import Group, Step
from r1lab.rewards.base import ParameterError

#: Finish reasons of servers for an answer that goes on, and what they mean.
_CUT = {
    "length": "reached the limit on new tokens",
    "content_filter": "cut by a content filter",
    "abort": "broken off by the server",
}


class Truncated(Step):
    """Drop answers that have no end: cut by the limit on new tokens, or reasoning without an end.

    Servers say so by the finish reason. Beside that, a last ``<think>`` that is never closed has
    no answer, and neither has a text with nothing after its reasoning. ``think_tag`` is the name of
    that tag.
    """

    def __init__(self, think_tag: str = "think"):
        super().__init__()
        if not think_tag or think_tag.strip("<>/ ") != think_tag:
            raise ParameterError("think_tag", think_tag, "is no tag's name", "write think")
        self.think_tag = think_tag

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in groups:
            kept = []
            for sample in group.samples:
                why = self._cut(sample.answer)
                if why is None:
                    kept.append(sample)
                else:
                    self.counts[f"dropped: {why}"] += 1
            group.samples = kept
            yield group

    def _cut(self, answer: Answer) -> str | None:
        """Why an answer is not whole, None: it is."""
        if answer.finish_reason in _CUT:
            return _CUT[answer.finish_reason]
        text = answer.whole(self.think_tag)
        closing = f"</{self.think_tag}>"
        if text.rfind(f"<{self.think_tag}>") > text.rfind(closing):
            return "reasoning without an end"
        return None if text.rpartition(closing)[2].strip() else "no answer"
