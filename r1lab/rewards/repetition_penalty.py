"""Punishes text that repeats itself."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import (
    Completion,
    ParameterError,
    Reward,
    check_choice,
    check_count,
    check_number,
    content_of,
)
from r1lab.rewards.compat import Compat, check_compat, first_message

#: The blocks of Unicode with Chinese characters.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
#: A Chinese character, or a run of other letters and digits: a word or number amid Chinese text.
_HAN_OR_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")


class RepetitionPenalty(Reward):
    """``max_penalty * (1 - unique / total)`` over the n-grams of the text: less for more repeats.

    A text with fewer than ``ngram_size`` words gets 0. What the chat template wrote does not count.

    ``language: en`` takes lower-cased words split at white space, and so suits every language that
    is written with spaces. ``zh`` is written without: there each character counts as a word, and so
    does a run of other letters or digits, lower-cased; punctuation is left out. Most Chinese words
    have one or two characters, so a larger ``ngram_size`` than for English makes sense.
    ``segmenter: jieba`` finds Chinese words instead (the package jieba; ``pip install
    'r1lab[zh]'``).

    ``max_penalty`` is what a text of nothing but repeats comes near, at most 0.

    ``compat: open_r1`` differs for ``zh`` only: jieba's words with their case, white space and
    punctuation. For ``en`` the values are open-r1's anyway.

    Source: Yeo et al. 2025, arXiv 2502.03373, appendix C.2.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "one two three four five six",
            "one two three one two three",
            "wait wait wait wait wait wait",
        ],
    }

    def __init__(
        self,
        ngram_size: int = 3,
        max_penalty: float = -1.0,
        language: Literal["en", "zh"] = "en",
        segmenter: Literal["characters", "jieba"] = "characters",
        compat: Compat = None,
    ):
        super().__init__()
        check_count("ngram_size", ngram_size)
        fix = "a penalty takes away: give a number of at most 0"
        check_number("max_penalty", max_penalty, high=0, fix=fix)
        check_choice("language", language, ("en", "zh"))
        check_choice("segmenter", segmenter, ("characters", "jieba"))
        check_compat(compat)
        if segmenter != "characters" and language == "en":
            message = "has no effect on language=en, whose words are split at white space"
            fix = "set language=zh, or leave it at characters"
            raise ParameterError("segmenter", segmenter, message, fix)
        self.ngram_size, self.max_penalty = ngram_size, max_penalty
        self.language, self.segmenter, self.compat = language, segmenter, compat

    def prepare(self) -> None:
        if self._needs_jieba():
            _jieba().initialize()  # reads its dictionary, which takes part of a second

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float | None]:
        read = first_message if self.compat else content_of
        return [self.value(read(completion)) for completion in completions]

    def value(self, text: str) -> float:
        """The penalty of one text, between ``max_penalty`` and 0."""
        words = self.words(text)
        total = len(words) - self.ngram_size + 1
        if total < 1:
            return 0.0
        unique = len(set(zip(*(words[i:] for i in range(self.ngram_size)), strict=False)))
        return (1 - unique / total) * self.max_penalty + 0.0  # + 0.0: no negative zero

    def words(self, text: str) -> list[str]:
        """What counts as a word in this text, in order."""
        if self.language == "en":
            return text.lower().split()
        if not self._needs_jieba():
            return _HAN_OR_WORD.findall(text.lower())
        found: list[str] = _jieba().lcut(text if self.compat else text.lower())
        if self.compat:
            return found
        return [word for word in found if re.search(r"[^\W_]", word)]

    def _needs_jieba(self) -> bool:
        return self.language == "zh" and (self.segmenter == "jieba" or self.compat is not None)


def _jieba() -> Any:
    """The segmenter, which is no dependency of everybody's: it is large, and for Chinese only."""
    try:
        jieba = importlib.import_module("jieba")
    except ImportError as error:
        why = f"repetition_penalty finds Chinese words with it ({error})"
        raise PrerequisiteError("the package jieba", why, "pip install 'jieba>=0.42.1'") from None
    jieba.setLogLevel(logging.WARNING)
    return jieba
