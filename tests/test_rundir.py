"""Which folder a run gets, and from which checkpoint it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import rundir
from r1lab.errors import ConfigError


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "seed": 1,
        "run_name": None,
        "output_dir": str(folder),
        "resume": "auto",
        "log_level": "info",
        "trainer": {"kind": "grpo"},
        "model": {"name": "org/model"},
        "data": {"name": "sums"},
        "tracking": {},
        "hub": {},
        **changes,
    }


def checkpoint(folder: Path, step: int, without: str = "") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
        if name != without:
            (path / name).write_text(json.dumps({"global_step": step}))
    return path


def test_the_same_config_finds_the_same_folder_and_another_another(tmp_path: Path) -> None:
    first, again = rundir.default_name(config(tmp_path)), rundir.default_name(config(tmp_path))
    assert first == again
    assert first != rundir.default_name(config(tmp_path, seed=2))
    # Where results go and how they are shown is no part of what a run is.
    assert first == rundir.default_name(config(tmp_path / "elsewhere", log_level="debug"))
    assert "/" not in first and first.startswith("grpo-org_model-sums-")


def test_what_only_the_plan_reads_is_no_part_of_a_run(tmp_path: Path) -> None:
    plain = {"processes": 8, "gpu": None, "peak_tflops": None, "price_per_gpu_hour": None}
    priced = {**plain, "gpu": "h100", "peak_tflops": 989.0, "price_per_gpu_hour": 2.5}
    names = {rundir.default_name(config(tmp_path, hardware=node)) for node in (plain, priced)}
    assert len(names) == 1
    wider = rundir.default_name(config(tmp_path, hardware={**plain, "processes": 16}))
    assert wider not in names


def test_an_unfinished_run_goes_on_from_its_last_whole_checkpoint(tmp_path: Path) -> None:
    new = rundir.claim(config(tmp_path), "cmd")
    assert (new.checkpoint, new.attempt) == (None, 1)
    checkpoint(new.path, 2)
    good = checkpoint(new.path, 10)
    checkpoint(new.path, 20, without="trainer_state.json")  # its saving was cut off
    rundir.write_status(new.path, state="failed", run_id="abc")
    new.lock.close()
    again = rundir.claim(config(tmp_path), "cmd")
    assert again.path == new.path
    assert again.checkpoint == good
    assert (again.attempt, again.run_id) == (2, "abc")
    assert len(again.skipped) == 1 and "checkpoint-20" in again.skipped[0]


def test_a_finished_run_is_never_touched(tmp_path: Path) -> None:
    done = rundir.claim(config(tmp_path), "cmd")
    rundir.write_status(done.path, state="finished")
    done.lock.close()
    second = rundir.claim(config(tmp_path), "cmd")
    assert second.path.name == f"{done.path.name}-2"
    assert second.run_id is None
    rundir.write_status(second.path, state="killed", run_id="xyz")
    second.lock.close()
    third = rundir.claim(config(tmp_path), "cmd")  # the latest of them is unfinished
    assert (third.path, third.run_id) == (second.path, "xyz")


def test_never_starts_beside_an_unfinished_run(tmp_path: Path) -> None:
    first = rundir.claim(config(tmp_path, run_name="r"), "cmd")
    checkpoint(first.path, 4)
    second = rundir.claim(config(tmp_path, run_name="r", resume="never"), "cmd")
    assert second.path.name == "r-2"
    assert second.checkpoint is None


def test_a_checkpoint_by_path_in_its_own_run_and_in_a_new_one(tmp_path: Path) -> None:
    run = rundir.claim(config(tmp_path, run_name="r"), "cmd")
    early = checkpoint(run.path, 4)
    checkpoint(run.path, 8)
    rundir.write_status(run.path, state="failed", run_id="abc")
    run.lock.close()
    same = rundir.claim(config(tmp_path, run_name="r", resume=str(early)), "cmd")
    assert (same.path, same.checkpoint, same.run_id) == (run.path, early, "abc")
    same.lock.close()
    other = rundir.claim(config(tmp_path, run_name="longer", seed=2, resume=str(early)), "cmd")
    assert (other.path.name, other.checkpoint, other.run_id) == ("longer", early, None)


def test_two_starts_of_one_run_do_not_meet(tmp_path: Path) -> None:
    first = rundir.claim(config(tmp_path), "cmd")
    with pytest.raises(ConfigError, match="is training in"):
        rundir.claim(config(tmp_path), "cmd")
    first.lock.close()


def test_a_name_that_holds_another_run_is_refused(tmp_path: Path) -> None:
    rundir.claim(config(tmp_path, run_name="r"), "cmd").lock.close()
    with pytest.raises(ConfigError, match="another configuration"):
        rundir.claim(config(tmp_path, run_name="r", seed=2), "cmd")


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("trainer_state.json", "trainer_state.json is missing"),
        ("model.safetensors", "no weights"),
        ("optimizer.pt", "optimizer.pt is missing"),
    ],
)
def test_a_broken_checkpoint_says_what_is_missing(tmp_path: Path, without: str, said: str) -> None:
    assert said in str(rundir.broken(checkpoint(tmp_path, 3, without)))


def test_a_checkpoint_of_deepspeeds_is_whole_once_it_says_what_is_latest(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 3, "optimizer.pt")
    (path / "global_step3").mkdir()
    assert "latest is missing" in str(rundir.broken(path))
    (path / "latest").write_text("global_step3")
    assert rundir.broken(path) is None


def test_fsdps_optimizer_has_another_name(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 3, "optimizer.pt")
    (path / "optimizer.bin").touch()
    assert rundir.broken(path) is None


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "", "two words", "x" * 300, "ü"])
def test_unsafe_names_are_refused_with_a_safe_one(name: str) -> None:
    problem = rundir.check_name(name)
    assert problem is not None
    safe = problem.fix.partition("run_name=")[2]
    assert rundir.check_name(safe) is None


def test_a_status_cut_short_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / rundir.STATUS).write_text('{"state": "fin')
    assert rundir.read_status(tmp_path) == {}
