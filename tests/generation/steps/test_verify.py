from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from r1lab.errors import RunFailed
from r1lab.generation.request import Answer
from r1lab.generation.steps.base import Group
from r1lab.generation.steps.verify import Verify
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import boxed, context, dropped, group, left, ready

#: Nobody can work it out.
HANGS = "9^{9^{9^9}}"


def both() -> list[Group]:
    return [
        group(0, boxed(7), boxed(8), boxed("14/2"), "no idea", gold="7"),
        group(1, boxed(1), boxed(2), gold=None),
        group(2, boxed("x+1"), boxed("1+x"), gold="$x+1$"),
    ]


def test_right_answers_stay_and_give_the_pass_rate() -> None:
    step = ready(Verify())
    kept = list(step.apply(both()))
    assert left(kept) == {0: [0, 2], 1: [], 2: [0, 1]}
    assert [group.pass_rate for group in kept] == [0.5, None, 1.0]
    assert dropped(step) == {"wrong": 2, "not verified": 2}
    assert step.counts["right"] == 4
    assert step.counts["not verified: the gold cannot be parsed"] == 2


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("not_wrong", {0: [0, 2], 1: [0, 1], 2: [0, 1]}),
        ("all", {0: [0, 1, 2, 3], 1: [0, 1], 2: [0, 1]}),
    ],
)
def test_what_is_kept_beside_the_right_ones(keep: str, expected: dict[int, list[int]]) -> None:
    kept = list(ready(Verify(keep=keep)).apply(both()))  # type: ignore[arg-type]
    assert left(kept) == expected
    marks = [sample.correct for sample in kept[0].samples]
    assert marks == ([True, True] if keep == "not_wrong" else [True, False, True, False])
    assert [sample.correct for sample in kept[1].samples] == [None, None]
    assert kept[0].samples[0].scores == {"accuracy": 1.0}


def test_reasoning_that_the_server_split_off_is_no_answer() -> None:
    groups = [
        group(0, Answer("\\boxed{7}", "\\boxed{9}"), Answer("", "so \\boxed{7}"), gold="7"),
        group(1, "<think>\n\\boxed{7}", "so</think>\\boxed{7}", gold="7"),
    ]
    assert left(ready(Verify()).apply(groups)) == {0: [0], 1: [1]}


def test_a_comparison_that_passes_its_deadline_is_not_a_wrong_answer() -> None:
    config = {"rewards": {"accuracy": accuracy(deadline_s=1.0)}}
    step = ready(Verify(keep="all"), config=config)
    [found] = step.apply([group(0, boxed(HANGS), boxed(7), boxed(8), gold="7")])
    assert [sample.correct for sample in found.samples] == [None, True, False]
    assert found.pass_rate == 0.5
    assert step.counts["not verified: timeout"] == 1


def test_parameters_are_those_of_the_selected_reward() -> None:
    config = {"rewards": {"accuracy": accuracy(compat="open_r1")}}
    # math-verify reads no plain text as an answer, and a box in the reasoning.
    groups = [group(0, "The answer is 7.", "<think>\\boxed{7}", gold="$7$")]
    assert left(ready(Verify(), config=config).apply(groups)) == {0: [1]}


def test_another_reward_can_decide() -> None:
    step = ready(Verify(reward="multiple_choice"))
    groups = [
        group(0, "The answer is (B).", "The answer is (C).", gold="B"),
        group(1, "(A)", gold="x"),
    ]
    kept = list(step.apply(groups))
    assert left(kept) == {0: [0], 1: []}
    assert kept[0].pass_rate == 0.5
    assert step.counts["not verified: does not apply"] == 1


def test_a_value_below_full_marks_can_be_enough() -> None:
    config = {
        "rewards": {
            "exact_answer": {
                "_target_": "r1lab.rewards.exact_answer.ExactAnswer",
                "format_value": 0.5,
            }
        }
    }
    groups = lambda: [group(0, "#### 7", "#### 8", "7", gold="7")]  # noqa: E731
    assert left(ready(Verify("exact_answer"), config=config).apply(groups())) == {0: [0]}
    low = ready(Verify("exact_answer", right_from=0.5), config=config)
    assert left(low.apply(groups())) == {0: [0, 1]}


def test_a_reward_reads_the_data_s_columns() -> None:
    step = Verify(reward="countdown")
    assert step.check("steps.verify", context(has_gold=False)) == []
    needed = set(step.needs_columns())
    assert needed and "solution" not in needed
    step.prepare(context())
    groups = [group(0, "<answer>3 * 4</answer>", "<answer>3 + 4</answer>", target=12, nums=[3, 4])]
    assert needed <= set(groups[0].prompt.values)
    assert left(step.apply(groups)) == {0: [0]}


def test_memory_holds_one_batch_whatever_the_data() -> None:
    read: list[int] = []

    def endless() -> Iterator[Group]:
        for row in range(10**9):
            read.append(row)
            yield group(row, boxed(row), boxed(row), gold=str(row))

    stream = ready(Verify(batch_size=6)).apply(endless())
    assert [next(stream).prompt.row for _ in range(4)] == [0, 1, 2, 3]
    assert len(read) == 6


def test_data_without_a_solution_is_one_clear_problem() -> None:
    [problem] = Verify().check("steps.verify", context(has_gold=False))
    assert problem.key == "steps.verify.reward"
    assert "the data has none" in problem.message
    assert "data.columns.solution" in problem.fix


def test_an_unknown_reward_is_answered_with_the_nearest() -> None:
    [problem] = Verify(reward="acuracy").check("steps.verify", context())
    assert (problem.key, problem.value) == ("steps.verify.reward", "acuracy")
    assert problem.fix == "did you mean accuracy?"


def test_a_reward_that_fails_names_the_row_and_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_lab.py").write_text(
        "def fragile(completions, **columns):\n"
        "    return [float(c[0]['content']) for c in completions]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("R1LAB_PACKAGES", "fragile_lab")
    config = {"rewards": {"fragile": {"_target_": "fragile_lab.fragile", "weight": 1.0}}}
    step = ready(Verify(reward="fragile"), config=config)
    with pytest.raises(RunFailed, match=r"fragile failed on row 5 of the data, sample 1: .*seven"):
        list(step.apply([group(4, "1", "0"), group(5, "1", "seven")]))


@pytest.mark.parametrize("wrong", [{"keep": "wrong"}, {"batch_size": 0}, {"right_from": "1"}])
def test_parameters_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Verify(**wrong)


def accuracy(**parameters: object) -> dict[str, object]:
    return {"_target_": "r1lab.rewards.accuracy.Accuracy", "weight": 1.0, **parameters}
