"""Which texts share words in a row with a benchmark's questions, exactly and fast.

The rule is open-r1's (and s1's, arXiv 2501.19393): a text is contaminated where any n-gram of its
words is one of a question's. Words are what whitespace separates in the lower-cased text.

Most texts share nothing, so most are cleared without building their n-grams. An n-gram of 8 words
covers, wherever it begins, one of the places 0, 4, 8, ... together with the 4 words that follow:
only these pieces of 5 words are looked up, and only where one is known are all n-grams compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Words = tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """What a text shares with a benchmark: the first n-gram, and a question that has it.

    ``short``: the question has fewer words than an n-gram, and the text (or a line of it) is it.
    """

    benchmark: str
    question: str
    shared: str
    short: bool = False


class Overlap:
    """Looks texts up in the questions of several benchmarks.

    With ``short``, questions of fewer than ``ngram`` words are compared as a whole: they have no
    n-gram, so that open-r1 never finds them. Prompts often wrap a question into instructions, so a
    line that is the question counts as well.
    """

    def __init__(
        self, questions: Mapping[str, Sequence[str]], ngram: int = 8, short: bool = True
    ) -> None:
        self._questions = questions
        self._ngram = ngram
        self._step = max(1, ngram // 2)
        size = ngram - self._step + 1
        self._pieces: set[Words] = set()
        self._known: dict[str, dict[Words, int]] = {}
        self._short: dict[str, dict[str, int]] = {}
        for name, texts in questions.items():
            known, brief = self._known.setdefault(name, {}), self._short.setdefault(name, {})
            for number, text in enumerate(texts):
                words = text.lower().split()
                if len(words) < ngram:
                    if short and words:
                        brief.setdefault(" ".join(words), number)
                    continue
                for gram in grams(words, ngram):
                    known.setdefault(gram, number)
                self._pieces.update(grams(words, size))
        self._size = size
        self._briefs = {text for brief in self._short.values() for text in brief}

    def find(self, text: str) -> list[Hit]:
        """One hit for every benchmark that the text overlaps with; mostly none."""
        lowered = text.lower()
        words = lowered.split()
        hits: list[Hit] = []
        step = self._step
        aligned = zip(*[words[first::step] for first in range(self._size)], strict=False)
        if not self._pieces.isdisjoint(aligned):
            hits = [hit for name in self._known if (hit := self._long_hit(name, words)) is not None]
        if self._briefs:
            brief = self._brief_hits(lowered, words)
            found = {hit.benchmark for hit in hits}
            hits += [hit for hit in brief if hit.benchmark not in found]
        return hits

    def _long_hit(self, name: str, words: Sequence[str]) -> Hit | None:
        known = self._known[name]
        for gram in grams(words, self._ngram):
            if gram in known:
                return Hit(name, self._questions[name][known[gram]], " ".join(gram))
        return None

    def _brief_hits(self, lowered: str, words: Sequence[str]) -> Iterator[Hit]:
        wholes = {" ".join(words)} if len(words) < self._ngram else set()
        if "\n" in lowered:
            wholes.update(" ".join(line.split()) for line in lowered.split("\n"))
        for whole in sorted(wholes & self._briefs):
            for name, brief in self._short.items():
                if whole in brief:
                    yield Hit(name, self._questions[name][brief[whole]], whole, short=True)


def grams(words: Sequence[str], size: int) -> Iterable[Words]:
    """All runs of ``size`` words, in order; none where there are fewer words."""
    return zip(*[words[first:] for first in range(size)], strict=False)
