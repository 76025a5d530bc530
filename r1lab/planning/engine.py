"""What a training's engine cannot do: found from the config, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1lab.engines import installed
from r1lab.planning.advice import Findings
from r1lab.planning.architecture import Architecture
from r1lab.planning.geometry import Arguments

#: vLLM's attention on a CPU.
CPU_HEAD_SIZE = 32


def check_engine(
    found: Findings,
    engine: Mapping[str, Any],
    args: Arguments,
    model: Mapping[str, Any],
    arch: Architecture | None,
    hardware: Mapping[str, Any],
) -> None:
    """Add what is wrong with ``engine=vllm_*`` for this run; ``hardware`` is resolved."""
    kind = str(engine.get("kind", "auto"))
    if not kind.startswith("vllm_"):
        return
    if args.kind != "grpo":
        fix = "leave engine out, or train with trainer=grpo"
        found.error("engine.kind", kind, "supervised fine-tuning generates nothing", fix)
        return
    _length(found, engine, args)
    dropout = (model.get("peft") or {}).get("dropout", 0)
    if dropout and (model.get("peft") or {}).get("kind") != "none" and not args["disable_dropout"]:
        message = (
            "the trainer's log-probabilities have the adapter's dropout and the engine's have not: "
            "the correction for their difference sees noise"
        )
        fix = "set model.peft.dropout=0, or trainer.args.disable_dropout=true"
        found.warn("model.peft.dropout", dropout, message, fix)
    if hardware.get("device") == "cpu":
        _on_cpu(found, engine, arch, hardware)
    _installed(found, kind, str(hardware.get("device")))


def _length(found: Findings, engine: Mapping[str, Any], args: Arguments) -> None:
    longest, answer = engine.get("max_model_len"), args["max_completion_length"]
    if isinstance(longest, int) and isinstance(answer, int) and longest <= answer:
        found.error(
            "engine.max_model_len",
            longest,
            f"leaves no room for a prompt beside answers of {answer} tokens "
            "(trainer.args.max_completion_length)",
            f"set {answer} and the longest prompt's tokens, or null for the model's own",
        )


def _on_cpu(
    found: Findings,
    engine: Mapping[str, Any],
    arch: Architecture | None,
    hardware: Mapping[str, Any],
) -> None:
    if engine.get("url"):
        message = "a server takes new weights over NCCL, and this run is on the CPU"
        found.error("engine.url", engine["url"], message, "leave it out: r1lab starts one that can")
    for name in ("gpu_memory_utilization", "sleep_mode"):
        if engine.get(name):
            message = "is about a GPU's memory, and this run is on the CPU"
            found.error(f"engine.{name}", engine[name], message, "leave it out")
    for name in ("tensor_parallel_size", "data_parallel_size"):
        if (engine.get(name) or 1) != 1:
            message = "splits or copies the model over GPUs, and this run is on the CPU"
            found.error(f"engine.{name}", engine[name], message, "leave it out")
    if arch is not None and arch.head_dim < CPU_HEAD_SIZE:
        found.error(
            "engine.kind",
            engine["kind"],
            f"vLLM on a CPU needs heads of {CPU_HEAD_SIZE} or more, and the model's are "
            f"{arch.head_dim}",
            "set engine=transformers",
        )
    found.warn(
        "engine.kind",
        engine["kind"],
        "is how the real vLLM is tried without a GPU; transformers' own generation is faster there",
        "set engine=transformers to train on the CPU",
    )


def _installed(found: Findings, kind: str, device: str) -> None:
    """A warning: the run may be planned for another machine. Starting it here is an error."""
    vllm = installed.vllm()
    if vllm is None:
        found.warn("engine.kind", kind, "vLLM is not installed here", installed.install(device))
    elif (said := installed.unsupported(vllm)) is not None:
        found.warn("engine.kind", kind, said, f"install {' to '.join(installed.SUPPORTED)}")
