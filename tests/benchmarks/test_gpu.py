"""The GPU benchmark's arithmetic and verdicts, a dry run of it on the CPU, and the run itself."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from benchmarks.gpu.__main__ import main, parse
from benchmarks.gpu.arithmetic import training_flops
from benchmarks.gpu.checks import Check, Probe, Probes, checks, differences
from benchmarks.gpu.record import DRY_RUN, Record, show
from benchmarks.gpu.session import Budget, different, planned, within
from benchmarks.gpu.shapes import QUICK, SIZES, make
from benchmarks.gpu.side import Turn
from benchmarks.gpu.variants import PACKED, VARIANTS
from r1lab.plan import make_plan
from r1lab.planning.architecture import read_architecture
from r1lab.validate import validate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shape(tmp_path_factory):
    return make("qwen2_5_0_5b", tmp_path_factory.mktemp("shapes"), quick=False)


def test_flops_are_those_of_every_matrix_product(shape):
    """Product by product, 2 operations a multiplication; the backward pass has twice as many."""
    arch = read_architecture(shape.config("sft")["model"])
    hidden, mlp, keys, tokens = 896, 4864, 128, 100
    layer = 2 * tokens * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * mlp)
    causal = 2 * 2 * hidden * tokens * tokens / 2  # two products over half of all pairs
    head = 2 * tokens * hidden * 151936
    forward = 24 * (layer + causal) + head
    assert training_flops(arch, [tokens]) == pytest.approx(3 * forward)
    assert training_flops(arch, [tokens, tokens]) == pytest.approx(6 * forward)


def test_a_random_shape_is_the_model_that_it_is_named_after(shape):
    config = json.loads((shape.folder / "config.json").read_text())
    assert (config["model_type"], config["vocab_size"]) == ("qwen2", 151936)
    assert read_architecture(shape.config("sft")["model"]).parameters() == 494_032_768
    assert (shape.folder / "tokenizer.json").is_file()


def test_rows_fill_one_block_and_fit(shape):
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(shape.folder / "tokenizer.json"))
    rows = [json.loads(line) for line in shape.rows.read_text().splitlines()]
    answers = [row["messages"][1]["content"] for row in rows]
    lengths = [len(reader.encode(answer).ids) for answer in answers]
    assert len(rows) == shape.size.sft_batch * shape.size.sft_steps
    assert max(lengths) < shape.size.max_length
    assert max(lengths) > 4 * min(lengths)  # else packing has nothing to win


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v.kind}-{v.name}")
def test_every_variant_is_a_valid_run(shape, variant):
    config = shape.config(variant.kind, "hardware=single_gpu", *variant.for_shape(shape))
    assert [str(problem) for problem in validate(config)] == []
    assert [str(problem) for problem in make_plan(config).errors] == []


def test_every_engine_is_told_the_length_in_its_own_words(shape):
    def told(*overrides: str) -> dict:
        return shape.config("grpo", *overrides)["trainer"]["args"]["generation_kwargs"]

    assert told() == {"min_new_tokens": shape.size.completion}
    assert told("engine=vllm_colocate") == {"min_tokens": shape.size.completion}


def test_every_variant_has_its_check_or_says_why_not():
    known = {check.name for check in checks("cuda")}
    for variant in VARIANTS:
        assert variant.check in known or (variant.check is None and variant.note), variant.name


def test_what_is_missing_is_said():
    named = {(v.kind, v.name): v for v in VARIANTS}
    assert named["sft", "packing"].missing("cpu") is None
    assert named["sft", "flex_attention"].missing("cpu") == "needs a CUDA device"
    assert named["sft", "flex_attention"].missing("cuda") is None
    absent = dataclasses.replace(named["sft", "packing"], needs=("vllm",))
    found = absent.missing("cuda")
    assert found in (None, "vllm is not installed")


def gradients(**values: list[float]) -> dict[str, numpy.ndarray]:
    return {name: numpy.array(value, dtype="float32") for name, value in values.items()}


def test_differences_are_relative_to_the_reference():
    theirs = gradients(loss=[2.0], w=[3.0, 0.0], v=[4.0])
    assert differences(theirs, theirs) == (0, 0)
    loss, gradient = differences(gradients(loss=[2.2], w=[3.0, 0.5], v=[4.0]), theirs)
    assert loss == pytest.approx(0.1)
    assert gradient == pytest.approx(0.1)  # 0.5 of a norm of 5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gradients(loss=[1.0], w=[1.0]), gradients(loss=[1.0], w=[1.0], v=[1.0])),
        (gradients(loss=[1.0], w=[0.0]), gradients(loss=[1.0], w=[0.0])),
        (gradients(loss=[1.0]), gradients(loss=[1.0])),
    ],
    ids=["another weight", "no gradient", "no weights"],
)
def test_what_compares_nothing_is_infinitely_different(ours, theirs):
    assert differences(ours, theirs)[1] == math.inf


def test_nan_never_passes(tmp_path):
    from safetensors.numpy import save_file

    probe = Probe("sft", "no")
    probes = Probes("cpu", tmp_path, multiprocessing.get_context("spawn"), 1)
    for name, value in (("nan", math.nan), ("fine", 1.0)):
        save_file(gradients(loss=[value], w=[value]), str(tmp_path / name))
    other = Probe("sft", "bf16")
    probes._files = {probe: tmp_path / "nan", other: tmp_path / "fine"}
    row = probes.verdict(Check("nan", probe, other, 1e9, 1e9))
    assert row["passed"] is False


def turn(loss: float, lengths: list[int]) -> Turn:
    return Turn(1.0, lengths, 20, [], [{"loss": loss, "num_tokens": 10.0}], None)


def test_two_sides_must_have_done_the_same_work():
    one = [turn(2.0, [4, 6])]
    assert different(one, one, 0.0) is None
    assert "other lengths" in (different(one, [turn(2.0, [5, 5])], 1.0) or "")
    assert "loss 2.0 and 2.1" in (different(one, [turn(2.1, [4, 6])], 1e-2) or "")
    assert different(one, [turn(2.001, [4, 6])], 1e-2) is None
    assert different(one, [turn(math.nan, [4, 6])], 1e-2) is not None


def test_plans_estimate_is_compared_without_the_context(shape):
    config = shape.config("sft", "hardware=single_gpu")
    memory = make_plan(config).memory
    low, high = planned(config)
    assert low == pytest.approx(memory["total"][0] - 0.5)
    assert high == pytest.approx(memory["total"][1] - 1.5 * 1.1)
    assert within((low + high) / 2, (low, high)) == "within"
    assert within(2 * high, (low, high)) == "100% above the high end"
    assert within(low / 2, (low, high)) == "50% below the low end"


def test_a_budget_starts_nothing_that_would_not_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = Budget(100)
    assert budget.allows("sft")
    budget.took("sft", 60)
    now[0] = 50.0
    assert not budget.allows("sft")
    assert budget.allows("grpo")


def test_rows_are_in_the_file_as_they_come(tmp_path, capsys):
    path = tmp_path / "deep" / "gpu.json"
    record = Record(path, {"device": {"name": "none"}})
    row = {"check": "a", "passed": True, "loss_difference": 1e-7, "reason": None}
    record.add("checks", row)
    assert json.loads(path.read_text())["checks"] == [row]
    assert record.failed() == []
    record.add("checks", {"check": "b", "passed": False})
    record.add("broken", {"what": "sft", "reason": "it broke"})
    assert record.failed() == ["check b", "sft"]
    assert len(json.loads(path.read_text())["checks"]) == 2
    show(record, "title")
    assert "it broke" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cpu"], "add --quick"),
        (["--models", "gpt5"], "gpt5"),
        (["--only", "sft,evals"], "evals"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, said, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert said in capsys.readouterr().err


def test_without_a_gpu_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("r1lab.hardware.gpu_count", lambda: 0)  # as on a machine without one
    path = tmp_path / "gpu.json"
    assert main(["--json", str(path)]) == 1
    assert "--device cpu --quick" in capsys.readouterr().err
    assert not path.exists()


def test_every_shape_is_measured_unless_some_are_named():
    assert set(parse([]).models) == set(SIZES)
    assert parse(["--models", "tiny"]).models == ["tiny"]
    assert QUICK.max_length < min(size.max_length for size in SIZES.values())


def run(folder: Path, *arguments: str, timeout: float) -> tuple[subprocess.CompletedProcess, dict]:
    path = folder / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--json", str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert path.is_file(), done.stderr
    return done, json.loads(path.read_text())


@pytest.mark.slow
def test_dry_run_on_the_cpu(tmp_path):
    done, found = run(tmp_path, "--device", "cpu", "--quick", timeout=500)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[0] == DRY_RUN and found["dry_run"] is True
    assert all(row["passed"] for row in found["checks"])
    # Everything that r1lab adds changes no number of TRL's, on a CPU to the last bit.
    equal = [row for row in found["checks"] if row["check"].endswith("equals TRL")]
    assert [row["gradient_difference"] for row in equal] == [0, 0]
    assert {row["what"] for row in found["sft"]} == {"TRL", "r1lab", "packing", "padding_free"}
    assert {row["what"] for row in found["grpo"]} == {"TRL", "r1lab", "static_cache"}
    packed = next(row for row in found["sft"] if row["what"] == "packing")
    assert packed["padding"] == 0 and packed["valid"] == "yes"
    step = next(row for row in found["grpo"] if row["what"] == "r1lab")
    parts = sum(step[f"{name}_s"] for name in ("generate", "reward", "update", "rest"))
    assert parts == pytest.approx(step["seconds_per_step"])
    assert step["rest_s"] > 0
    assert "memory" not in found  # never a number that was not measured


@pytest.mark.slow
def test_a_check_fails_where_sequences_see_each_other(tmp_path):
    """Packing that lets one row attend to another is what the check of packing is for."""
    wrapped = Probe("sft", "no", (PACKED, "trainer.args.packing_strategy=wrapped"))
    check = next(check for check in checks("cpu") if check.name == "packing")
    probes = Probes("cpu", tmp_path, multiprocessing.get_context("spawn"), 2)
    probes.run([wrapped, check.reference], 200)
    row = probes.verdict(dataclasses.replace(check, probe=wrapped))
    assert row["passed"] is False and row["gradient_difference"] > 100 * check.gradients


@pytest.mark.gpu
def test_on_a_gpu(tmp_path):
    done, found = run(tmp_path, "--budget-s", "540", timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert all(row["passed"] for row in found["checks"])
    assert max(row["tflops"] for row in found["ceiling"]) > 1
    ours = [row for row in found["sft"] if row["what"] == "r1lab"]
    assert ours and all(0 < row["mfu"] < 1 and row["ratio"] > 0 for row in ours)
    assert found["memory"]
