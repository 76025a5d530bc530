"""What a run needs on one device, part by part, as (low, high) GiB: arithmetic, not measurement.

Sources: ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) for what sharding divides; activation
recomputation after Korthikanti et al. 2022 (arXiv:2205.05198), whose per-layer count is redone here
for grouped-query attention with a fused kernel and a gated MLP; the LM head is TRL 1.16's tiled one
(``trl/kernels/chunked_logprob.py``), which never holds the logits of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1lab.planning.architecture import Architecture
from r1lab.planning.geometry import Arguments
from r1lab.planning.layout import tensor_parallel
from r1lab.planning.states import GIB, Estimate, ModelStates, Range, mixed_precision

#: Tokens of a prompt where nothing says how long they are: a short question, a long one.
PROMPT_TOKENS = (64, 512)
#: trl/kernels/chunked_logprob.py: tokens of a tile; trl/trainer/utils.py: its width in vocabulary.
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768


def device_bytes(
    arch: Architecture | None,
    args: Arguments,
    batch: Mapping[str, Any],
    model: Mapping[str, Any],
    hardware: Mapping[str, Any],
    prompt_tokens: Range = PROMPT_TOKENS,
) -> dict[str, Any]:
    """The memory table: ``parts`` and ``total`` as [low, high] GiB, and ``assumptions``."""
    if arch is None:
        reason = "the architecture is not known (no config.json on this machine, no model.arch)"
        return {"parts": {}, "total": None, "parameters": None, "assumptions": [reason]}
    if "max_completion_length" not in batch and "max_length" not in batch:
        return {
            "parts": {},
            "total": None,
            "parameters": arch.parameters(),
            "assumptions": ["the batch is not valid, see the errors"],
        }
    planner = _Planner(arch, args, batch, model, hardware, prompt_tokens)
    estimate = planner.estimate()
    total = _total(estimate)
    local = max(int(hardware.get("processes") or 1), 1)
    host = tuple(local * sum(end[i] for end in estimate.host.values()) for i in (0, 1))
    return {
        "parts": {name: _gib(value) for name, value in estimate.parts.items()},
        "total": _gib(total),
        "vllm_weights": round(planner.vllm_weights / GIB, 3) if planner.vllm_weights else None,
        "host": _gib((host[0], host[1])) if estimate.host else None,
        "parameters": arch.parameters(),
        "trainable_parameters": planner.states.trained,
        "architecture": arch.source,
        "assumptions": estimate.assumptions,
    }


def _total(estimate: Estimate) -> Range:
    """The larger of two phases, each over what stays: training, and generating completions.

    The high end adds a tenth for fragmentation of the allocator.
    """
    names = ("weights", "optimizer", "reference model", "runtime", "vLLM")
    resident = [estimate.part(name) for name in names]
    working = ("gradients", "activations", "LM head", "gathered layers")
    training = [estimate.part(name) for name in working]
    generating = [estimate.part(name) for name in ("KV cache", "gathered weights")]
    low, high = (
        sum(r[i] for r in resident)
        + max(sum(r[i] for r in training), sum(r[i] for r in generating))
        for i in (0, 1)
    )
    return low, high * 1.1


def _gib(value: Range) -> list[float]:
    return [round(value[0] / GIB, 3), round(value[1] / GIB, 3)]


class _Planner:
    """Holds the facts of one run while its parts are added up."""

    def __init__(
        self,
        arch: Architecture,
        args: Arguments,
        batch: Mapping[str, Any],
        model: Mapping[str, Any],
        hardware: Mapping[str, Any],
        prompt_tokens: Range,
    ):
        self.arch, self.args, self.batch = arch, args, batch
        self.model, self.hardware, self.prompt = model, hardware, prompt_tokens
        self.out = Estimate()
        self.vllm_weights = 0.0  # bytes on each of vLLM's GPUs
        self.states = ModelStates(
            arch,
            model,
            hardware,
            str(args["optim"] or "adamw_torch_fused"),
            int(batch["processes"]),
        )
        self.peft = self.states.peft
        # Bytes an activation takes: autocast's type, else the weights' own.
        half = mixed_precision(hardware) != "no"
        self.compute_bytes = 2 if half else self.states.weight_bytes

    def estimate(self) -> Estimate:
        self.states.add_to(self.out)
        tokens = self._tokens()
        self._activations(tokens)
        self._head(tokens)
        if self.batch["kind"] == "grpo":
            self._reference()
            self._generation(tokens)
        if self.hardware.get("device") != "cpu":
            self.out.add("runtime", 0.5 * GIB, 1.5 * GIB)
            self.out.assumptions.append("runtime is the CUDA context, kernels and NCCL's buffers")
        phases = "training or generating, the larger" if self.batch["kind"] == "grpo" else "all"
        self.out.assumptions.append(f"total: {phases}; its high end adds 10% for fragmentation")
        return self.out

    def _tokens(self) -> tuple[Range, float]:
        """(sequence length, tokens that are scored) of one sequence of a micro-batch."""
        if self.batch["kind"] == "grpo":
            longest = float(self.batch["max_completion_length"])
            low, high = self.prompt
            self.out.assumptions.append(
                f"prompts of {low:g} to {high:g} tokens, completions of {longest:g}"
            )
            return (low + longest, high + longest), longest
        longest = float(self.batch["max_length"] or self.arch.max_position_embeddings)
        low = longest if self.batch["packing"] else longest / 2
        self.out.assumptions.append(f"sequences of {low:g} to {longest:g} tokens")
        return (low, longest), longest

    def _activations(self, tokens: tuple[Range, float]) -> None:
        """Elements that one layer saves for a token, times tokens; per layer only its input if
        gradient checkpointing recomputes the rest (Korthikanti et al., section 4)."""
        arch, size = self.arch, self.compute_bytes
        per_token = (
            4 * arch.hidden_size  # both norms' inputs and outputs
            + 3 * arch.query_size  # queries before and after rotation, attention's output
            + 4 * arch.key_value_size  # keys before and after rotation, values (two views)
            + 4 * arch.intermediate_size  # gate, its activation, up, their product
        )
        per_device = self.args["per_device_train_batch_size"]
        eager = self.model.get("attn_implementation") == "eager"
        ends = []
        for length, slack in zip(tokens[0], (1.0, 1.6), strict=True):
            layer = per_device * length * per_token * size * slack
            if eager:  # probabilities of every pair of positions, in float32 and as cast from it
                pair = 4 + (size if size < 4 else 0)
                layer += per_device * arch.num_attention_heads * length**2 * pair
            kept = per_device * length * arch.hidden_size * size
            layers = arch.num_hidden_layers
            ends.append(
                layers * kept + layer if self.args["gradient_checkpointing"] else layers * layer
            )
        self.out.add("activations", ends[0], ends[1])
        self.out.assumptions.append(
            "activations "
            + (
                "recomputed (gradient checkpointing)"
                if self.args["gradient_checkpointing"]
                else "kept"
            )
            + f", {size} bytes an element"
            + (", eager attention" if eager else ", fused attention")
        )

    def _head(self, tokens: tuple[Range, float]) -> None:
        """One tile of logits, and the float32 gradients of the hidden states and of the head."""
        arch, per_device = self.arch, self.args["per_device_train_batch_size"]
        scored = per_device * tokens[1]
        tile = min(scored, TILE_TOKENS) * TILE_VOCABULARY * self.compute_bytes
        head = arch.vocab_size * arch.hidden_size * 4 if self.peft == "none" else 0
        low = tile + scored * arch.hidden_size * 4 + head
        on_cpu = self.hardware.get("device") == "cpu"
        high = low + (2 * min(scored, TILE_TOKENS) * TILE_VOCABULARY * 4 if on_cpu else 0)
        note = "LM head: TRL scores tiles of 4096 tokens x 32768 words, never all logits"
        smoothed = self.batch["kind"] == "sft" and (self.args["label_smoothing_factor"] or 0) > 0
        if smoothed:
            logits = scored * arch.vocab_size * 4
            low, high = logits, 2 * logits
            note = "LM head: label smoothing makes all logits, in float32"
        self.out.add("LM head", low, high)
        self.out.assumptions.append(note)

    def _reference(self) -> None:
        """A frozen second copy for the KL term; with adapters, the base model is the reference."""
        if not self.args["beta"] or self.peft != "none":
            return
        low, high = (self.states.sharded(size, 3) for size in self.states.copy_bytes())
        self.out.add("reference model", low, high)
        self.out.assumptions.append("beta is not 0: a frozen copy of the model for the KL term")

    def _generation(self, tokens: tuple[Range, float]) -> None:
        arch = self.arch
        if self.args["use_vllm"]:
            self._vllm()
            return
        sequences = self.args["per_device_train_batch_size"] * self.batch["steps_per_generation"]
        per_token = arch.num_hidden_layers * 2 * arch.key_value_size * self.compute_bytes
        logits = sequences * arch.vocab_size * 4  # of the last position, in float32
        low, high = (sequences * length * per_token + logits for length in tokens[0])
        self.out.add("KV cache", low, high)
        self.out.assumptions.append(
            f"{sequences} sequences generated at once on a device (batch x steps_per_generation)"
        )
        if self.states.stage == 3 and self.args["ds3_gather_for_generation"]:
            self.out.add("gathered weights", *self.states.copy_bytes())
            self.out.assumptions.append("all weights are gathered on every device to generate")

    def _vllm(self) -> None:
        split = tensor_parallel(self.args)
        weights = self.arch.parameters() * 2 / split
        self.vllm_weights = weights
        note = f"vLLM's weights take {weights / GIB:.2f} GiB of each GPU (tensor parallel {split})"
        if self.args["vllm_mode"] == "server":
            self.out.assumptions.append(f"{note}, on a server of its own")
            return
        share, memory = (
            self.args["vllm_gpu_memory_utilization"],
            self.hardware.get("gpu_memory_gib"),
        )
        if memory:
            self.out.add("vLLM", float(share) * float(memory) * GIB)
            self.out.assumptions.append(f"vLLM takes {share:g} of the device for itself; {note}")
        else:
            self.out.add("vLLM", weights, 2 * weights)
            self.out.assumptions.append(f"{note}, and as much for its cache; set gpu_memory_gib")
