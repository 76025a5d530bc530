from __future__ import annotations

import pickle

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.reasoning_steps import ReasoningSteps


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", 0),
        ("Just plain text.", 0),
        ("Step 1: add.\nStep 2: multiply.\nStep 3: done.", 3),
        ("1. add\n2. multiply\n3. done", 3),  # open-r1 sees the first only
        ("<think>\n1. add\n2. multiply\n</think>", 2),
        ("- add\n- multiply", 2),
        ("* add\n  * multiply", 2),
        ("First, add. Second, multiply. Next, halve. Finally, done.", 4),
        ("3.14 is pi\n-5 is negative\n---\n**bold**", 0),
        ("in step 1 we wait, Firstly,", 0),
        ("10. ten", 1),
    ],
)
def test_values(text: str, steps: int) -> None:
    message = [{"role": "assistant", "content": text}]
    assert ReasoningSteps()([text, message]) == [pytest.approx(min(1.0, steps / 3))] * 2
    assert ReasoningSteps(target_steps=8)([text]) == [pytest.approx(steps / 8)]


@pytest.mark.parametrize("value", [0, -1, 2.5, None, True, "3"])
def test_bad_parameters_are_named(value: object) -> None:
    with pytest.raises(ParameterError, match="target_steps"):
        ReasoningSteps(target_steps=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        # open-r1's own tests
        ("Step 1: First step\nStep 2: Second step\nStep 3: Third step", 3),
        ("First, we do this.\nSecond, we do that.\nFinally, we conclude.", 3),
        ("Step 1: Only step", 1),
        ("First, we do this.\nFinally, we conclude.", 2),
        ("Just plain text without any clear steps", 0),
        # what follows from its regular expression
        ("1. add\n2. multiply\n3. done", 1),
        ("<think>\n1. add\n</think>", 0),
        ("- add\n- multiply", 1),
        ("a\n-5\n**bold**", 2),
        ("\n  - indented", 0),
        ("3.14 is pi", 1),
        ("UnFirst, MegaStep 1:", 2),
        ("Step  1:", 0),
    ],
)
def test_open_r1s_values(text: str, steps: int) -> None:
    reward = ReasoningSteps(compat="open_r1")
    reward.prefill = "Step 1: "
    message = [{"role": "assistant", "content": text}]
    assert reward([text, message]) == [pytest.approx(steps / 3)] * 2


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(ReasoningSteps(target_steps=2)))(["Step 1: a"]) == [0.5]
