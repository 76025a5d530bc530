"""Configurations of several processes that contradict themselves."""

import pytest

from r1lab.planning.advice import Findings
from r1lab.planning.contradictions import check_launcher, check_parallel, check_slurm_tasks

PLAIN = {"quantization": None}


def found(model=PLAIN, **hardware):
    node = {"device": "cuda", "distributed": "none", "processes": 1, "nodes": 1, **hardware}
    findings = Findings()
    check_parallel(findings, model, node)
    return findings


@pytest.mark.parametrize(
    "hardware",
    [
        {},
        {"distributed": "ddp", "processes": 8, "nodes": 64},
        {"distributed": "ddp", "device": "cpu", "processes": 2},
        {"distributed": "deepspeed", "zero_stage": 3, "processes": 8, "offload": True},
        {"distributed": "deepspeed", "zero_stage": 2, "device": "cpu", "processes": 2},
        {"distributed": "deepspeed", "zero_stage": 1, "deepspeed_config": "mine.json"},
        {"distributed": "fsdp", "processes": 8, "offload": True},
    ],
)
def test_sound_hardware_is_left_alone(hardware):
    assert found(**hardware) == Findings()


@pytest.mark.parametrize(
    ("hardware", "key", "fix"),
    [
        ({"nodes": 2}, "hardware.nodes", "hardware=ddp"),
        ({"processes": 4}, "hardware.processes", "hardware=ddp"),
        ({"distributed": "fsdp", "device": "cpu"}, "hardware.distributed", "deepspeed_z3"),
        ({"distributed": "deepspeed", "zero_stage": 0}, "hardware.zero_stage", "hardware=ddp"),
        ({"distributed": "deepspeed", "zero_stage": 4}, "hardware.zero_stage", "2 or 3"),
        ({"distributed": "deepspeed", "zero_stage": 1}, "hardware.zero_stage", "file of yours"),
        ({"distributed": "ddp", "zero_stage": 3}, "hardware.zero_stage", "deepspeed_z3"),
        (
            {"distributed": "fsdp", "deepspeed_config": "zero3"},
            "hardware.deepspeed_config",
            "deepspeed_z3",
        ),
    ],
)
def test_contradictions(hardware, key, fix):
    errors = {problem.key: problem for problem in found(**hardware).errors}
    assert list(errors) == [key]
    assert fix in errors[key].fix


def test_fsdp_on_a_cpu_names_what_would_happen_and_both_ways_out():
    (problem,) = found(distributed="fsdp", device="cpu", processes=2).errors
    assert "DDP" in problem.message
    assert "hardware=ddp" in problem.fix
    assert "hardware=deepspeed_z3" in problem.fix


def test_offloading_needs_something_sharded():
    assert [p.key for p in found(offload=True).warnings] == ["hardware.offload"]
    ddp = found(distributed="ddp", processes=2, offload=True)
    assert [p.key for p in ddp.warnings] == ["hardware.offload"]


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantized_weights_cannot_be_sharded(quantization):
    model = {"quantization": quantization}
    for hardware in ({"distributed": "deepspeed", "zero_stage": 3}, {"distributed": "fsdp"}):
        (problem,) = found(model, **hardware).errors
        assert problem.key == "model.quantization"
        assert "deepspeed_z2" in problem.fix
    assert found(model, distributed="deepspeed", zero_stage=2).errors == []
    assert found(model, distributed="ddp").errors == []


def slurm(machines, tasks, gpus, /, **hardware):
    node = {"device": "cuda", "nodes": 1, "processes": 8, **hardware}
    return {p.key.rpartition(".")[2]: p for p in check_slurm_tasks(machines, tasks, gpus, node, {})}


def test_a_job_with_one_task_a_gpu_is_sound():
    assert slurm(1, 8, 8) == {}
    assert slurm(4, 8, 8, nodes=4) == {}
    assert slurm(2, 4, 4, nodes=2, processes="auto") == {}
    assert slurm(2, 2, None, nodes=2, processes=2, device="cpu") == {}
    assert slurm(2, 2, 4, nodes=2, processes=2, device="cpu") == {}  # no rank wants a GPU


def test_tasks_are_the_runs_processes():
    found = slurm(1, 1, 1)
    assert list(found) == ["tasks_per_node"]
    assert "tasks_per_node=8" in found["tasks_per_node"].fix
    assert "hardware.processes=1" in found["tasks_per_node"].fix


def test_every_gpu_has_a_task():
    idle = slurm(1, 4, 8, processes=4)
    assert list(idle) == ["gpus_per_node"]
    assert "idle" in idle["gpus_per_node"].message
    assert "some would have none" in slurm(1, 8, 4)["gpus_per_node"].message


def test_the_jobs_machines_are_the_runs():
    assert "hardware.nodes=2" in slurm(2, 8, 8)["nodes"].fix
    assert "hydra.launcher.nodes=4" in slurm(2, 8, 8, nodes=4)["nodes"].fix


def test_only_submitits_launchers_have_tasks():
    node = {"device": "cuda", "nodes": 1, "processes": 8}
    slurm = {
        "_target_": "hydra_plugins.x.submitit.SubmititSlurmLauncher",
        "tasks_per_node": 1,
        "nodes": 1,
    }
    assert [p.key for p in check_launcher(slurm, node, {})] == ["hydra.launcher.tasks_per_node"]
    assert check_launcher({"_target_": "hydra_plugins.x.LocalLauncher", "jobs": 2}, node, {}) == []
    assert check_launcher({}, node, {}) == []
    local = {"_target_": "hydra_plugins.x.LocalLauncher", "tasks_per_node": 1}
    assert check_launcher(local, node, {}) == []


def test_fields_of_the_launcher_that_are_null_follow_the_run():
    launcher = {
        "_target_": "hydra_plugins.x.submitit.SubmititSlurmLauncher",
        "nodes": None,
        "tasks_per_node": None,
    }
    node = {"device": "cuda", "nodes": 4, "processes": 8}
    assert check_launcher(launcher, node, {}) == []
    assert check_launcher({**launcher, "gpus_per_node": 8}, {**node, "processes": "auto"}, {}) == []
    idle = check_launcher({**launcher, "gpus_per_node": 8}, {**node, "processes": 4}, {})
    assert [p.key for p in idle] == ["hydra.launcher.gpus_per_node"]


def test_a_rollout_server_has_a_machine_of_its_own_in_the_job():
    node = {"device": "cuda", "nodes": 2, "processes": 4}
    engine = {"kind": "vllm_server", "tensor_parallel_size": 2, "data_parallel_size": 2}
    launcher = {"_target_": "hydra_plugins.x.SubmititSlurmLauncher", "gpus_per_node": 4}
    assert check_launcher(launcher, node, engine) == []
    (short,) = check_launcher({**launcher, "nodes": 2}, node, engine)
    assert "hydra.launcher.nodes=3" in short.fix
    (large,) = check_launcher(launcher, node, {**engine, "data_parallel_size": 4})
    assert "8 GPUs, and its machine has 4" in large.message
    elsewhere = {**engine, "url": "http://10.0.0.7:8000"}
    assert check_launcher({**launcher, "nodes": 2}, node, elsewhere) == []
