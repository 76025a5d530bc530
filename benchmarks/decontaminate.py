r"""A million prompts against questions as many and as long as those of open-r1's five benchmarks.

    python -m benchmarks.decontaminate [--rows N] [--words N] [--check N]

Words are drawn as language draws them (a word's frequency falls with its rank), so that common
phrases of benchmarks turn up in innocent prompts and must be told from 8 words in a row. One prompt
in a thousand holds a piece of a question. The benchmarks have their real numbers of questions and
about their real lengths; what they say is random, so nothing is downloaded.

Times the step on one core, without the making of the prompts. `--check N` looks N of the prompts
up by the plain rule too (sets of joined n-grams, as in open-r1's script), times that, and fails
where the verdicts differ.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Iterator
from itertools import accumulate

from r1lab.generation.overlap import Overlap
from r1lab.generation.request import Answer, Prompt
from r1lab.generation.steps.base import Group, Sample
from r1lab.generation.steps.decontaminate import Decontaminate

#: Questions and their words: AIME 2024 and 2025, MATH-500, GPQA diamond, LiveCodeBench v4 and v5.
SIZES = {
    "aime24": (30, 60),
    "aime25": (30, 70),
    "math_500": (500, 30),
    "gpqa_diamond": (198, 80),
    "livecodebench": (268, 300),
}
VOCABULARY = 30_000
NGRAM = 8


class Text:
    """Random text by Zipf's law."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = [f"w{rank}" for rank in range(VOCABULARY)]
        self.cumulative = list(accumulate(1 / (rank + 2) for rank in range(VOCABULARY)))

    def of(self, count: int) -> list[str]:
        return self.rng.choices(self.words, cum_weights=self.cumulative, k=count)


def benchmarks(text: Text) -> dict[str, list[str]]:
    def question(mean: int) -> str:
        return " ".join(text.of(max(3, round(text.rng.gauss(mean, mean / 3)))))

    return {name: [question(mean) for _ in range(n)] for name, (n, mean) in SIZES.items()}


def prompts(text: Text, questions: list[str], count: int, mean: int) -> list[str]:
    made = []
    long = [words for question in questions if len(words := question.split()) > NGRAM]
    for _ in range(count):
        words = text.of(max(5, round(text.rng.gauss(mean, mean / 3))))
        if text.rng.random() < 0.001:
            piece = text.rng.choice(long)
            start = text.rng.randrange(len(piece) - NGRAM)
            place = text.rng.randrange(len(words))
            words[place:place] = piece[start : start + NGRAM + 1]
        made.append(" ".join(words).capitalize())
    return made


def naive(texts: list[str], questions: dict[str, list[str]]) -> list[bool]:
    def grams(text: str) -> set[str]:
        words = " ".join(text.lower().strip().split()).split()
        return {" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}

    lookups = [{g for q in texts for g in grams(q)} for texts in questions.values()]
    return [any(grams(text) & lookup for lookup in lookups) for text in texts]


def groups(texts: list[str], first: int) -> Iterator[Group]:
    for row, text in enumerate(texts, first):
        yield Group(Prompt(row, [{"role": "user", "content": text}]), [Sample(0, Answer(""))], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--check", type=int, default=20_000)
    options = parser.parse_args()
    text = Text(0)
    questions = benchmarks(text)
    every = [question for texts in questions.values() for question in texts]

    began = time.perf_counter()
    step = Decontaminate(list(questions))
    step._overlap = Overlap(questions, NGRAM)
    built = time.perf_counter() - began

    spent, kept, done, batch = 0.0, 0, 0, 50_000
    while done < options.rows:
        texts = prompts(text, every, min(batch, options.rows - done), options.words)
        began = time.perf_counter()
        kept += sum(1 for _ in step.apply(groups(texts, done)))
        spent += time.perf_counter() - began
        done += len(texts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"questions: {len(every)}, looked up in {built:.1f} s of preparation")
    print(f"{done} prompts of about {options.words} words: {spent:.1f} s, {kept} kept")
    print(f"{1e6 * spent / done:.1f} microseconds a prompt; {peak:.0f} MiB at most")

    texts = prompts(text, every, options.check, options.words)
    began = time.perf_counter()
    expected = naive(texts, questions)
    plain = time.perf_counter() - began
    overlap = Overlap(questions, NGRAM, short=False)
    differ = sum(bool(overlap.find(t)) != e for t, e in zip(texts, expected, strict=True))
    rate = 1e6 * plain / max(1, len(texts))
    print(f"by the plain rule {rate:.1f}; {differ} of {len(texts)} verdicts differ")
    raise SystemExit(differ > 0)


if __name__ == "__main__":
    main()
