"""What ``plan`` says about several processes, machines and GPUs: from composed configs."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from r1lab.compose import compose, resolve
from r1lab.plan import Plan, make_plan, render, resolve_hardware

BIG = ("model=qwen2_5_7b", "data=gsm8k", "hardware.gpu=h100")
SERVER = ("engine=vllm_server",)


def plan(*overrides: str) -> Plan:
    return make_plan(resolve(compose([*BIG, *overrides])))


def keys(problems):
    return [problem.key for problem in problems]


def shown(*overrides: str, width: int = 80) -> str:
    config = resolve(compose([*BIG, *overrides]))
    out = StringIO()
    from rich.console import Console

    Console(file=out, width=width).print(render(make_plan(config), config))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["ddp", "deepspeed_z2", "deepspeed_z3", "fsdp"])
def test_batch_and_memory_are_those_of_all_machines(kind):
    made = plan(f"hardware={kind}", "hardware.nodes=4")
    assert made.errors == []
    assert made.layout["world_size"] == made.batch["processes"] == 32
    assert made.batch["completions_per_step"] == 32 * 16 * 4
    alone = plan(f"hardware={kind}")
    optimizer = made.memory["parts"]["optimizer"][1] / alone.memory["parts"]["optimizer"][1]
    assert optimizer == pytest.approx(1 if kind == "ddp" else 1 / 4, rel=0.01)


def test_a_server_and_its_price():
    made = plan(
        "hardware=deepspeed_z3",
        "hardware.nodes=2",
        *SERVER,
        "engine.tensor_parallel_size=2",
        "engine.data_parallel_size=4",
        "hardware.price_per_gpu_hour=2.5",
        "trainer.args.max_steps=100",
    )
    assert (made.errors, made.layout["gpus"]) == ([], 24)
    assert made.memory["vllm_weights"] == pytest.approx(7.615616512 * 2 / 2 / 1.0737, rel=0.001)
    assert made.cost["price"][0] == pytest.approx(24 * 2.5 * made.cost["hours"][0], rel=0.01)
    json.dumps([made.layout, made.cost], allow_nan=False)


def test_a_named_gpu_gives_memory_and_speed_that_the_config_may_overrule():
    hardware = {"device": "cuda", "distributed": "ddp", "processes": 8, "gpu": "h100"}
    known = resolve_hardware(hardware)
    assert (known["gpu_memory_gib"], known["peak_tflops"], known["bandwidth"]) == (79, 989, 3.35)
    own = resolve_hardware({**hardware, "gpu_memory_gib": 60.0, "peak_tflops": 700.0})
    assert (own["gpu_memory_gib"], own["peak_tflops"]) == (60, 700)


@pytest.mark.parametrize(
    ("overrides", "key", "fix"),
    [
        (["hardware=single_gpu", "hardware.nodes=2"], "hardware.nodes", "hardware=ddp"),
        (["hardware=auto", "hardware.processes=2"], "hardware.processes", "hardware=ddp"),
        (["hardware=fsdp", "hardware.device=cpu"], "hardware.distributed", "deepspeed_z3"),
        (["hardware=deepspeed_z3", "hardware.zero_stage=1"], "hardware.zero_stage", "2 or 3"),
        (["hardware=deepspeed_z3", "model/peft=qlora"], "model.quantization", "deepspeed_z2"),
        (["hardware=ddp", "hardware.nodes=0"], "hardware.nodes", "1 or more"),
        (["hardware=ddp", "hardware.gpu=h10"], "hardware.gpu", "h100"),
        (["hardware=ddp", "hardware.peak_tflops=-3"], "hardware.peak_tflops", "1 or more"),
        (
            ["hardware=ddp", "hardware.price_per_gpu_hour=-1"],
            "hardware.price_per_gpu_hour",
            "0 or more",
        ),
        (
            ["hardware=deepspeed_z3", "hardware.deepspeed_config=zero4"],
            "hardware.deepspeed_config",
            "zero",
        ),
        (
            ["hardware=deepspeed_z3", "hardware.deepspeed_config=zero2"],
            "hardware.zero_stage",
            "zero_stage=2",
        ),
        (
            ["hardware=deepspeed_z3", *SERVER, "engine.tensor_parallel_size=3"],
            "engine.tensor_parallel_size",
            "1, 2, 4",
        ),
    ],
)
def test_contradictions_are_errors_with_a_fix(overrides, key, fix):
    found = {problem.key: problem for problem in plan(*overrides).errors}
    assert key in found, keys(found.values())
    assert fix in found[key].fix


def test_a_file_of_the_users_own_is_compared_with_the_batch(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"zero_optimization": {"stage": 3}, "train_batch_size": 7}')
    made = plan("hardware=deepspeed_z3", f"hardware.deepspeed_config={path}")
    assert keys(made.errors) == ["hardware.deepspeed_config"]
    path.write_text('{"zero_optimization": {"stage": 3}, "train_batch_size": 512}')
    assert plan("hardware=deepspeed_z3", f"hardware.deepspeed_config={path}").errors == []


def test_qlora_shards_its_adapters_only():
    assert plan("hardware=deepspeed_z2", "model/peft=qlora").errors == []
    assert plan("hardware=ddp", "model/peft=qlora").errors == []


@pytest.mark.parametrize("stage", [2, 3])
def test_offloading_says_what_the_cpu_holds(stage):
    made = plan(f"hardware=deepspeed_z{stage}", "hardware.offload=true")
    assert made.errors == []
    assert made.memory["host"][0] > 7.6 * 16 / 1.074
    assert "on the CPU, a machine" in shown(f"hardware=deepspeed_z{stage}", "hardware.offload=true")


def test_auto_without_a_gpu_says_which_machine_it_planned_for(monkeypatch):
    monkeypatch.setattr("r1lab.hardware.gpu_count", lambda: 0)
    made = plan("hardware=ddp", "hardware.processes=auto")
    assert "hardware.processes" in keys(made.warnings)
    assert made.layout["world_size"] == 1
    monkeypatch.setattr("r1lab.hardware.gpu_count", lambda: 4)
    made = plan("hardware=ddp", "hardware.processes=auto")
    assert "hardware.processes" not in keys(made.warnings)
    assert made.layout["world_size"] == 4


def test_vllms_weights_must_fit_its_share():
    small = ("hardware=deepspeed_z3", "engine=vllm_colocate", "hardware.gpu_memory_gib=40")
    assert "engine.tensor_parallel_size" in keys(plan(*small).warnings)
    assert "engine.tensor_parallel_size" not in keys(
        plan(*small, "engine.tensor_parallel_size=4").warnings
    )


def test_the_terminal_shows_machines_gpus_and_money_in_eighty_columns():
    text = shown(
        "hardware=deepspeed_z3",
        "hardware.nodes=8",
        *SERVER,
        "engine.data_parallel_size=8",
        "hardware.price_per_gpu_hour=2.5",
    )
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for part in (
        "64 (8 machines x 8)",
        "0-7 | 8-15 | ... | 56-63",
        "DeepSpeed ZeRO-3 over 64",
        "8 copies x 1 GPU",
        "72 (64 training + 8 vLLM)",
        "seconds a step",
        "GPU-hours",
        "price",
        "1,000 (an example",
        "(MFU)",
    ):
        assert part in text, part


def test_without_a_known_gpu_it_says_what_to_set():
    made = make_plan(resolve(compose(["model=qwen2_5_7b", "data=gsm8k", "hardware=ddp"])))
    assert "hardware.gpu" in made.cost["missing"]
    assert "hardware.price_per_gpu_hour" in shown("hardware=ddp")


SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.tasks_per_node=4")


def test_plan_compares_the_launcher_with_the_run(cli):
    pytest.importorskip("submitit", reason="pip install r1lab[slurm]")
    overrides = ("model=qwen2_5_7b", "data=gsm8k", "hardware=ddp", *SLURM)
    done = cli("plan", "--json", *overrides, "hydra.launcher.gpus_per_node=4")
    found = {problem["key"]: problem for problem in json.loads(done.stdout)["warnings"]}
    assert "hardware.processes=4" in found["hydra.launcher.tasks_per_node"]["fix"]
    done = cli("plan", "--json", *overrides, "hardware.processes=4")
    keys = [problem["key"] for problem in json.loads(done.stdout)["warnings"]]
    assert not [key for key in keys if key.startswith("hydra")]
