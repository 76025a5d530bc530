"""Saved steps' models stay for the benchmarks, whatever becomes of the checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from r1lab.callbacks.benchmarks import Benchmarks
from r1lab.rewards.base import ParameterError
from tests.callbacks.fakes import arguments, context, control, state


def save(callback: Benchmarks, folder: Path, step: int, main: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(exist_ok=True)
    for name in ("model.safetensors", "config.json", "optimizer.pt", "rng_state.pth"):
        (checkpoint / name).write_text(f"{name} {step}")
    now = state(step, main=main)
    now.max_steps = 30
    callback.on_save(arguments(folder), now, control())
    return checkpoint


def kept(folder: Path) -> dict[str, set[str]]:
    models = folder.glob("evaluations/checkpoint-*/model")
    return {path.parent.name: {file.name for file in path.iterdir()} for path in models}


@pytest.fixture
def callback(tmp_path: Path) -> Benchmarks:
    made = Benchmarks()
    made.run, _ = context(tmp_path)
    return made


def test_the_model_outlives_its_checkpoint_without_the_optimizer(
    callback: Benchmarks, tmp_path: Path
) -> None:
    shutil.rmtree(save(callback, tmp_path, 10))  # save_total_limit
    assert kept(tmp_path) == {"checkpoint-10": {"model.safetensors", "config.json"}}
    file = tmp_path / "evaluations" / "checkpoint-10" / "model" / "model.safetensors"
    assert file.read_text() == "model.safetensors 10"


def test_files_are_linked_not_copied(callback: Benchmarks, tmp_path: Path) -> None:
    checkpoint = save(callback, tmp_path, 10)
    file = tmp_path / "evaluations" / "checkpoint-10" / "model" / "model.safetensors"
    assert file.samefile(checkpoint / "model.safetensors")


def test_the_last_step_is_the_final_models(callback: Benchmarks, tmp_path: Path) -> None:
    save(callback, tmp_path, 30)
    assert kept(tmp_path) == {}


def test_every_second_save_and_rank_0_alone(tmp_path: Path) -> None:
    callback = Benchmarks(every_saves=2)
    callback.run, _ = context(tmp_path)
    for step in (5, 10, 15, 20):
        save(callback, tmp_path, step)
    assert set(kept(tmp_path)) == {"checkpoint-10", "checkpoint-20"}
    other = Benchmarks()
    other.run, _ = context(tmp_path / "other")
    (tmp_path / "other").mkdir()
    save(other, tmp_path / "other", 5, main=False)
    assert kept(tmp_path / "other") == {}


def test_no_save_at_all_is_refused() -> None:
    with pytest.raises(ParameterError):
        Benchmarks(every_saves=0)
