from __future__ import annotations

import pickle
import random
import re
import time

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.code_format import CodeFormat, open_r1_form

BLOCK = "```python\nprint(1)\n```"
GOOD = f"<think>\na\n</think>\n<answer>\n{BLOCK}\n</answer>"


@pytest.mark.parametrize(
    ("text", "value", "open_r1"),
    [
        (GOOD, 1.0, 1.0),
        (GOOD.replace("python", "py"), 1.0, 0.0),
        (GOOD.replace("python", "python3"), 1.0, 1.0),
        (GOOD.replace("python", "cpp"), 0.0, 0.0),
        (GOOD.replace("python", "pythonic"), 0.0, 1.0),  # the label may go on there
        (GOOD.replace(BLOCK, f"So:\n{BLOCK}\nThat is all."), 1.0, 1.0),
        (GOOD.replace(BLOCK, "print(1)"), 0.0, 0.0),
        (GOOD.replace(BLOCK, "```python\n```"), 0.0, 1.0),  # an empty block
        (GOOD.replace(BLOCK, "```python\nprint(1)"), 0.0, 0.0),  # never closed
        (GOOD.replace(BLOCK, "```python print(1)```"), 0.0, 1.0),  # no block: one line
        (f"<think>\n{BLOCK}\n</think>\n<answer>\n1\n</answer>", 0.0, 0.0),  # in the reasoning
        (f"<think>a</think><answer>\n{BLOCK}\n</answer>", 1.0, 0.0),
        (f"{GOOD}\nand more", 0.0, 1.0),  # trailing text
        (f"{GOOD}{GOOD}", 0.0, 1.0),  # repeated tags
        (f"a\n{GOOD}", 0.0, 0.0),
        (f"a\n</think>\n<answer>\n{BLOCK}\n</answer>", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_values(text: str, value: float, open_r1: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert CodeFormat()([text, message]) == [value] * 2
    assert CodeFormat(compat="open_r1")([text, message]) == [open_r1] * 2


def test_newlines_can_be_required() -> None:
    reward = CodeFormat(newlines="required")
    assert reward([GOOD, f"<think>a</think><answer>\n{BLOCK}\n</answer>"]) == [1.0, 0.0]


def test_a_prefilled_tag_counts_except_in_open_r1() -> None:
    continued = GOOD.removeprefix("<think>\n")
    for compat, value in ((None, 1.0), ("open_r1", 0.0)):
        reward = CodeFormat(compat=compat)
        reward.prefill = "<think>\n"
        assert reward([continued]) == [value]


def test_the_rows_language_goes_first() -> None:
    texts = [GOOD, GOOD.replace("python", "c++"), GOOD]
    assert CodeFormat()(texts, language=["python", "cpp", None]) == [1.0, 1.0, 1.0]
    assert CodeFormat(language="cpp")(texts) == [0.0, 1.0, 0.0]


def test_other_tags_and_empty_blocks() -> None:
    reward = CodeFormat(think_tag="reasoning", answer_tag="code", allow_empty=True)
    text = "<reasoning></reasoning><code>\n```python\n```\n</code>"
    assert reward([text, GOOD]) == [1.0, 0.0]


def test_open_r1s_expression_gives_the_same() -> None:
    expression = re.compile(
        r"^<think>\n.*?\n</think>\n<answer>\n.*?```python.*?```.*?\n</answer>$",
        re.DOTALL | re.MULTILINE,
    )
    parts = [
        "<think>\n",
        "\n</think>\n",
        "<answer>\n",
        "```python",
        "```",
        "\n</answer>",
        "\n",
        "a",
    ]
    draw = random.Random(0)
    seen = set()
    for _ in range(20_000):
        order = [draw.choice(parts) for _ in range(draw.randrange(10))]
        if draw.random() < 0.5:  # near the form
            order = [part for part in parts[:6] for _ in range(draw.choice((1, 1, 1, 2)))] + order
        text = "".join(order)
        matches = expression.match(text) is not None
        seen.add(matches)
        assert open_r1_form(text, "python") is matches, text
    assert seen == {True, False}


@pytest.mark.parametrize("compat", [None, "open_r1"])
def test_hostile_text_costs_nothing(compat: str | None) -> None:
    hostile = "<think>\n" + "\n</think>\n<answer>\n```python```\n" * 50_000
    started = time.monotonic()
    assert CodeFormat(compat=compat)([hostile, "```python\n" * 50_000]) == [0.0, 0.0]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"language": ""}, "language"),
        ({"language": None}, "language"),
        ({"think_tag": "<think>"}, "think_tag"),
        ({"answer_tag": "think"}, "answer_tag"),
        ({"newlines": "some"}, "newlines"),
        ({"allow_empty": "no"}, "allow_empty"),
        ({"compat": "trl"}, "compat"),
    ],
)
def test_bad_parameters_are_named(parameters: dict, named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        CodeFormat(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(CodeFormat(language="cpp"))).language == "cpp"
