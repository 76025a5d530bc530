"""Words in answers: telling them from products of symbols, and bringing them to one form."""

from __future__ import annotations

import re
from functools import lru_cache


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


#: Short words of answers; longer runs of letters are words by their look.
_SHORT = vocabulary(
    """
    a an all and any are as at be both but by can do does each even exist few find for from
    has have if in is it its let man men min no non none nor not odd of on one only or other
    out per set six so such sum ten than that the then there they this to too two up use was
    way we were when where which who will win wins with yes you area base case day days east
    else ever face four five nine zero half hour just last left less lies like line lose
    many mod more most must next open over pair play real root same side some step sure term
    time true type unit very west white black red blue am pm cm mm km kg mg ml ft lb oz mph
    dm hr hrs sec mins rad deg usd eur gm cc mi yd north south first second third least
    false integer natural prime positive plus minus times i.e e.g etc gcd lcm iff cat dog
    car cup tea sun mon tue wed thu fri sat jan feb mar apr jun jul aug sep oct nov dec due
    via nth pi
    """
) - {"pi", "i.e", "e.g"}
_ARTICLES = frozenset(("a", "i"))
_LOOKS_LIKE_A_PRODUCT = re.compile(r"(?i)(?=abcd|bcde|wxyz|pqrs|mnpq|klmn|cdef|efgh|abde)")
#: They carry no meaning of their own in an answer.
_EMPTY = vocabulary(
    """
    a an the is are was were be been it its this that these those there so thus hence
    therefore then answer answers final value values equals equal solution solutions result
    following namely exactly precisely only just we get have has obtain will would can could
    must do does such of to in form given by which as respectively find always possible
    total about approximately around roughly case cases example hold holds number
    numbers any every each all some where with for they them their his her at on from if
    when one
    """
)  # fmt: skip
_PLURALS = {"solutions": "solution", "primes": "prime", "squares": "square", "children": "child"}
_NUMBER_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90, "hundred": 100, "thousand": 1000,
}  # fmt: skip
_ORDINALS = {"first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th"}

_NONE = re.compile(
    r"(?:there (?:is|are|exists?) )?(?:no|none|not any)"
    r"(?: such| real| integer| positive| possible| valid)*"
    r"(?: (?:solutions?|numbers?|integers?|values?|roots?|functions?|pairs?|triples?|[a-z]))?"
    r"(?: (?:exists?|in .*|works?|at all|possible|satisf.*))?"
    r"|(?:it )?(?:does|do) ?n[o']t exist|(?:it )?does not exist|doesn't exist|dne|not exist"
    r"|(?:it is |it's |this is )?(?:impossible|not possible)|(?:it )?cannot(?: be done| exist)?"
    r"|none of .*|(?:the )?empty set|nonexistent|no such .* exists?|there (?:is|are|exists?) no .*"
)
_YES = re.compile(
    r"yes|true|correct|(?:it is |it's )?(?:always )?possible|it can(?: be done)?"
    r"|(?:yes )?it (?:is|does)"
    r"|(?:such .* |it |they )?(?:does |do )?exists?"
)
_INFINITE = re.compile(
    r"(?:there (?:is|are|exist) )?(?:an )?infinite(?:ly)?(?: many| number(?: of)?)?"
    r"(?: (?:solutions?|pairs?|values?|primes?|such))*"
)
EXTREMES = {"maximum": "max", "maximal": "max", "minimum": "min", "minimal": "min"}
_SYNONYMS = {
    **EXTREMES,
    "true": "yes", "false": "no", "correct": "yes", "incorrect": "no", "never": "never",
    "naturals": "natural", "reals": "real", "rationals": "rational", "player": "", "wins": "",
    "win": "", "winning": "", "strategy": "", "loses": "lose", "bigger": "greater",
    "larger": "greater", "smaller": "less", "nonzero": "non-zero", "doesn't": "not", "isn't": "not",
    "can't": "cannot", "won't": "not", "aren't": "not", "don't": "not", "coloured": "colored",
    "nonnegative": "non-negative", "unbounded": "infinite", "centre": "center",
}  # fmt: skip


@lru_cache(maxsize=4096)
def is_word(run: str) -> bool:
    """Whether letters that stand together are a word, and no product of symbols (ab, xyz, ABC)."""
    lower = run.lower()
    if lower in _SHORT and (len(run) > 1 or run == "a"):
        return not (run.isupper() and len(run) > 1 and lower not in ("yes", "no", "am", "pm"))
    if re.fullmatch("[A-Z][a-z]{2,}", run) and re.search("[aeiouy]", lower):
        return True  # a name
    if len(run) < 4 or (run.isupper() and len(set(run)) == len(run) and len(run) < 6):
        return False
    return bool(re.search("[aeiouy]", lower)) and not _LOOKS_LIKE_A_PRODUCT.match(lower)


def plain(words: list[str]) -> str:
    """Words in lower case with single spaces."""
    return " ".join(word.lower().strip("'") for word in words)


def verdict_word(text: str) -> str | None:
    """``"yes"``, ``"no"``, ``"none"`` or ``"infinite"`` where that is all that a text says."""
    if _YES.fullmatch(text):
        return "yes"
    if text in ("no", "false", "incorrect"):
        return "no"
    if _NONE.fullmatch(text):
        return "none"
    return "infinite" if _INFINITE.fullmatch(text) else None


def number_word(text: str) -> int | None:
    """The number that words name: "five", "twenty-one", "two hundred"."""
    total, current = 0, 0
    parts = text.replace("-", " ").split()
    for part in parts:
        value = _NUMBER_WORDS.get(part)
        if value is None:
            return None
        if value >= 100:
            current = max(current, 1) * value
            if value == 1000:
                total, current = total + current, 0
        elif current % 10 == 0 and (current % 100 == 0 or value < 10):
            current += value
        else:
            return None
    return total + current if parts else None


def content(words: list[str]) -> list[str]:
    """The words that say something, in one form: no articles, no plurals, ordinals alike."""
    found = []
    for word in words:
        lower = _SYNONYMS.get(word.lower(), word.lower())
        lower = _ORDINALS.get(lower, lower)
        if not lower or lower in _EMPTY:
            continue
        if len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
            lower = _PLURALS.get(lower, lower[:-1])
        found.append(lower)
    return found
