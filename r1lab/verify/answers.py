r"""Finding the final answer in a text, and the comparisons that need no computer algebra.

Everything here is plain string work, cheap enough for the training process. It gives a verdict only
where that verdict is certain, and leaves the rest to :mod:`r1lab.verify.verifier`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

#: No final answer is longer; what is longer is a degenerate completion, and wrong.
MAX_CHARS = 4000
#: An unanchored gold with more words than this is a remark or a proof, which nothing can equal.
MAX_GOLD_WORDS = 6

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|[+-]?\.[0-9]+")
#: Longer digit strings are compared as text: Python refuses to convert them by default.
_MAX_DIGITS = 1000
_CHOICE = re.compile(r"\(?([A-J])(?:\)|\.|:)?")
_WRAPPER = re.compile(r"\\(?:boxed|text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{")
_MATH_QUOTES = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"))
_ANSWER_IS = re.compile(r"(?i)\banswer\s*(?:is|:|=)\s*:?\s*(?=\S)")
#: Lists that go on ("1, 2, \ldots, n"): math-verify drops the dots (its issue #14).
_DOTS = re.compile(r"\\[lcd]?dots|\.\.\.|…")
#: Two numbers side by side, which math-verify adds up; a mixed number (1 1/2) is none.
_SIDE_BY_SIDE = re.compile(r"[0-9]\s+(?![0-9]+\s*/)[0-9]")
#: Work left undone between two operands. Without this, copying the question is an answer.
_UNDONE = re.compile(r"[0-9a-zA-Z)}\]!]\s*(?:[-+*×·÷]|\\times|\\cdot|\\div|\\pm)")
_SCIENTIFIC = re.compile(
    r"(?:×|\*|\\times|\\cdot)\s*10\s*\^\s*(?:\{\s*[+-]?[0-9]+\s*\}|[+-]?[0-9]+)"
)
_FUNCTION_WORD = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|exp|max|min|gcd|lcm|det|mod|sqrt|frac|lim|deg|dim"
)


def after_reasoning(text: str) -> str | None:
    """What follows the last ``</think>``, or ``None`` when the reasoning never ended."""
    rest = text[text.rfind("</think>") + len("</think>") :] if "</think>" in text else text
    return None if "<think>" in rest else rest


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``; ``None`` without one, or when it is cut off."""
    start = text.rfind(r"\boxed")
    if start < 0:
        return None
    opening = re.compile(r"\s*\{").match(text, start + len(r"\boxed"))
    end = _closing(text, opening.end()) if opening else None
    return None if opening is None or end is None else text[opening.end() : end]


def final_answer(completion: str) -> str | None:
    """The answer that a completion commits to, without its wrapping, or ``None``.

    In order: the last box inside the last ``<answer>``; that ``<answer>`` itself; the last box;
    what follows ``####`` or "the answer is"; the whole text if it is nothing but an expression.
    """
    scope = after_reasoning(completion)
    if scope is None:
        return None
    opened = scope.rfind("<answer>")
    closed = False
    if opened >= 0:
        scope = scope[opened + len("<answer>") :]
        end = scope.find("</answer>")
        closed = end >= 0
        scope = scope[:end] if closed else scope
    if r"\boxed" in scope:
        return last_boxed(scope)
    if opened >= 0 and not closed:
        return None  # cut off: what is there may be the beginning of another number
    tail = _stated(scope)
    if tail is not None:
        return tail
    scope = scope.strip()
    return scope if closed or _is_bare(scope) else None


def gold_answer(gold: str) -> str | None:
    """The reference answer in a gold, which may be a whole solution; ``None``: unparseable."""
    body = last_boxed(gold) if r"\boxed" in gold else None
    if body is None:
        opened, end = gold.rfind("<answer>"), gold.rfind("</answer>")
        body = gold[opened + len("<answer>") : end] if 0 <= opened < end else None
    if body is None:
        body = gold.rpartition("####")[2] if "####" in gold else None
    if body is None:
        prose = re.sub(r"\$[^$]*\$|\\[a-zA-Z]+", " ", gold)
        if len(re.findall(r"[^\W\d_]{2,}", prose)) > MAX_GOLD_WORDS:
            return None
        body = gold
    body = normalise(body)
    if len(body) > MAX_CHARS or not re.search(r"[^\W_]|[∞∅]", body) or not _balanced(body):
        return None
    return body


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """The same answer with its wrapping, LaTeX spacing and typographic variants taken off."""
    text = text.strip()
    while True:
        inner = _unwrap(text)
        if inner == text:
            break
        text = inner
    text = text.replace("−", "-").replace("–", "-").replace("{,}", ",").replace(r"\%", "%")
    text = re.sub(r"\\(?:left|right|displaystyle)(?![a-zA-Z])", "", text)
    # Two forms that math-verify loses: \sqrt(2) and an upright single letter, as in \mathrm{e}.
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\(?:mathrm|mathit|operatorname)\s*\{([a-zA-Z])\}", r" \1", text)
    text = re.sub(r"\\[dt]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"(?<!\\)\\[!,;: ]|\\q?quad(?![a-zA-Z])|~|\u00a0", " ", text)
    text = re.sub(r"^([+-]?)\s*(?:\\\$|[$€£])\s*(?=[0-9.])", r"\1", text)
    return re.sub(r"\s+(?=\W)|(?<=\W)\s+", "", re.sub(r"\s+", " ", text)).strip()


def quick_verdict(gold: str, answer: str) -> bool | None:
    """Compare two normalised answers without algebra; ``None`` when it takes some."""
    if not answer or len(answer) > MAX_CHARS:
        return False
    if gold == answer:
        return True
    gold_number = number(gold)
    if gold_number is not None:
        said = number(answer)
        if said is not None:
            return said == gold_number
    gold_words = words(gold)
    if gold_words is not None and (said_words := words(answer)) is not None:
        return gold_words == said_words
    gold_choice, choice = _CHOICE.fullmatch(gold), _CHOICE.fullmatch(answer)
    if gold_choice and choice:
        return gold_choice[1] == choice[1]
    if _several(answer) or _DOTS.search(gold) or _DOTS.search(answer) or not _balanced(answer):
        return False
    if (r"\forall" in gold) != (r"\forall" in answer):
        return False  # math-verify reads past the quantifier (its issue #64)
    if gold_number is not None:
        value = _SCIENTIFIC.sub("", answer.rpartition("=")[2])
        if _UNDONE.search(value):
            return False
    return None


def number(text: str) -> Fraction | None:
    """The exact value of a plain integer or decimal, thousands separators allowed."""
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return Fraction(text.replace(",", "").removesuffix("."))


def words(text: str) -> str | None:
    """A verbal answer ("Tuesday", "no solution") in lower case, or ``None`` for mathematics.

    math-verify reads words as products of letters, for which "east" equals "seat".
    """
    if not re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*[.!]?", text):
        return None
    found = re.findall(r"[^\W\d_]+", text.lower())
    if max(map(len, found)) < 3 or any(_FUNCTION_WORD.fullmatch(word) for word in found):
        return None
    return " ".join(found)


def _stated(scope: str) -> str | None:
    """What follows the last ``####``, or the last "answer is", on its line."""
    if "####" in scope:
        return scope.rpartition("####")[2].strip().partition("\n")[0]
    found = list(_ANSWER_IS.finditer(scope))
    if not found:
        return None
    line = scope[found[-1].end() :].partition("\n")[0].strip()
    quoted = re.match(r"\$([^$]+)\$", line)
    return quoted[1] if quoted else line.rstrip(".")


def _is_bare(text: str) -> bool:
    """Whether a text is one expression and nothing else, so that all of it is the answer."""
    if not text or len(text) > 200 or "\n" in text or "?" in text:
        return False
    return text.count("$") in (0, 2) and not re.search(
        r"[^\W\d_]{2,}\s+[^\W\d_]{2,}", normalise(text)
    )


def _several(answer: str) -> bool:
    """Whether values stand side by side, or in lines, with nothing to say how they belong."""
    if r"\begin" in answer:
        return False
    return r"\\" in answer or bool(_SIDE_BY_SIDE.search(answer))


def _unwrap(text: str) -> str:
    for left, right in _MATH_QUOTES:
        inner = text[len(left) : -len(right)]
        if (
            len(text) > len(left) + len(right)
            and text.startswith(left)
            and text.endswith(right)
            and left not in inner
        ):
            return inner.strip()
    wrapper = _WRAPPER.match(text)
    if wrapper and _closing(text, wrapper.end()) == len(text) - 1:
        return text[wrapper.end() : -1].strip()
    if text.endswith(".") and not text.endswith(".."):
        return text[:-1].strip()
    return text


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before ``start``; escaped braces do not count."""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return None


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth < 0:
            return False
    return depth == 0
