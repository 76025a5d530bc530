"""Cutting token sequences: at commas, at "or", at what stands at either end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from r1lab.verify.tokens import Token

Tokens = Sequence[Token]

_PUNCTUATION = frozenset(".,;:&?")


def split(tokens: Tokens, separator: Callable[[Token], bool]) -> list[Tokens]:
    """The runs of tokens between separators, empty ones left out."""
    found: list[list[Token]] = [[]]
    for token in tokens:
        if separator(token):
            found.append([])
        else:
            found[-1].append(token)
    return [part for part in found if part]


def is_or(token: Token) -> bool:
    return token in (Token("op", ";"), Token("op", "\\\\")) or (
        token.kind == "word" and token.value.lower() == "or"
    )


def is_comma(token: Token) -> bool:
    return token in (Token("op", ","), Token("op", "&")) or (
        token.kind == "word" and token.value.lower() == "and"
    )


def is_modulus(token: Token) -> bool:
    r"""``\pmod{4}``, ``(mod 4)`` or ``mod 4``."""
    if token.kind == "group":
        return bool(token.inner) and is_modulus(token.inner[0])
    return token.value in ("pmod", "mod", "modulo")


def trim(tokens: Tokens) -> Tokens:
    """Without punctuation at either end."""
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind == "op" and tokens[start].value in _PUNCTUATION:
        start += 1
    while end > start and tokens[end - 1].kind == "op" and tokens[end - 1].value in _PUNCTUATION:
        end -= 1
    return tokens[start:end]
