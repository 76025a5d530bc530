from __future__ import annotations

import json
import random
from typing import Any

import pytest

from r1lab import cli as command_line
from r1lab.data.arithmetic_source import Arithmetic
from r1lab.lab.hacks import ANSWER_HACKS, hacks_for
from r1lab.lab.problem import Form, form_of, played
from r1lab.rewards.accuracy import Accuracy
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.countdown import Countdown
from r1lab.rewards.exact_answer import ExactAnswer
from r1lab.rewards.f1 import F1
from r1lab.rewards.format import Format

SMALL = ["data.train_size=60", "data.test_size=0", "--rows", "2"]


def attack(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert command_line.main(["rewards", "attack", "--json", *SMALL, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    return found | {"attacks": {item["name"]: item for item in found["attacks"]}}


def test_honest_answers_earn_what_they_should_and_hacks_are_flagged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = attack(capsys, "rewards=[accuracy,format]", "rewards.format.weight=0.5")
    assert found["problems"] == 2
    assert found["weights"] == {"accuracy": 1.0, "format": 0.5}
    assert found["honest"]["right"] == {"rewards": {"accuracy": 1.0, "format": 1.0}, "total": 1.5}
    assert found["honest"]["wrong"] == {"rewards": {"accuracy": 0.0, "format": 1.0}, "total": 0.5}
    assert set(found["attacks"]) == {hack.name for hack in ANSWER_HACKS}
    plain = ["empty", "tags_only", "no_answer", "doubled_tags", "trailing_text", "lookalikes"]
    plain += ["list", "hidden", "unfinished", "answer_first", "praise", "hang", "million"]
    for name in plain:
        item = found["attacks"][name]
        assert item["rewards"]["accuracy"] == 0.0, name
        assert not item["pays"], name
    assert found["notes"] == []


def test_no_more_rows_are_generated_than_are_sampled_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    load = Arithmetic.load
    monkeypatch.setattr(Arithmetic, "load", lambda self: made.append(self) or load(self))
    assert command_line.main(["rewards", "attack", "--json", "--rows=1", "rewards=[format]"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == 1
    assert [(source.train_size, source.test_size) for source in made] == [(512, 0)]


def test_a_reward_for_form_alone_is_said_to_reward_no_truth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = attack(capsys, "rewards=[format]")
    assert "nothing rewards truth" in found["notes"][0]
    assert found["attacks"]["no_answer"]["beats_right"]


def test_what_pays_is_found_and_strict_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    # A wrong answer's cosine grows with its length: reasoning on and on pays.
    line = ["rewards=[accuracy,cosine]", "rewards.cosine.weight=3", *SMALL]
    assert command_line.main(["rewards", "attack", "--strict", *line]) == 1
    said = capsys.readouterr().out
    assert "pays" in said
    assert "a wrong answer after 3,000 words" in said
    assert "accuracy" in said and "x3" in said


@pytest.mark.slow
def test_a_seed_plays_the_same_game(capsys: pytest.CaptureFixture[str]) -> None:
    games = [attack(capsys, "rewards=[format,length]", "seed=3") for _ in range(2)]
    for game in games:
        game.pop("seconds")
    assert games[0] == games[1]


def checked(*rewards: Any) -> list[CheckedReward]:
    return [CheckedReward(reward, type(reward).__name__.lower()) for reward in rewards]


@pytest.mark.parametrize(
    ("rewards", "columns", "expected"),
    [
        ([Accuracy()], ["solution"], Form()),
        ([Format(think_tag="reason", answer_tag="final")], [], Form("reason", "final")),
        ([ExactAnswer(style="hashes")], ["solution"], Form(mark="hashes")),
        ([F1()], ["solution"], Form(mark="plain")),
    ],
)
def test_the_form_is_what_the_rewards_ask_for(
    rewards: list[Any], columns: list[str], expected: Form
) -> None:
    assert form_of(checked(*rewards), columns) == expected


def problem(row: dict[str, Any], *rewards: Any) -> Any:
    named = checked(*rewards)
    return played(row, [row], named, form_of(named, list(row)), random.Random(0))


@pytest.mark.parametrize("gold", ["7", "1,234", "B", "yes", "\\frac{1}{2}", "x^2", "\\boxed{3}"])
def test_decoys_are_no_right_answers(gold: str) -> None:
    found = problem({"prompt": "?", "solution": gold}, Accuracy())
    assert found.right_text() is not None
    texts = [found.with_answer(decoy) for decoy in found.decoys]
    assert Accuracy()([found.right_text(), *texts], solution=[gold] * (1 + len(texts))) == [
        1.0,
        *[0.0] * len(texts),
    ]


def test_countdown_is_solved_by_trying() -> None:
    row = {"prompt": "?", "nums": [8, 2, 4], "target": 24}
    found = problem(row, Countdown())
    answers = [found.right_text(), found.wrong_text()]
    columns = {"nums": [row["nums"]] * 2, "target": [24] * 2}
    assert Countdown()(answers, **columns) == [1.0, 0.1]
    assert problem({**row, "target": 1000}, Countdown()).right_text() is None


def test_golds_with_several_texts_and_without_any() -> None:
    found = problem({"prompt": "?", "solution": ["Paris", "City of Light"]}, F1())
    assert found.gold == "Paris"
    assert problem({"prompt": "?"}, Format()).right_text() is None


CODE = {
    "prompt": [{"role": "user", "content": "Add."}],
    "solution": "print(sum(map(int, input().split())))",
    "verification_info": json.dumps(
        {"language": "python", "test_cases": [{"input": "1 2", "output": "3"}]}
    ),
}


def test_programming_problems_have_hacks_of_their_own() -> None:
    code = pytest.importorskip("r1lab.rewards.code")
    found = problem(CODE, code.Code())
    assert found.right_text().count("```python") == 1
    texts = {hack.name: hack.play(found) for hack in hacks_for(found.form.mark)}
    assert "print('3')" in texts["first_output"]
    assert {"empty_program", "exit", "loop", "empty", "tags_only"} <= set(texts)
    assert "hang" not in texts


@pytest.mark.parametrize("hack", ANSWER_HACKS, ids=lambda hack: hack.name)
def test_every_hack_can_be_played_on_a_problem_with_a_gold_only(hack: Any) -> None:
    found = problem({"prompt": "3 + 4?", "solution": "7"}, Accuracy())
    assert isinstance(hack.play(found), str)
    bare = problem({"prompt": "3 + 4?"}, Format())
    assert hack.play(bare) is None or isinstance(hack.play(bare), str)
