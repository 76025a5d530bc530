"""1 for an answer in the asked form whose answer holds a code block in the language, else 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from r1lab.rewards.base import Completion, ParameterError, Reward
from r1lab.rewards.code_blocks import code_blocks, language_of
from r1lab.rewards.code_execution import last_message
from r1lab.rewards.format import Format


class CodeFormat(Reward):
    """1.0 for reasoning and answer each in its tags, and a program in the answer; else 0.0.

    Value: ``1 if format and the answer element holds a fenced code block of the language else 0``.
    The form is that of the reward ``format``, with its parameters ``think_tag``, ``answer_tag``,
    ``newlines`` and ``allow_empty`` (which goes for the block too). The block's fence must carry
    the ``language`` (or a common other name of it: ``py``, ``c++``) and be closed. Where the data
    has a column ``language``, the row's counts.

    Source: open-r1's ``code_format``. ``compat: open_r1`` gives its values: its regular expression
    on the message as the model wrote it, so a prefilled ``<think>`` is missing, text after the
    last tag's line does not matter, tags may repeat, and the label may go on (``python3``).
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<think>\nadd\n</think>\n<answer>\n```python\nprint(1 + 1)\n```\n</answer>",
            "<think>\n```python\nprint(1 + 1)\n```\n</think>\n<answer>\n2\n</answer>",
            "```python\nprint(1 + 1)\n```",
        ]
    }

    def __init__(
        self,
        language: str = "python",
        think_tag: str = "think",
        answer_tag: str = "answer",
        newlines: Literal["optional", "required"] = "optional",
        allow_empty: bool = False,
        compat: Literal["open_r1"] | None = None,
    ):
        super().__init__()
        if not isinstance(language, str) or not language.strip():
            fix = "name a language, as in python or cpp"
            raise ParameterError("language", language, "is no language", fix)
        if compat not in (None, "open_r1"):
            raise ParameterError("compat", compat, "is no option here", "use open_r1 or null")
        self.form = Format(
            think_tag=think_tag, answer_tag=answer_tag, newlines=newlines, allow_empty=allow_empty
        )
        self.language, self.compat = language, compat

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        language: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        languages = [self.language] * len(completions) if language is None else language
        return [
            float(self._matches(completion, wanted or self.language))
            for completion, wanted in zip(completions, languages, strict=True)
        ]

    def _matches(self, completion: Completion, language: str) -> bool:
        if self.compat == "open_r1":
            return open_r1_form(last_message(completion), language)
        text = self.text(completion)
        if not self.form.matches(text):
            return False
        tag = self.form.answer_tag
        answer = text[text.find(f"<{tag}>") + len(tag) + 2 : text.find(f"</{tag}>")]
        return any(
            label == language_of(language) and (self.form.allow_empty or bool(code.strip()))
            for label, code in code_blocks(answer)
        )


def open_r1_form(text: str, language: str) -> bool:
    r"""Whether open-r1's expression matches, which is, with DOTALL and MULTILINE,

    ``^<think>\n.*?\n</think>\n<answer>\n.*?```LANGUAGE.*?```.*?\n</answer>$``. Each part is
    looked for from the end of the one before: the same answer, without trying every combination.
    """
    if not text.startswith("<think>\n"):
        return False
    position = len("<think>\n")
    for part in ("\n</think>\n<answer>\n", f"```{language}", "```"):
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return re.compile(r"\n</answer>$", re.MULTILINE).search(text, position) is not None
