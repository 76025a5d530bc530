"""The command line of the lab: what it takes, what it refuses, and where it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from r1lab import cli as command_line
from r1lab.errors import ConfigError
from r1lab.lab import command
from tests.conftest import Cli

RIGHT = "<think>\n3 + 4\n</think>\n<answer>\n\\boxed{7}\n</answer>"
ROWS: list[dict[str, Any]] = [
    {"completion": RIGHT, "solution": "7", "prompt": "3 + 4?", "id": "a"},
    {"completion": "\\boxed{8}", "solution": "7", "prompt": "3 + 4?", "id": "b"},
    {
        "completion": [{"role": "assistant", "content": "\\boxed{\\frac{1}{2}}"}],
        "solution": "0.5",
        "prompt": "1 / 2?",
    },
    {"completion": "\\boxed{1}", "solution": None, "prompt": "1 / 2?"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "rows.jsonl").write_text(lines + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lab(*arguments: str) -> int:
    return command_line.main(["rewards", *arguments])


@pytest.mark.usefixtures("folder")
def test_score_prints_one_object_with_values_in_the_rows_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = lab(
        "score", "rows.jsonl", "rewards=[accuracy,format]", "rewards.format.weight=0.5", "--json"
    )
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert code == 0
    assert list(found)[:5] == ["n", "seconds", "rewards", "total", "counts"]
    assert found["n"] == 4
    assert found["rewards"] == {"accuracy": [1.0, 0.0, 1.0, None], "format": [1.0, 0.0, 0.0, 0.0]}
    assert found["total"] == [1.5, 0.0, 1.0, 0.0]
    assert found["counts"] == {"accuracy": {"unparseable": 1}}
    assert 0 < found["seconds"] < 60
    assert found["summary"]["accuracy"]["zero_variance"] == 0.0
    assert "1 blank line" in said.err
    assert said.out.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_score_is_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab("score", "rows.jsonl", "rewards=[accuracy,cosine]", "--rows", "2") == 0
    said = capsys.readouterr()
    for part in (
        "accuracy",
        "cosine",
        "total",
        "2 more rows",
        "Pearson",
        "unparseable 1",
        "4 rows",
    ):
        assert part in said.out
    assert "r1lab:tiny, the default model" in said.err


@pytest.mark.usefixtures("folder")
def test_rewards_that_disagree_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lab("score", "rows.jsonl", "rewards=[accuracy,exact_answer]", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["disagreements"] == {"count": 1, "rows": [2]}  # 1/2 is 0.5, and not written so


@pytest.mark.usefixtures("folder")
def test_slowest_rows_are_timed_alone_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    lab("score", "rows.jsonl", "rewards=[accuracy]", "--json", "--slowest=2")
    found = json.loads(capsys.readouterr().out)["slowest"]
    assert found["timed"] == 4
    assert len(found["rows"]) == 2
    assert found["rows"][0]["seconds"] >= found["rows"][1]["seconds"] > 0


def test_prefill_belongs_to_the_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"completion": RIGHT.removeprefix("<think>\n")}
    (folder / "cut.jsonl").write_text(json.dumps(row))
    lab("score", "cut.jsonl", "rewards=[format]", "--json")
    assert json.loads(capsys.readouterr().out)["rewards"]["format"] == [0.0]
    lab("score", "cut.jsonl", "rewards=[format]", "--json", "--prefill", "<think>\n")
    assert json.loads(capsys.readouterr().out)["rewards"]["format"] == [1.0]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said", "fix"),
    [
        (["scor", "rows.jsonl"], "scor: is not a subcommand", "did you mean score?"),
        (["score"], "FILE: is missing", "score FILE.jsonl"),
        (["score", "rows.jsonl", "rows.jsonl"], "one is scored at a time", "name one"),
        (["score", "nofile.jsonl"], "cannot be read: No such file", "a .jsonl file"),
        (["score", "."], "holds no plan.json", "outputs/NAME"),
        (["score", "rows.jsonl", "--jsn"], "--jsn: is not a flag", "did you mean --json?"),
        (["score", "rows.jsonl", "--rewards=f1"], "--rewards=f1", "no dashes: rewards=f1"),
        (["score", "rows.jsonl", "accuracy"], "are several", "'rewards=[accuracy,format]'"),
        (["score", "rows.jsonl", "--strict"], "--strict: is a flag of `rewards audit`", "leave"),
        (["score", "rows.jsonl", "--rows", "many"], "--rows = 'many'", "--rows 10"),
        (["score", "rows.jsonl", "--prefill"], "--prefill: needs a value", "VALUE"),
        (["score", "rows.jsonl", "rewards=[acuracy]"], "rewards = '[acuracy]'", "accuracy?"),
        (["score", "rows.jsonl", "rewards=[]"], "rewards = []", "rewards=[accuracy,format]"),
        (["score", "rows.jsonl", "trainer=sft"], "rewards = []", "rewards=[accuracy,format]"),
        (
            ["score", "rows.jsonl", "rewards=[cosine]", "rewards.cosine.max_lne=1"],
            "rewards.cosine.max_lne",
            "did you mean rewards.cosine.max_len?",
        ),
        (
            ["score", "rows.jsonl", "rewards=[countdown]"],
            "needs the column 'nums', and rows.jsonl has it in no row (columns: completion, ",
            "add 'nums'",
        ),
        (["audit", "rows.jsonl"], "`rewards audit` reads no file", "key=value"),
        (["audit", "data=gsm9k"], "data = 'gsm9k'", "gsm8k?"),
        (["audit", "data.columns.solution=null"], "has no golds", "data.columns.solution"),
        (["attack", "rewards=[countdown]"], "needs the column", "data.columns"),
    ],
)
def test_mistakes_are_answered_with_key_value_and_fix(
    arguments: list[str], said: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab(*arguments) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert fix in found.err
    assert "fix:" in found.err
    assert found.out == ""


@pytest.mark.usefixtures("folder")
def test_mistakes_are_told_together_and_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["rewards=[acuracy]", "rewards.accuracy.deadline_s=-1", "model=tinny"]
    assert lab("score", "rows.jsonl", "--json", *wrong) == 2
    found = capsys.readouterr()
    keys = {row["key"] for row in json.loads(found.out)["errors"]}
    assert {"rewards", "model"} <= keys
    assert "problems in the configuration" in found.err


@pytest.mark.usefixtures("folder")
def test_an_override_without_effect_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab("score", "rows.jsonl", "rewards=[format]", "data=gsm8k", "--json") == 0
    assert "data is not used by `rewards score`" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["score", "-h"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert lab(*arguments) == 0
    found = capsys.readouterr().out
    for part in ("score FILE", "audit data=NAME", "attack", "--json", "--strict"):
        assert part in found


def test_the_verb_is_in_the_general_help(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main(["--help"])
    assert "score completions, audit golds, play known hacks" in capsys.readouterr().out


def test_a_path_may_hold_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=3.jsonl").write_text("")
    request = command.parse(["score", "lr=3.jsonl", "seed=3", "--config-dir", "mine"])
    assert (request.files, request.overrides) == (["lr=3.jsonl"], ["seed=3"])
    assert request.dirs == ["mine"]
    with pytest.raises(ConfigError, match="needs a value"):
        command.parse(["score", "lr=3.jsonl", "--config-dir"])


def test_a_reward_from_outside(cli: Cli, folder: Path) -> None:
    (folder / "mylab.py").write_text(
        "class Short:\n"
        '    """1 for an answer of few words."""\n'
        "    def __init__(self, words: int = 5):\n"
        "        self.words = words\n"
        "    def __call__(self, completions, **kwargs):\n"
        "        return [float(len(str(c).split()) <= self.words) for c in completions]\n"
    )
    (folder / "mine" / "rewards").mkdir(parents=True)
    (folder / "mine/rewards/short.yaml").write_text(
        "# @package rewards.short\n_target_: mylab.Short\nweight: 1.0\nwords: 3\n"
    )
    line = ["rewards", "score", "rows.jsonl", "rewards=[short]", "--config-dir", "mine", "--json"]
    done = cli(*line, R1LAB_PACKAGES="mylab")
    assert json.loads(done.stdout)["rewards"]["short"] == [0.0, 1.0, 0.0, 1.0]
    refused = cli(*line)
    assert refused.returncode == 2
    assert "R1LAB_PACKAGES" in refused.stderr


def test_standard_input_and_nothing_else_on_standard_output(cli: Cli) -> None:
    hostile = [
        {"completion": "\\boxed{9^{9^{9^9}}}", "solution": "x^2"},
        {"completion": "\\boxed{" + "(" * 100_000 + "}", "solution": "x^2"},
        {"completion": "y" * 1_000_000, "solution": "x^2"},
        {"completion": "\\boxed{x \\cdot x}", "solution": "x^2"},
        {"completion": "", "solution": "x^2"},
    ]
    deadlines = ["rewards.accuracy.deadline_s=3", "rewards.cosine.deadline_s=3"]
    line = ["rewards", "score", "-", "--json", "rewards=[accuracy,cosine]", *deadlines]
    done = subprocess.run(
        [sys.executable, "-m", "r1lab", *line],
        input="".join(json.dumps(row) + "\n" for row in hostile),
        cwd=cli.folder,
        env=cli.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rewards"]["accuracy"] == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert found["n"] == len(found["total"]) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "rows.jsonl", "rewards=[accuracy,cosine,format]"],
        ["audit", "data.train_size=50", "data.test_size=5"],
        ["attack", "rewards=[format,length]", "data.train_size=50", "--rows", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_lab_imports_no_torch(cli: Cli, folder: Path, arguments: list[str]) -> None:
    code = (
        "import sys; from r1lab.cli import main; code = main(sys.argv[1:]);"
        "print('heavy:', sorted({'torch', 'transformers', 'trl', 'mlflow'} & set(sys.modules)),"
        " file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "rewards", *arguments],
        cwd=folder,
        env=cli.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stderr
