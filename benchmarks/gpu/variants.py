"""What is tried against the baseline, r1lab's own defaults: overrides, needs, and the check that
must have passed before a variant's speed means anything."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from benchmarks.gpu.shapes import Shape

#: What a need is called where it is missing.
PACKAGES = {"flash_attn": "flash-attn", "liger_kernel": "liger-kernel", "vllm": "vllm"}
FLASH = "model.attn_implementation=flash_attention_2"
FLEX = "model.attn_implementation=flex_attention"
PACKED = "trainer.args.packing=true"
FREE = ("trainer.args.padding_free=true", "trainer.args.max_length=null")
LIGER = "trainer.args.use_liger_kernel=true"
KEPT = "trainer.args.gradient_checkpointing=false"
HALF = "model.dtype=bfloat16"


@dataclass(frozen=True)
class Variant:
    """``check`` names a check of :mod:`benchmarks.gpu.checks`, None where ``note`` says why there
    is none. ``quick``: part of a dry run."""

    name: str
    kind: str
    overrides: tuple[str, ...]
    needs: tuple[str, ...] = ()
    check: str | None = None
    note: str = ""
    quick: bool = False

    def missing(self, device: str) -> str | None:
        """Why it cannot be measured here, None where it can."""
        for need in self.needs:
            if need == "cuda" and device != "cuda":
                return "needs a CUDA device"
            if need in PACKAGES and importlib.util.find_spec(need) is None:
                return f"{PACKAGES[need]} is not installed"
        return None

    def for_shape(self, shape: Shape) -> tuple[str, ...]:
        """The overrides on this shape; vLLM loads weights from a folder."""
        written = "vllm" in self.needs and shape.folder is not None
        return (*self.overrides, *(("model.from_scratch=false",) if written else ()))


#: Nothing can be equal to the baseline's completions: other kernels, another order of sampling.
SAMPLED = "unchecked: samples in another order than the baseline"

VARIANTS = (
    Variant("packing", "sft", (PACKED,), check="packing", quick=True),
    Variant("padding_free", "sft", FREE, check="padding_free", quick=True),
    Variant("flash_attention_2", "sft", (FLASH,), ("cuda", "flash_attn"), "flash_attention_2"),
    Variant(
        *("packing + flash_attention_2", "sft", (PACKED, FLASH), ("cuda", "flash_attn")),
        "packing + flash_attention_2",
    ),
    Variant("flex_attention", "sft", (FLEX,), ("cuda",), "flex_attention"),
    Variant(
        "packing + flex_attention", "sft", (PACKED, FLEX), ("cuda",), "packing + flex_attention"
    ),
    Variant("liger", "sft", (LIGER,), ("cuda", "liger_kernel"), "liger"),
    Variant("no_checkpointing", "sft", (KEPT,), check="checkpointing"),
    Variant(
        *("optimizer not fused", "sft", ("trainer.args.optim=adamw_torch",)),
        note="unchecked: the fused one is the default, so this is what it saves",
    ),
    Variant("bf16_weights", "sft", (HALF,), check="bf16_weights"),
    Variant(
        *("static_cache", "grpo", ("trainer.args.cache_implementation=static",)),
        check="static_cache",
        note="TRL 1.16 turns compilation off, so without CUDA graphs",
        quick=True,
    ),
    Variant(
        *(
            "continuous_batching",
            "grpo",
            ("trainer.args.use_transformers_continuous_batching=true",),
        ),
        needs=("cuda",),
        note=f"{SAMPLED}; TRL 1.16 casts the weights to bf16 for good",
    ),
    Variant("liger", "grpo", (LIGER,), ("cuda", "liger_kernel"), "liger"),
    Variant("no_checkpointing", "grpo", (KEPT,), check="checkpointing"),
    Variant("bf16_weights", "grpo", (HALF,), check="bf16_weights"),
    Variant(
        *("bf16_weights + fp32_head", "grpo", (HALF, "trainer.args.cast_lm_head_to_fp32=true")),
        check="bf16_weights",
    ),
    Variant(
        *("vllm_colocate", "grpo", ("engine=vllm_colocate",), ("cuda", "vllm")),
        note="checked by TRL's own difference of log-probabilities",
    ),
)

#: Asked for, and not there to be measured.
ABSENT = {"rewards overlapped with generation": "r1lab has no such thing yet"}
