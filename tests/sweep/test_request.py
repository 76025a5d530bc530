"""A sweep's line before anything starts: mistakes, its name, and what a sampler may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.sweep import request
from tests.conftest import Cli

OPTUNA = "hydra/sweeper=optuna"
RATE = "trainer.args.learning_rate"


def problems(*overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        request.check(list(overrides), [])
    return {problem.key: f"{problem.message}; {problem.fix}" for problem in error.value.problems}


@pytest.mark.parametrize(
    ("overrides", "key", "said"),
    [
        (["seed=1,2", "hydra/launcher=basic"], "hydra/launcher", "hydra/launcher=local"),
        (["seed=1,2", "sweep.seeds=[1,2]"], "sweep.seeds", "leave out seed"),
        (["seed=1,2", "hydra.launcher.parallel=0"], "hydra.launcher.parallel", "1 or more"),
        (["seed=1,2", "hydra.launcher.parallel=x"], "hydra.launcher.parallel", "1 or more"),
        (["sweep.seeds=[1,1]"], "sweep.seeds", "twice"),
        (["seed=1,2", "sweep.name=a/b"], "sweep.name", "no safe folder name"),
        ([f"{RATE}=interval(1e-6,1e-4)"], RATE, "hydra/sweeper=optuna"),
        (["seed=1,2", "trainer.args.lerning_rate=1"], "trainer.args.lerning_rate", RATE),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    overrides: list[str], key: str, said: str
) -> None:
    found = problems(*overrides)
    assert list(found) == [key]
    assert said in found[key]


def test_all_points_of_a_grid_are_checked_and_each_mistake_told_once() -> None:
    found = problems("seed=1,abc", "rewards=[accuracy],[acuracy]")
    assert set(found) == {"seed", "rewards"}


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ([OPTUNA, "rewards=[accuracy],[acuracy]", f"{RATE}=interval(1e-6,1e-4)"], "rewards"),
        ([OPTUNA, f"{RATE}=interval(-1.0,1e-4)"], RATE),
        ([OPTUNA, "hydra/sweeper/sampler=grid", "seed=1,2"], "hydra/sweeper/sampler"),
        ([OPTUNA, "hydra.sweeper.storage=sqlite:///x.db", "seed=1,2"], "hydra.sweeper.storage"),
    ],
)
def test_what_a_sampler_may_ask_for_is_checked(overrides: list[str], key: str) -> None:
    pytest.importorskip("optuna")
    assert list(problems(*overrides)) == [key]


@pytest.mark.parametrize(
    ("override", "extra"),
    [(OPTUNA, "r1lab[optuna]"), ("hydra/launcher=submitit_slurm", "r1lab[slurm]")],
)
def test_a_plugin_that_is_not_installed_comes_with_its_command(
    monkeypatch: pytest.MonkeyPatch, override: str, extra: str
) -> None:
    monkeypatch.setattr(request, "_has", lambda module: False)
    with pytest.raises(PrerequisiteError) as error:
        request.check(["seed=1,2", override], [])
    assert error.value.install == f"pip install '{extra}'"


def test_the_same_line_in_another_order_is_the_same_sweep() -> None:
    name = request.derived_name(["seed=1,2", "hardware=cpu"])
    assert name.startswith("seed-")
    assert request.derived_name(["hardware=cpu", "seed=1,2"]) == name
    same = ["hydra.launcher.parallel=2", "objective=train_loss", "sweep.seeds=[1]", "output_dir=x"]
    assert request.derived_name(["seed=1,2", "hardware=cpu", *same]) == name
    assert request.derived_name(["seed=1,3", "hardware=cpu"]) != name


def test_a_name_says_what_is_swept_and_is_safe_in_a_path() -> None:
    name = request.derived_name([f"{RATE}=1e-6,1e-5", "rewards=[accuracy],[format]", "seed=1"])
    assert name.startswith("learning_rate-rewards-")
    assert "/" not in request.derived_name(["model/peft=none,lora"])


def test_hydra_is_told_the_name_and_the_config_folders(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 5\n")
    checked = request.check(["experiment=mine", "seed=1,2"], [str(tmp_path)])
    assert f"hydra.searchpath=[file://{tmp_path}]" in checked.arguments
    assert any(item.startswith("sweep.name=seed-") for item in checked.arguments)


def test_an_experiment_may_say_what_it_sweeps(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    written = '# @package _global_\nhydra: {sweeper: {params: {seed: "1,2", '
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text(written + f'{RATE}: "1e-6,1e-5"}}}}}}\n')
    checked = request.check(["experiment=mine"], [str(tmp_path)])
    assert checked.warnings == []
    assert any("sweep.name=seed-learning_rate-" in item for item in checked.arguments)
    file.write_text(written + f'{RATE}: "1e-6,-1"}}}}}}\n')
    with pytest.raises(ConfigError, match="learning_rate"):
        request.check(["experiment=mine"], [str(tmp_path)])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seed=1"], "one point"),
        (["seed=1,2", "trainer.evaluation.enabled=false"], "trainer.evaluation"),
        ([OPTUNA, "seed=1,2", "objective=train_loss"], "direction=minimize"),
        ([OPTUNA, "seed=1,2", "hydra.sweeper.sampler.seed=null"], "sampler.seed is null"),
    ],
)
def test_what_would_surprise_is_warned_of(overrides: list[str], said: str) -> None:
    if OPTUNA in overrides:
        pytest.importorskip("optuna")
    (warning,) = request.check(overrides, []).warnings
    assert said in warning


def test_an_ordinary_sweep_warns_of_nothing() -> None:
    assert request.check(["seed=1,2"], []).warnings == []


def test_optuna_starts_from_our_values(cli: Cli) -> None:
    pytest.importorskip("optuna")
    shown = cli("--cfg", "hydra", OPTUNA, "-p", "hydra.sweeper").stdout
    for line in ("direction: maximize", "study_name: ${sweep.name}", "seed: 0"):
        assert line in shown


def test_seeds_belong_to_a_sweep(cli: Cli) -> None:
    done = cli("sweep.seeds=[1,2]")
    assert done.returncode == 2
    assert "add -m" in done.stderr


def test_plan_imports_no_sampler_and_no_scheduler() -> None:
    """Hydra imports every module under hydra_plugins whenever it composes."""
    import subprocess
    import sys

    code = (
        "import sys; from r1lab.cli import main; main(['plan']);"
        "print({'optuna', 'submitit', 'scipy', 'alembic'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
