"""``sweep status|table|resume|cancel`` on a sweep's files, and what is said without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.sweep import command, folder, points, results
from r1lab.sweep.points import Point

FACTS: dict[str, Any] = {
    "command": "python -m r1lab -m seed=1,2",
    "overrides": ["seed=1,2"],
    "cwd": "/nowhere",
    "objective": "heldout/accuracy",
    "direction": "maximize",
    "scheduler": None,
    "grid": {"swept": {"seed": "1,2"}, "fixed": {}},
    "created": "2026-01-01T00:00:00+0000",
    "mlflow_run_id": None,
}


def point(sweep: Path, number: int, **status: Any) -> Point:
    key = f"{number:012d}"
    override = f"seed={number}"
    config = {"objective": "heldout/accuracy", "seed": number}
    made = Point(
        key, number, [override], [override], None, key, "", config, None, sweep / "points" / key
    )
    points.write_point(made)
    points.update_status(made.folder, **status)
    return made


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    made = tmp_path / "outputs" / "sweeps" / "seed-1"
    made.mkdir(parents=True)
    folder.write_sweep(made, dict(FACTS))
    point(made, 1, state="finished", objective=0.25, run_dir="/runs/a")
    point(made, 2, state="failed", error="RuntimeError: no luck")
    point(made, 3, state="finished", objective=0.5, run_dir="/runs/b")
    return made


def never(overrides: list[str], dirs: list[str], verb: str) -> int:
    raise AssertionError("nothing was to be run")


def test_status_tells_every_point(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["status", str(sweep)], never) == 0
    said = capsys.readouterr().out
    assert "heldout/accuracy 0.25" in said
    assert "seed=2  failed: RuntimeError: no luck" in said
    assert str(sweep / "points" / f"{2:012d}" / "log.txt") in said


def test_status_shows_where_a_running_point_is(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = point(sweep, 4, state="running")
    made.log.write_text("step 1/9  loss 2.5\nstep 2/9  loss 1.5\n12:00:00 INFO something else\n")
    with points.hold(made.folder / ".lock") as mine:
        assert mine
        command.main(["status", str(sweep), "--json"], never)
    rows = json.loads(capsys.readouterr().out)["points"]
    assert (rows[3]["state"], rows[3]["last_metric"]) == ("running", "step 2/9  loss 1.5")


def test_a_running_point_without_a_process_is_lost(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point(sweep, 4, state="running", pid=1)
    command.main(["status", str(sweep), "--json"], never)
    row = json.loads(capsys.readouterr().out)["points"][3]
    assert row["state"] == "lost" and "resume" in row["error"]


def test_table_is_sorted_by_the_objective(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["table", str(sweep), "--json"], never)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["settings"]["seed"] for row in rows] == ["3", "1", "2"]
    assert (sweep / "results.csv").read_text().splitlines()[:2] == [
        "seed,heldout/accuracy,low,high,n,state,run",
        "3,0.5,,,1,finished,b",
    ]
    assert (sweep / "results.md").read_text().startswith("| seed | heldout/accuracy |")
    folder.write_sweep(sweep, {**FACTS, "direction": "minimize"})
    assert [row["settings"]["seed"] for row in results.rows(sweep)] == ["1", "3", "2"]


def test_a_sweep_that_nobody_waited_for_is_concluded_once_all_have_ended(sweep: Path) -> None:
    made = point(sweep, 4, state="submitted", job_id="7")
    from r1lab.sweep import ending

    ending.conclude_detached(sweep)
    assert "concluded" not in (folder.read_sweep(sweep) or {})
    points.update_status(made.folder, state="finished", objective=0.75)
    ending.conclude_detached(sweep)
    assert (folder.read_sweep(sweep) or {})["concluded"]
    assert "0.75" in (sweep / "results.csv").read_text()


def test_cancel_tells_waiting_points_not_to_start(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = point(sweep, 4, state="pending")
    command.main(["cancel", str(sweep)], never)
    assert points.read_status(made.folder)["state"] == "cancelled"
    assert points.run_point(made.folder) == 130
    command.main(["cancel", str(sweep)], never)
    assert "nothing was running or waiting" in capsys.readouterr().out


def test_resume_repeats_the_line_where_it_was_typed(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.write_sweep(sweep, {**FACTS, "cwd": str(sweep)})
    seen: list[Any] = []

    def again(overrides: list[str], dirs: list[str], verb: str) -> int:
        seen.extend([overrides, dirs, verb, Path.cwd()])
        return 7

    assert command.main(["resume", str(sweep)], again) == 7
    assert seen == [["seed=1,2", f"hydra.sweep.dir='{sweep}'"], [], "train", sweep]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["stats", "{sweep}"], "did you mean python -m r1lab sweep status?"),
        (["status"], "which sweep?"),
        (["status", "{sweep}/.."], "holds no sweep.json"),
        (["status", "{sweep}/../seed-2"], "is no folder"),
        (["status", "{sweep}/../seed-2"], "choose one of"),
        (["resume", "{sweep}", "--json"], "prints no JSON"),
        (["status", "{sweep}", "seed=3"], "nothing else"),
        (["table", "--jsno", "{sweep}"], "nothing else"),
        (["resume", "{sweep}"], "/nowhere"),
    ],
)
def test_mistakes(sweep: Path, line: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        command.main([item.format(sweep=sweep) for item in line], never)
    assert said in str(error.value)


def test_help_lists_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([], never) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("status", "table", "resume", "cancel"))
