from __future__ import annotations

import random

import pytest

from r1lab.generation.near import Few, Many

COMMON = [f"w{number}" for number in range(400)]


def changed(share: float, seed: int) -> str:
    """The common text with so many of its words replaced, in one place."""
    words = COMMON.copy()
    count = round(share * len(words))
    start = random.Random(seed).randrange(len(words) - count)
    words[start : start + count] = [f"s{seed}x{number}" for number in range(count)]
    return " ".join(words)


@pytest.mark.parametrize("found", [Few(0.8, 5), Many(0.8, 5, 128)])
def test_what_is_well_above_the_threshold_is_found_and_what_is_below_is_not(
    found: Few | Many,
) -> None:
    assert found.add(" ".join(COMMON))
    # Of 396 shingles, 4% and 30% of the words changed leave a similarity of 0.90 and 0.53.
    above = [found.add(changed(0.04, seed)) for seed in range(100)]
    below = [found.add(changed(0.3, seed)) for seed in range(100, 110)]
    assert sum(above) <= 2
    assert all(below)


def test_the_similarity_within_a_prompt_is_exact() -> None:
    one, other = "a b c d e f", "a b c d e g"  # shingles of 5: one common, three in all
    assert not _kept(Few(1 / 3, 5), one, other)
    assert _kept(Few(0.34, 5), one, other)


def test_a_text_of_few_words_is_one_shingle() -> None:
    for found in (Few(0.8, 5), Many(0.8, 5, 64)):
        assert found.add("it is 7") and found.add("it is 8") and not found.add("It is  7")
        assert found.add("") and not found.add(" ")


def _kept(found: Few, one: str, other: str) -> bool:
    assert found.add(one)
    return found.add(other)
