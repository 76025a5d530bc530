"""Laws that the verifier keeps for every gold of the table, not only for the labelled pairs."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from r1lab.verify.answers import final_answer
from r1lab.verify.verifier import Verifier

PAIRS = Path(__file__).with_name("pairs.jsonl")
ROWS = [json.loads(line) for line in PAIRS.read_text().splitlines()]

#: A gold that says for itself where its answer is cannot be put into a box or tags once more.
MARKED = re.compile(r"\\boxed|####|<answer>|answer|therefore|there are|only|\bis\b", re.I)
GOLDS = sorted({row["gold"] for row in ROWS if row["equal"] is not None})
BODIES = [gold for gold in GOLDS if not MARKED.search(gold)]

#: Golds of one definite value, among whose decoys another one is certainly wrong.
DEFINITE = {"number", "algebra", "tuple", "several", "tuple-list", "complex", "matrix", "text"}

#: Pairs (by id) whose two orders may differ, each with its reason.
ASYMMETRIC: dict[str, str] = {
    "number-38": "a gold of three decimals may be rounded itself, so the exact value equals it",
    "number-46": "the same",
    "equation-31": "an answer has to be solved where the gold is; a gold may leave that to do",
    "interval-13": "the same",
    "near-miss-01": "a decimal may be rounded itself, as in number-38",
    "near-miss-105": "the same",
    "near-miss-39": "4 is no curve, but x + 2y = 4 may name the sum that was asked for",
    "near-miss-40": "the same",
    "equation-58": "the same",
    "prose-gold-31": "an explanation with mathematics in it may follow the answer, not the gold",
}


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    shared = Verifier()
    yield shared
    shared.close()


def inner(gold: str) -> str:
    """The gold without dollars around the whole of it."""
    found = re.fullmatch(r"\s*\$([^$]*)\$\s*", gold)
    return found.group(1).strip() if found else gold.strip()


def boxed(gold: str) -> str:
    return f"\\boxed{{{inner(gold)}}}"


def accepted(verifier: Verifier, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs of (text, gold) that score."""
    verdicts = verifier.verify_batch(pairs)
    return [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct]


def none(offenders: Sequence[object]) -> None:
    """Fails with all of them, one a line, where pytest would show the first."""
    assert not offenders, "\n".join([f"{len(offenders)} offenders:", *map(repr, offenders)])


FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda gold: gold,
    "boxed": lambda gold: f"So the answer is {boxed(gold)}.",
    "boxed in dollars": lambda gold: f"Hence ${boxed(gold)}$.",
    "in a display": lambda gold: f"Hence we have\n\\[\n{boxed(gold)}\n\\]\nas claimed.",
    "with spaces": lambda gold: f"  Hence \\boxed{{  {inner(gold)}  }} \n\n",
    "after the reasoning": lambda gold: f"<think>\n1 or \\boxed{{2}}?\n</think>\n{boxed(gold)}",
    "boxed in answer tags": lambda gold: f"<think>\n</think>\n<answer>\n{boxed(gold)}\n</answer>",
    "in answer tags": lambda gold: f"<think>\nHm.\n</think>\n<answer>{gold}</answer>",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_gold_equals_itself(verifier, form):
    texts = [FORMS[form](gold) for gold in BODIES]
    verdicts = verifier.verify_batch(list(zip(texts, BODIES, strict=True)))
    parsed = verifier.parses_batch(BODIES)
    rows = zip(BODIES, verdicts, parsed, strict=True)
    none([gold for gold, verdict, parses in rows if parses and not verdict.correct])


def test_every_gold_in_dollars_equals_itself(verifier):
    golds = [gold for gold in BODIES if "$" not in inner(gold) and re.search(r"[\d\\=]", gold)]
    pairs = [(f"The answer is ${inner(gold)}$.", gold) for gold in golds]
    pairs += [(boxed(gold), f"${inner(gold)}$") for gold in golds]
    right = set(accepted(verifier, pairs))
    parses = dict(zip(golds, verifier.parses_batch(golds), strict=True))
    missed = [pair for pair in pairs if pair not in right]
    assert [
        (text, gold) for text, gold in missed if parses.get(gold, parses.get(inner(gold)))
    ] == []


def test_nearly_every_gold_of_the_table_parses(verifier):
    parses = verifier.parses_batch(GOLDS)
    unparsed = [gold for gold, parsed in zip(GOLDS, parses, strict=True) if not parsed]
    assert len(unparsed) <= 0.03 * len(GOLDS), unparsed


def test_the_verdict_is_symmetric(verifier):
    """The answer taken as the gold and the gold as the answer give the same verdict."""
    there, back, names = [], [], []
    for row in ROWS:
        answer = final_answer(row["completion"])
        if row["gold"] not in BODIES or row["kind"] == "unfinished" or not answer:
            continue
        names.append(row["id"])
        there.append((f"\\boxed{{{answer}}}", row["gold"]))
        back.append((boxed(row["gold"]), answer))
    verdicts = verifier.verify_batch(there + back)
    first, second = verdicts[: len(there)], verdicts[len(there) :]
    unlike = {
        name: (one.correct, two.correct)
        for name, one, two in zip(names, first, second, strict=True)
        if None not in (one.correct, two.correct) and one.correct != two.correct
    }
    none([(name, *seen) for name, seen in unlike.items() if name not in ASYMMETRIC])
    assert set(ASYMMETRIC) <= set(unlike), "these are symmetric now"


NOTHING = [
    "",
    " \n\t\n",
    r"\boxed{}",
    r"$\boxed{ }$",
    "$$",
    r"\[ \]",
    "<think>\n\n</think>\n<answer>\n\n</answer>",
    "<think></think><answer></answer>",
    "<think>\nLet me think.\n</think>",
    "<answer>",
    "</think>",
    "**Final Answer**",
    "The final answer is",
    "```\n```",
    "I do not know.",
    "<think>\nHm.\n</think>\n<answer>\n\\boxed{}\n</answer>",
]


@pytest.mark.parametrize("text", NOTHING)
def test_an_answerless_completion_never_scores(verifier, text):
    none(accepted(verifier, [(text, gold) for gold in GOLDS]))


def test_reasoning_never_scores(verifier):
    """Neither reasoning without an end, nor a gold that only the reasoning names."""
    forms = [
        "<think>\nThe answer is {box}.",
        "<think>\nIt is {box}.\n\n**Answer:** {gold}\n\nLet me check",
        "<think>a</think> no, <think> it is {box}",
        "<think>\nThe answer is {box}.\n</think>",
        "<think>\nThe answer is {gold}.\n</think>\n\nI have solved the problem.",
        "<think>\nThe answer is {box}.\n</think>\n<answer>\n</answer>",
        "<think>{gold}</think><answer>\\boxed{{}}</answer>",
    ]
    pairs = [(f.format(box=boxed(gold), gold=gold), gold) for gold in BODIES for f in forms]
    none(accepted(verifier, pairs))


def definite_golds() -> list[str]:
    golds = {row["gold"] for row in ROWS if row["kind"] in DEFINITE}
    return [gold for gold in BODIES if gold in golds]


def test_a_list_of_many_answers_never_scores(verifier):
    """Each gold among decoys, in a random place, in one box, in several, and in prose."""
    chance = random.Random(3)
    pairs = []
    for gold in definite_golds():
        body = inner(gold)
        if "$" in body:
            continue
        choices = [body, *(str(chance.randrange(3001, 8999)) for _ in range(3))]
        chance.shuffle(choices)
        texts = [
            "\\boxed{" + r" \text{ or } ".join(choices) + "}",
            "\\boxed{" + ", ".join(choices) + "}",
            "It is " + " or ".join(f"$\\boxed{{{choice}}}$" for choice in choices) + ".",
            "\n".join(f"\\boxed{{{choice}}}" for choice in choices),
            "The answer is " + " or ".join(f"${choice}$" for choice in choices) + ".",
        ]
        pairs += [(text, gold) for text in texts]
    none(accepted(verifier, pairs))


def test_the_question_copied_never_scores(verifier):
    pairs = []
    for gold in definite_golds():
        body = inner(gold)
        texts = [
            f"What is the largest number below ${body}$?",
            f"Two players start from ${body}$ and move in turn. Who wins, and why?",
            f"Find all integers $n$ for which $n^2$ is at most twice $({body})$.",
            f"Prove or disprove that the result can be ${body}$.",
        ]
        pairs += [(text, gold) for text in texts if "$" not in body]
    none(accepted(verifier, pairs))
