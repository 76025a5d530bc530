"""The planner's weights, gradients and optimizer against what two real processes allocate."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1lab.launch.local import free_port
from r1lab.planning.architecture import from_config
from r1lab.planning.states import Estimate, ModelStates

HERE = Path(__file__).resolve().parent
STRATEGIES = {
    "ddp": {"distributed": "ddp"},
    "zero2": {"distributed": "deepspeed", "zero_stage": 2},
    "zero3": {"distributed": "deepspeed", "zero_stage": 3},
    "fsdp": {"distributed": "fsdp"},
}
CASES = [(strategy, precision) for strategy in STRATEGIES for precision in ("no", "bf16")]

pytestmark = [
    pytest.mark.launch,
    pytest.mark.skipif(
        not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc counts what malloc gave out"
    ),
]


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], dict[str, int]]:
    pytest.importorskip("deepspeed", reason="pip install r1lab[deepspeed]")
    # First without being measured: what loads code, and makes the kernels' workspaces, once.
    cases = [("ddp", "no"), ("ddp", "bf16"), ("zero2", "no"), *CASES]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / "allocate.py", str(free_port()), json.dumps(cases)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == len(cases)
    return {(row["strategy"], row["precision"]): row for row in rows}


@pytest.mark.parametrize(("strategy", "precision"), CASES)
def test_parts_are_within_a_tenth_of_what_is_allocated(strategy, precision, measured):
    row = measured[strategy, precision]
    planned = parts(strategy, precision, row["shape"])
    assert planned["parameters"] == row["parameters"]
    weights, (kept, stepping), optimizer = (
        planned[name] for name in ("weights", "gradients", "optimizer")
    )
    moments = 2 * 4 * row["parameters"] / 2  # float32, over two ranks
    if strategy == "ddp":
        moments = optimizer[0]
    master = optimizer[0] - moments if "zero" in strategy else 0
    held_from_the_start = {"ddp": kept / 2, "zero3": kept}.get(
        strategy, 0
    )  # buckets, a flat buffer
    near = pytest.approx

    assert weights[0] + held_from_the_start + master == near(row["built"], rel=0.1)
    assert weights[0] + kept + master == near(row["after backward"], rel=0.1)
    assert weights[0] + stepping + optimizer[0] == near(row["while stepping"], rel=0.1)
    # each part by itself
    assert moments == near(row["after step"] - row["built"] - left_over(strategy, kept), rel=0.1)
    if strategy != "zero3":
        assert kept - held_from_the_start == near(row["after backward"] - row["built"], rel=0.1)


def left_over(strategy: str, kept: float) -> float:
    """Gradients that are there after the step and were not when the model was built: DDP's and
    FSDP's own; ZeRO-2 frees them, ZeRO-3 had them."""
    return {"ddp": kept / 2, "fsdp": kept}.get(strategy, 0)


def parts(strategy: str, precision: str, shape: dict) -> dict:
    arch = from_config(shape, "test")
    assert arch is not None
    # DDP trains in the type that was loaded; the others load float32 and cast as they do.
    dtype = "bfloat16" if strategy == "ddp" and precision == "bf16" else "float32"
    hardware = {"device": "cpu", "mixed_precision": precision, **STRATEGIES[strategy]}
    model = {"dtype": dtype, "peft": {"kind": "none"}, "quantization": None}
    out = Estimate()
    ModelStates(arch, model, hardware, "adamw_torch", shards=2).add_to(out)
    return {"parameters": arch.parameters(), **out.parts}
