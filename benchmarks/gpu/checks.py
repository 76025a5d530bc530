"""Correct first: the first step's loss and gradients, of two ways that must compute the same.

The tiny model with its trained weights: with random ones a loss is the logarithm of the vocabulary,
whatever attends to what. Every probe trains one batch of the same rows from the same seed, with
torch's deterministic kernels; a check compares two of them by |a - b| / max(|b|, 0.1) of the loss
and by ||a - b|| / ||b|| over all gradients. A check without a gradient fails: it would compare
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.gpu.shapes import resolved
from benchmarks.gpu.side import Failed, Side, Spec
from benchmarks.gpu.variants import FLASH, FLEX, FREE, HALF, LIGER, PACKED, Variant

#: Most relative differences of loss and gradients, and why so much.
EQUAL = {
    "cpu": (1e-6, 1e-6),  # the same operations in the same order
    "cuda": (1e-4, 1e-3),  # a kernel without a deterministic form may add in another order
}
#: Another order of operations in float32.
FLOAT32 = (1e-4, 1e-3)
#: bfloat16 keeps 8 bits: 4e-3 an operation, more through layers.
BFLOAT16 = (5e-3, 2e-2)

COMMON = (
    *("model=tiny", "resume=never", "tracking.mlflow=false", "trainer.evaluation.enabled=false"),
    *("+trainer.args.save_strategy=no", "trainer.args.max_steps=3"),
)
DATA = {
    # All rows are one batch, in whatever order or packing.
    "sft": (
        *("trainer=sft", "data.train_size=16", "trainer.args.per_device_train_batch_size=16"),
        "trainer.args.max_length=256",
    ),
    "grpo": (
        *("trainer=grpo", "data.train_size=64", "trainer.args.per_device_train_batch_size=32"),
        *("trainer.args.max_completion_length=48", "callbacks=[]"),
    ),
}


@dataclass(frozen=True)
class Probe:
    """One way to compute a step: ``precision`` no or bf16, and what else differs."""

    kind: str
    precision: str
    overrides: tuple[str, ...] = ()
    plain: bool = False

    @property
    def name(self) -> str:
        side = "TRL" if self.plain else "r1lab"
        return " ".join((side, self.kind, self.precision, *self.overrides))


@dataclass(frozen=True)
class Check:
    name: str
    probe: Probe
    reference: Probe
    loss: float
    gradients: float
    needs: tuple[str, ...] = ()
    quick: bool = False


def checks(device: str) -> list[Check]:
    """All checks, those first that everything rests on."""
    trained = "bf16" if device == "cuda" else "no"
    sft, half = Probe("sft", "no"), Probe("sft", "bf16")
    grpo = Probe("grpo", "no")

    def same(name: str, *overrides: str, needs: tuple[str, ...] = (), quick: bool = False) -> Check:
        return Check(name, Probe("sft", "no", overrides), sft, *FLOAT32, needs, quick)

    def attention(name: str, *overrides: str, needs: tuple[str, ...]) -> Check:
        return Check(name, Probe("sft", "bf16", overrides), half, *BFLOAT16, needs)

    equal = [
        Check(
            f"{kind} equals TRL",
            Probe(kind, trained),
            Probe(kind, trained, plain=True),
            *EQUAL[device],
            quick=True,
        )
        for kind in ("sft", "grpo")
    ]
    flash, flex = ("cuda", "flash_attn"), ("cuda",)
    return [
        *equal,
        Check("bf16", half, sft, *BFLOAT16, quick=True),
        Check("bf16_weights", Probe("sft", "bf16", (HALF,)), sft, *BFLOAT16),
        same("packing", PACKED, quick=True),
        same("padding_free", *FREE, quick=True),
        same("checkpointing", "trainer.args.gradient_checkpointing=true"),
        same("liger", LIGER, needs=("cuda", "liger_kernel")),
        Check(
            "static_cache",
            Probe("grpo", "no", ("trainer.args.cache_implementation=static",)),
            grpo,
            *FLOAT32,
            quick=True,
        ),
        attention("flash_attention_2", FLASH, needs=flash),
        attention("packing + flash_attention_2", PACKED, FLASH, needs=flash),
        attention("flex_attention", FLEX, needs=flex),
        attention("packing + flex_attention", PACKED, FLEX, needs=flex),
    ]


def missing(check: Check, device: str) -> str | None:
    """Why the check cannot be made here."""
    return Variant(check.name, "sft", (), check.needs).missing(device)


class Probes:
    """Runs probes, several at once since they are small, each no more than once."""

    def __init__(self, device: str, folder: Path, context: BaseContext, at_once: int):
        self.device, self.folder, self.context = device, folder, context
        self.at_once = at_once
        self._files: dict[Probe, Path | Failed] = {}

    def run(self, probes: Sequence[Probe], seconds: float) -> None:
        """Carry out those that have not been."""
        new = [probe for probe in dict.fromkeys(probes) if probe not in self._files]
        for start in range(0, len(new), self.at_once):
            sides = [(probe, self._start(probe)) for probe in new[start : start + self.at_once]]
            for probe, (side, file) in sides:
                try:
                    side.ready(seconds)
                    side.turn(seconds)
                    self._files[probe] = file
                except Failed as failure:
                    self._files[probe] = failure
                finally:
                    side.close()

    def _start(self, probe: Probe) -> tuple[Side, Path]:
        hardware = "single_gpu" if self.device == "cuda" else "cpu"
        config = resolved(
            *(*DATA[probe.kind], *COMMON, f"hardware={hardware}"),
            f"hardware.mixed_precision={probe.precision}",
            *probe.overrides,
        )
        number = len(list(self.folder.glob("probe*")))
        folder = self.folder / f"probe{number}"
        file = self.folder / f"gradients{number}.safetensors"
        spec = Spec(config, self.device, 1, probe.plain, file)
        return Side(probe.name, spec, folder, self.context), file

    def verdict(self, check: Check) -> dict[str, Any]:
        """The check's row: what differs by how much, and whether that is within tolerance."""
        row: dict[str, Any] = {
            "check": check.name,
            "of": check.probe.name,
            "against": check.reference.name,
            "loss_tolerance": check.loss,
            "gradient_tolerance": check.gradients,
        }
        pair = [self._files[probe] for probe in (check.probe, check.reference)]
        for found in pair:
            if isinstance(found, Failed):
                return {**row, "passed": False, "reason": str(found)}
        loss, gradients = differences(*(read(found) for found in pair if isinstance(found, Path)))
        row |= {"loss_difference": loss, "gradient_difference": gradients}
        # NaN is no less than anything.
        return {**row, "passed": loss <= check.loss and gradients <= check.gradients}


def read(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(str(path)))


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float]:
    """Relative differences of loss and gradients; infinite where one has none, or other names."""
    import numpy

    a, b = float(ours["loss"][0]), float(theirs["loss"][0])
    loss = abs(a - b) / max(abs(b), 0.1)
    names = set(ours) - {"loss"}
    if names != set(theirs) - {"loss"} or not names:
        return loss, math.inf
    apart = sum(float(numpy.square(ours[n] - theirs[n], dtype="float64").sum()) for n in names)
    whole = sum(float(numpy.square(theirs[n], dtype="float64").sum()) for n in names)
    if not whole > 0:
        return loss, math.inf
    return loss, math.sqrt(apart / whole)
