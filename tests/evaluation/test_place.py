"""Evaluations go where their model is, go on where they stopped, and overwrite nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1lab import rundir
from r1lab.errors import ConfigError
from r1lab.evaluation import place, scores

ASKED = {"aime24": {"temperature": 0.6, "samples": 2}}
OTHER = {"aime24": {"temperature": 0.0, "samples": 2}}


def finish(found: place.Place) -> None:
    scores.write(found.folder / "aime24", {}, [], {}, {})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "my_run" / "model").mkdir(parents=True)
    rundir.write_status(tmp_path / "my_run", state="finished")
    return tmp_path / "my_run"


def chosen(
    output: Path, model: Path | None, asked=ASKED, name: str | None = None, again: bool = False
) -> place.Place:
    found, _ = place.choose(output, model, "org/model", name, asked, again)
    place.remember(found, asked)
    return found


def test_a_model_of_no_run_has_a_folder_of_its_name(tmp_path: Path) -> None:
    found = chosen(tmp_path, None)
    assert found.folder == tmp_path / "evaluations" / "org_model" / "evaluation"
    assert (found.prefix, found.artifacts) == ("benchmark", "evaluation")
    assert chosen(tmp_path, None, name="mine").base == tmp_path / "evaluations" / "mine"


def test_a_runs_model_is_evaluated_in_the_run(tmp_path: Path, run: Path) -> None:
    assert chosen(tmp_path, run / "model").folder == run / "evaluation"
    step = chosen(tmp_path, run / "checkpoint-20")
    assert step.base == run / "evaluations" / "checkpoint-20"
    assert step.prefix == "benchmark"  # its step tells it apart
    named = chosen(tmp_path, run / "model", name="greedy")
    assert (named.base, named.prefix) == (run / "evaluations" / "greedy", "benchmark_greedy")
    assert named.artifacts == "evaluation_greedy"


def test_the_same_request_finds_the_same_folder_and_another_takes_the_next(run: Path) -> None:
    first = chosen(run.parent, run / "model")
    assert chosen(run.parent, run / "model") == first
    second = chosen(run.parent, run / "model", OTHER)
    assert second.base == run / "evaluations" / "2"
    assert second.prefix == "benchmark_2"
    assert chosen(run.parent, run / "model", OTHER) == second
    # Another task with the first one's folder is no conflict.
    assert chosen(run.parent, run / "model", {"gsm8k": ASKED["aime24"]}) == first


def test_a_name_that_is_taken_by_another_request_is_refused(tmp_path: Path) -> None:
    chosen(tmp_path, None, name="mine")
    with pytest.raises(ConfigError, match="was made with another temperature"):
        chosen(tmp_path, None, OTHER, name="mine")


def test_again_leaves_what_is_done_and_goes_on_with_what_is_not(tmp_path: Path) -> None:
    first = chosen(tmp_path, None)
    assert chosen(tmp_path, None, again=True) == first
    finish(first)
    second, before = place.choose(tmp_path, None, "org/model", None, ASKED, True)
    place.remember(second, ASKED)
    assert (second.base.name, before) == ("org_model-2", first)
    assert chosen(tmp_path, None, again=True) == second
    assert json.loads((first.folder / "aime24" / place.REQUEST).read_text()) == ASKED["aime24"]
