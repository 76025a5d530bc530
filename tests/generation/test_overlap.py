from __future__ import annotations

import random

import pytest

from r1lab.generation.overlap import Hit, Overlap


def naive(text: str, questions: list[str], ngram: int) -> bool:
    """open-r1's rule, as it is written: sets of joined n-grams of the normalised texts."""

    def grams(document: str) -> set[str]:
        words = " ".join(document.lower().strip().split()).split()
        return {" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}

    return any(grams(text) & grams(question) for question in questions)


def sentence(rng: random.Random, words: list[str], longest: int) -> str:
    drawn = [rng.choice(words) for _ in range(rng.randint(0, longest))]
    return "".join(word + rng.choice((" ", "  ", "\n", "\t")) for word in drawn)


@pytest.mark.parametrize("ngram", [1, 2, 3, 5, 8, 9])
def test_it_agrees_with_the_plain_rule(ngram: int) -> None:
    rng = random.Random(ngram)
    words = ["The", "the", "a", "x^2", "Straße", "İs", "\u2003b", "c\x1cd"]
    seen = {True: 0, False: 0}
    for _ in range(60):
        several = {
            name: [sentence(rng, words, 3 * ngram) for _ in range(rng.randint(0, 3))]
            for name in ("one", "two")
        }
        overlap = Overlap(several, ngram, short=False)
        for _ in range(20):
            text = sentence(rng, words, 4 * ngram)
            if rng.random() < 0.5 and any(several.values()):  # words in common, anywhere
                source = rng.choice([q for questions in several.values() for q in questions])
                part = source.split()
                start = rng.randint(0, max(0, len(part) - 1))
                size = rng.choice((ngram - 1, ngram, ngram + 1))
                text += " ".join(part[start : start + size]) + " " + sentence(rng, words, ngram)
            expected = {name for name, qs in several.items() if naive(text, qs, ngram)}
            assert {hit.benchmark for hit in overlap.find(text)} == expected, (text, several)
            seen[bool(expected)] += 1
    assert min(seen.values()) > 50


@pytest.mark.parametrize("before", range(9))
def test_an_ngram_is_found_at_every_place(before: int) -> None:
    overlap = Overlap({"b": ["one two three four five six seven eight"]})
    text = "x " * before + "One  TWO three\nfour five six seven eight" + " y" * (8 - before)
    assert overlap.find(text) == [
        Hit(
            "b",
            "one two three four five six seven eight",
            "one two three four five six seven eight",
        )
    ]
    assert overlap.find(text.replace("eight", "nine")) == []


def test_the_question_that_is_named_has_the_ngram() -> None:
    asked = ["a b c d e f g h", "Find the sum of all n that are prime and odd."]
    (hit,) = Overlap({"b": asked}).find("x: find the sum of all n that are not")
    assert hit.question == asked[1] and hit.shared == "find the sum of all n that are"


def test_short_questions_count_only_as_a_whole() -> None:
    overlap = Overlap({"m": ["Compute $\\sin 0$.", "Evaluate 2+2"]})
    whole = Hit("m", "Compute $\\sin 0$.", "compute $\\sin 0$.", short=True)
    assert overlap.find(" compute  $\\sin 0$. ") == [whole]
    assert overlap.find("Solve this:\n\nCompute $\\sin 0$.\n\nThink first.") == [whole]
    assert overlap.find("Compute $\\sin 0$. Then add one.") == []
    assert Overlap({"m": ["Compute $\\sin 0$."]}, short=False).find("Compute $\\sin 0$.") == []


def test_a_benchmark_is_named_once() -> None:
    overlap = Overlap({"m": ["1 2 3 4 5 6 7 8", "Why?"], "n": ["Why?"]})
    assert [(h.benchmark, h.short) for h in overlap.find("1 2 3 4 5 6 7 8\nwhy?")] == [
        ("m", False),
        ("n", True),
    ]
