"""A DeepSpeed file against the run that names it."""

import json
from pathlib import Path

import pytest

from r1lab.planning.deepspeed import check_deepspeed
from r1lab.planning.geometry import Arguments, batch_geometry

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "launchers/deepspeed").glob("*.json"))
HARDWARE = {"device": "cuda", "mixed_precision": "bf16", "zero_stage": 3, "offload": False}
ARGUMENTS = Arguments("sft", {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8})
BATCH, _ = batch_geometry(ARGUMENTS, 16, None)


def check(file, batch=BATCH, **hardware):
    return check_deepspeed(file, batch, {**HARDWARE, **hardware})


def config(**changes):
    return {"zero_optimization": {"stage": 3}, "train_batch_size": "auto", **changes}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_agree_with_every_run(path):
    stage, offload = int(path.stem[4]), path.stem.endswith("offload")
    for precision in ("bf16", "fp16", "no", "auto"):
        node = {"zero_stage": stage, "offload": offload, "mixed_precision": precision}
        assert check(path, **node) == []
    assert len(SHIPPED) >= 4


def test_the_same_numbers_agree():
    same = config(
        train_batch_size=512,
        train_micro_batch_size_per_gpu=4,
        gradient_accumulation_steps=8,
        bf16={"enabled": True},
        fp16={"enabled": False},
    )
    assert check(same) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train_batch_size": 256}, "train_batch_size is 256 in the DeepSpeed file, and 512"),
        ({"train_micro_batch_size_per_gpu": 2}, "train_micro_batch_size_per_gpu is 2"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps is 1"),
        ({"bf16": {"enabled": False}}, "bf16.enabled is False in the DeepSpeed file, and True"),
        ({"fp16": {"enabled": True}}, "fp16.enabled is True"),
        ({"zero_optimization": {"stage": 2}}, "zero_optimization.stage 2"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}, "offloads"),
    ],
)
def test_a_disagreement_is_named_with_both_values(changes, text):
    (problem,) = check(config(**changes))
    assert text in problem.message
    assert problem.fix


def test_the_fix_sets_what_the_file_says():
    (problem,) = check(config(gradient_accumulation_steps=2))
    assert "trainer.args.gradient_accumulation_steps=2" in problem.fix
    assert '"gradient_accumulation_steps": "auto"' in problem.fix
    (problem,) = check(config(zero_optimization={"stage": 2}))
    assert problem.key == "hardware.zero_stage"
    assert "hardware.zero_stage=2" in problem.fix


def test_grpos_batch_is_counted_in_completions():
    args = Arguments("grpo", {"per_device_train_batch_size": 2, "num_generations": 4})
    batch, _ = batch_geometry(args, 8, None)
    assert check(config(train_batch_size=16), batch) == []
    assert check(config(train_batch_size=4), batch)


def test_an_offload_that_the_file_lacks_is_an_error():
    (problem,) = check(config(), offload=True)
    assert (problem.key, "hardware.offload=false" in problem.fix) == ("hardware.offload", True)


def test_all_disagreements_come_together():
    assert len(check(config(train_batch_size=1, gradient_accumulation_steps=1))) == 2


def test_a_batch_that_is_not_valid_is_not_compared():
    refused, problems = batch_geometry(
        Arguments("sft", {"per_device_train_batch_size": 0}), 2, None
    )
    assert problems
    assert check(config(train_batch_size=7), refused) == []


@pytest.mark.parametrize("text", ["{broken", "[]"])
def test_files_that_cannot_be_used(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text)
    (problem,) = check(path)
    assert problem.key == "hardware.deepspeed_config"
    (problem,) = check(tmp_path / "missing.json")
    assert "cannot be read" in problem.message


def test_the_files_name_is_told(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config(train_batch_size=1)))
    (problem,) = check(path)
    assert str(path) in str(problem)
