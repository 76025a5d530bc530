"""Benchmarks at the end of a training: what of its settings they take, and how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import rundir
from r1lab.compose import compose, resolve
from r1lab.engines.base import EngineFailed
from r1lab.engines.check import check
from r1lab.evaluation import after
from r1lab.models import reference
from r1lab.serve import Stop
from r1lab.tracking import DisabledTracker


def config(*overrides: str) -> dict[str, Any]:
    return resolve(compose(overrides))


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        (["engine=auto"], "auto"),
        (["engine=transformers"], "transformers"),
        (
            ["engine=vllm_colocate", "engine.sleep_mode=true", "engine.dtype=bfloat16"],
            "vllm_server",
        ),
        (["engine=vllm_server", "engine.url=http://x:1", "engine.max_model_len=99"], "vllm_server"),
    ],
)
def test_the_trainings_engine_becomes_one_that_can_serve(overrides: list[str], kind: str) -> None:
    """One inside the training ended with it; a rollout server has the training's context."""
    node = after.engine_node(config(*overrides)["engine"])
    assert node["kind"] == kind
    assert check(node, "evaluate") == []
    assert (node["url"], node["max_model_len"], node["sleep_mode"]) == (None, None, None)
    if "engine.dtype=bfloat16" in overrides:
        assert node["dtype"] == "bfloat16"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, outcome: Any) -> tuple[str, str | None]:
    def measured(*given: Any) -> dict[str, float]:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    (folder / "metrics.json").write_text(json.dumps({"train_loss": 1.0}))
    monkeypatch.setattr(after, "_run", measured)
    asked = config("trainer.benchmarks=[aime24]")
    return after.run(asked, folder, DisabledTracker(), "cpu", "python -m r1lab")


def test_a_run_without_benchmarks_is_finished(tmp_path: Path) -> None:
    done = after.run(config(), tmp_path, DisabledTracker(), "cpu", "python -m r1lab")
    assert done == ("finished", None)


def test_scores_join_the_runs_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "benchmark/aime24/strict/pass_at_1"
    assert run(tmp_path, monkeypatch, {name: 0.5}) == ("finished", None)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"train_loss": 1.0, name: 0.5}


def test_what_fails_fails_the_run_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, error = run(tmp_path, monkeypatch, EngineFailed("vLLM was killed by SIGKILL"))
    assert (state, error) == (
        "failed",
        "the benchmarks, after the training: vLLM was killed by SIGKILL",
    )
    state, error = run(tmp_path, monkeypatch, KeyError("a bug"))
    assert state == "failed" and "Traceback" in (error or "")
    assert run(tmp_path, monkeypatch, Stop()) == ("killed", None)


def test_a_trained_run_whose_benchmarks_failed_has_a_model_and_trains_no_more(
    tmp_path: Path,
) -> None:
    asked = config(f"output_dir={tmp_path}", "run_name=r", "trainer.benchmarks=[aime24]")
    first = rundir.claim(asked, "python -m r1lab")
    assert not first.trained
    (first.path / "model").mkdir()
    (first.path / "model" / "config.json").write_text("{}")
    rundir.write_status(first.path, state="failed", trained=True)
    first.lock.close()
    assert reference.locate("r", tmp_path).where == str(first.path / "model")
    second = rundir.claim(asked, "python -m r1lab")
    assert second.path == first.path and second.trained
    second.lock.close()
    assert not rundir.claim({**asked, "resume": "never"}, "python -m r1lab").trained


def test_saved_steps_come_in_their_order(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        (tmp_path / "evaluations" / f"checkpoint-{step}" / "model").mkdir(parents=True)
    (tmp_path / "evaluations" / "checkpoint-7").mkdir()  # evaluated before
    assert [after.step_of(path.parent) for path in after.kept_steps(tmp_path)] == [3, 20, 100]
