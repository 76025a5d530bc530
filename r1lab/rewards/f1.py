"""How many words an answer shares with the gold."""

from __future__ import annotations

import contextlib
import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from r1lab.rewards.answer_marks import marked_answers
from r1lab.rewards.base import Completion, Reward, check_choice, check_number
from r1lab.verify.answers import after_reasoning
from r1lab.verify.verifier import OnUnparseable

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_STYLES = ("auto", "answer_tag", "boxed", "text")


class F1(Reward):
    r"""Token F1 between the answer and the gold, the best over several golds.

    With ``shared`` the words that both have (each as often as both have it),
    ``precision = shared / words of the answer`` and ``recall = shared / words of the gold``,
    the value is ``2 precision recall / (precision + recall)``, and 0.0 where nothing is shared.
    Words are SQuAD's: lower-cased, without punctuation and without a, an and the.

    The answer is what ``style`` says: ``answer_tag`` (the last ``<answer>``), ``boxed`` (the last
    box), ``text`` (all that follows the reasoning), or ``auto``: the first of these that is there.
    Reasoning without an end has no answer and scores 0.0.

    A gold is a text, a list of texts that are all right (written as JSON, ``["a", "b"]``, where the
    column holds text), or SQuAD's ``{"text": [...]}``.
    ``threshold``: an F1 below it is 0.0, where a shared word or two should earn nothing.
    ``on_unparseable``: a gold without a word gives ``None`` (``skip``), or 1.0 (``one``) or 0.0
    (``zero``).

    Source: SQuAD, arXiv 1606.05250, and its evaluation script.
    """

    #: The gold is text here, and need not be mathematics that the verifier can parse.
    solution_is_math: ClassVar[bool] = False
    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<answer>The Eiffel Tower</answer>",
            "<answer>the tower in Paris</answer>",
            "<answer>Big Ben</answer>",
        ],
        "solution": [["Eiffel Tower", "Tour Eiffel"]] * 3,
    }

    def __init__(
        self,
        style: Literal["auto", "answer_tag", "boxed", "text"] = "auto",
        threshold: float = 0.0,
        on_unparseable: OnUnparseable = "skip",
    ):
        super().__init__()
        check_choice("style", style, _STYLES)
        check_number("threshold", threshold, low=0, high=1)
        check_choice("on_unparseable", on_unparseable, ("skip", "one", "zero"))
        self.style, self.threshold, self.on_unparseable = style, threshold, on_unparseable

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], solution: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        pairs = zip(completions, solution, strict=True)
        return [self.value(self.text(completion), gold) for completion, gold in pairs]

    def value(self, text: str, gold: Any) -> float | None:
        """The reward of one completion."""
        wanted = [found for found in map(tokens, _golds(gold)) if found]
        if not wanted:
            self.counts["unparseable"] += 1
            return {"skip": None, "one": 1.0, "zero": 0.0}[self.on_unparseable]
        answer = self.answer(text)
        if not answer:
            self.counts["no_answer"] += 1
            return 0.0
        said = tokens(answer)
        best = max(token_f1(said, right) for right in wanted)
        return best if best >= self.threshold else 0.0

    def answer(self, text: str) -> str | None:
        """What counts as the completion's answer, or ``None``."""
        rest = after_reasoning(text)
        if rest is None:
            return None
        for style in ("answer_tag", "boxed") if self.style == "auto" else (self.style,):
            marked = marked_answers(rest, style) if style != "text" else []
            if marked:
                return marked[-1]
        # A mark that is cut off or empty is no reason to take the text around it.
        whole = self.style == "text" or not re.search(r"<answer>|\\boxed", rest)
        return rest.strip() if whole and self.style in ("auto", "text") else None


def tokens(text: str) -> list[str]:
    """The words of a text, as SQuAD counts them."""
    return _ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def token_f1(said: Sequence[str], right: Sequence[str]) -> float:
    """The F1 of two bags of words."""
    shared = (Counter(said) & Counter(right)).total()
    if not shared:
        return 0.0
    return 2 * shared / (len(said) + len(right))


def _golds(gold: Any) -> list[str]:
    if isinstance(gold, Mapping):
        return _golds(gold.get("text"))
    if isinstance(gold, list | tuple):
        return [text for one in gold for text in _golds(one)]
    if isinstance(gold, str) and gold.lstrip().startswith('["'):
        with contextlib.suppress(ValueError):  # a text that only begins like a list
            return _golds(json.loads(gold))
    return [] if gold is None or isinstance(gold, bool) else [str(gold)]
