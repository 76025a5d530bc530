"""The pretrained model's experiment: plans cleanly on a CPU and a GPU, and is the same on both."""

import pytest

from r1lab import targets
from r1lab.compose import compose, resolve
from r1lab.plan import make_plan
from r1lab.planning import advice
from r1lab.validate import validate


def config(*overrides: str):
    return resolve(compose(["experiment=smollm2_sums", *overrides]))


@pytest.mark.parametrize("hardware", ["cpu", "single_gpu"])
def test_plans_without_a_word(hardware, monkeypatch):
    monkeypatch.setattr(advice, "cpu_has_bf16", lambda: True)
    found = config(f"hardware={hardware}")
    assert validate(found) == []
    made = make_plan(found)
    assert (made.errors, made.warnings) == ([], [])
    assert made.batch["completions_per_step"] == 32
    assert found["hardware"]["kind"] == hardware


def test_a_gpu_runs_the_same_experiment():
    cpu, gpu = config("hardware=cpu"), config("hardware=single_gpu")
    assert (
        gpu.pop("hardware")["mixed_precision"] == cpu.pop("hardware")["mixed_precision"] == "bf16"
    )
    assert gpu == cpu


def test_command_line_still_wins():
    found = config("trainer.args.max_steps=7", "hardware=cpu", "hardware.mixed_precision='no'")
    assert found["trainer"]["args"]["max_steps"] == 7
    assert found["hardware"]["mixed_precision"] == "no"


def test_held_out_sums_are_none_of_those_trained_on():
    rows = targets.build(config()["data"]).load()
    train, test = (set(rows[split]["question"]) for split in ("train", "test"))
    assert len(test) == 48
    assert not train & test
    for question, answer in zip(rows["test"]["question"], rows["test"]["answer"], strict=True):
        left, right = question.removeprefix("Calculate ").removesuffix(".").split(" + ")
        assert int(left) + int(right) == int(answer)
        assert max(int(left), int(right)) <= 10
