from __future__ import annotations

import pickle

import pytest

from r1lab.rewards.accuracy import Accuracy
from r1lab.rewards.base import ParameterError

RIGHT = "<think>\n3+4\n</think>\n<answer>\n\\boxed{7}\n</answer>"


def test_right_wrong_and_unanswered() -> None:
    texts = [RIGHT, "<answer>\n\\boxed{8}\n</answer>", "", "<think>\\boxed{7}", "the sum is 7?"]
    assert Accuracy()(texts, solution=["7"] * 5) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_conversations_as_trl_passes_them() -> None:
    completions = [
        [{"role": "assistant", "content": RIGHT}],
        [{"role": "assistant", "content": [{"type": "text", "text": "\\boxed{7}"}]}],
        [{"role": "assistant", "content": "\\boxed{7}", "reasoning_content": "\\boxed{9}"}],
        [{"role": "assistant", "content": None}],
    ]
    values = Accuracy()(
        completions=completions,
        prompts=[[{"role": "user", "content": "3 + 4?"}]] * 4,
        completion_ids=[[1, 2]] * 4,
        solution=["7"] * 4,
        trainer_state=None,
        log_extra=print,
        log_metric=print,
        level=[1] * 4,
    )
    assert values == [1.0, 1.0, 1.0, 0.0]


def test_prefilled_reasoning_has_to_end() -> None:
    reward = Accuracy()
    reward.prefill = "<think>\n"
    assert reward(["so \\boxed{7}", "so</think>\\boxed{7}"], solution=["7", "7"]) == [0.0, 1.0]


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", 0.0)])
def test_unparseable_gold(choice: str, value: float | None) -> None:
    reward = Accuracy(on_unparseable=choice)  # type: ignore[arg-type]
    assert reward([RIGHT, RIGHT], solution=["", "7"]) == [value, 1.0]
    assert reward.drain_counts() == {"unparseable": 1}
    assert reward.drain_counts() == {}


def test_bare_gold_is_not_everybodys_win() -> None:
    """A gold without an anchor: open-r1's cosine and length scored 1.0 for every completion."""
    assert Accuracy()(["\\boxed{71}", "\\boxed{72}"], solution=["72", "72"]) == [0.0, 1.0]


def test_timeouts_are_wrong_and_counted() -> None:
    reward = Accuracy(deadline_s=1.0)
    assert reward(["\\boxed{9^{9^{9^9}}}"] * 2, solution=["7"] * 2) == [0.0, 0.0]
    assert reward.drain_counts() == {"timeout": 2}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"on_unparseable": "maybe"}, "on_unparseable"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": "5"}, "deadline_s"),
        ({"deadline_s": float("nan")}, "deadline_s"),
    ],
)
def test_bad_parameters_are_named(parameters: dict, named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Accuracy(**parameters)
    assert caught.value.parameter == named


def test_columns_of_different_length_are_a_bug_that_shows() -> None:
    with pytest.raises(ValueError, match="zip"):
        Accuracy()([RIGHT, RIGHT], solution=["7"])


@pytest.mark.parametrize(
    ("text", "gold", "ours", "theirs"),
    [
        ("\\boxed{\\frac{63}{400}}", "\\frac{63}{400}", 1.0, 1.0),  # two of open-r1's own tests
        ("\\boxed{\\frac{64}{400}}", "\\frac{63}{400}", 0.0, 0.0),
        ("<think>\\boxed{7}", "7", 0.0, 1.0),  # the reasoning counts there
        ("The answer is 7.", "7", 1.0, 0.0),  # only LaTeX counts there
        ("\\boxed{7}", "", None, None),
    ],
)
def test_open_r1s_verdicts(text: str, gold: str, ours: float, theirs: float) -> None:
    assert Accuracy()([text], solution=[gold]) == [ours]
    reward = Accuracy(compat="open_r1")
    reward.prefill = "<think>\n"
    message = [{"role": "assistant", "content": text}]
    assert reward([text, message], solution=[gold] * 2) == [theirs] * 2


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Accuracy(on_unparseable="zero")))
    assert copy([RIGHT, RIGHT], solution=["7", ""]) == [1.0, 0.0]
