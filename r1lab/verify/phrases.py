"""Answers with words in them: conditions, quantities, sets described in English, verbal answers."""

from __future__ import annotations

from collections.abc import Sequence

from r1lab.verify import reading
from r1lab.verify.combining import Name, all_of, as_zone
from r1lab.verify.descriptions import described, is_domain_word
from r1lab.verify.expression import Node, parse_expression, symbols
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Prose,
    Quantity,
    Relation,
    Solutions,
    Text,
    Zone,
    number,
)
from r1lab.verify.regions import Region
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.units import read_unit
from r1lab.verify.words import content, number_word, plain, verdict_word

Tokens = Sequence[Token]

_CONDITION_WORDS = frozenset(("where", "for", "if", "when", "whenever", "with", "such", "provided", "given"))
_LEADS = frozenset(
    ["the", "answer", "answers", "final", "is", "are", "it", "its", "we", "get", "have", "has", "obtain", "so", "thus", "hence", "therefore", "that", "value", "values", "solution", "solutions", "equals", "equal", "to", "then", "only", "namely", "exactly", "result", "all", "a", "an", "this", "by", "and", "approximately", "about", "at", "option", "choice"]
)  # fmt: skip
_COPULAS = frozenset(("is", "are", "equals", "be", "equal", "becomes", "was", "gives"))
_NEGATIONS = frozenset(
    ["no", "not", "none", "never", "except", "least", "most", "than", "without", "cannot", "neither", "nor", "impossible", "fewer", "more"]
)


def read_words(tokens: Tokens) -> Form:
    """The form of tokens with words among them."""
    form = _verbal(tokens)
    if form is not None:
        return form
    region = described(tokens)
    if region is not None:
        return region
    for attempt in (_explained, _conditioned, _listed, _quantity, _introduced):
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
            rest = reading.trim(tokens[1:])
            if rest and rest[0].kind == "word":  # "No, since 7 is odd"
                return Text((first,))
            return Many("list", (Text((first,)), reading.read_tokens(rest)))
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
    if has_list or any(word.lower() in _CONDITION_WORDS for word in words):
        return None
    core = content(words)
    return Text(tuple(words)) if core else None


def _explained(tokens: Tokens) -> Form | None:
    """A remark in brackets at the end: 2 (when n is even)."""
    last = tokens[-1]
    if last.kind != "group" or last.value not in (("(", ")"), ("[", "]")) or len(tokens) < 2:
        return None
    if not last.inner or last.inner[0].kind != "word":
        return None
    return Conditioned(reading.read_tokens(tokens[:-1]), (Text(("remark",)),))


def _conditioned(tokens: Tokens) -> Form | None:
    for index, token in enumerate(tokens):
        if token.kind == "word" and token.value.lower() in _CONDITION_WORDS:
            main, rest = reading.trim(tokens[:index]), tokens[index + 1 :]
            if token.value.lower() == "such" and rest and rest[0].value == "that":
                rest = rest[1:]
            if not main or not reading.trim(rest):
                return None
            if all(t.kind == "word" for t in main):
                return None
            return _with_conditions(reading.read_tokens(main), condition(rest))
    return None


def _with_conditions(form: Form, stated: Form) -> Form:
    conditions = (stated,)
    if isinstance(form, Conditioned):
        return Conditioned(form.form, (*form.conditions, *conditions))
    return Conditioned(form, conditions)


def condition(tokens: Tokens) -> Form:
    """A condition, which need not be understood to be compared."""
    tokens = reading.trim(tokens)
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
    halves = reading.split(row, lambda token: token == Token("op", "&"))
    if len(halves) == 2:
        return Conditioned(reading.read_tokens(halves[0]), (condition(halves[1]),))
    return reading.read_tokens(row)


def _listed(tokens: Tokens) -> Form | None:
    """Items between "or", "and" and commas, each of which can be read."""
    for test in (reading.is_or, reading.is_comma):
        items = reading.split(tokens, test)
        if len(items) > 1:
            items = [_without_lead(item) for item in items]
            if all(item[0].kind != "word" or len(item) < 4 for item in items if item):
                return reading.read_mathematics(
                    [token for token in tokens if not _is_lead(token, tokens)]
                )
            return None
    return None


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
    rest = _without_lead(tokens)
    if 0 < len(rest) < len(tokens):
        return reading.read_tokens(rest)
    marks = [
        i
        for i, t in enumerate(tokens)
        if (t.kind == "word" and t.value.lower() in _COPULAS) or t == Token("op", ":")
    ]
    if not marks or marks[-1] == len(tokens) - 1:
        return None
    before, after = tokens[: marks[-1]], tokens[marks[-1] + 1 :]
    said = {t.value.lower() for t in before if t.kind == "word"}
    if said & _NEGATIONS or any(t.kind in ("op", "num") and t.value == "=" for t in before):
        return None
    return reading.read_tokens(after)


def _prose(tokens: Tokens) -> Form:
    parts: list[str | Form] = []
    chunk: list[Token] = []

    def flush() -> None:
        inner = reading.trim(chunk)
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
    if isinstance(before, str) and before.lower() in (*_COPULAS, "exactly", "get", "obtain", "have"):
        return inside[0]
    return None


def builder(left: Tokens, right: Tokens) -> Form:
    """Braces with a condition: {x | x > 0}, {2k : k an integer}."""
    base: Region | None = None
    if any(token == Token("cmd", "in") for token in left):
        declared = reading.read_tokens(left)
        if not isinstance(declared, Zone):
            raise Unreadable("a set of elements of no set")
        base, name = declared.region, declared.name
    else:
        named = name_of(left)
        name = named[0][0] if named is not None and len(named[0]) == 1 else None
    stated = condition(right)
    if name is None:
        return Conditioned(reading.read_tokens(left), (stated,))
    if isinstance(stated, Zone) and stated.name in (None, name):
        region = stated.region if base is None else ("and", base, stated.region)
        return Zone(region, name)
    if isinstance(stated, Solutions | Conditioned):
        return stated
    raise Unreadable("a condition")


def as_region(form: Form) -> Region | None:
    """The region that a form describes where a set of numbers is expected."""
    match form:
        case Zone(region, _):
            return region
        case Many("tuple", (Expr(low), Expr(high)), (opened, closed)):
            if opened in "([" and closed in ")]":
                return ("interval", low, high, opened == "[", closed == "]")
        case Many("set" | "list", items) if all(isinstance(item, Expr) for item in items):
            return ("points", tuple(item.node for item in items if isinstance(item, Expr)))
        case Many("list" | "set", items):
            regions = [as_region(item) for item in items]
            if all(region is not None for region in regions):
                return ("or", *regions)
        case Expr(node):
            return ("points", (node,))
        case Relation():
            zone = as_zone(form)
            return zone.region if zone is not None else None
    return None


def name_of(tokens: Tokens) -> Name | None:
    """The unknowns that the left side of an equation names, and a function's bound variables."""
    tokens = reading.trim(tokens)
    if not tokens:
        return None
    if len(tokens) == 1 and tokens[0].kind == "group" and tokens[0].value in (("(", ")"), ("\\{", "\\}"), ("langle", "rangle")):  # fmt: skip
        names = [name_of(part) for part in reading.split(tokens[0].inner, reading.is_comma)]
        if all(name is not None and len(name[0]) == 1 and not name[1] for name in names):
            return tuple(name[0][0] for name in names if name is not None), ()
        return None
    first = tokens[0]
    if first.kind == "word" or (first.kind == "op" and first.value == "|"):
        plain_words = all(t.kind in ("word", "sym", "group") or t.value in "|-,'" for t in tokens)
        return (("@" + _spelt(tokens),), ()) if plain_words else None
    if first.kind == "cmd" and first.value in ("angle", "triangle", "max", "min", "overline", "vec", "overrightarrow", "Delta", "det", "widehat"):  # fmt: skip
        return ("@" + _spelt(tokens),), ()
    try:
        node = parse_expression(tokens[:3]) if first.kind in ("sym", "cmd") else None
    except Unreadable:
        node = None
    if len(tokens) == 2 and first.kind == "sym" and tokens[1].kind == "group":
        inner = reading.split(tokens[1].inner, reading.is_comma)
        if tokens[1].value == ("(", ")") and all(len(i) == 1 and i[0].kind == "sym" for i in inner):
            return (first.value,), tuple(i[0].value for i in inner)
        return (("@" + _spelt(tokens),), ()) if tokens[1].value != ("{", "}") else None
    if len(tokens) > 1 and all(t.kind == "sym" and t.value.isupper() for t in tokens):
        return ("@" + _spelt(tokens),), ()
    if node is not None and node[0] == "sym" and len(tokens) in (1, 2, 3):
        complete = len(tokens) == 1 or tokens[1] in (Token("op", "_"), Token("op", "'"))
        return ((node[1],), ()) if complete else None
    if node is not None and node[0] == "const" and len(tokens) == 1 and node[1] in ("e", "i"):
        return (node[1],), ()
    return None


def _spelt(tokens: Tokens) -> str:
    return " ".join(_spelt(t.inner) if t.kind == "group" else str(t.value) for t in tokens).lower()


def congruence(sides: Sequence[Tokens], operators: Sequence[str]) -> Form:
    r"""``n \equiv 1, 3 \pmod{8}``; without a modulus, the sign is an equation's."""
    right = list(sides[-1])
    for index, token in enumerate(right):
        if not reading.is_modulus(token):
            continue
        modulus = parse_expression(token.inner[1:] if token.kind == "group" else right[index + 1 :])
        residues = [parse_expression(r) for r in reading.split(right[:index], reading.is_comma)]
        left = parse_expression(sides[0])
        name = _only_symbol(left)
        if len(sides) > 2 or name is None or not residues:
            raise Unreadable("a congruence")
        return Zone(("congruent", left, name, tuple(residues), modulus), name)
    merged: list[Token] = []
    for side, operator in zip(sides, (*operators, None), strict=True):
        merged.extend(side)
        if operator is not None:
            merged.append(Token("op", "="))
    if set(operators) != {"equiv"}:
        raise Unreadable("a congruence without a modulus")
    return reading.read_tokens(merged)


def _only_symbol(node: Node) -> str | None:
    names = symbols(node)
    return next(iter(names)) if len(names) == 1 else None

