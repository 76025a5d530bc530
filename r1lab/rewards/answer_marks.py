r"""Where a completion marks its answer: ``<answer>`` tags, a ``\boxed{}``, or ``####``.

For the rewards that compare text. The verifier of the other rewards (:mod:`r1lab.verify`) finds
answers in prose as well, and so forgives what these rewards are there to teach.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from r1lab.verify.answers import MAX_CHARS, after_reasoning

AnswerStyle = Literal["auto", "answer_tag", "boxed", "hashes"]
STYLES = ("auto", "answer_tag", "boxed", "hashes")

_BOX = re.compile(r"\\boxed\s*\{")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def marked_answers(text: str, style: str = "auto") -> list[str]:
    r"""The answers that the end of a completion marks, in order and stripped; empty without one.

    Only what follows the last ``</think>`` counts, and reasoning without an end has no answer;
    neither has a text whose last mark is cut off. ``auto`` takes the first style that is there, in
    the order of :data:`STYLES`. Of tags all count, of boxes and ``####`` those in the paragraph
    of the last one: several different answers there are a list, which commits to none.
    """
    rest = after_reasoning(text)
    if rest is None:
        return []
    for name in STYLES[1:] if style == "auto" else (style,):
        found = _FIND[name](rest)
        if found is not None:
            return [answer for answer in found if answer]
    return []


def gold_text(gold: Any) -> str | None:
    """The answer in a gold: what it marks, else all of it; ``None`` where there is none."""
    if gold is None or isinstance(gold, bool):
        return None
    text = str(gold)
    marked = marked_answers(text)
    body = marked[-1] if marked else text.strip()
    return body if 0 < len(body) <= MAX_CHARS else None


def _tags(text: str) -> list[str] | None:
    _, *opened = text.split("<answer>")
    if not opened:
        return None
    closed = [part.partition("</answer>") for part in opened]
    return [body.strip() for body, _, _ in closed] if closed[-1][1] else []


def _boxes(text: str) -> list[str] | None:
    last = text.rfind(r"\boxed")
    if last < 0:
        return None
    text = _paragraph(text, last)
    found: list[str] = []
    opening = _BOX.search(text)
    while opening is not None:
        end = _closing(text, opening.end())
        if end is None:
            return []
        found.append(text[opening.end() : end].strip())
        opening = _BOX.search(text, end)
    return found


def _hashes(text: str) -> list[str] | None:
    last = text.rfind("####")
    if last < 0:
        return None
    _, *marked = _paragraph(text, last).split("####")
    return [part.strip().partition("\n")[0].strip() for part in marked]


_FIND: dict[str, Callable[[str], list[str] | None]] = {
    "answer_tag": _tags,
    "boxed": _boxes,
    "hashes": _hashes,
}


def _paragraph(text: str, position: int) -> str:
    """The text from the last blank line before ``position`` on."""
    before = [blank.end() for blank in _BLANK_LINE.finditer(text, 0, position)]
    return text[before[-1] :] if before else text


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before ``start``; escaped braces do not count."""
    depth = 1
    for brace in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.start()
    return None
