"""1 for an answer in the asked form, reasoning and answer each in its tags, else 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from r1lab.rewards.base import Completion, ParameterError, Reward, check_choice
from r1lab.rewards.compat import Compat, check_compat, first_message


class Format(Reward):
    """1.0 when the whole text is ``<think>...</think> <answer>...</answer>``, else 0.0.

    Every tag must stand in the text exactly once, with nothing but white space before, between and
    after the two elements. What the chat template wrote of the answer ("<think>") belongs to the
    text.

    ``think_tag`` and ``answer_tag`` are the tags' names without brackets. ``newlines: required``
    wants each tag on a line of its own, as open-r1's later system prompt asks; ``optional`` does
    not care. An element with nothing in it is malformed unless ``allow_empty``.

    ``compat: open_r1`` gives open-r1's values: each tag on a line of its own, what the template
    wrote not counted (so 0 wherever it wrote "<think>"), and repeated tags and text in later lines
    accepted.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<think>\n3 + 4\n</think>\n<answer>\n7\n</answer>",
            "<think>3 + 4</think><answer>7</answer>",
            "<think>\n3 + 4\n</think>\n<answer>\n7\n</answer>\nI hope this helps.",
            "<think>\n3 + 4\n</think>\n7",
        ],
    }

    def __init__(
        self,
        think_tag: str = "think",
        answer_tag: str = "answer",
        newlines: Literal["optional", "required"] = "optional",
        allow_empty: bool = False,
        compat: Compat = None,
    ):
        super().__init__()
        check_tags(think_tag, answer_tag)
        check_choice("newlines", newlines, ("optional", "required"))
        if not isinstance(allow_empty, bool):
            raise ParameterError("allow_empty", allow_empty, "is not a switch", "use true or false")
        check_compat(
            compat,
            think_tag=(think_tag, "think"),
            answer_tag=(answer_tag, "answer"),
            allow_empty=(allow_empty, False),
        )
        self.think_tag, self.answer_tag = think_tag, answer_tag
        self.newlines, self.allow_empty, self.compat = newlines, allow_empty, compat

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float | None]:
        if self.compat:
            return [float(_open_r1(first_message(completion))) for completion in completions]
        return [float(self.matches(self.text(completion))) for completion in completions]

    def matches(self, text: str) -> bool:
        """Whether the whole text has the form."""
        tags = [
            f"{slash}{tag}>" for tag in (self.think_tag, self.answer_tag) for slash in ("<", "</")
        ]
        # Counting first keeps the expression below linear: no tag can be tried in two places.
        if any(text.count(tag) != 1 for tag in tags):
            return False
        found = re.fullmatch(
            r"\s*{}(.*){}(\s*){}(.*){}\s*".format(*map(re.escape, tags)), text, re.DOTALL
        )
        if found is None:
            return False
        think, between, answer = found.groups()
        if not self.allow_empty and not (think.strip() and answer.strip()):
            return False
        if self.newlines == "optional":
            return True
        return "\n" in between and all(
            body.startswith("\n") and body.endswith("\n") for body in (think, answer)
        )


def check_tags(think_tag: Any, answer_tag: Any) -> None:
    """Refuse what cannot name two tags."""
    for parameter, tag in (("think_tag", think_tag), ("answer_tag", answer_tag)):
        if not isinstance(tag, str) or not re.fullmatch(r"[\w.:-]+", tag):
            fix = "give the tag's name without brackets, as in think"
            raise ParameterError(parameter, tag, "is not the name of a tag", fix)
    if think_tag == answer_tag:
        fix = "give the answer a tag of its own"
        raise ParameterError("answer_tag", answer_tag, "is the same as think_tag", fix)


def _open_r1(text: str) -> bool:
    r"""Whether ``^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$`` matches at the start.

    That is open-r1's expression, with a dot that takes newlines and a ``$`` at every line's end.
    Searching for its three parts in turn says the same in linear time.
    """
    opening, middle = "<think>\n", "\n</think>\n<answer>\n"
    start = text.find(middle, len(opening)) if text.startswith(opening) else -1
    if start < 0:
        return False
    return re.compile(r"\n</answer>$", re.MULTILINE).search(text, start + len(middle)) is not None
