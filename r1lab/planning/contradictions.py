"""Where a configuration of several processes contradicts itself, said before any of them starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1lab.engines import training
from r1lab.errors import Problem
from r1lab.planning.advice import Findings

#: The ZeRO stages that DeepSpeed files ship for.
SHIPPED_STAGES = (2, 3)


def check_parallel(found: Findings, model: Mapping[str, Any], hardware: Mapping[str, Any]) -> None:
    """Processes, machines, sharding, offload and quantization; ``hardware`` is resolved."""
    strategy = hardware.get("distributed", "none")
    stage, own_file = hardware.get("zero_stage") or 0, hardware.get("deepspeed_config")
    world = hardware["processes"] * hardware["nodes"]
    if strategy == "none" and world > 1:
        single = hardware["nodes"] == 1
        key = "hardware.processes" if single else "hardware.nodes"
        found.error(
            key,
            hardware["processes"] if single else hardware["nodes"],
            f"{world} processes have nothing to train together with (hardware.distributed=none)",
            f"choose hardware=ddp, deepspeed_z2, deepspeed_z3 or fsdp, or set {key}=1",
        )
    if strategy == "fsdp" and hardware.get("device") == "cpu":
        found.error(
            "hardware.distributed",
            "fsdp",
            "on a CPU accelerate trains with DDP instead, without a word: nothing would be sharded",
            "choose hardware=ddp, or hardware=deepspeed_z3, which shards on a CPU too"
            " (with hardware.device=cpu)",
        )
    if strategy == "deepspeed":
        if stage not in (1, 2, 3):
            found.error(
                "hardware.zero_stage",
                stage,
                "is no stage of ZeRO that shards anything",
                "set hardware.zero_stage=2 or 3, or choose hardware=ddp",
            )
        elif stage not in SHIPPED_STAGES and own_file is None:
            found.error(
                "hardware.zero_stage",
                stage,
                "has no DeepSpeed file in launchers/deepspeed",
                "set hardware.zero_stage=2 or 3, or hardware.deepspeed_config to a file of yours",
            )
    elif own_file is not None or stage:
        key = "hardware.deepspeed_config" if own_file is not None else "hardware.zero_stage"
        found.error(
            key,
            own_file if own_file is not None else stage,
            f"is DeepSpeed's, and hardware.distributed is {strategy}",
            "choose hardware=deepspeed_z2 or deepspeed_z3, or leave it out",
        )
    if hardware.get("offload") and strategy not in ("deepspeed", "fsdp"):
        found.warn(
            "hardware.offload",
            True,
            "nothing is offloaded without DeepSpeed or FSDP",
            "set hardware.offload=false, or choose hardware=deepspeed_z2, deepspeed_z3 or fsdp",
        )
    _quantized(found, model, strategy, stage)


def _quantized(found: Findings, model: Mapping[str, Any], strategy: str, stage: int) -> None:
    """bitsandbytes loads its weights onto the GPU of the process, whole: they cannot be sharded."""
    quantization = model.get("quantization")
    if not quantization or not (strategy == "fsdp" or (strategy == "deepspeed" and stage == 3)):
        return
    sharding = "FSDP" if strategy == "fsdp" else "ZeRO-3"
    found.error(
        "model.quantization",
        quantization,
        f"{sharding} shards weights, and bitsandbytes' cannot be: each process loads them whole",
        "choose hardware=deepspeed_z2 or hardware=ddp (or model/peft=lora without quantization)",
    )


def check_launcher(
    launcher: Mapping[str, Any], hardware: Mapping[str, Any], engine: Mapping[str, Any]
) -> list[Problem]:
    """:func:`check_slurm_tasks` of a resolved ``hydra.launcher`` node, where it is submitit's."""
    if "submitit" not in str(launcher.get("_target_")).lower():
        return []
    slurm = "Slurm" in str(launcher.get("_target_"))
    machines = training.server_machines(engine) if slurm else 0
    return check_slurm_tasks(*slurm_tasks(launcher, hardware, machines), hardware, engine, machines)


def slurm_tasks(
    launcher: Mapping[str, Any], hardware: Mapping[str, Any], server_machines: int = 0
) -> tuple[int, int, int | None]:
    """(nodes, tasks a node, GPUs a node) of a point's job; GPUs may be left open.

    ``server_machines`` are those that the rollouts' server has to itself.

    Fields that are null follow the run: its machines, its processes, one for each GPU of the job
    where their number is left to the machine.
    """
    gpus, wanted = launcher.get("gpus_per_node"), hardware.get("processes", 1)
    tasks = launcher.get("tasks_per_node") or (gpus or 1 if wanted == "auto" else wanted)
    nodes = launcher.get("nodes") or hardware.get("nodes", 1) + server_machines
    return int(nodes), int(tasks), gpus


def check_slurm_tasks(
    nodes: int,
    tasks_per_node: int,
    gpus_per_node: int | None,
    hardware: Mapping[str, Any],
    engine: Mapping[str, Any],
    server_machines: int = 0,
) -> list[Problem]:
    """What a Slurm job asks for against the run's processes: every task is one rank, with one GPU.

    The first three are ``hydra.launcher``'s fields; ``hardware`` is a config's node, whose
    ``processes: auto`` takes whatever the job has.
    """
    problems = []
    wanted_nodes, wanted = hardware.get("nodes", 1) + server_machines, hardware.get("processes", 1)
    launcher = "hydra.launcher"
    if nodes != wanted_nodes:
        problems.append(
            Problem(
                f"{launcher}.nodes",
                nodes,
                f"the run is planned for {wanted_nodes} machine(s) (hardware.nodes"
                + ", and one for the rollouts' server)" * server_machines
                + ")" * (not server_machines),
                f"set {launcher}.nodes={wanted_nodes}, or hardware.nodes={nodes - server_machines}",
            )
        )
    if wanted != "auto" and tasks_per_node != wanted:
        problems.append(
            Problem(
                f"{launcher}.tasks_per_node",
                tasks_per_node,
                f"the run has {wanted} process(es) a machine, and every task is one of them"
                " (hardware.processes)",
                f"set {launcher}.tasks_per_node={wanted}, or hardware.processes={tasks_per_node}",
            )
        )
    served, machine = training.server_gpus(engine), gpus_per_node or tasks_per_node
    if server_machines and hardware.get("device") != "cpu" and served > machine:
        problems.append(
            Problem(
                "engine.data_parallel_size",
                engine.get("data_parallel_size"),
                f"the server would have {served} GPUs, and its machine has {machine}",
                "lower it (or engine.tensor_parallel_size), or start servers of your own and give "
                "engine.url",
            )
        )
    if hardware.get("device") != "cpu" and gpus_per_node and gpus_per_node != tasks_per_node:
        idle = gpus_per_node > tasks_per_node
        problems.append(
            Problem(
                f"{launcher}.gpus_per_node",
                gpus_per_node,
                f"{tasks_per_node} task(s) take one GPU each: "
                + ("the others would be paid for and idle" if idle else "some would have none"),
                f"set {launcher}.tasks_per_node={gpus_per_node}"
                f" hardware.processes={gpus_per_node}, or"
                f" {launcher}.gpus_per_node={tasks_per_node}",
            )
        )
    return problems
