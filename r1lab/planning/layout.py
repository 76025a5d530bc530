"""Which processes and GPUs a run has: ranks over machines, and vLLM's share of them.

TRL's trainers are data parallel only: every rank holds one GPU and its own part of the batch. vLLM
splits a model over ``engine.tensor_parallel_size`` GPUs: groups of neighbouring ranks where it
shares the training's GPUs (``engine=vllm_colocate``), GPUs of a server of its own otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1lab.engines.training import server_gpus
from r1lab.errors import Problem
from r1lab.planning.architecture import Architecture
from r1lab.planning.geometry import Arguments
from r1lab.planning.states import zero_stage

TENSOR_PARALLEL = "engine.tensor_parallel_size"


def uses_vllm(args: Arguments) -> bool:
    return args.kind == "grpo" and bool(args["use_vllm"])


def tensor_parallel(args: Arguments) -> int:
    """GPUs that hold one copy of the model in vLLM."""
    size = args["vllm_tensor_parallel_size"]
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 1


def layout(
    args: Arguments, hardware: Mapping[str, Any], engine: Mapping[str, Any]
) -> dict[str, Any]:
    """The table of ranks and GPUs; ``hardware`` is resolved (numbers of processes and machines)."""
    local, nodes = hardware["processes"], hardware["nodes"]
    world = local * nodes
    on_gpus = hardware.get("device") != "cpu"
    table: dict[str, Any] = {
        "machines": nodes,
        "processes_per_machine": local,
        "world_size": world,
        "data_parallel": world,
        "tensor_parallel": 1,
        "sharding": _sharding(hardware, world),
        "ranks": [[node * local, (node + 1) * local - 1] for node in range(nodes)],
        "training_gpus": world if on_gpus else 0,
        "vllm_gpus": 0,
        "vllm": None,
    }
    if uses_vllm(args):
        table |= _vllm(args, engine, world)
    table["gpus"] = table["training_gpus"] + table["vllm_gpus"]
    return table


def _sharding(hardware: Mapping[str, Any], world: int) -> str:
    strategy, stage = hardware.get("distributed", "none"), zero_stage(hardware)
    if strategy == "deepspeed":
        text = f"DeepSpeed ZeRO-{stage} over {world}"
    elif strategy == "fsdp":
        text = f"FSDP over {world}"
    elif strategy == "ddp":
        text = f"none: {world} whole copies (DDP)"
    else:
        text = "none"
    return text + ", offloaded to the CPU" * bool(hardware.get("offload") and stage)


def _vllm(args: Arguments, engine: Mapping[str, Any], world: int) -> dict[str, Any]:
    split = tensor_parallel(args)
    if args["vllm_mode"] == "server":
        gpus = server_gpus(engine)
        return {
            "vllm_gpus": gpus,
            "vllm": {"mode": "server", "tensor_parallel": split, "replicas": max(gpus // split, 1)},
        }
    replicas = max(world // split, 1)
    return {"vllm": {"mode": "colocate", "tensor_parallel": split, "replicas": replicas}}


def check_vllm(
    args: Arguments, hardware: Mapping[str, Any], arch: Architecture | None
) -> tuple[list[Problem], list[Problem]]:
    """(errors, warnings) of vLLM's GPUs: what vLLM or TRL would refuse once models are loaded."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    if not uses_vllm(args):
        return errors, warnings
    server = args["vllm_mode"] == "server"
    split, world = tensor_parallel(args), hardware["processes"] * hardware["nodes"]
    if not server and world % split:
        message = f"does not divide the {world} processes, whose GPUs vLLM shares (TRL refuses it)"
        errors.append(Problem(TENSOR_PARALLEL, split, message, _divisors(split, world)))
    elif not server and split > hardware["processes"]:
        message = (
            f"splits a model over machines of {hardware['processes']} GPUs: slow without NVLink"
        )
        fix = f"set at most {hardware['processes']}"
        warnings.append(Problem(TENSOR_PARALLEL, split, message, fix))
    if arch is not None and split > 1:
        errors += check_heads(split, arch)
    return errors, warnings


def check_heads(split: int, arch: Architecture) -> list[Problem]:
    """vLLM gives each GPU whole heads; key-value heads fewer than GPUs are copied, evenly."""
    heads, shared = arch.num_attention_heads, arch.num_key_value_heads
    sizes = [
        size
        for size in range(1, heads + 1)
        if heads % size == 0 and (shared % size == 0 or size % shared == 0)
    ]
    if split in sizes:
        return []
    message = f"does not divide the model's {heads} attention heads ({shared} key-value heads)"
    if heads % split == 0:
        message = f"neither divides the model's {shared} key-value heads nor is a multiple of them"
    fix = f"choose one of: {', '.join(map(str, sizes))}"
    return [Problem(TENSOR_PARALLEL, split, message, fix)]


def _divisors(split: int, world: int) -> str:
    near = sorted((d for d in range(1, world + 1) if world % d == 0), key=lambda d: abs(d - split))
    return f"set {TENSOR_PARALLEL}={near[0]}, or a number of processes that it divides"
