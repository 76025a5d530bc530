"""What stands beside an answer in words: conditions, cases, remarks, "and its permutations"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from r1lab.verify import reading
from r1lab.verify.combining import as_zone
from r1lab.verify.descriptions import described
from r1lab.verify.equivalence import equal_expressions
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Solutions,
    Text,
    form_symbols,
    mapped,
    number,
    values,
)
from r1lab.verify.splitting import Tokens, is_comma, is_or, split, trim
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import substitute, symbols
from r1lab.verify.words import number_word, plain, vocabulary

_REMARKS = vocabulary(
    """
    when if where for since because in with at double twice repeated approx approximately
    rounded all any only units as that which the whenever attained achieved reached equality
    """
)
#: What says where an extreme value is taken, which is no part of the answer.
_ATTAINED = ("attained", "achieved", "reached", "equality")
_BEFORE_ATTAINED = vocabulary(
    """
    with and which is can be it this value the
    """
)
_REASONS = ("because", "since")
CONDITION_WORDS = vocabulary(
    """
    where for if when whenever with such provided given
    """
)


def permuted(tokens: Tokens) -> Form | None:
    """(1, 2, 3) and its permutations, written out."""
    said = [token.value.lower() for token in tokens if token.kind == "word"]
    if not said or not set(said) & {"permutation", "permutations"}:
        return None
    start = next(i for i, token in enumerate(tokens) if token.kind == "word")
    if start == 0 or {"not", "except", "up"} & set(said):
        return None
    form = reading.read_tokens(tokens[:start])
    form = values(form) if isinstance(form, Solutions) else form
    tuples = form.items if isinstance(form, Many) and form.kind == "list" else (form,)
    found: list[Form] = []
    for one in tuples:
        if not isinstance(one, Many) or one.kind not in ("tuple", "row") or len(one.items) > 5:
            return None
        orders = list(permutations(one.items))
        if "cyclic" in said:
            orders = [one.items[i:] + one.items[:i] for i in range(len(one.items))]
        found.extend(Many("tuple", order) for order in dict.fromkeys(orders))
    return Many("list", tuple(dict.fromkeys(found)))


def explained(tokens: Tokens) -> Form | None:
    """A remark in brackets at the end: 2 (when n is even)."""
    reason = next((i for i, t in enumerate(tokens) if t.kind == "word" and t.value in _REASONS), 0)
    if reason:
        return Conditioned(reading.read_tokens(tokens[:reason]), (Text(("remark",)),))
    last = tokens[-1]
    if last.kind != "group" or last.value not in (("(", ")"), ("[", "]")) or len(tokens) < 2:
        return None
    first = last.inner[0] if last.inner else None
    if first is not None and all(token.kind == "word" for token in last.inner):
        spelt = number_word(plain([token.value for token in last.inner]))
        main = reading.read_tokens(tokens[:-1])
        if spelt is not None and isinstance(main, Expr):  # 17 (seventeen)
            return main if equal_expressions(main.node, number(spelt).node) else None
    if first is None or first.kind != "word" or first.value.lower() not in _REMARKS:
        return None  # "20 (or 22 if order matters)" is two answers
    return Conditioned(reading.read_tokens(tokens[:-1]), (Text(("remark",)),))


def attained(tokens: Tokens) -> Form | None:
    """A value and where it is taken: 8, attained when a = b."""
    index = next(
        (i for i, t in enumerate(tokens) if t.kind == "word" and t.value.lower() in _ATTAINED), 0
    )
    main = tokens[:index]
    while main and main[-1].kind == "word" and main[-1].value.lower() in _BEFORE_ATTAINED:
        main = main[:-1]
    main = trim(main)
    if not main or main[-1].kind == "word":
        return None
    return Conditioned(reading.read_tokens(main), (Text(("remark",)),))


def conditioned(tokens: Tokens) -> Form | None:
    marks = [
        i
        for i, token in enumerate(tokens)
        if token.kind == "word" and token.value.lower() in (*CONDITION_WORDS, "as")
    ]
    if not marks:
        return None
    branches = _branches(tokens, marks)
    if branches is not None:
        return Many("list", tuple(branches))
    index = marks[0]
    main, rest = trim(tokens[:index]), tokens[index + 1 :]
    if [str(token.value).lower() for token in rest[:3]] == ["and", "only", "if"]:
        rest = rest[3:]
    elif tokens[index].value.lower() == "such" and rest and rest[0].value == "that":
        rest = rest[1:]
    if not main or not trim(rest):
        return None
    if tokens[index].value.lower() == "as":
        return Conditioned(reading.read_tokens(main), (Text(("remark",)),))
    if all(t.kind == "word" for t in main) and tokens[index].value.lower() not in ("if", "when"):
        return None
    return _with_conditions(reading.read_tokens(main), condition(rest))


def _branches(tokens: Tokens, marks: Sequence[int]) -> list[Form] | None:
    """A value for each condition: "n if n is odd, and n - 1 if n is even"."""
    marks = [i for i in marks if tokens[i].value.lower() in ("if", "when", "for")]
    if len(marks) < 2:
        return None
    found: list[Form] = []
    start = 0
    for this, following in zip(marks, [*marks[1:], None], strict=True):
        breaks = [
            i
            for i in range(this + 1, following if following is not None else this)
            if is_comma(tokens[i]) or is_or(tokens[i])
        ]
        if following is not None and not breaks:
            return None
        end = breaks[0] if breaks else len(tokens)
        value = trim([t for t in tokens[start:this] if not is_comma(t)])
        if not value or not trim(tokens[this + 1 : end]):
            return None
        found.append(
            _with_conditions(reading.read_tokens(value), condition(tokens[this + 1 : end]))
        )
        start = end
    return found


def _with_conditions(form: Form, stated: Form) -> Form:
    conditions = (stated,)
    if isinstance(stated, Solutions) and len(stated.names) == len(stated.rows) == 1:
        name, value = stated.names[0], stated.rows[0][0]  # (n, n + 1) with n = 3
        if name in form_symbols(form) and isinstance(value, Expr) and not symbols(value.node):
            return mapped(form, lambda node: substitute(node, name, value.node))
    if isinstance(form, Conditioned):
        return Conditioned(form.form, (*form.conditions, *conditions))
    return Conditioned(form, conditions)


def condition(tokens: Tokens) -> Form:
    """A condition, which need not be understood to be compared."""
    tokens = trim(tokens)
    while tokens and tokens[0].kind == "word" and tokens[0].value.lower() in ("if", "when", "for"):
        tokens = tokens[1:]
    region = described(tokens)
    if region is not None:
        return region
    try:
        form = reading.read_tokens(tokens)
    except Unreadable:
        return Text(tuple(str(token.value) for token in tokens))
    zone = as_zone(form)
    return zone if zone is not None else form


def piece(row: Tokens) -> Form:
    """One row of cases: a value and the condition after the ampersand."""
    halves = split(row, lambda token: token == Token("op", "&"))
    if len(halves) == 2:
        return Conditioned(reading.read_tokens(halves[0]), (condition(halves[1]),))
    return reading.read_tokens(row)
