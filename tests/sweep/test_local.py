"""A sweep on this machine: what is kept, what runs again, what a failure or a signal costs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from tests.sweep.fake import ENDLESS, FAILS, PAIR, Sweeps, sweeps

__all__ = ["sweeps"]  # a fixture
pytestmark = pytest.mark.launch
QUIET = "tracking.mlflow=false"


def test_the_same_line_again_runs_nothing_and_a_longer_one_the_rest(sweeps: Sweeps) -> None:
    first = sweeps("-m", "seed=1,2", QUIET)
    assert first.returncode == 0, first.stderr
    assert sweeps.calls == [1, 2]
    again = sweeps("-m", "seed=1,2", QUIET)
    assert again.returncode == 0
    assert "0 to run, 2 finished before" in again.stdout
    assert sweeps.calls == [1, 2]
    name = f"sweep.name={sweeps.sweep.name}"
    longer = sweeps("-m", "seed=3,2,1", QUIET, name)
    assert longer.returncode == 0
    assert sweeps.calls == [1, 2, 3]
    assert sweeps.states() == {1: "finished", 2: "finished", 3: "finished"}


def test_a_point_prints_to_its_log_and_to_the_terminal(sweeps: Sweeps) -> None:
    done = sweeps("-m", "seed=7", QUIET)
    assert "step 1/2  loss 0.7" in done.stdout
    (log,) = sweeps.sweep.glob("points/*/log.txt")
    assert "step 1/2  loss 0.7" in log.read_text()


def test_a_failed_point_costs_the_others_nothing(sweeps: Sweeps) -> None:
    done = sweeps("-m", f"seed=1,{FAILS},2", QUIET)
    assert done.returncode == 1
    assert sweeps.states() == {1: "finished", 2: "finished", FAILS: "failed"}
    assert f"r1lab: seed={FAILS}: RuntimeError: no luck" in done.stderr
    assert "Traceback" not in done.stderr
    (sweeps.folder / "mended").touch()
    again = sweeps("-m", f"seed=1,{FAILS},2", QUIET)
    assert again.returncode == 0, again.stderr
    assert sweeps.calls == [1, FAILS, 2, FAILS]


def test_points_at_once(sweeps: Sweeps) -> None:
    one, other = PAIR
    done = sweeps("-m", f"seed={one},{other}", QUIET, "hydra.launcher.parallel=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sweeps.states() == {one: "finished", other: "finished"}


def test_a_signal_stops_what_runs_and_resume_does_the_rest(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed=1,{ENDLESS},2", QUIET)
    sweeps.until(ENDLESS, "running")
    while ENDLESS not in sweeps.calls:
        pass
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert sweeps.states() == {1: "finished", 2: "pending", ENDLESS: "killed"}
    assert f"sweep resume {sweeps.sweep}" in said
    (sweeps.folder / "go").touch()
    elsewhere = sweeps.folder / "elsewhere"
    elsewhere.mkdir()
    rest = Sweeps(elsewhere)("sweep", "resume", str(sweeps.sweep))
    assert rest.returncode == 0, rest.stderr
    assert sweeps.calls == [1, ENDLESS, ENDLESS, 2]
    # The run went on in its folder, instead of beginning another.
    runs = [path for path in (sweeps.folder / "outputs").iterdir() if path.name != "sweeps"]
    assert len(runs) == 3


def test_what_a_killed_sweep_left_running_is_waited_for(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed={ENDLESS},1", QUIET)
    sweeps.until(ENDLESS, "running")
    process.kill()
    process.wait()
    shown = sweeps("sweep", "status", str(sweeps.sweep), "--json")
    rows = {row["point"]: row for row in json.loads(shown.stdout)["points"]}
    assert rows[f"seed={ENDLESS}"]["state"] == "running"
    again = sweeps.start("-m", f"seed={ENDLESS},1", QUIET)
    assert again.stdout is not None
    assert "1 to run, 1 running or waiting already" in again.stdout.readline()
    (sweeps.folder / "go").touch()
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert sweeps.calls == [ENDLESS, 1]


def test_a_point_that_vanished_is_told_and_run_again(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed={ENDLESS}", QUIET)
    sweeps.until(ENDLESS, "running")
    (status,) = sweeps.sweep.glob("points/*/status.json")
    process.kill()
    process.wait()
    os.kill(json.loads(status.read_text())["pid"], signal.SIGKILL)
    shown = sweeps("sweep", "status", str(sweeps.sweep))
    assert "lost" in shown.stdout and "is gone and left no result" in shown.stdout
    (sweeps.folder / "go").touch()
    again = sweeps("sweep", "resume", str(sweeps.sweep))
    assert again.returncode == 0, again.stderr
    assert sweeps.states() == {ENDLESS: "finished"}


def test_a_point_killed_outright_is_a_failure_with_its_signal(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed={ENDLESS},1", QUIET)
    sweeps.until(ENDLESS, "running")
    (status,) = [
        path
        for path in sweeps.sweep.glob("points/*/status.json")
        if json.loads(path.read_text())["state"] == "running"
    ]
    os.kill(json.loads(status.read_text())["pid"], signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by SIGKILL" in said
    assert sweeps.states() == {1: "finished", ENDLESS: "failed"}


def test_cancel_stops_a_sweep(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed={ENDLESS},1", QUIET)
    sweeps.until(ENDLESS, "running")
    done = sweeps("sweep", "cancel", str(sweeps.sweep))
    assert done.returncode == 0, done.stderr
    assert process.wait(timeout=60) == 130
    assert sweeps.states() == {1: "cancelled", ENDLESS: "killed"}
    (sweeps.folder / "go").touch()
    assert sweeps("sweep", "resume", str(sweeps.sweep)).returncode == 0
    assert sweeps.states() == {1: "finished", ENDLESS: "finished"}


def test_two_starts_of_one_sweep_do_not_run_side_by_side(sweeps: Sweeps) -> None:
    process = sweeps.start("-m", f"seed={ENDLESS}", QUIET)
    sweeps.until(ENDLESS, "running")
    second = sweeps("-m", f"seed={ENDLESS}", QUIET)
    assert second.returncode == 2
    assert f"process {process.pid} is running this sweep" in second.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130


def test_a_run_name_is_told_apart_by_its_points(sweeps: Sweeps) -> None:
    done = sweeps("-m", "seed=1,2", QUIET, "run_name=mine")
    assert done.returncode == 0, done.stderr
    names = {path.name[:5] for path in (sweeps.folder / "outputs").glob("mine*")}
    assert names == {"mine-"}
    assert len(list((sweeps.folder / "outputs").glob("mine-*"))) == 2


def test_seeds_are_one_point_with_an_interval(sweeps: Sweeps) -> None:
    line = ["-m", "trainer.args.learning_rate=1e-9,0.5", "sweep.seeds=[1,2,3]", QUIET]
    done = sweeps(*line)
    assert done.returncode == 0, done.stderr
    assert sorted(sweeps.calls) == [1, 1, 2, 2, 3, 3]
    shown = json.loads(sweeps("sweep", "table", str(sweeps.sweep), "--json").stdout)
    best, other = shown["rows"]
    assert best["settings"] == {"trainer.args.learning_rate": "0.5"}
    assert best["objective"] == pytest.approx(0.52) and best["n"] == 3
    # scipy.stats.t.interval(0.95, 2, loc=0.02, scale=0.01 / sqrt(3))
    assert other["low"] == pytest.approx(0.02 - 0.024841377)
    assert other["high"] == pytest.approx(0.02 + 0.024841377)
    assert other["seeds"] == [1, 2, 3]
    more = sweeps("-m", "trainer.args.learning_rate=1e-9,0.5", "sweep.seeds=[1,2,3,4]", QUIET)
    assert more.returncode == 0
    assert sorted(sweeps.calls)[-2:] == [4, 4] and len(sweeps.calls) == 8


def test_optuna_asks_by_the_objective_and_finds_its_points_again(sweeps: Sweeps) -> None:
    pytest.importorskip("optuna")
    rate = "trainer.args.learning_rate=tag(log,interval(1e-5,1e-3))"
    line = ["-m", "hydra/sweeper=optuna", rate, QUIET]
    done = sweeps(*line, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stdout + done.stderr
    best = yaml.safe_load((sweeps.sweep / "optimization_results.yaml").read_text())
    rows = json.loads(sweeps("sweep", "table", str(sweeps.sweep), "--json").stdout)["rows"]
    values = [row["objective"] for row in rows]
    assert len(rows) == 3 and values == sorted(values, reverse=True)
    assert values[0] == best["best_value"]
    chosen = best["best_params"]["trainer.args.learning_rate"]
    assert float(rows[0]["settings"]["trainer.args.learning_rate"]) == chosen
    more = sweeps(*line, "hydra.sweeper.n_trials=4")
    assert more.returncode == 0, more.stdout + more.stderr
    assert more.stdout.count("0 to run, 1 finished before") == 3
    assert len(sweeps.calls) == 4


def test_a_trial_that_fails_costs_the_others_nothing(sweeps: Sweeps) -> None:
    pytest.importorskip("optuna")
    line = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", f"seed={FAILS},2,1"]
    done = sweeps(*line, "hydra.sweeper.n_trials=12", QUIET)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"seed={FAILS}: RuntimeError: no luck" in done.stderr
    assert "Traceback" not in done.stderr
    assert sweeps.states() == {1: "finished", 2: "finished", FAILS: "failed"}
    assert sorted(sweeps.calls) == [1, 2, FAILS], "asked for again, it is not run again"


def test_a_sampler_whose_every_trial_failed_says_why(sweeps: Sweeps) -> None:
    pytest.importorskip("optuna")
    done = sweeps("-m", "hydra/sweeper=optuna", f"seed={FAILS},{FAILS}", QUIET)
    assert done.returncode == 1
    assert "RuntimeError: no luck" in done.stderr and "Traceback" not in done.stderr


def test_the_parent_run_holds_grid_and_results(sweeps: Sweeps) -> None:
    from tests.running import artifacts, client, runs

    done = sweeps("-m", f"seed=1,{FAILS}")
    assert done.returncode == 1
    (parent,) = runs(sweeps.folder)
    assert parent.info.status == "FAILED"
    assert parent.data.params["sweep.grid.swept.seed"] == f"1,{FAILS}"
    assert parent.data.metrics["best/heldout/accuracy"] == pytest.approx(0.01, abs=1e-3)
    assert parent.data.tags["r1lab.points.failed"] == "1"
    found = artifacts(sweeps.folder, parent.info.run_id)
    assert {"grid.json", "results.json", "results.csv", "results.md"} <= found
    (sweeps.folder / "mended").touch()
    assert sweeps("-m", f"seed=1,{FAILS}").returncode == 0
    (again,) = runs(sweeps.folder)
    assert (again.info.run_id, again.info.status) == (parent.info.run_id, "FINISHED")
    path = client(sweeps.folder).download_artifacts(again.info.run_id, "results.json")
    table = json.loads(Path(path).read_text())
    assert len(table["data"]) == 2 and "heldout/accuracy" in table["columns"]
