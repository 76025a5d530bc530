"""The command line itself: what it prints, what it exits with, and how little it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli

HEAVY = ("torch", "transformers", "trl", "mlflow", "datasets", "peft", "pandas", "vllm")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--cfg", "job"], ["plan", "rewards=[accuracy,cosine]"], ["plan", "--json"]],
    ids=lambda arguments: " ".join(arguments),
)
def test_looking_imports_nothing_heavy(cli: Cli, arguments: list[str]) -> None:
    code = (
        "import sys; from r1lab.cli import main; code = main(sys.argv[1:]);"
        f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr);"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cli.folder,
        env=cli.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stderr
    assert not list(cli.folder.iterdir()), "looking leaves nothing behind"


def test_help_lists_every_group_and_its_options(cli: Cli) -> None:
    said = cli("--help").stdout
    for part in (
        "plan",
        "rewards",
        "cosine",
        "deepspeed_z3",
        "qwen2_5_7b",
        "quickstart",
        "dr_grpo",
    ):
        assert part in said


def test_plan_json_is_one_object(cli: Cli) -> None:
    done = cli("plan", "--json", "model=qwen2_5_7b", "data=gsm8k", "hardware=deepspeed_z3")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    parts = {"layout", "batch", "memory", "cost"}
    assert set(found) == {"errors", "warnings", "config", *parts}
    assert found["errors"] == []
    assert found["config"]["hardware"]["zero_stage"] == 3
    assert found["batch"]["processes"] == 8


def test_plan_masks_secrets(cli: Cli) -> None:
    done = cli("plan", "--json", "tracking.uri=http://me:hunter2secret@example.org")
    assert "hunter2secret" not in done.stdout


def test_own_configs_and_rewards_from_outside(cli: Cli) -> None:
    (cli.folder / "mylab.py").write_text(
        "class Short:\n"
        '    """1 for an answer of at most ``words`` words."""\n'
        "    def __init__(self, words: int = 5):\n"
        "        self.words = words\n"
        "    def __call__(self, completions, **kwargs):\n"
        "        return [1.0 for _ in completions]\n"
    )
    folder = cli.folder / "mine" / "rewards"
    folder.mkdir(parents=True)
    (folder / "short.yaml").write_text(
        "# @package rewards.short\n_target_: mylab.Short\nweight: 0.5\nwords: 3\n"
    )
    line = ["plan", "--json", "--config-dir", "mine", "rewards=[accuracy,short]"]
    refused = json.loads(cli(*line).stdout)
    assert "R1LAB_PACKAGES" in refused["errors"][0]["fix"]
    done = cli(*line, "rewards.short.words=4", R1LAB_PACKAGES="mylab")
    assert json.loads(done.stdout)["config"]["rewards"]["short"]["words"] == 4
    wrong = cli(*line, "rewards.short.wrds=4", R1LAB_PACKAGES="mylab")
    assert "rewards.short.words" in json.loads(wrong.stdout)["errors"][0]["fix"]
    typed = cli(*line, "rewards.short.words=many", R1LAB_PACKAGES="mylab")
    assert json.loads(typed.stdout)["errors"][0]["key"] == "rewards.short.words"


def test_a_shadowed_config_is_refused(cli: Cli) -> None:
    folder = cli.folder / "mine" / "rewards"
    folder.mkdir(parents=True)
    (folder / "accuracy.yaml").write_text("# @package rewards.accuracy\n_target_: x.Y\n")
    done = cli("--config-dir", "mine", "seed=1")
    assert done.returncode == 2
    assert "rename it" in done.stderr


def test_the_same_reward_twice(cli: Cli) -> None:
    second = "+rewards@rewards.cosine_long=cosine"
    done = cli("plan", "--json", "rewards=[cosine]", second, "rewards.cosine_long.max_len=4000")
    rewards = json.loads(done.stdout)["config"]["rewards"]
    assert {name: node["max_len"] for name, node in rewards.items()} == {
        "cosine": 1000,
        "cosine_long": 4000,
    }


def test_another_run_does_not_take_a_name_that_is_in_use(cli: Cli) -> None:
    folder = cli.folder / "outputs" / "mine"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": "failed", "fingerprint": "another"}))
    done = cli("run_name=mine")
    assert done.returncode == 2
    assert "another configuration" in done.stderr and "resume=never" in done.stderr
    assert [path.name for path in Path(folder).iterdir()] == ["status.json"]
