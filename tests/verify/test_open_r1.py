r"""``compat: open_r1``: the verdicts of open-r1's rewards, its mistakes included.

The expected values follow from how its newest snapshot calls math-verify 0.9.0; the first test
makes those calls itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from r1lab.verify.verifier import Verifier, judge

#: Completion, gold, accuracy's verdict, the verdict of cosine and length.
TABLE: list[tuple[str, str, bool | None, bool | None]] = [
    (r"\boxed{72}", "72", True, None),  # a bare gold is read by accuracy only
    (r"\boxed{72}", "$72$", True, True),
    (r"$\boxed{72}$", "$72$", True, True),
    (r"\boxed{73}", "$72$", False, False),
    ("The answer is $72$.", "$72$", True, True),
    ("It is $72$.", "$72$", False, False),  # LaTeX without an anchor is not looked at
    ("72", "$72$", False, False),
    ("The answer is 72.", "$72$", False, False),
    ("", "$72$", False, False),
    (r"\boxed{\frac{1}{2}}", r"$\frac{1}{2}$", True, True),
    (r"\boxed{0.5}", r"$\frac{1}{2}$", True, True),
    (r"<think>\boxed{6}</think> I do not know.", "$6$", True, True),  # reasoning counts
    (r"<think>it is \boxed{6}", "$6$", True, True),  # and so does one that never ends
    (r"first \boxed{5}, then \boxed{6}", "$6$", False, False),
    (r"\boxed{x=5}", "$5$", True, True),
    (r"\boxed{(1,2)}", "$1<x<2$", True, False),  # gold first, or answer first
    (r"\boxed{1<x<2}", "$(1,2)$", False, True),
    (r"\boxed{5\text{ cm}}", "$5$", True, True),
    (r"\boxed{4\sqrt{2}}", "$4$", False, False),
    (r"\boxed{5}", "no number here", None, None),
    (r"\boxed{5}", "", None, None),
    (r"so \boxed{5", "$5$", False, False),
    (r"\boxed{B}", "B", None, None),
    (r"\boxed{B}", "$B$", True, True),
    (r"\boxed{\{1,2\}}", r"$\{2,1\}$", True, True),
    (r"\boxed{50\%}", "$0.5$", False, False),
]


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    shared = Verifier(deadline_s=20)
    yield shared
    shared.close()


def called_directly(text: str, gold: str, only_latex: bool) -> bool | None:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    config: Any = LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            nits=False,
            malformed_operators=False,
            basic_latex=True,
            equations=True,
            boxed=True if only_latex else "all",  # type: ignore[arg-type]
            units=True,
        ),
        boxed_match_priority=0,
        try_extract_without_anchor=False,
    )
    options: Any = {"extraction_config": [LatexExtractionConfig()]} if only_latex else {}
    gold_parsed = parse(gold, extraction_mode="first_match", **options)
    if not gold_parsed:
        return None
    answer = parse(text, extraction_config=[config], extraction_mode="first_match")
    return verify(answer, gold_parsed) if only_latex else verify(gold_parsed, answer)


@pytest.mark.parametrize("mode", ["open_r1", "open_r1_latex_gold"])
def test_verdicts_are_those_of_the_calls_that_open_r1_makes(verifier: Verifier, mode: str) -> None:
    pairs = [(text, gold) for text, gold, _, _ in TABLE]
    found = [verdict.correct for verdict in verifier.verify_batch(pairs, mode)]
    assert found == [called_directly(*pair, mode != "open_r1") for pair in pairs]
    assert found == [row[2 if mode == "open_r1" else 3] for row in TABLE]


def test_unparseable_golds_are_skipped_unless_told_otherwise() -> None:
    counts: Counter[str] = Counter()
    texts, golds = [r"\boxed{5}", r"\boxed{5}", r"\boxed{5}"], ["5", "$5$", None]
    mode = "open_r1_latex_gold"
    assert judge(texts, golds, "skip", 5.0, counts, mode) == [None, True, None]
    assert judge(texts, golds, "one", 5.0, counts, mode) == [True, True, True]
    assert judge(texts, golds, "skip", 5.0, counts, "open_r1") == [True, True, None]
    assert counts == {"unparseable": 5}


def test_what_hangs_open_r1_costs_a_deadline_here() -> None:
    verifier = Verifier(deadline_s=1)
    try:
        hung, right = verifier.verify_batch(
            [(r"\boxed{9^{9^{9^9}}}", "$7$"), (r"\boxed{7}", "$7$")], "open_r1"
        )
        assert (hung.correct, hung.timeout, right.correct) == (False, True, True)
    finally:
        verifier.close()


def test_the_modes_do_not_share_verdicts(verifier: Verifier) -> None:
    pair = (r"first \boxed{5}, then \boxed{6}", "6")
    modes = (None, "open_r1", "open_r1_latex_gold", None)
    assert [verifier.verify_batch([pair], m)[0].correct for m in modes] == [True, False, None, True]


def test_other_names_are_refused(verifier: Verifier) -> None:
    with pytest.raises(ValueError, match="compat"):
        verifier.verify_batch([("5", "5")], "open-r1")
