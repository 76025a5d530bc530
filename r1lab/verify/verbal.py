"""Verbal answers, and sentences with mathematics in them."""

from __future__ import annotations

from r1lab.verify import comparing
from r1lab.verify.forms import Expr, Form, Many, Prose, Text, Zone
from r1lab.verify.phrases import core
from r1lab.verify.words import content, verdict_word, vocabulary

_KINDS = vocabulary(
    """
    triangle number function integer angle team player one option
    """
)


def same_texts(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Text) and isinstance(answer, Text):
        told = [_verdict(text) for text in (gold, answer)]
        if told[0] is not None or told[1] is not None:
            negative = {"no", "none"}
            return told[0] == told[1] or (told[0] in negative and told[1] in negative)
        one, two = content(list(gold.words)), content(list(answer.words))
        if one == two:
            return bool(one)
        # "acute" against "an acute triangle"
        bare = [[word for word in said if word not in _KINDS] for said in (one, two)]
        return bare[0] == bare[1] and len(bare[0]) > 0
    text, other = (gold, answer) if isinstance(gold, Text) else (answer, gold)
    assert isinstance(text, Text)
    said = _verdict(text)
    if said == "none":
        return isinstance(other, Zone) and other.region == ("points", ())
    if said == "infinite":
        return other == Expr(("const", "oo"))
    if text is gold and said in ("yes", "no") and isinstance(other, Many) and other.kind == "row":
        return comparing.same(gold, other.items[0])  # "No, 7": the question was whether
    return False


def _verdict(text: Text) -> str | None:
    if len(text.words) == 1 and text.words[0] in ("yes", "no", "none", "infinite"):
        return text.words[0]
    return verdict_word(" ".join(word.lower() for word in text.words))


def same_prose(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Prose) and isinstance(answer, Prose):
        if _aligned(gold, answer):
            return True
        cores = [core(gold), core(answer)]
        return cores[0] is not None and cores[1] is not None and comparing.same(cores[0], cores[1])
    prose, other = (gold, answer) if isinstance(gold, Prose) else (answer, gold)
    assert isinstance(prose, Prose)
    inside = core(prose)
    if inside is None:
        return False
    return comparing.same(inside, other) if prose is gold else comparing.same(other, inside)


def _aligned(gold: Prose, answer: Prose) -> bool:
    """The same words around equal mathematics, in the same order."""
    said = []
    for prose in (gold, answer):
        parts: list[str | Form] = []
        for part in prose.parts:
            parts.extend(content([part]) if isinstance(part, str) else [part])
        said.append(parts)
    if len(said[0]) != len(said[1]):
        return False
    for mine, theirs in zip(*said, strict=True):
        if isinstance(mine, str) or isinstance(theirs, str):
            if mine != theirs:
                return False
        elif not comparing.same(mine, theirs):
            return False
    return True
