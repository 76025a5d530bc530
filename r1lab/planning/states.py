"""Weights, gradients and optimizer of one rank under each kind of data parallelism, in bytes.

What is divided follows ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054); how many bytes each part
takes is what DeepSpeed 0.19, PyTorch 2.13's DDP and FSDP2, and accelerate 1.15 allocate:
``tests/planning/test_allocations.py`` compares with two real processes. With P trained parameters,
N ranks, w bytes a weight (2 under bf16) and AdamW:

=======  =======  ============================  =======================  =========================
         weights  gradients, after backward     ... and while stepping   optimizer
=======  =======  ============================  =======================  =========================
none     wP       wP                            wP                       2wP
DDP      wP       2wP (with DDP's buckets)      2wP                      2wP
ZeRO-1   wP       wP                            wP + 4P/N                12P/N (float32, master)
ZeRO-2   wP       wP/N                          4P/N                     12P/N
ZeRO-3   wP/N     wP/N                          wP/N + 4P/N              12P/N
FSDP2    4P/N     4P/N                          4P/N                     8P/N (weights are master)
=======  =======  ============================  =======================  =========================

DeepSpeed keeps a float32 master copy even where the weights are float32 themselves; accelerate
makes FSDP2's trained weights float32 under mixed precision and keeps their own type without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from r1lab.planning.architecture import Architecture, trainable_parameters

GIB = 1024**3
Range = tuple[float, float]

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
#: NF4 with double quantization: 4 bits and 0.127 bits of constants (Dettmers et al. 2023, sec. 3);
#: without double quantization 0.5 bits of constants.
_QUANTIZED = {"4bit": (0.516, 0.5625), "8bit": (1.0, 1.01)}
#: Moments an optimizer keeps for each trained parameter; unknown ones are counted as AdamW.
_MOMENTS = {"sgd": 0, "adagrad": 1, "rmsprop": 1, "lion": 1, "adafactor": 0.01}
#: DeepSpeed's defaults, which the shipped files keep: parameters that ZeRO-3 holds gathered at
#: once, and parameters whose gradients it casts to float32 at once.
MAX_LIVE_PARAMETERS = SUB_GROUP = 1_000_000_000


@dataclass
class Estimate:
    """Ranges in bytes by part, and the assumptions they rest on; ``host`` is the CPU's memory."""

    parts: dict[str, Range] = field(default_factory=dict)
    host: dict[str, Range] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)

    def add(self, part: str, low: float, high: float | None = None) -> None:
        self.parts[part] = (low, low if high is None else high)

    def part(self, name: str) -> Range:
        return self.parts.get(name, (0.0, 0.0))


def zero_stage(hardware: Mapping[str, Any]) -> int:
    """What is divided over the ranks: 0 nothing, 1 optimizer, 2 gradients too, 3 weights too."""
    if hardware.get("distributed") == "fsdp":
        return 3
    if hardware.get("distributed") == "deepspeed":
        return int(hardware.get("zero_stage") or 0)
    return 0


def mixed_precision(hardware: Mapping[str, Any]) -> str:
    """``no``, ``bf16`` or ``fp16``: what ``auto`` becomes in training."""
    wanted = str(hardware.get("mixed_precision") or "auto")
    if wanted == "auto":
        return "no" if hardware.get("device") == "cpu" else "bf16"
    return wanted


class ModelStates:
    """The sizes of one model on one rank of ``shards``."""

    def __init__(
        self,
        arch: Architecture,
        model: Mapping[str, Any],
        hardware: Mapping[str, Any],
        optimizer: str,
        shards: int,
    ):
        self.arch, self.model, self.hardware = arch, model, hardware
        self.optimizer, self.shards = optimizer, max(shards, 1)
        self.strategy = str(hardware.get("distributed") or "none")
        self.stage = zero_stage(hardware)
        self.offload = bool(hardware.get("offload")) and self.stage > 0
        self.peft = str((model.get("peft") or {}).get("kind") or "none")
        self.quantized = model.get("quantization")
        self.trained = trainable_parameters(arch, model)
        dtype = str(model.get("dtype") or "auto")
        # What the loader does: on a CPU, `auto` is float32 whatever the checkpoint's type.
        auto = "float32" if hardware.get("device") == "cpu" else arch.dtype
        self.dtype = auto if dtype == "auto" else dtype
        half = {"bf16": "bfloat16", "fp16": "float16"}.get(mixed_precision(hardware))
        if self.strategy == "deepspeed" and half:
            self.dtype = half  # DeepSpeed casts the whole model, adapters included
        self.weight_bytes = _BYTES.get(self.dtype, 4)
        self.trained_bytes = self._trained_bytes(half is not None)

    def _trained_bytes(self, mixed: bool) -> int:
        """Bytes of one trained weight: PEFT keeps adapters in float32, TRL casts them to bf16 over
        a quantized base, DeepSpeed to its own type, accelerate's FSDP2 to float32."""
        if self.strategy == "fsdp" and mixed and not self.quantized:
            return 4
        if self.peft == "none" or self.strategy == "deepspeed":
            return self.weight_bytes
        return 2 if self.quantized else 4

    def sharded(self, size: float, from_stage: int) -> float:
        return size / self.shards if self.stage >= from_stage else size

    def copy_bytes(self) -> Range:
        """One whole copy as loaded: linear layers quantized, embeddings and norms not."""
        total, linear = self.arch.parameters(), self.arch.linear_parameters()
        if self.quantized not in _QUANTIZED:
            return total * self.weight_bytes, total * self.weight_bytes
        low, high = _QUANTIZED[str(self.quantized)]
        rest = (total - linear) * self.weight_bytes
        return linear * low + rest, linear * high + rest

    def add_to(self, out: Estimate) -> None:
        """Add the parts ``weights``, ``gradients``, ``optimizer`` and ``gathered layers``."""
        weights = self._weights(out)
        gradients = self._gradients()
        optimizer = self._optimizer(out)
        if not self.offload:
            out.add("weights", *weights)
            out.add("gradients", *gradients)
            out.add("optimizer", 0 if "paged" in self.optimizer else optimizer, optimizer)
        else:
            self._offloaded(out, weights, optimizer)
        if self.stage == 3 and self.shards > 1:
            out.add("gathered layers", *self._gathered())
            out.assumptions.append("gathered layers: the shards that are whole while they compute")

    def _weights(self, out: Estimate) -> Range:
        low, high = self.copy_bytes()
        out.assumptions.append(
            f"weights in {self.dtype}"
            + (f", linear layers in {self.quantized}" * bool(self.quantized))
        )
        if self.peft == "none":
            low = high = self.trained * self.trained_bytes
        else:
            low, high = (end + self.trained * self.trained_bytes for end in (low, high))
        return self.sharded(low, 3), self.sharded(high, 3)

    def _gradients(self) -> Range:
        """(after the backward pass, while the optimizer steps)."""
        own = self.trained * self.trained_bytes
        if self.strategy == "ddp" and self.shards > 1:
            return 2 * own, 2 * own
        if self.strategy != "deepspeed" or self.stage == 0:
            return self.sharded(own, 2), self.sharded(own, 2)
        cast = 4 * min(self.trained / self.shards, SUB_GROUP)
        kept = self.sharded(own, 2)
        return kept, (max(cast, kept) if self.stage == 2 else kept + cast)

    def _optimizer(self, out: Estimate) -> float:
        moments = next((n for key, n in _MOMENTS.items() if key in self.optimizer), 2)
        deepspeed = self.strategy == "deepspeed" and self.stage > 0
        eight_bit = "8bit" in self.optimizer
        each = 1 if eight_bit else (4 if deepspeed else self.trained_bytes)
        held = "float32 with a master copy" if deepspeed else "the trained weights' type"
        out.assumptions.append(
            f"{self.optimizer}: {moments} moment(s) a trained parameter in "
            + ("8 bits" if eight_bit else held)
        )
        return self.sharded(self.trained * (moments * each + 4 * deepspeed), 1)

    def _offloaded(self, out: Estimate, weights: Range, optimizer: float) -> None:
        """The optimizer and its gradients live on the CPU; at stage 3 the weights' shards too."""
        out.add("weights", *((0.0, 0.0) if self.stage == 3 else weights))
        out.add("gradients", 0, self._buckets())
        out.add("optimizer", 0)
        out.host["optimizer"] = (optimizer, optimizer)
        kept = 4 * self.trained / self.shards
        out.host["gradients"] = (kept, kept)
        if self.stage == 3:
            out.host["weights"] = weights
        out.assumptions.append("optimizer and gradients on the CPU (hardware.offload)")

    def _buckets(self) -> float:
        """DeepSpeed's two reduction buckets of hidden x hidden elements, as accelerate sets them;
        FSDP's gradients of the two layers in flight."""
        if self.strategy == "deepspeed":
            return 2 * self.arch.hidden_size**2 * self.weight_bytes
        return 2 * 4 * self._layer_parameters()

    def _layer_parameters(self) -> float:
        return self.arch.linear_parameters() / max(self.arch.num_hidden_layers, 1)

    def _gathered(self) -> Range:
        """What is whole at once under stage 3: at least the larger of one layer and the embedding
        (FSDP: both embeddings, for as long as the model computes, and one to two layers), at most
        what DeepSpeed may keep for reuse."""
        embedding = self.arch.vocab_size * self.arch.hidden_size
        layer, size = self._layer_parameters(), self.weight_bytes
        if self.strategy == "fsdp":
            both = embedding * (1 if self.arch.tie_word_embeddings else 2)
            return (both + layer) * size, (both + 2 * layer) * size
        most = min(self.arch.parameters(), MAX_LIVE_PARAMETERS)
        return max(layer, embedding) * size, max(most, embedding) * size
