from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.multiple_choice import MultipleChoice

NAMES_B = [
    "<answer>B</answer>",
    "<answer>\n(B)\n</answer>",
    "<answer>B) Paris</answer>",
    "<answer>B. Paris</answer>",
    "<answer>(B) Paris, as in A Tale of Two Cities</answer>",
    "<answer>B: Vitamin C</answer>",
    "<answer>b</answer>",
    "<answer>The answer is B</answer>",
    "<answer>\\boxed{B}</answer>",
    "<answer>B - Paris</answer>",
    "\\boxed{B}",
    "\\boxed{(B)}",
    "\\boxed{b}",
    "\\boxed{\\text{B}}",
    "\\boxed{\\textbf{(B)}\\ 5}",
    "\\boxed{\\text{(B) }5}",
    "\\boxed{\\mathrm{B}}",
    "\\boxed{B} and, once more, \\boxed{B}",
    "Answer: B",
    "**Answer:** B",
    "**Answer: B**",
    "Answer: **B**",
    "Answer: $B$",
    "Answer: \\(B\\)",
    "ANSWER: B",
    "Answer: (B) Paris",
    "The answer is B.",
    "The answer is B, since A is too small.",
    "The answer is B because of the sea.",
    "The answer is (B). Option (A) is too small.",
    "The correct answer is: **(B)**",
    "The correct option is B.",
    "The answer is option B.",
    "Option B",
    "<answer>Option B</answer>",
    "answer: b",
    "正确答案：B",
    "答案是 (B)",
    "The answer is:\n\n(B) Paris",
    "## Answer\n\n**B**",
    "The answer is \\text{B}.",
    "The answer is A.\n\nNo, wait. The answer is B.",
    "B",
    "B.",
    "(B)",
    "**B**",
    "**B) Paris**",
    "B) Paris",
    "It is the largest.\n\nB",
    "It is the largest.\n**(B)**",
    "<think>\nA or C? \\boxed{A}\n</think>\nAnswer: B",
]
NAMES_NONE = [
    "",
    "<answer></answer>",
    "<answer>Paris</answer>",
    "<answer>Because</answer>",
    "<answer>B",
    "<think>Answer: B",
    "<think>Answer: B</think>",
    "<think>\\boxed{B}</think> I am done.",
    "\\boxed{}",
    "\\boxed{E}",
    "Bananas are yellow.",
    "The answer is not B.",
    "the answer is a cat",
    "Answer:",
    "The answer is either A or B.",
    "Answer: $LETTER",
    # the question, copied
    "Which is the capital?\nA) London\nB) Paris\nC) Rome\nD) Berlin",
    "Which? (A) London (B) Paris (C) Rome (D) Berlin",
]
NAMES_SEVERAL = [
    "<answer>A, B</answer>",
    "<answer>A B C D</answer>",
    "<answer>A or B</answer>",
    "<answer>A/B</answer>",
    "<answer>(A) or (B)</answer>",
    "<answer>(A)(B)(C)(D)</answer>",
    "<answer>B) Paris or C) Rome</answer>",
    "<answer>A. London B. Paris</answer>",
    "<answer>A</answer><answer>B</answer>",
    "\\boxed{A} \\boxed{B}",
    "\\boxed{A, B}",
    "\\boxed{B \\text{ or } C}",
    "Answer: A or B",
    "Answer: B, C",
    "Answer: B and C",
    "Answer: A\nAnswer: B",
    "The answer is A, or the answer is B",
    "(B) or (C)",
    "A) London B) Paris",
]


@pytest.mark.parametrize("text", NAMES_B)
def test_forms_of_one_letter(text: str) -> None:
    reward = MultipleChoice()
    message = [{"role": "assistant", "content": text}]
    assert reward([text, message, text], solution=["B", "B", "C"]) == [1.0, 1.0, 0.0]
    assert reward.drain_counts() == {}


@pytest.mark.parametrize("text", NAMES_NONE)
def test_what_names_no_option(text: str) -> None:
    reward = MultipleChoice()
    assert reward([text] * 4, solution=list("ABCD")) == [0.0] * 4
    assert set(reward.drain_counts()) <= {"no_answer", "several"}


@pytest.mark.parametrize("text", NAMES_SEVERAL)
def test_several_letters_never_score(text: str) -> None:
    reward = MultipleChoice()
    assert reward([text] * 4, solution=list("ABCD")) == [0.0] * 4
    assert reward.drain_counts()["several"] == 4


@pytest.mark.parametrize(
    ("gold", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B) Paris", "B"),
        ("\\boxed{B}", "B"),
        ("Think.\n#### B", "B"),
        (1, "B"),  # MMLU counts from 0
        (3, "D"),
        (4, None),
        (-1, None),
        (True, None),
        (None, None),
        ("", None),
        ("Paris", None),
        ("A, B", None),
        ("E", None),
    ],
)
def test_golds(gold: Any, letter: str | None) -> None:
    assert MultipleChoice().gold_letter(gold) == letter


def test_other_choices() -> None:
    ten = MultipleChoice(choices="ABCDEFGHIJ")
    assert ten(["\\boxed{J}", "Answer: I"], solution=["J", 8]) == [1.0, 1.0]
    digits = MultipleChoice(choices="1234")
    texts = ["\\boxed{3}", "Answer: 3.5", "(3) Rome", "\\boxed{3.5}"]
    assert digits(texts, solution=["3", "3", 3, "3"]) == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", 0.0)])
def test_a_gold_that_names_no_option(choice: Any, value: float | None) -> None:
    reward = MultipleChoice(on_unparseable=choice)
    assert reward(["Answer: B"] * 2, solution=["Paris", "B"]) == [value, 1.0]
    assert reward.drain_counts() == {"unparseable": 1}


def test_hostile_text_costs_nothing() -> None:
    started = time.monotonic()
    hostile = [
        "answer is" + " " * 500_000,
        "answer: " * 50_000,
        "\\boxed{" * 100_000,
        "B " * 300_000,
        "<answer>" + "(A" * 300_000 + "</answer>",
        "**" * 300_000,
    ]
    assert MultipleChoice()(hostile, solution=["B"] * 6) == [0.0] * 6
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"choices": "A"}, "choices"),
        ({"choices": "A,B"}, "choices"),
        ({"choices": "ABa"}, "choices"),
        ({"choices": 4}, "choices"),
        ({"on_unparseable": "maybe"}, "on_unparseable"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        MultipleChoice(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(MultipleChoice("XY")))(["Answer: Y"], solution=["Y"]) == [1.0]
