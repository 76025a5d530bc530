"""The measurements, in the order of what is missed most when the time is up."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.gpu.arithmetic import products, training_flops
from benchmarks.gpu.checks import Check, Probes, checks, missing
from benchmarks.gpu.record import Record
from benchmarks.gpu.shapes import Shape
from benchmarks.gpu.side import VLLM_DIFFERENCE, Failed, Side, Spec, Turn, call
from benchmarks.gpu.variants import ABSENT, VARIANTS, Variant
from benchmarks.step import COMPARED, PARTS, interval

#: Rounds of turns, the first of which warms up; fewer than FEWEST measured ones are no result.
ROUNDS = {"cuda": {"sft": 9, "grpo": 6}, "cpu": {"sft": 3, "grpo": 3}}
FEWEST = 2
#: Most relative difference of a logged number, r1lab against TRL: attention's kernels may add in
#: any order; on a CPU there is none.
LOGGED = {"cuda": 1e-2, "cpu": 0.0}
#: TRL's mean difference of vLLM's and its own log-probabilities, above which vLLM is not believed.
VLLM_MOST = 0.05
#: Seconds after which a side that does not start, or does not end a turn, is given up.
START_S, TURN_S = 180.0, 120.0


class Budget:
    """Seconds that are left. ``allows`` says whether a measurement like the longest one of its kind
    may begin; 30 s are assumed of a kind before its first."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds
        self._longest: dict[str, float] = {}

    def left(self) -> float:
        return self._end - time.monotonic()

    def allows(self, kind: str) -> bool:
        return self.left() > self._longest.get(kind, 30.0)

    def took(self, kind: str, seconds: float) -> None:
        self._longest[kind] = max(self._longest.get(kind, 0.0), seconds)


class Session:
    """One device, one record, one budget; every method adds its rows as it has them."""

    def __init__(
        self,
        device: str,
        quick: bool,
        record: Record,
        budget: Budget,
        folder: Path,
        context: BaseContext,
    ):
        self.device, self.quick, self.record, self.budget = device, quick, record, budget
        self.folder, self.context = folder, context
        self.ceiling: float | None = None
        self.passed: dict[str, bool] = {}
        self._sides = 0

    def skip(self, what: str, reason: str) -> None:
        self.record.add("skipped", {"what": what, "reason": reason})

    def measure_ceiling(self) -> None:
        """The best matrix product is what MFU is a share of."""
        try:
            rows = call(self.context, products, (self.device,), min(self.budget.left(), TURN_S))
        except Failed as failure:
            self.record.add("broken", {"what": "matrix products", "reason": str(failure)})
            return
        for row in rows:
            self.record.add("ceiling", row)
        self.ceiling = max(row["tflops"] for row in rows) * 1e12

    def check(self) -> None:
        """All checks that can be made here; rows of what they are about are valid only then."""
        probes = Probes(
            self.device, self.folder, self.context, min(8, max(2, (os.cpu_count() or 2) // 2))
        )
        wanted: list[Check] = []
        for check in checks(self.device):
            reason = missing(check, self.device)
            if reason is None and self.quick and not check.quick:
                reason = "--quick leaves it out"
            if reason is not None:
                self.skip(f"check {check.name}", reason)
            else:
                wanted.append(check)
        runs = [probe for check in wanted for probe in (check.probe, check.reference)]
        probes.run(runs, min(self.budget.left(), START_S))
        for check in wanted:
            row = probes.verdict(check)
            self.passed[check.name] = row["passed"]
            self.record.add("checks", row)

    def compare(self, shape: Shape, kind: str, variants: bool) -> None:
        """r1lab against plain TRL, then each variant against r1lab's own defaults."""
        baseline: Side | None = None
        try:
            began = time.monotonic()
            if not self.budget.allows(kind):
                self.skip(f"{kind} {shape.name}", "the time was up")
                return
            config = self._config(shape, kind)
            baseline = self._start("r1lab", config, shape, kind)
            plain = self._start("TRL", config, shape, kind, plain=True)
            self._against_trl(shape, kind, config, baseline, plain)
            self.budget.took(kind, time.monotonic() - began)
        except Failed as failure:
            self._broke(f"{kind} {shape.name}: r1lab and TRL", failure)
            if baseline is not None:
                baseline.close()
            return
        try:
            for variant in VARIANTS if variants else ():
                if variant.kind == kind:
                    self._try(variant, shape, baseline, config)
        finally:
            baseline.close()

    def _try(self, variant: Variant, shape: Shape, baseline: Side, config: dict[str, Any]) -> None:
        what = f"{variant.kind} {shape.name} {variant.name}"
        reason = variant.missing(self.device)
        if reason is None and self.quick and not variant.quick:
            reason = "--quick leaves it out"
        if reason is None and not self.budget.allows(f"{variant.kind} variant"):
            reason = "the time was up"
        if reason is not None:
            self.skip(what, reason)
            return
        began = time.monotonic()
        side: Side | None = None
        try:
            if "vllm" in variant.needs and shape.folder is not None:
                call(self.context, write_weights, (config, shape.folder), self.budget.left())
            own = self._config(shape, variant.kind, *variant.for_shape(shape))
            side = self._start(variant.name, own, shape, variant.kind)
            theirs, mine = self._rounds(baseline, side, variant.kind)
            row = self._row(shape, variant.kind, variant.name, config, mine, theirs, "r1lab")
            difference = mine[-1].logs[-1].get(VLLM_DIFFERENCE)
            row["valid"], row["reason"] = self._validity(variant, difference)
            self.record.add(variant.kind, row)
            self._memory(shape, variant.kind, variant.name, own, mine)
        except Failed as failure:
            self._broke(what, failure)
        finally:
            if side is not None:
                side.close()
        self.budget.took(f"{variant.kind} variant", time.monotonic() - began)

    def _validity(self, variant: Variant, difference: float | None) -> tuple[str, str | None]:
        if "vllm" in variant.needs:
            good = difference is not None and difference <= VLLM_MOST
            return ("yes" if good else "NO"), f"{VLLM_DIFFERENCE} {difference}, most {VLLM_MOST}"
        if variant.check is None:
            return "unchecked", variant.note
        passed = self.passed.get(variant.check)
        note = variant.note or None
        return {True: "yes", False: "NO", None: "unchecked"}[passed], note

    def _against_trl(
        self, shape: Shape, kind: str, config: dict[str, Any], baseline: Side, plain: Side
    ) -> None:
        try:
            mine, theirs = self._rounds(baseline, plain, kind)
        finally:
            plain.close()
        problem = different(mine, theirs, LOGGED[self.device])
        passed = self.passed.get(f"{kind} equals TRL")
        valid = "NO" if problem or passed is False else "yes" if passed else "unchecked"
        for name, rows, other in (("TRL", theirs, None), ("r1lab", mine, theirs)):
            row = self._row(shape, kind, name, config, rows, other, "TRL" if other else None)
            self.record.add(kind, {**row, "valid": valid, "reason": problem})
        if problem:
            what = f"{kind} {shape.name}: the two sides differ"
            self.record.add("broken", {"what": what, "reason": problem})
        self._memory(shape, kind, "r1lab", config, mine)

    def _config(self, shape: Shape, kind: str, *overrides: str) -> dict[str, Any]:
        hardware = "single_gpu" if self.device == "cuda" else "cpu"
        return shape.config(kind, f"hardware={hardware}", *self._tracking(), *overrides)

    def _tracking(self) -> tuple[str, ...]:
        """One database for all sides; without MLflow where it is not installed."""
        from importlib.util import find_spec

        if self.quick or find_spec("mlflow") is None:
            return ("tracking.mlflow=false",)
        return (f"tracking.uri=sqlite:///{self.folder / 'mlflow.db'}",)

    def _start(
        self, name: str, config: dict[str, Any], shape: Shape, kind: str, plain: bool = False
    ) -> Side:
        self._sides += 1
        steps = shape.size.sft_steps if kind == "sft" else shape.size.grpo_steps
        spec = Spec(config, self.device, steps, plain)
        where = self.folder / f"side{self._sides}"
        return Side(f"{name} {kind} {shape.name}", spec, where, self.context)

    def _rounds(self, first: Side, second: Side, kind: str) -> tuple[list[Turn], list[Turn]]:
        """Turns in the order A B, B A, ..., until all rounds are done or the time is up."""
        for side in (first, second):
            side.ready(min(self.budget.left(), START_S))
        turns: dict[Side, list[Turn]] = {first: [], second: []}
        for number in range(ROUNDS[self.device][kind]):
            if number > FEWEST and self.budget.left() < 5:
                break
            for side in (first, second) if number % 2 == 0 else (second, first):
                turns[side].append(side.turn(min(self.budget.left() + 20, TURN_S)))
        return turns[first][1:], turns[second][1:]

    def _row(
        self,
        shape: Shape,
        kind: str,
        what: str,
        config: dict[str, Any],
        turns: Sequence[Turn],
        others: Sequence[Turn] | None,
        against: str | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "shape": shape.name,
            "weights": shape.weights,
            "what": what,
            "against": against,
            "tokens_per_s": statistics.median(rate(turn, kind) for turn in turns),
        }
        steps = len(turns[0].logs)
        row["seconds_per_step"] = statistics.median(turn.seconds for turn in turns) / steps
        if kind == "sft":
            row["mfu"] = self._mfu(config, turns)
        else:
            row |= parts(turns)
        width = sum(turn.width for turn in turns)
        row["padding"] = 1 - sum(sum(turn.lengths) for turn in turns) / width
        if others is not None:
            ratios = [
                rate(mine, kind) / rate(other, kind)
                for mine, other in zip(turns, others, strict=True)
            ]
            low, high = interval(ratios)
            row |= {"ratio": statistics.median(ratios), "low": low, "high": high}
            row["rounds"] = len(ratios)
        return row

    def _mfu(self, config: dict[str, Any], turns: Sequence[Turn]) -> float | None:
        from r1lab.planning.architecture import read_architecture

        arch = read_architecture(config["model"])
        if arch is None or self.ceiling is None:
            return None
        speeds = [training_flops(arch, turn.lengths) / turn.seconds for turn in turns]
        return statistics.median(speeds) / self.ceiling

    def _memory(
        self, shape: Shape, kind: str, what: str, config: dict[str, Any], turns: Sequence[Turn]
    ) -> None:
        peak, estimate = turns[-1].peak_bytes, planned(config)
        if peak is None:
            return  # on a CPU; said once, in `absent`
        row = {"shape": shape.name, "trainer": kind, "what": what, "peak_gib": peak / 2**30}
        if estimate is not None:
            row |= {"plan_low_gib": estimate[0], "plan_high_gib": estimate[1]}
        self.record.add("memory", {**row, "verdict": within(peak / 2**30, estimate)})

    def _broke(self, what: str, failure: Failed) -> None:
        """What does not fit is a finding; anything else is a fault."""
        section = "skipped" if str(failure).endswith("out of memory") else "broken"
        self.record.add(section, {"what": what, "reason": str(failure)})

    def absent(self) -> None:
        """Say what is measured nowhere, or not on this device."""
        for what, reason in ABSENT.items():
            self.skip(what, reason)
        if self.device == "cpu":
            self.skip("peak memory", "a process's memory on a CPU is mostly libraries")


def rate(turn: Turn, kind: str) -> float:
    """Real tokens trained (SFT) or generated (GRPO) a second of the whole turn."""
    return sum(turn.lengths if kind == "sft" else turn.completions) / turn.seconds


def parts(turns: Sequence[Turn]) -> dict[str, float]:
    """Where a GRPO step's seconds went, as r1lab logs them; nothing for plain TRL."""
    logs = [log for turn in turns for log in turn.logs]
    if f"time/{PARTS[0]}_s" not in logs[0]:
        return {}
    found = {f"{p}_s": statistics.median(log[f"time/{p}_s"] for log in logs) for p in PARTS}
    step = statistics.median(turn.seconds / len(turn.logs) for turn in turns)
    found["rest_s"] = step - sum(found.values())
    generated = sum(sum(turn.completions) for turn in turns)
    updated = sum(sum(turn.lengths) for turn in turns)
    found["generated_tokens_per_s"] = generated / sum(log["time/generate_s"] for log in logs)
    found["updated_tokens_per_s"] = updated / sum(log["time/update_s"] for log in logs)
    return found


def different(mine: Sequence[Turn], theirs: Sequence[Turn], most: float) -> str | None:
    """The first sign that two sides did not do the same work, None where there is none."""
    for number, (a, b) in enumerate(zip(mine, theirs, strict=True), start=1):
        if a.lengths != b.lengths or a.completions != b.completions:
            return f"round {number}: sequences of other lengths"
        for first, second in zip(a.logs, b.logs, strict=True):
            for key in COMPARED:
                x, y = first.get(key), second.get(key)
                same = x == y or (
                    x is not None and y is not None and abs(x - y) <= most * max(abs(y), 1e-3)
                )
                if not same or "loss" not in first:
                    return f"round {number}: {key} {x} and {y}"
    return None


def planned(config: dict[str, Any]) -> tuple[float, float] | None:
    """``plan``'s estimate in GiB without the CUDA context, which torch's counter leaves out too."""
    from r1lab.plan import make_plan

    memory = make_plan(config).memory
    total, runtime = memory.get("total"), memory.get("parts", {}).get("runtime", [0.0, 0.0])
    if not total:
        return None
    return total[0] - runtime[0], total[1] - 1.1 * runtime[1]  # the high end adds a tenth


def within(peak: float, estimate: tuple[float, float] | None) -> str:
    if estimate is None:
        return "not estimated"
    low, high = estimate
    if peak > high:
        return f"{peak / high - 1:.0%} above the high end"
    return f"{1 - peak / low:.0%} below the low end" if peak < low else "within"


def write_weights(config: dict[str, Any], folder: Path) -> None:
    """Random weights into a shape's folder, for an engine that reads them from there."""
    from transformers import set_seed

    from r1lab.models.load import load

    if not (folder / "model.safetensors").is_file():
        set_seed(config["seed"])
        load(config["model"], "cpu").model.save_pretrained(folder)
