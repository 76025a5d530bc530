"""One call that checks and measures r1lab on one GPU, within ten minutes.

    python -m benchmarks.gpu [--only checks,sft,grpo] [--models NAME,...] [--budget-s 540]
    python -m benchmarks.gpu --device cpu --quick     a dry run

What it prints, and what has been measured so far (nothing): docs/gpu.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.gpu.arithmetic import device_facts
from benchmarks.gpu.record import DRY_RUN, Record, show, versions
from benchmarks.gpu.session import Budget, Session
from benchmarks.gpu.shapes import SIZES, make
from benchmarks.gpu.side import Failed, call
from r1lab import hardware

PARTS = ("checks", "sft", "grpo")
#: Set before anything imports torch; what is set already stays.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_OFFLINE": "1",
    # torch asks the driver whether there is a GPU without starting CUDA, which no fork survives.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code is 1 where a check failed or a measurement broke."""
    given = parse(argv)
    began = time.perf_counter()
    if given.device == "cuda" and not (hardware.gpu_count() and hardware.torch_has_cuda()):
        print(
            "no CUDA device here, or no torch for one; --device cpu --quick is a dry run",
            file=sys.stderr,
        )
        return 1
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        print(DRY_RUN, flush=True)
    budget = Budget(given.budget_s)
    try:
        context, device, start = processes(given.device, budget.left())
    except Failed as failure:
        print(f"no {given.device} device: {failure}", file=sys.stderr)
        return 1
    facts = {
        "dry_run": given.device == "cpu",
        "device": device,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "arguments": {**vars(given), "json": str(given.json)},
        "processes": start,
    }
    record = Record(given.json, facts)
    title = f"{device['name']}, " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    print(title, flush=True)
    with tempfile.TemporaryDirectory(prefix="r1lab-gpu-") as temporary:
        folder = Path(temporary)
        session = Session(given.device, given.quick, record, budget, folder, context)
        session.measure_ceiling()
        if "checks" in given.only:
            session.check()
        for kind in ("sft", "grpo"):
            if kind not in given.only:
                continue
            for name in given.models:
                shape = make(name, folder / kind, given.quick)
                session.compare(shape, kind, variants=name == given.variants_of)
        session.absent()
    show(record, DRY_RUN if given.device == "cpu" else title)
    failed = record.failed()
    for what in failed:
        print(f"FAILED: {what}")
    print(f"{time.perf_counter() - began:.0f} s; {given.json}")
    if given.device == "cpu":
        print(DRY_RUN)
    return 1 if failed else 0


def processes(device: str, seconds: float) -> tuple[BaseContext, dict[str, Any], str]:
    """How processes start, and the device as one of them sees it."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["benchmarks.gpu.preload"])
    try:
        found = call(forking, device_facts, (device,), min(seconds, 120))
        return forking, found, "forked from a server that has imported torch and TRL"
    except Failed as failure:
        print(f"processes cannot be forked ({failure}): each imports torch anew", flush=True)
    fresh = multiprocessing.get_context("spawn")
    return fresh, call(fresh, device_facts, (device,), min(seconds, 120)), "fresh"


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="shrunk shapes and few variants")
    parser.add_argument("--budget-s", type=float, default=540.0, help="start nothing after this")
    parser.add_argument("--only", type=_names(PARTS), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--models", type=_names(SIZES), help=",".join(SIZES))
    parser.add_argument(
        "--variants-of", choices=list(SIZES), default="qwen2_5_0_5b", help="variants on this one"
    )
    parser.add_argument("--json", type=Path, default=Path("outputs/gpu.json"))
    given = parser.parse_args(argv)
    if given.device == "cpu" and not given.quick:
        parser.error("a CPU is for dry runs: add --quick")
    # What matters most comes first, since the time may be up.
    everything = ["qwen2_5_0_5b", "qwen2_5_1_5b", "smollm2_135m", "tiny"]
    given.models = given.models or (["tiny", "qwen2_5_0_5b"] if given.quick else everything)
    return given


def _names(known: Any) -> Any:
    def names(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
