"""Answers with words in them: conditions, quantities, sets described in English, verbal answers."""

from __future__ import annotations

from r1lab.verify import clauses, reading
from r1lab.verify.combining import all_of, solved
from r1lab.verify.descriptions import described, is_domain_word
from r1lab.verify.forms import (
    Expr,
    Form,
    Many,
    Prose,
    Quantity,
    Solutions,
    Text,
    number,
)
from r1lab.verify.splitting import Tokens, is_comma, is_or, split, trim
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.units import read_unit
from r1lab.verify.words import content, number_word, plain, verdict_word, vocabulary

_LEFTOVERS = vocabulary(
    """
    is are the only possibility possible solution solutions answer answers value values
    works work one ones pair pairs such that exists satisfies satisfy number numbers all and
    """
)
_LEADS = vocabulary(
    """
    the answer answers final is are it its we get have has obtain so thus hence therefore
    that value values solution solutions equals equal to then only namely exactly result all
    a an this by and approximately about at option choice
    """
)  # fmt: skip
_IMPERATIVES = vocabulary(
    """
    find compute evaluate solve determine calculate simplify expand factor express prove
    show let if what given suppose how which who why is are add subtract multiply divide
    """
)
_MONTHS = vocabulary(
    """
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday
    friday saturday sunday
    """
)
_COPULAS = frozenset(("is", "are", "equals", "be", "equal", "becomes", "was", "gives"))
_NEGATIONS = vocabulary(
    """
    no not none never except least most than without cannot neither nor impossible fewer
    more
    """
)


def read_words(tokens: Tokens) -> Form:
    """The form of tokens with words among them."""
    form = _verbal(tokens)
    if form is not None:
        return form
    region = described(tokens)
    if region is not None:
        return region
    for attempt in (
        clauses.permuted,
        clauses.attained,
        clauses.explained,
        clauses.conditioned,
        _listed,
        _quantity,
        _introduced,
    ):
        try:
            form = attempt(tokens)
        except Unreadable:
            continue
        if form is not None:
            return form
    return _prose(tokens)


def _words_of(tokens: Tokens) -> list[str] | None:
    """The words of a text that holds nothing else; single letters may be names."""
    found = []
    for token in tokens:
        if token.kind == "word" or token.kind == "sym":
            found.append(token.value)
        elif token not in (Token("op", ","), Token("op", "."), Token("op", "-"), Token("op", "'")):
            return None
    return found


def _verbal(tokens: Tokens) -> Form | None:
    words = _words_of(tokens)
    first = tokens[0].value.lower() if tokens[0].kind == "word" else ""
    if words is not None and is_domain_word(words):
        return None
    if words is None:
        if first in ("yes", "no") and len(tokens) > 2 and tokens[1].kind == "op":
            rest = trim(tokens[1:])
            if rest and rest[0].kind == "word":  # "No, since 7 is odd"
                return Text((first,))
            return Many("row", (Text((first,)), reading.read_tokens(rest)))
        return None
    said = plain(words)
    value = number_word(said)
    if value is not None:
        return number(value)
    known = verdict_word(said)
    if known is not None:
        return Text((known,))
    if first in ("yes", "no") and (len(tokens) > 1 and tokens[1].kind == "op"):
        return Text((first,))
    has_list = any(token == Token("op", ",") for token in tokens) or "or" in said.split()
    if has_list or any(word.lower() in clauses.CONDITION_WORDS for word in words):
        return None
    core = content(words)
    return Text(tuple(words)) if core else None


def _listed(tokens: Tokens) -> Form | None:
    """Items between "or", "and" and commas, each of which can be read."""
    for test in (is_or, is_comma):
        items = split(tokens, test)
        if len(items) > 1:
            if any(map(_is_cut, items, items[1:])):
                return None
            items = [_without_lead(item) for item in items]
            if all(item and any(t.kind != "word" for t in item) for item in items) or all(
                len(item) < 4 for item in items
            ):
                return reading.read_mathematics(
                    [token for token in tokens if not _is_lead(token, tokens)]
                )
            return None
    return None


def _is_cut(before: Tokens, after: Tokens) -> bool:
    """Whether a list ends in the middle of a description: divisible by 2 and 3."""
    words = [token.value for token in before if token.kind == "word"]
    numbers = [part[-1:] for part in (before, after)]
    return (
        is_domain_word(words)
        and all(part and part[0].kind == "num" for part in numbers)
        and len(after) == 1
    )


def _is_lead(token: Token, tokens: Tokens) -> bool:
    return token.kind == "word" and token.value.lower() in ("either", "both", "only")


def _without_lead(tokens: Tokens) -> Tokens:
    while tokens and tokens[0].kind == "word" and tokens[0].value.lower() in _LEADS:
        tokens = tokens[1:]
    return tokens


def _quantity(tokens: Tokens) -> Form | None:
    first = tokens[0]
    if first.kind == "word" and first.value in ("$", "€", "£"):
        unit = read_unit((first,))
        rest = tokens[1:]
    else:
        turns = [
            i
            for i in range(1, len(tokens))
            if tokens[i].kind == "num" and tokens[i - 1].kind == "word"
        ]
        if turns:  # 5 hours 30 minutes
            pieces = [tokens[a:b] for a, b in zip([0, *turns], [*turns, None], strict=True)]
            amounts = [_quantity(piece) for piece in pieces]
            total = all_of([form for form in amounts if form is not None])
            return total if None not in amounts and isinstance(total, Quantity) else None
        start = next((i for i, t in enumerate(tokens) if t.kind == "word"), 0)
        if start == 0:
            return None
        if tokens[start - 1].kind == "op" and tokens[start - 1].value in "/*":
            return None
        unit, rest = read_unit(tuple(tokens[start:])), tokens[:start]
    if unit is None or not rest:
        return None
    value = reading.read_tokens(rest)
    match value:
        case Expr():
            return Quantity(value, unit)
        case Quantity(Expr(), ("percent", _)):  # 25% increase
            return value
        case Quantity(Expr() as inner, ("degree", _)):  # 20 degrees Celsius
            return Quantity(inner, unit)
        case Solutions(names, ((Expr() as inner,),), bound):
            return Solutions(names, ((Quantity(inner, unit),),), bound)
        case Many(kind, items, brackets) if kind != "list" or all(
            isinstance(item, Expr) for item in items
        ):
            return Many(kind, tuple(Quantity(item, unit) for item in items), brackets)
    return None


def _introduced(tokens: Tokens) -> Form | None:
    """What follows "the answer is", or "is" in a sentence that denies nothing."""
    words = [i for i, token in enumerate(tokens) if token.kind == "word"]
    if words and words[0] > 0 and words == list(range(words[0], len(tokens))):
        left = {tokens[i].value.lower() for i in words}
        if left <= _LEFTOVERS and len(left) > 1:  # "m = 2 is the only possibility"
            return reading.read_tokens(tokens[: words[0]])
    rest = _without_lead(tokens)
    if 0 < len(rest) < len(tokens):
        return reading.read_tokens(rest)
    marks = [
        i
        for i, t in enumerate(tokens)
        if (t.kind == "word" and t.value.lower() in _COPULAS) or t == Token("op", ":")
    ]
    colons = [i for i in marks if tokens[i] == Token("op", ":")]
    marks = colons or marks
    if not marks:
        # A label before its value: "radius 2"
        start = next((i for i, t in enumerate(tokens) if t.kind != "word"), 0)
        if not start or any(t.kind == "word" for t in tokens[start:]):
            return None
        before, after = tokens[:start], tokens[start:]
        if {t.value.lower() for t in before} & _MONTHS:
            return None
    elif len(marks) > 1 or marks[0] == len(tokens) - 1:
        return None
    else:
        before, after = tokens[: marks[0]], tokens[marks[0] + 1 :]
    said = [t.value.lower() for t in before if t.kind == "word"]
    if set(said) & (_NEGATIONS | _IMPERATIVES) or any(
        t.kind == "num" or t.value == "=" for t in before
    ):
        return None
    value = reading.read_tokens(after)
    label = content(said)
    return solved((("@" + " ".join(label),), ()), value) if label else value


def _prose(tokens: Tokens) -> Form:
    parts: list[str | Form] = []
    chunk: list[Token] = []

    def flush() -> None:
        inner = trim(chunk)
        if inner:
            parts.append(reading.read_tokens(inner))
        chunk.clear()

    queue = list(tokens)
    while queue:
        token = queue.pop(0)
        if token.kind == "word":
            flush()
            parts.append(token.value)
        elif token.kind == "group" and any(inner.kind == "word" for inner in token.inner):
            queue[:0] = [Token("op", ","), *token.inner, Token("op", ",")]
        else:
            chunk.append(token)
    flush()
    if all(isinstance(part, str) for part in parts):
        return Text(tuple(part for part in parts if isinstance(part, str)))
    return Prose(tuple(parts))


def core(prose: Prose) -> Form | None:
    """The one mathematical part of a sentence that states it: "there are 5 apples"."""
    said = [part.lower() for part in prose.parts if isinstance(part, str)]
    inside = [part for part in prose.parts if not isinstance(part, str)]
    if len(inside) != 1 or set(said) & _NEGATIONS or len(said) > 12:
        return None
    position = prose.parts.index(inside[0])
    before = prose.parts[position - 1] if position else ""
    if isinstance(before, str) and before.lower() in (
        *_COPULAS,
        "exactly",
        "get",
        "obtain",
        "have",
    ):
        return inside[0]
    return None
