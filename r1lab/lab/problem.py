"""A problem to play: its honest right and wrong answers, in the form that the rewards ask for."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

from r1lab.rewards.base import message_text
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.countdown import Countdown
from r1lab.verify.answers import gold_answer, number

Mark = Literal["box", "hashes", "plain", "code"]
#: What honest reasoning looks like here: three steps, and no word of the answer.
REASONING = (
    "First, I write down what is given.\n"
    "Second, I work out what is asked for, one step after the other.\n"
    "Finally, I check the result against the question."
)
_CHOICES = "ABCDEFGHIJ"
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_TESTS = ("verification_info", "official_tests")


@dataclass(frozen=True)
class Form:
    """How an answer has to look: the tags' names, and how the answer itself is marked."""

    think: str = "think"
    answer: str = "answer"
    mark: Mark = "box"
    language: str = "python"

    def write(self, reasoning: str, answer: str) -> str:
        """A whole completion; ``answer`` is what stands between the answer's tags."""
        think, tag = self.think, self.answer
        return f"<{think}>\n{reasoning}\n</{think}>\n<{tag}>\n{answer}\n</{tag}>"

    def marked(self, value: str) -> str:
        """An answer marked as the one that is committed to."""
        if self.mark == "hashes":
            return f"#### {value}"
        if self.mark == "code":
            return f"```{self.language}\n{value}\n```"
        return value if self.mark == "plain" else rf"\boxed{{{value}}}"


@dataclass(frozen=True)
class Played:
    """One problem. ``gold`` is None where no right answer can be written from the row's columns.

    ``decoys`` are wrong answers, ``wrong`` the most plausible of them; ``output`` is what the first
    test of a programming problem expects.
    """

    form: Form
    question: str
    gold: str | None
    wrong: str
    decoys: tuple[str, ...]
    output: str | None = None

    def right_text(self) -> str | None:
        """An honest right completion."""
        return None if self.gold is None else self.with_answer(self.gold)

    def wrong_text(self) -> str:
        """An honest wrong completion."""
        return self.with_answer(self.wrong)

    def with_answer(self, value: str, reasoning: str = REASONING) -> str:
        return self.form.write(reasoning, self.form.marked(value))


def form_of(rewards: Sequence[CheckedReward], columns: Sequence[str]) -> Form:
    """The form that these rewards pay for, read off their parameters."""
    inner = [reward.__wrapped__ for reward in rewards]
    tags = {"think": "think", "answer": "answer"}
    # CodeFormat keeps its tags in the Format that it holds.
    for reward in [*inner, *(reward.form for reward in inner if hasattr(reward, "form"))]:
        for tag in tags:
            found = getattr(reward, f"{tag}_tag", None)
            tags[tag] = found if isinstance(found, str) else tags[tag]
    names = {type(reward).__name__ for reward in inner}
    language = next((r.language for r in inner if hasattr(r, "language")), "python")  # type: ignore[attr-defined]
    mark: Mark = "box"
    if any("Code" in name for name in names) and set(columns) & set(_TESTS):
        mark = "code"
    elif names & {"F1", "Countdown"}:  # they read all that the answer's tags hold
        mark = "plain"
    elif any(getattr(reward, "style", None) == "hashes" for reward in inner):
        mark = "hashes"
    return Form(**tags, mark=mark, language=language)


def played(
    row: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    rewards: Sequence[CheckedReward],
    form: Form,
    rng: random.Random,
) -> Played:
    """The problem of one row; ``others`` are the sampled rows, whose answers serve as decoys."""
    question = _question(row.get("prompt"))
    if form.mark == "code":
        gold = row.get("solution") if isinstance(row.get("solution"), str) else None
        wrong = "print(0)" if form.language == "python" else "int main() { return 0; }"
        return Played(form, question, gold, wrong, (wrong,), _first_output(row))
    if any(isinstance(reward.__wrapped__, Countdown) for reward in rewards):
        numbers, target = list(row["nums"]), row["target"]
        sums = (" + ".join(map(str, numbers)), " * ".join(map(str, numbers)), str(numbers[0]))
        decoys = tuple(text for text in sums if text != _solved(numbers, target))
        return Played(form, question, _solved(numbers, target), decoys[0], decoys)
    gold = _text(row.get("solution"))
    gold = None if gold is None else (gold_answer(gold) or gold)
    foreign = [_text(other.get("solution")) for other in others]
    decoys = _decoys(gold, [text for text in foreign if text], rng)
    return Played(form, question, gold, decoys[0], decoys)


def _question(prompt: Any) -> str:
    if isinstance(prompt, list) and prompt:
        return message_text(prompt[-1])
    return str(prompt or "")


def _text(gold: Any) -> str | None:
    """A gold as one text: of several right ones the first."""
    if isinstance(gold, Mapping):
        gold = gold.get("text")
    if isinstance(gold, list | tuple):
        gold = gold[0] if gold else None
    return None if gold is None or not str(gold).strip() else str(gold)


def _decoys(gold: str | None, foreign: list[str], rng: random.Random) -> tuple[str, ...]:
    """Four wrong answers, the most plausible first: near numbers, other letters, other golds."""
    found: list[str] = []
    value = None if gold is None else number(gold)
    if gold is None:
        found = ["0"]
    elif value is not None:
        steps = [1, -1, 2, 10]
        rng.shuffle(steps)
        found = [_plain(value + step) for step in steps]
    elif re.fullmatch(r"[A-J]", gold):
        found = [letter for letter in _CHOICES[:4] if letter != gold]
        rng.shuffle(found)
    elif gold.lower() in _OPPOSITES:
        found = [_OPPOSITES[gold.lower()]]
    bodies = [gold_answer(text) or text for text in foreign]
    found += [body for body in dict.fromkeys(bodies) if body != gold and len(body) < 100]
    found += [text for text in ("0", "1", "12345", "x") if text != gold]
    return tuple(dict.fromkeys(found))[:4]


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"


def _first_output(row: Mapping[str, Any]) -> str | None:
    """What the first test of a programming problem expects to be printed."""
    for column in _TESTS:
        tests = row.get(column)
        if isinstance(tests, str):
            try:
                tests = json.loads(tests)
            except ValueError:  # the reward says so, and gives None
                continue
        if isinstance(tests, Mapping):
            tests = tests.get("test_cases")
        if isinstance(tests, list) and tests and isinstance(tests[0], Mapping):
            return str(tests[0].get("output"))
    return None


def _solved(numbers: Sequence[Any], target: Any) -> str | None:
    """An expression that uses each number once and makes the target, found by trying all."""
    if len(numbers) > 5:
        return None
    return _search([(Fraction(value), str(value)) for value in numbers], Fraction(target))


def _search(terms: list[tuple[Fraction, str]], target: Fraction) -> str | None:
    if len(terms) == 1:
        return terms[0][1] if terms[0][0] == target else None
    for i, j in combinations(range(len(terms)), 2):
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        (a, x), (b, y) = terms[i], terms[j]
        made = [(a + b, f"({x} + {y})"), (a * b, f"({x} * {y})")]
        made += [(a - b, f"({x} - {y})"), (b - a, f"({y} - {x})")]
        made += [(a / b, f"({x} / {y})")] if b else []
        made += [(b / a, f"({y} / {x})")] if a else []
        for term in made:
            found = _search([*rest, term], target)
            if found is not None:
                return found
    return None
