"""Prompts and answers that came before, word for word or nearly so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from r1lab.generation.near import Few, Many, require_datasketch
from r1lab.generation.request import Prompt
from r1lab.generation.seen import Seen
from r1lab.generation.steps.base import Context, Group, Step
from r1lab.rewards.base import check_choice, check_count, check_number

Scope = Literal["prompt", "all"]
_FIRST, _EXACT, _NEAR = (
    "dropped prompts: duplicate",
    "dropped: duplicate",
    "dropped: near duplicate",
)


class Duplicates(Step):
    """Drop prompts that came before, and answers that are as good as the same; the first stays.

    ``prompts``: a prompt with the same text as an earlier one, but for white space and case, goes
    with its answers. Answers are compared within their prompt (``scope: prompt``), or with those of
    all prompts (``all``: for long texts; short ones, "The answer is 7.", are rightly the same).

    An answer is a duplicate if its text is the same but for white space, and a near one if it
    shares at least ``near`` of its runs of ``words`` words with one that is kept (Jaccard
    similarity; ``null``: none is near). Within a prompt that is computed; among all it is estimated
    by MinHash with ``num_perm`` permutations, and takes some kilobytes of memory for each answer
    that is kept. All else takes some twenty bytes a prompt, or an answer with ``scope: all``.
    """

    def __init__(
        self,
        prompts: bool = True,
        scope: Scope = "prompt",
        near: float | None = 0.8,
        words: int = 5,
        num_perm: int = 128,
    ):
        super().__init__()
        check_choice("scope", scope, ("prompt", "all"))
        if near is not None:
            check_number("near", near, low=0.1, high=1, fix="give a similarity from 0.1 to 1")
        check_count("words", words)
        check_count("num_perm", num_perm, low=16)
        self.prompts, self.scope, self.near = prompts, scope, near
        self.words, self.num_perm = words, num_perm
        self._seen_prompts, self._seen = Seen(), Seen()
        self._many: Many | None = None

    def prepare(self, context: Context) -> None:
        self._seen_prompts, self._seen = Seen(), Seen()
        if self.near is not None and self.scope == "all":
            require_datasketch()
            self._many = Many(self.near, self.words, self.num_perm)

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in groups:
            if self.prompts and not self._seen_prompts.add(_text(group.prompt)):
                self.counts[_FIRST] += 1
                continue
            exact: Seen | set[str] = self._seen if self.scope == "all" else set()
            near = self._near()
            kept = []
            for sample in group.samples:
                text = " ".join(sample.answer.whole().split())
                if text in exact:
                    self.counts[_EXACT] += 1
                    continue
                exact.add(text)
                if near is not None and not near.add(text):
                    self.counts[_NEAR] += 1
                    continue
                kept.append(sample)
            group.samples = kept
            yield group

    def close(self) -> None:
        self._seen_prompts, self._seen, self._many = Seen(), Seen(), None

    def _near(self) -> Few | Many | None:
        """What the next prompt's answers are compared with."""
        if self.near is None:
            return None
        return Few(self.near, self.words) if self.scope == "prompt" else self._many


def _text(prompt: Prompt) -> str:
    """A prompt's messages as one text, without regard to case and white space."""
    said = [f"{message['role']}: {message['content']}" for message in prompt.messages]
    return " ".join("\n".join(said).casefold().split())
