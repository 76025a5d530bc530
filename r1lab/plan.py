"""The plan of a run: layout, batch, memory, cost, errors and warnings, from the resolved config.

Nothing here imports torch.

``make_plan`` is called on configs that validation has already found mistakes in, so that everything
is reported together: a field of the wrong type is planned as if it had TRL's default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from r1lab import hardware as machine
from r1lab.engines.training import trl_arguments
from r1lab.errors import ConfigError, Problem, suggest
from r1lab.launch.settings import deepspeed_file
from r1lab.planning.advice import Findings, advise
from r1lab.planning.architecture import Architecture, read_architecture
from r1lab.planning.contradictions import check_parallel
from r1lab.planning.cost import run_cost
from r1lab.planning.deepspeed import check_deepspeed
from r1lab.planning.engine import check_engine
from r1lab.planning.geometry import Arguments, batch_geometry
from r1lab.planning.gpus import GPUS
from r1lab.planning.layout import check_vllm, layout
from r1lab.planning.memory import device_bytes
from r1lab.planning.render import render
from r1lab.planning.resuming import check_resumed_batch
from r1lab.planning.trl_fields import trainer_fields

__all__ = ["Plan", "make_plan", "render", "resolve_hardware", "training_rows"]


@dataclass
class Plan:
    """What a run will do and need; plain values, ready for JSON (unknown counts are ``None``)."""

    layout: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)


def make_plan(config: Mapping[str, Any]) -> Plan:
    """Plan a run from its fully resolved config (plain Python values)."""
    trainer = config["trainer"]
    kind = trainer.get("kind")
    if kind not in ("grpo", "sft"):
        return Plan()  # not a trainer; validation says so
    fields = trainer_fields(kind)
    given = trainer.get("args") or {}
    found = Findings()
    usable = {k: v for k, v in given.items() if k in fields and fields[k].accepts(v)}
    for name, value in list(usable.items()):
        if isinstance(value, float) and not math.isfinite(value):
            found.error(f"trainer.args.{name}", value, "is not a finite number", "set a number")
            del usable[name]
    engine = config.get("engine") or {}
    args = Arguments(kind, usable | trl_arguments(engine, kind))
    _check_numbers(config["hardware"], found)
    hardware = resolve_hardware(config["hardware"])
    arch = _architecture(config["model"], found)
    places = layout(args, hardware, engine)
    batch, errors = batch_geometry(args, places["world_size"], training_rows(config["data"]))
    found.errors += errors
    _check_processes(config, hardware, found)
    check_parallel(found, config["model"], hardware)
    check_engine(found, engine, args, config["model"], arch, hardware)
    refused, doubtful = check_vllm(args, hardware, arch)
    found.errors += refused
    found.warnings += doubtful
    if hardware["distributed"] == "deepspeed":
        found.errors += _deepspeed(batch, hardware, {problem.key for problem in found.errors})
    found.warnings += check_resumed_batch(config, args, batch)
    advice = advise(config, args, batch, arch, hardware)
    plan = Plan(
        places,
        batch,
        device_bytes(arch, args, batch, config["model"], hardware),
        run_cost(arch, args, batch, config["model"], hardware, places),
        [*found.warnings, *advice.warnings],
        [*found.errors, *advice.errors],
    )
    plan.memory["available"] = hardware.get("gpu_memory_gib")
    _check_memory(plan)
    if places["vllm"] and plan.memory.get("vllm_weights") and plan.memory["available"]:
        _check_vllm_memory(plan, args, engine)
    dynamic = trainer.get("dynamic_sampling") or {}
    if dynamic.get("enabled"):
        _count_rounds(plan, dynamic["max_rounds"])
    return plan


def _count_rounds(plan: Plan, most: int) -> None:
    """Dynamic sampling's: how many there will be hangs on the rewards, so the time leaves them out
    and says so."""
    if plan.batch.get("generated_tokens_max"):
        plan.batch["generated_tokens_max"] *= 1 + most
    if "assumptions" in plan.cost:
        plan.cost["assumptions"].append(
            f"one generation a batch; dynamic sampling adds up to {most}, of the groups that it "
            "replaces"
        )


def _deepspeed(
    batch: Mapping[str, Any], hardware: Mapping[str, Any], wrong: set[str]
) -> list[Problem]:
    """The named DeepSpeed file, else the one that ships for the stage, against the run."""
    if "hardware.zero_stage" in wrong:
        return []  # there is no file for it
    try:
        return check_deepspeed(deepspeed_file(hardware), batch, hardware)
    except ConfigError as error:
        return error.problems


def _check_numbers(hardware: Mapping[str, Any], found: Findings) -> None:
    """A GPU that is named must be known, and what is counted must be above 0."""
    name = hardware.get("gpu")
    if name is not None and name not in GPUS:
        fix = suggest(str(name), list(GPUS)) + " (or set hardware.peak_tflops and gpu_memory_gib)"
        found.error("hardware.gpu", name, "is no GPU that plan knows", fix)
    for key in ("nodes", "peak_tflops", "price_per_gpu_hour"):
        value = hardware.get(key)
        low = 0 if key == "price_per_gpu_hour" else 1
        if value is not None and not (value >= low and math.isfinite(value)):
            found.error(f"hardware.{key}", value, f"is below {low}", f"give {low} or more")


def _check_processes(
    config: Mapping[str, Any], hardware: Mapping[str, Any], found: Findings
) -> None:
    """Say that ``auto`` means this machine, where it has no GPU to count."""
    several = hardware["distributed"] != "none"
    if several and config["hardware"].get("processes") == "auto" and not machine.gpu_count():
        found.warn(
            "hardware.processes",
            "auto",
            "is one process a GPU, and this machine shows none: planned as one process",
            "set hardware.processes=8 (for instance) to plan for the machine that will train",
        )


def _architecture(model: Mapping[str, Any], found: Findings) -> Architecture | None:
    try:
        return read_architecture(model)
    except (ValueError, TypeError) as error:
        found.error(
            "model.id",
            model.get("id"),
            f"its config.json (or model.arch) cannot be read: {error}",
            "repair the file, or name another model",
        )
        return None


def resolve_hardware(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The ``hardware`` node with ``device``, ``processes`` and ``nodes`` decided, as the run would,
    and the facts of a named GPU where the node does not give them.

    ``processes: auto`` is one a GPU of this machine; planning for another one, set the number.
    """
    resolved = {"distributed": "none", **hardware}
    gpus = machine.gpu_count()
    if resolved.get("device") not in ("cpu", "cuda"):
        resolved["device"] = "cuda" if gpus and machine.torch_has_cuda() else "cpu"
    processes, nodes = resolved.get("processes"), resolved.get("nodes")
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        several = resolved["distributed"] != "none"
        resolved["processes"] = max(gpus, 1) if several else 1
    resolved["nodes"] = nodes if isinstance(nodes, int) and nodes > 0 else 1
    named = GPUS.get(str(resolved.get("gpu")))
    own_peak = resolved.get("peak_tflops")
    resolved["bandwidth"] = named.bandwidth if named else None
    if named:
        resolved["peak_tflops"] = own_peak or named.tflops
        resolved["gpu_memory_gib"] = resolved.get("gpu_memory_gib") or named.memory_gib
    return resolved


def training_rows(data: Mapping[str, Any]) -> int | None:
    """Rows of the training split where the config tells them (generated data), else ``None``."""
    rows, most = data.get("train_size"), data.get("max_train")
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        return None
    return min(rows, most) if isinstance(most, int) and most > 0 else rows


def _check_memory(plan: Plan) -> None:
    total, available = plan.memory.get("total"), plan.memory.get("available")
    if not total or not available or total[1] <= available:
        return
    low, high = total
    verdict = "cannot fit" if low > available else "may not fit"
    plan.warnings.append(
        Problem(
            "hardware.gpu_memory_gib",
            available,
            f"the run needs about {low:.1f} to {high:.1f} GiB a device: it {verdict}",
            f"lower {_largest(plan)}",
        )
    )


def _check_vllm_memory(plan: Plan, args: Arguments, engine: Mapping[str, Any]) -> None:
    """vLLM's weights must leave room for its cache in its share of the GPU."""
    weights, memory = plan.memory["vllm_weights"], plan.memory["available"]
    server = plan.layout["vllm"]["mode"] == "server"
    share = float(args["vllm_gpu_memory_utilization"])
    if server:
        share = engine.get("gpu_memory_utilization") or 0.9  # vLLM's own default
    if weights < share * memory:
        return
    fix = "set a larger engine.tensor_parallel_size"
    plan.warnings.append(
        Problem(
            "engine.tensor_parallel_size",
            plan.layout["vllm"]["tensor_parallel"],
            f"{weights:.1f} GiB of weights do not fit vLLM's {share * memory:.1f} GiB of each GPU",
            fix if server else f"{fix}, or engine.gpu_memory_utilization",
        )
    )


#: What to change for the part that takes most.
_REMEDIES = {
    "weights": "the model's size or its precision (model/peft=qlora), or shard (deepspeed_z3)",
    "gradients": "what is trained (model/peft=lora), or shard (hardware=deepspeed_z2)",
    "optimizer": "the optimizer's state (trainer.args.optim=adamw_8bit or model/peft=lora)",
    "activations": "trainer.args.per_device_train_batch_size (more gradient_accumulation_steps)",
    "LM head": "trainer.args.per_device_train_batch_size, or train adapters (model/peft=lora)",
    "reference model": "trainer.args.beta to 0, which needs no reference model",
    "KV cache": "trainer.args.steps_per_generation, so that fewer completions are made at once",
    "gathered layers": "it with a DeepSpeed file of a smaller stage3_max_live_parameters",
    "gathered weights": "it with trainer.args.ds3_gather_for_generation=false, which is slower",
    "vLLM": "engine.gpu_memory_utilization",
}


def _largest(plan: Plan) -> str:
    parts = {k: v for k, v in plan.memory["parts"].items() if k in _REMEDIES}
    name = max(parts, key=lambda name: parts[name][1])
    sharding = plan.layout["sharding"]
    whole = "FSDP" in sharding or "ZeRO-3" in sharding
    if (whole and name == "weights") or (
        (whole or "ZeRO-2" in sharding) and name in ("gradients", "optimizer")
    ):
        return "each GPU's shard (more GPUs, hardware.offload=true, or model/peft=lora)"
    return _REMEDIES[name]
