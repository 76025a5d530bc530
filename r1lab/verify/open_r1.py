r"""open-r1's verdicts, as its newest snapshot (May 2025) reaches them: for ``compat: open_r1``.

Runs in the worker processes only, with math-verify's own timeouts off. What differs from
:mod:`r1lab.verify.algebra` is meant: the whole text is searched, its reasoning included; the
answer must be LaTeX; a bare gold is read only by ``accuracy``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

#: ``open_r1`` is its accuracy reward; ``open_r1_latex_gold`` its cosine and length rewards, which
#: read the gold from LaTeX alone, leave ``\boxed`` in LaTeX environments, and compare the other way
#: round (answer first, where math-verify wants the gold first).
MODES = ("open_r1", "open_r1_latex_gold")


def parses(gold: str, mode: str) -> bool:
    """Whether open-r1 can read a gold. Where it cannot, its accuracy skips the row, its length
    reward counts the row as right, and its cosine reward pays 1.0.
    """
    return bool(_gold(gold, mode))


def equal(gold: str, text: str, mode: str) -> bool:
    """Whether open-r1 holds a raw completion right, for a raw gold that it can read."""
    import math_verify

    answer = math_verify.parse(
        text,
        extraction_config=[_answer_config(mode)],
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    read = _gold(gold, mode)
    order = (read, answer) if mode == "open_r1" else (answer, read)
    return bool(math_verify.verify(*order, timeout_seconds=None))


@lru_cache(maxsize=64)
def _gold(gold: str, mode: str) -> list[Any]:
    import math_verify

    only_latex = {} if mode == "open_r1" else {"extraction_config": _gold_config()}
    found: list[Any] = math_verify.parse(
        gold, extraction_mode="first_match", parsing_timeout=None, **only_latex
    )
    return found


@lru_cache(maxsize=1)
def _gold_config() -> list[Any]:
    from math_verify import LatexExtractionConfig

    return [LatexExtractionConfig()]


@lru_cache(maxsize=2)
def _answer_config(mode: str) -> Any:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig

    # The other mode's `boxed=True` is none of the three values that math-verify knows: it does
    # nothing, while "all" takes every box out of the LaTeX around it.
    boxed: Any = "all" if mode == "open_r1" else True
    return LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            nits=False,
            malformed_operators=False,
            basic_latex=True,
            equations=True,
            boxed=boxed,
            units=True,
        ),
        boxed_match_priority=0,
        try_extract_without_anchor=False,
    )
