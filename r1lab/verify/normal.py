r"""Answers without their wrapping: boxes, dollar signs, fonts, spacing and typographic variants."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

#: Longer digit strings are compared as text: Python refuses to convert them by default.
_MAX_DIGITS = 1000
_LONGEST = 8000
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|[+-]?\.[0-9]+"
)
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|textsf|textnormal|mathrm|mathbf|mathsf|mbox|emph"
    r"|underline|displaylines|bm|boldsymbol)\s*\{"
)
_MATH_QUOTES = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("__", "__"),
    ("`", "`"),
    ('"', '"'),
    ("“", "”"),
)
_SIZES = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|nolimits|mathstrut)(?![a-zA-Z])"
)
_FUNCTION_WORD = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|exp|max|min|gcd|lcm|det|mod|sqrt|frac|lim|deg|dim"
)
_COLOR = re.compile(r"\\(?:text)?color\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}")
#: The brace before a system has none that closes it.
_SYSTEM = re.compile(
    r"\\left\s*(?:\\\{|\\lbrace)\s*(\\begin\b.*?\\end\s*\{\w+\*?\})[\s.,;]*\\right\s*\.", re.DOTALL
)
#: Before a number; a dollar sign that is left here is no mark of mathematics.
_DOLLARS = re.compile(r"(?<![^+-])\\?\$(?=[0-9.])")
#: Not g, h, j, m and s, which upright are units.
_UPRIGHT = re.compile(
    r"\\(?:mathit|operatorname)\s*\{([a-zA-Z])\}|\\mathrm\s*\{([a-fik-ln-rt-zA-Z])\}"
)
#: "1, 234" are two numbers and "1,234" is one: this space means something.
_LISTED = re.compile(r"(?<=[0-9],)\s+(?=[0-9]{3}(?![0-9]))")


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """The same answer with its wrapping, LaTeX spacing and typographic variants taken off."""
    if len(text) > _LONGEST:
        return text  # too long to be an answer: not worth the work
    text = _SYSTEM.sub(r"\1", _COLOR.sub("", text)).strip().replace(r"\$", "\u0001")
    while True:
        inner = _unwrap(text)
        if inner == text:
            break
        text = inner
    text = text.replace("−", "-").replace("–", "-").replace("{,}", ",").replace(r"\%", "%")
    text = (
        text.replace("{:}", ":")
        .replace(r"\!", "")
        .rstrip("\\")
        .replace("\u200b", "")
        .replace("\\\n", "\n")
    )
    text = _SIZES.sub("", text)
    # Two forms that get lost otherwise: \sqrt(2) and an upright single letter, as in \mathrm{e}.
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = _UPRIGHT.sub(_letter, text)
    text = re.sub(r"\^\s*\{\s*\\circ\s*\}", r"^\\circ ", text).replace("°", r"^\circ ")
    text = re.sub(r"\*\*([^*]+)\*\*", r"\1", text)
    text = re.sub(r"\\textbf\s*\{(\([A-J]\))\}", r"\1", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"\\(?:ldots|cdots|dots[a-z]?)(?![a-zA-Z])|\.\.\.+|…", r"\\dots ", text)
    text = re.sub(r"(?<!\\)\\[!,;:> ]|\\q?quad(?![a-zA-Z])|~|\u00a0|\u2009|\u202f", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = _LISTED.sub("\u0002", text)
    text = re.sub(r"\s+(?=\W)|(?<=\W)\s+", "", text).strip()
    return text.replace("\u0002", " ").replace("\u0001", r"\$")


def number(text: str) -> Fraction | None:
    """The exact value of a plain integer or decimal; thousands separators and a dollar sign before
    it are allowed.
    """
    text = _DOLLARS.sub("", text, count=1)
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return Fraction(re.sub("[, ]", "", text).removesuffix("."))


def words(text: str) -> str | None:
    """A verbal answer ("Tuesday", "no solution") in lower case, or ``None`` for mathematics."""
    if not re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*[.!]?", text):
        return None
    found = re.findall(r"[^\W\d_]+", text.lower())
    if max(map(len, found)) < 3 or any(_FUNCTION_WORD.fullmatch(word) for word in found):
        return None
    return " ".join(found)


def closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before ``start``; escaped braces do not count."""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return None


def balanced(text: str) -> bool:
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth < 0:
            return False
    return depth == 0


def _letter(match: re.Match[str]) -> str:
    return f" {match[1] or match[2]}"


def _unwrap(text: str) -> str:
    for left, right in _MATH_QUOTES:
        inner = text[len(left) : -len(right)]
        if (
            len(text) > len(left) + len(right)
            and text.startswith(left)
            and text.endswith(right)
            and left not in inner
            and right not in inner
        ):
            return inner.strip()
    wrapper = _WRAPPER.match(text)
    if wrapper and closing(text, wrapper.end()) == len(text) - 1:
        return text[wrapper.end() : -1].strip()
    if text.endswith(".") and not text.endswith(".."):
        return text[:-1].strip()
    return text.rstrip(",;") if text.endswith((",", ";")) else text
