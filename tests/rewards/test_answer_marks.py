from __future__ import annotations

import time
from typing import Any

import pytest

from r1lab.rewards.answer_marks import gold_text, marked_answers
from r1lab.verify.answers import MAX_CHARS


@pytest.mark.parametrize(
    ("text", "style", "found"),
    [
        ("<answer>\n5\n</answer>", "auto", ["5"]),
        ("<answer>4</answer> no, <answer>5</answer>", "auto", ["4", "5"]),
        ("<answer>5", "auto", []),  # cut off
        ("<answer>4</answer><answer>5", "auto", []),
        ("<answer></answer>", "auto", []),
        ("so \\boxed{5}", "auto", ["5"]),
        ("\\boxed {\\frac{1}{2}}.", "auto", ["\\frac{1}{2}"]),
        ("\\boxed{\\{1, 2\\}}", "auto", ["\\{1, 2\\}"]),
        ("\\boxed{4}\n\nNo:\n\\boxed{5} or \\boxed{6}", "auto", ["5", "6"]),
        ("\\boxed{4} and \\boxed{5", "auto", []),
        ("\\boxed{\\boxed{5}}", "auto", ["\\boxed{5}"]),
        ("2 + 3 = 5\n#### 5", "auto", ["5"]),
        ("#### 4\n#### 5\nDone.", "auto", ["4", "5"]),
        ("#### Step 1\nadd\n\n#### 5", "auto", ["5"]),
        ("#### 4 #### 5", "auto", ["4", "5"]),
        ("####", "auto", []),
        # the first style that is there
        ("<answer>5</answer> \\boxed{6}\n#### 7", "auto", ["5"]),
        ("<answer>5</answer> \\boxed{6}\n#### 7", "boxed", ["6"]),
        ("<answer>5</answer> \\boxed{6}\n#### 7", "hashes", ["7"]),
        ("\\boxed{6}", "answer_tag", []),
        ("<answer>\\boxed{6}</answer>", "answer_tag", ["\\boxed{6}"]),
        # only after the reasoning, and with an end to it
        ("<think>\\boxed{4}</think>\\boxed{5}", "auto", ["5"]),
        ("<think>\\boxed{5}</think>done", "auto", []),
        ("<think>\\boxed{5}", "auto", []),
        ("the answer is 5", "auto", []),
        ("", "auto", []),
    ],
)
def test_marked_answers(text: str, style: str, found: list[str]) -> None:
    assert marked_answers(text, style) == found


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("5", "5"),
        (" a b ", "a b"),
        (5, "5"),
        (0.5, "0.5"),
        ("2 + 3 = <<2+3=5>>5\n#### 5", "5"),
        ("so $x = \\boxed{5}$", "5"),
        ("<answer>5</answer>", "5"),
        ("", None),
        ("  ", None),
        (None, None),
        (True, None),
        ("x" * (MAX_CHARS + 1), None),
    ],
)
def test_gold_text(gold: Any, text: str | None) -> None:
    assert gold_text(gold) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "\\boxed{" * 100_000,
        "<answer>" * 100_000,
        "####\n" * 100_000,
        "\n \n" * 100_000 + "\\boxed{1",
    ],
)
def test_hostile_text_costs_nothing(hostile: str) -> None:
    started = time.monotonic()
    assert marked_answers(hostile) == []
    assert time.monotonic() - started < 5
