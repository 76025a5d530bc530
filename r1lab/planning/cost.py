"""GPU-hours and price of a run from a model of its arithmetic: a range, with what it rests on.

Training: 6 floating-point operations a parameter and token, 2 of the forward and 4 of the backward
pass (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), 2 more where gradient checkpointing runs
the forward pass again, 2 fewer under adapters (no gradients of the frozen weights), and attention's
2 L s d a token in each forward pass (causal; Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
The peak is divided by a range of model FLOPs utilisation. Gradients and sharded weights travel
meanwhile: ZeRO-3 moves every parameter three times in each micro-step, ZeRO-2 once and once more a
step, DDP twice a step (Rajbhandari et al. 2020, arXiv:1910.02054, section 7). A step takes the
longer of the two.

Generating: every step of decoding reads the weights and the cache and makes one token a sequence
with 2 operations a parameter, so it takes the longer of bytes over bandwidth and operations over
peak (the roofline, Pope et al. 2022, arXiv:2211.05102), divided by a range of efficiency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from r1lab.planning.architecture import Architecture
from r1lab.planning.geometry import Arguments
from r1lab.planning.gpus import GPUS, bandwidth_range
from r1lab.planning.layout import uses_vllm
from r1lab.planning.memory import PROMPT_TOKENS
from r1lab.planning.states import ModelStates, Range

#: Share of the peak that training reaches. Published for large dense models: 0.46 (PaLM), 0.38 to
#: 0.43 (Llama 3, arXiv:2407.21783); the low end allows for short batches and slow networks.
TRAINING = (0.2, 0.5)
#: 10^9 bytes a second that a GPU sends, inside a machine (NVLink) and between machines (one adapter
#: of 200 to 400 Gbit/s a GPU); assumed, not measured.
NETWORK = {False: (150.0, 450.0), True: (25.0, 50.0)}
#: Share of the roofline that decoding reaches; assumed, not measured.
DECODING = {"vllm": (0.3, 0.7), "transformers": (0.05, 0.3)}
#: vLLM's default of sequences that it decodes at once.
VLLM_SEQUENCES = 256
#: Completions are this share of max_completion_length at the low end.
SHORTEST = 0.5


def run_cost(
    arch: Architecture | None,
    args: Arguments,
    batch: Mapping[str, Any],
    model: Mapping[str, Any],
    hardware: Mapping[str, Any],
    places: Mapping[str, Any],
) -> dict[str, Any]:
    """The cost table: [low, high] seconds a step, hours, GPU-hours and price; ``None`` where
    unknown, with ``missing`` saying why and what to set. ``places`` is :func:`layout`'s table."""
    missing = _missing(arch, batch, hardware)
    if missing or arch is None:
        return {"missing": missing}
    work = _Work(arch, args, batch, model, hardware, places)
    training, generating = work.training(), work.generating()
    step = _add(training, generating)
    steps, gpus = batch["optimizer_steps"], places["gpus"]
    counted = steps or 1000
    hours = (step[0] * counted / 3600, step[1] * counted / 3600)
    gpu_hours = (hours[0] * gpus, hours[1] * gpus)
    price = hardware.get("price_per_gpu_hour")
    return {
        "missing": None,
        "steps": counted,
        "steps_known": steps is not None,
        "flops_per_step": _plain(work.flops()),
        "seconds_per_step": _plain(step),
        "training_seconds": _plain(training),
        "generation_seconds": _plain(generating) if batch["kind"] == "grpo" else None,
        "hours": _plain(hours),
        "gpu_hours": _plain(gpu_hours),
        "price": None if price is None else _plain((gpu_hours[0] * price, gpu_hours[1] * price)),
        "assumptions": work.assumptions,
    }


def _missing(
    arch: Architecture | None, batch: Mapping[str, Any], hardware: Mapping[str, Any]
) -> str | None:
    if arch is None:
        return "unknown: needs the model's shape (a config.json on this machine, or model.arch)"
    if not batch.get("micro_steps_per_step"):
        return "unknown: needs a valid batch, see the errors"
    if hardware.get("device") == "cpu":
        return "none: the run is on the CPU (hardware.device=cuda plans for GPUs)"
    if not hardware.get("peak_tflops"):
        known = ", ".join(GPUS)
        return f"unknown: set hardware.gpu ({known}), or hardware.peak_tflops of another one"
    return None


class _Work:
    """One optimizer step's operations and seconds."""

    def __init__(
        self,
        arch: Architecture,
        args: Arguments,
        batch: Mapping[str, Any],
        model: Mapping[str, Any],
        hardware: Mapping[str, Any],
        places: Mapping[str, Any],
    ):
        self.arch, self.args, self.batch, self.places = arch, args, batch, places
        self.grpo = batch["kind"] == "grpo"
        self.states = ModelStates(arch, model, hardware, "", places["world_size"])
        self.peak = float(hardware["peak_tflops"]) * 1e12
        known = hardware.get("bandwidth")
        low, high = (known, known) if known else bandwidth_range(float(hardware["peak_tflops"]))
        self.bandwidth = (low * 1e12, high * 1e12)
        # A look-up costs nothing; the head multiplies, also where it is the embedding's matrix.
        self.multiplied = arch.linear_parameters() + arch.vocab_size * arch.hidden_size
        self.assumptions = [f"{self.peak / 1e12:g} TFLOP/s a GPU at best, {self._reads()}"]
        self.prompt, self.answer = self._lengths()

    def _reads(self) -> str:
        low, high = (end / 1e12 for end in self.bandwidth)
        return f"reads {low:.3g} TB/s" if low == high else f"reads {low:.2g} to {high:.2g} TB/s"

    def _lengths(self) -> tuple[Range, Range]:
        """Tokens of a prompt and of an answer; for SFT a sequence is all answer."""
        if self.grpo:
            longest = float(self.batch["max_completion_length"])
            self.assumptions.append(
                f"prompts of {PROMPT_TOKENS[0]} to {PROMPT_TOKENS[1]} tokens, completions of "
                f"{SHORTEST * longest:g} to {longest:g}"
            )
            return PROMPT_TOKENS, (SHORTEST * longest, longest)
        longest = float(self.batch["max_length"] or self.arch.max_position_embeddings)
        shortest = longest * (1 if self.batch["packing"] else SHORTEST)
        self.assumptions.append(f"sequences of {shortest:g} to {longest:g} tokens")
        return (0.0, 0.0), (shortest, longest)

    def _forward(self, tokens: float) -> float:
        """Operations of one forward pass over one sequence."""
        attention = 2 * self.arch.num_hidden_layers * self.arch.query_size * tokens
        return tokens * (2 * self.multiplied + attention)

    def flops(self) -> Range:
        """Training's operations of one step, generating left out."""
        passes = 3.0  # forward once, backward as much as twice
        if self.states.peft != "none":
            passes -= 1  # no gradients of the frozen weights
        if self.args["gradient_checkpointing"]:
            passes += 1
        once = self._rounds()  # passes over each completion when it is made
        if self.grpo and self.args["beta"]:
            passes += once  # the reference model's log-probabilities
        if self.grpo and self._scores_first():
            passes += once
        sequences = self.batch.get("completions_per_step") or self.batch["sequences_per_step"]
        low, high = (
            sequences * passes * self._forward(prompt + answer)
            for prompt, answer in zip(self.prompt, self.answer, strict=True)
        )
        return low, high

    def _rounds(self) -> float:
        """Generations in one optimizer step: fewer than one where completions are used again."""
        if not self.grpo:
            return 0.0
        used = self.batch["steps_per_generation"] * self.batch["num_iterations"]
        return float(self.batch["micro_steps_per_step"] / used)

    def _scores_first(self) -> bool:
        """Whether TRL also scores completions when they are made (``old_per_token_logps``)."""
        used = self.batch["steps_per_generation"] * self.batch["num_iterations"]
        corrected = uses_vllm(self.args) and self.args["vllm_importance_sampling_correction"]
        return bool(self.batch["micro_steps_per_step"] % used) or bool(corrected)

    def training(self) -> Range:
        low, high = self.flops()
        speed = self.places["training_gpus"] * self.peak
        self.assumptions.append(
            f"training at {TRAINING[0]:.0%} to {TRAINING[1]:.0%} of the peak (MFU)"
            + (", forward passes repeated" if self.args["gradient_checkpointing"] else "")
        )
        arithmetic = low / (speed * TRAINING[1]), high / (speed * TRAINING[0])
        traffic = self._traffic()
        if not traffic:
            return arithmetic
        slow, fast = NETWORK[self.places["machines"] > 1]
        self.assumptions.append(
            f"each GPU sends {traffic / 1e9:.3g} GB a step meanwhile, {slow:g} to {fast:g} GB a "
            "second (assumed)"
        )
        if self.states.offload:
            self.assumptions.append("the CPU's optimizer and its transfers are not counted")
        return max(arithmetic[0], traffic / fast / 1e9), max(arithmetic[1], traffic / slow / 1e9)

    def _traffic(self) -> float:
        """Bytes that each GPU sends in one step so that the ranks stay one model."""
        world, states = self.places["world_size"], self.states
        gradients = states.trained * min(states.trained_bytes, 2)
        weights = states.copy_bytes()[1]
        micro_steps = self.batch["micro_steps_per_step"]
        if states.stage == 3:
            sent = micro_steps * (2 * weights + gradients)
        elif states.stage == 2:
            sent = (micro_steps + 1) * gradients
        else:
            sent = 2 * gradients
        return float(sent * (world - 1) / world)

    def generating(self) -> Range:
        if not self.grpo:
            return 0.0, 0.0
        vllm = self.places["vllm"]
        replicas = vllm["replicas"] if vllm else self.places["world_size"]
        split = vllm["tensor_parallel"] if vllm else 1
        sequences = math.ceil(self.batch["generation_batch_size"] / replicas)
        at_once = min(sequences, VLLM_SEQUENCES) if vllm else sequences
        waves = math.ceil(sequences / at_once)
        name = "vllm" if vllm else "transformers"
        slow, fast = DECODING[name]
        self.assumptions.append(
            f"{sequences} sequences a copy decoded by {'vLLM' if vllm else name} at {slow:.0%} to "
            f"{fast:.0%} of the roofline (assumed)"
        )
        ends = [
            self._decode(at_once, split, prompt, answer, bandwidth) / share
            + self._prefill(at_once, split, prompt) / mfu
            for prompt, answer, bandwidth, share, mfu in zip(
                self.prompt,
                self.answer,
                reversed(self.bandwidth),
                (fast, slow),
                reversed(TRAINING),
                strict=True,
            )
        ]
        return ends[0] * waves * self._rounds(), ends[1] * waves * self._rounds()

    def _decode(
        self, sequences: int, split: int, prompt: float, answer: float, bandwidth: float
    ) -> float:
        """Seconds at the roofline for ``answer`` steps, the cache being half grown on average."""
        arch = self.arch
        cache = 2 * arch.num_hidden_layers * arch.key_value_size * 2  # bytes a token, bf16
        moved = self.states.copy_bytes()[1] + sequences * (prompt + answer / 2) * cache
        operations = 2 * self.multiplied * sequences
        return answer * max(moved / bandwidth, operations / self.peak) / split

    def _prefill(self, sequences: int, split: int, prompt: float) -> float:
        return sequences * self._forward(prompt) / (self.peak * split)


def _add(first: Range, second: Range) -> Range:
    return first[0] + second[0], first[1] + second[1]


def _plain(value: Range) -> list[float]:
    """Four significant digits: more would pretend."""
    return [float(f"{end:.4g}") for end in value]
