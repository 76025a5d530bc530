"""Write the tables of docs/scale.md from the planner itself; ``--check`` only compares.

Every row is one `plan` of a config that is composed here, so that a change to the planner, to a
model's file or to a hardware file shows in the page. A test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.compose import compose, resolve
from r1lab.plan import Plan, make_plan
from scripts.page import write_below

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN = "<!-- `python -m scripts.scale_tables` writes what follows. -->"
PRICE = 2.5
#: The batch of a step stays what it is at every number of GPUs: more of them finish it sooner.
COMMON = {
    "sft": (
        "trainer=sft data=mixture_of_thoughts hardware.gpu=h100"
        f" hardware.price_per_gpu_hour={PRICE} trainer.args.max_steps=1000"
        " trainer.args.max_length=8192 trainer.args.packing=true"
        " trainer.args.per_device_train_batch_size=1 model.attn_implementation=flash_attention_2"
    ),
    "grpo": (
        "trainer=grpo data=openr1_math hardware.gpu=h100"
        f" hardware.price_per_gpu_hour={PRICE} trainer.args.max_steps=1000"
        " trainer.args.max_completion_length=4096 trainer.args.num_generations=16"
        " trainer.args.per_device_train_batch_size=2"
    ),
}
BATCH = {"sft": 512, "grpo": 2048}
TITLES = {
    "sft": "SFT: 512 packed sequences of 8192 tokens a step, 1,000 steps",
    "grpo": "GRPO with vLLM: 2048 completions of at most 4096 tokens a step, 1,000 steps",
}


@dataclass(frozen=True)
class Row:
    """One line: training machines of 8 GPUs, and what else differs."""

    kind: str
    model: str
    gpus: int
    extra: str = ""
    nodes: int = 1

    def overrides(self) -> list[str]:
        per_device = 1 if self.kind == "sft" else 2
        accumulate = BATCH[self.kind] // (8 * self.nodes * per_device)
        own = (
            f"model={self.model} hardware.nodes={self.nodes} {self.extra}"
            f" trainer.args.gradient_accumulation_steps={accumulate}"
        )
        return [*COMMON[self.kind].split(), *own.split()]


def rows() -> Iterator[Row]:
    stage = {"qwen2_5_1_5b": "deepspeed_z2", "qwen2_5_7b": "deepspeed_z3"}
    for model in ("qwen2_5_1_5b", "qwen2_5_7b", "qwen2_5_32b"):
        hardware = f"hardware={stage.get(model, 'deepspeed_z3')}"
        for nodes in (1, 8, 64):
            large = model == "qwen2_5_32b" and nodes == 1
            yield Row("sft", model, 8 * nodes, hardware, nodes)
            if large:  # what to do about it
                yield Row("sft", model, 8, f"{hardware} hardware.offload=true", nodes)
        split = {"qwen2_5_32b": 4}.get(model, 1)
        colocated = "engine=vllm_colocate"
        parallel = f"engine.tensor_parallel_size={split}" if split > 1 else ""
        yield Row("grpo", model, 8, f"{hardware} {colocated} {parallel}")
        if model == "qwen2_5_32b":
            yield Row("grpo", model, 8, f"{hardware} {colocated} {parallel} hardware.offload=true")
        for nodes in (4, 32):
            server = f"engine=vllm_server engine.data_parallel_size={8 * nodes // split}"
            yield Row("grpo", model, 16 * nodes, f"{hardware} {server} {parallel}", nodes)


def tables() -> str:
    """The generated part of the page."""
    parts = []
    for kind in ("sft", "grpo"):
        parts += [f"## {TITLES[kind]}", "What all rows share:"]
        parts.append("\n".join(f"    {line}" for line in wrapped(COMMON[kind])))
        heads = ["model", "GPUs", "what differs", "micro-steps", "GiB a GPU", "s a step"]
        heads += ["hours", "GPU-hours", f"at {PRICE:g} an hour"]
        lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
        lines += [line(row) for row in rows() if row.kind == kind]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def wrapped(overrides: str) -> list[str]:
    """A command over several lines."""
    lines, line = [], "python -m r1lab plan"
    for item in overrides.split():
        if len(line) + len(item) > 90:
            lines.append(f"{line} \\")
            line = "   "
        line += f" {item}"
    return [*lines, line]


def line(row: Row) -> str:
    plan = make_plan(resolve(compose(row.overrides())))
    if plan.errors:
        raise SystemExit("\n".join(map(str, plan.errors)))
    where = plan.layout
    gpus = str(where["gpus"])
    if where["vllm_gpus"]:
        gpus += f" ({where['training_gpus']} + {where['vllm_gpus']})"
    assert where["gpus"] == row.gpus
    hardware, *others = row.extra.split()
    differs = [hardware, *[f"hardware.nodes={row.nodes}"] * (row.nodes > 1), *others]
    cost = plan.cost
    cells = [
        f"`{row.model}`",
        gpus,
        f"`{' '.join(differs)}`",
        str(plan.batch["micro_steps_per_step"]),
        memory(plan),
        *(span(cost[name]) for name in ("seconds_per_step", "hours", "gpu_hours", "price")),
    ]
    return f"| {' | '.join(cells)} |"


def memory(plan: Plan) -> str:
    """The range, with what plan warns of."""
    low, high = plan.memory["total"]
    text = f"{low:.0f} to {high:.0f}"
    found = [p for p in plan.warnings if "fit" in p.message]
    if any("cannot fit" in p.message or "do not fit" in p.message for p in found):
        text += ", **does not fit**"
    elif found:
        text += ", may not fit"
    if plan.memory["host"]:
        text += f"; {plan.memory['host'][1]:.0f} of a machine's CPU"
    return text


def span(value: list[Any]) -> str:
    low, high = (f"{end:,.0f}" if end >= 10 else f"{end:.2g}" for end in value)
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(write_below(PAGE, BEGIN, tables(), "python -m scripts.scale_tables"))
