from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from r1lab.compose import attempt, resolve
from r1lab.generation.request import Answer
from r1lab.generation.steps import runner
from r1lab.generation.steps.base import Context, Group, Step
from tests.generation.steps.groups import boxed, context, group, left

MINE = '''
from r1lab.generation.steps.base import Step

class Shout(Step):
    """Keep answers with at least ``marks`` exclamation marks."""

    def __init__(self, marks: int = 1):
        super().__init__()
        self.marks = marks

    def apply(self, groups):
        for group in groups:
            before = len(group.samples)
            group.samples = [s for s in group.samples if s.answer.content.count("!") >= self.marks]
            self.counts["dropped: quiet"] += before - len(group.samples)
            yield group

class Forgetful(Step):
    def __init__(self):
        pass

    def apply(self, groups):
        return groups

class Idle(Step):
    """Has no apply()."""

class Stranger:
    pass
'''


class Odd(Step):
    """Drops odd rows and everything of row 2, and notes what happens to it."""

    def __init__(self, log: list[str], name: str = "odd", fails: str = ""):
        super().__init__()
        self.log, self.name, self.fails = log, name, fails

    def prepare(self, context: Context) -> None:
        if self.fails == "prepare":
            raise RuntimeError("cannot start")
        self.log.append(f"{self.name} prepared")

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for found in groups:
            self.log.append(f"{self.name} has {found.prompt.row}")
            if self.fails == str(found.prompt.row):
                raise RuntimeError("stumbled")
            if found.prompt.row % 2:
                self.counts["dropped prompts: odd"] += 1
                continue
            if found.prompt.row == 2:
                self.counts["dropped: second"] += len(found.samples)
                found.samples = []
            yield found

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


def composed(*overrides: str, dirs: tuple[str, ...] = (), **given: Any) -> tuple[Any, Context]:
    config, problems = attempt(overrides, dirs)
    assert config is not None and problems == []
    resolved = resolve(config)
    return resolved["steps"], context(config=resolved, **given)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "steps_lab.py").write_text(MINE)
    (tmp_path / "my_conf/steps").mkdir(parents=True)
    (tmp_path / "my_conf/steps/shout.yaml").write_text(
        "# @package steps.shout\n_target_: steps_lab.Shout\nmarks: 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("R1LAB_PACKAGES", "steps_lab")
    return str(tmp_path / "my_conf")


def test_the_default_steps_make_one_right_answer_a_prompt() -> None:
    nodes, around = composed()
    steps, problems = runner.check(nodes, around)
    assert problems == []
    long = Answer(boxed(7) + " Sure.", completion_tokens=30)
    short = Answer(boxed(7), completion_tokens=20)
    cut = Answer(boxed(7), finish_reason="length", completion_tokens=10)
    groups = [
        group(0, long, cut, short, boxed(8), gold="7"),
        group(1, boxed(1), gold="2"),
        group(2, long, gold="7", text="Question 0?"),
    ]
    flow = runner.run(steps, groups, around)
    assert left(flow) == {0: [2]}
    assert [row["step"] for row in flow.rows()] == [runner.ANSWERED, *nodes]


def test_steps_work_in_the_order_in_which_they_are_named() -> None:
    nodes, around = composed("steps=[choose,truncated]", "steps.choose.only_right=false")
    steps, problems = runner.check(nodes, around)
    assert (problems, list(steps)) == ([], ["choose", "truncated"])
    cut, whole = Answer("7", finish_reason="length", completion_tokens=1), Answer(boxed(7))
    assert left(runner.run(steps, [group(0, cut, cut), group(1, whole)], around)) == {1: [0]}


def test_parameters_on_the_command_line_and_a_step_twice() -> None:
    nodes, around = composed(
        "steps=[reward,verify,pass_rate]",
        "+steps@steps.reward_2=reward",
        "steps.reward.of={format: 1, cosine: {min: 0.2, max: 0.9}}",
        "steps.reward_2.of={tag_count: 1}",
        "rewards=[cosine]",
        "rewards.cosine.length_unit=chars",
        "steps.pass_rate.min=null",
    )
    steps, problems = runner.check(nodes, around)
    assert problems == []
    assert list(steps) == ["reward", "verify", "pass_rate", "reward_2"]
    bounds = steps["reward"].bounds  # type: ignore[attr-defined]
    assert (bounds["format"].min, bounds["cosine"].max) == (1, 0.9)
    assert steps["pass_rate"].min is None  # type: ignore[attr-defined]


def test_a_misspelt_step_is_answered_with_the_nearest() -> None:
    _, [problem] = attempt(["steps=[truncated,verfy]"])
    assert problem.key == "steps"
    assert "'verfy'" in problem.message and "did you mean verify?" in problem.fix


def test_everything_that_is_wrong_is_said_at_once() -> None:
    nodes, around = composed(
        "steps=[pass_rate,verify,choose]",
        "steps.pass_rate.max=90",
        "steps.verify.keep=wrong",
        "+steps.truncated.think_tag=plan",
        has_gold=False,
    )
    nodes["choose"] |= {"kk": 2}
    _, problems = runner.check(nodes, around)
    assert [problem.key for problem in problems] == [
        "steps.pass_rate.max",
        "steps.verify.keep",
        "steps.choose.kk",
        "steps.truncated",
    ]
    assert problems[2].fix == "did you mean steps.choose.k?"
    assert "has parameters but is not selected" in problems[3].message


def test_a_step_that_is_wrong_itself_does_not_make_those_after_it_wrong() -> None:
    nodes, around = composed("steps=[verify,pass_rate]", "steps.verify.batch_size=0")
    _, [problem] = runner.check(nodes, around)
    assert problem.key == "steps.verify.batch_size"


def test_a_step_of_one_s_own_from_outside(lab: str) -> None:
    nodes, around = composed("steps=[truncated,shout]", "steps.shout.marks=3", dirs=(lab,))
    steps, problems = runner.check(nodes, around)
    assert problems == []
    flow = runner.run(steps, [group(0, "7!!", "7!!!"), group(1, "7")], around)
    assert left(flow) == {0: [1]}
    assert flow.rows()[-1] == {
        "step": "shout",
        "prompts_in": 2,
        "prompts_out": 1,
        "samples_in": 3,
        "samples_out": 1,
        "counts": {"dropped: quiet": 2, "dropped prompts: no sample left": 1},
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Stranger", "is no step"),
        ("Idle", "does nothing"),
        ("Forgetful", "super().__init__()"),
        ("Shuot", "did you mean steps_lab.Shout?"),
    ],
)
def test_what_is_no_step_is_refused(lab: str, name: str, said: str) -> None:
    steps, [problem] = runner.check({"mine": {"_target_": f"steps_lab.{name}"}}, context())
    assert steps == {}
    assert problem.key == "steps.mine._target_"
    assert said in f"{problem.message} {problem.fix}"


def test_one_group_passes_all_steps_before_the_next_is_read() -> None:
    log: list[str] = []
    read: list[int] = []

    def source() -> Iterator[Group]:
        for row in range(4):
            log.append(f"read {row}")
            yield group(row, "7")

    flow = runner.run(
        {"a": Odd(log, "a"), "b": Odd(log, "b")}, source(), context(), progress=read.append
    )
    assert next(flow).prompt.row == 0
    assert log == ["a prepared", "b prepared", "read 0", "a has 0", "b has 0"]
    assert left(flow) == {}
    assert log[5:] == [
        "read 1",
        "a has 1",
        "read 2",
        "a has 2",
        "read 3",
        "a has 3",
        "b closed",
        "a closed",
    ]
    assert sum(read) == 4


def test_steps_are_closed_where_something_fails_or_the_rest_is_not_wanted() -> None:
    log: list[str] = []
    groups = [group(row, "7") for row in range(6)]
    broken = runner.run({"a": Odd(log, "a"), "b": Odd(log, "b", fails="4")}, groups, context())
    with pytest.raises(RuntimeError, match="stumbled"):
        list(broken)
    assert log[-2:] == ["b closed", "a closed"]

    log.clear()
    with pytest.raises(RuntimeError, match="cannot start"):
        next(runner.run({"a": Odd(log, "a"), "b": Odd(log, fails="prepare")}, groups, context()))
    assert log == ["a prepared", "a closed"]

    log.clear()
    flow = runner.run({"a": Odd(log, "a")}, groups, context())
    next(flow)
    flow.close()
    assert log[-1] == "a closed"


def test_a_prompt_without_an_answer_is_counted_and_goes_nowhere() -> None:
    log: list[str] = []
    flow = runner.run({"a": Odd(log)}, [group(0), group(4, "7")], context())
    assert left(flow) == {4: [0]}
    assert flow.rows()[0]["counts"] == {"dropped prompts: no sample left": 1}
    assert "odd has 0" not in log


def test_a_second_run_counts_from_zero() -> None:
    steps = {"a": Odd([])}
    rows = []
    for _ in range(2):
        flow = runner.run(steps, [group(row, "7") for row in range(4)], context())
        list(flow)
        rows.append(flow.rows())
    assert rows[0] == rows[1]


def test_the_table_and_the_metrics_say_what_was_left() -> None:
    flow = runner.run({"odd": Odd([])}, [group(row, "7", "8") for row in range(1000)], context())
    list(flow)
    printed = StringIO()
    Console(file=printed, width=120).print(runner.table(flow.rows()))
    lines = printed.getvalue().splitlines()
    assert lines[1].split() == ["(answers)", "1,000", "2,000"]
    said = "dropped prompts: odd: 500, dropped: second: 2, dropped prompts: no sample left: 1"
    assert lines[2].split(maxsplit=3) == ["odd", "499", "998", said]
    numbers = runner.metrics(flow.rows())
    assert (numbers["steps/answers/samples_in"], numbers["steps/odd/prompts_out"]) == (2000, 499)


def random_group(row: int, chance: random.Random) -> Group:
    given = [
        Answer(
            chance.choice(
                [boxed(row % 5), boxed(3), "<think>hm", "", f"a b c d e f {boxed(row % 5)}"]
            ),
            chance.choice([None, "so"]),
            chance.choice(["stop", "stop", "length", None]),
            completion_tokens=chance.choice([None, chance.randrange(50)]),
        )
        for _ in range(chance.randrange(6))
    ]
    gold = chance.choice([str(row % 5), str(row % 5), "", None])
    return group(row, *given, gold=gold, text=f"Question {chance.randrange(40)}?")


@pytest.mark.parametrize("seed", range(20))
def test_the_counts_add_up_in_any_order_of_steps(seed: int) -> None:
    chance = random.Random(seed)
    names = ["truncated", "duplicates", "verify", "reward", "pass_rate", "choose"]
    chance.shuffle(names)
    nodes, around = composed(
        f"steps=[{','.join(names)}]",
        "steps.reward.of={tag_count: {max: 0.5}}",
        f"steps.verify.keep={chance.choice(['right', 'not_wrong', 'all'])}",
        f"steps.duplicates.scope={chance.choice(['prompt', 'all'])}",
        f"steps.choose.only_right={chance.choice(['true', 'false'])}",
        f"steps.choose.k={chance.choice(['1', '2', 'null'])}",
        f"steps.pass_rate.max={chance.choice(['0.9', 'null'])}",
    )
    steps, _ = runner.check({name: nodes[name] for name in names}, around)
    groups = [random_group(row, chance) for row in range(80)]
    sizes = {made.prompt.row: len(made.samples) for made in groups}
    flow = runner.run(steps, groups, around)
    kept = left(flow)
    first, *rows = flow.rows()
    assert (first["prompts_in"], first["samples_in"]) == (80, sum(sizes.values()))
    assert (rows or [first])[-1]["prompts_out"] == len(kept)
    assert (rows or [first])[-1]["samples_out"] == sum(map(len, kept.values()))
    assert all(len(set(numbers)) == len(numbers) <= sizes[row] for row, numbers in kept.items())
    for before, row in zip([first, *rows], rows, strict=False):
        assert (row["prompts_in"], row["samples_in"]) == (
            before["prompts_out"],
            before["samples_out"],
        )
        gone = _total(row, "dropped prompts: ")
        assert row["prompts_in"] - row["prompts_out"] == gone
        lost = row["samples_in"] - row["samples_out"] - _total(row, "dropped: ")
        whole = gone - row["counts"].get("dropped prompts: no sample left", 0)
        assert lost >= whole if whole else lost == 0


def _total(row: dict[str, Any], prefix: str) -> int:
    return sum(count for why, count in row["counts"].items() if why.startswith(prefix))
