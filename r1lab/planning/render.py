"""The plan for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from r1lab.plan import Plan


def render(plan: Plan, config: Mapping[str, Any]) -> RenderableType:
    """The plan for a terminal of 80 columns: one block a table, then warnings and errors."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(title: str, rows: list[tuple[str, str]]) -> Table:
        grid = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
        grid.add_column(no_wrap=True, min_width=24)
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(Text(name), Text(value))
        return grid

    def bullet(line: str, style: str) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_row("-", Text(line, style=style))
        return grid

    blocks: list[RenderableType] = [table("Run", _run_rows(config))]
    if plan.layout:
        blocks += [Text(), table("Processes and GPUs", _layout_rows(plan.layout))]
    if plan.batch:
        blocks += [Text(), table("Batch", _batch_rows(plan.batch))]
    if plan.memory:
        blocks += [Text(), table("Memory a device (estimate, GiB)", _memory_rows(plan.memory))]
        blocks += [bullet(line, "dim") for line in plan.memory["assumptions"]]
    if plan.cost:
        blocks += [Text(), table("Time and cost (estimate)", _cost_rows(plan.cost))]
        blocks += [bullet(line, "dim") for line in plan.cost.get("assumptions", [])]
    for title, style, problems in (
        ("Warnings", "yellow", plan.warnings),
        ("Errors", "red", plan.errors),
    ):
        if problems:
            blocks += [Text(), Text(f"{title} ({len(problems)})", style=f"bold {style}")]
            blocks += [bullet(str(problem), style) for problem in problems]
    if not plan.errors:
        blocks += [Text(), Text("No errors: this run can start.", style="bold green")]
    return Group(*blocks)


def _run_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, hardware = config["model"], config["hardware"]
    peft = (model.get("peft") or {}).get("kind", "none")
    extras = [peft] * (peft != "none") + [model["quantization"]] * bool(model.get("quantization"))
    rewards = config.get("rewards") or {}
    weighted = [
        f"{name} x {node.get('weight', 1.0)}" if isinstance(node, Mapping) else str(name)
        for name, node in rewards.items()
    ]
    args = config["trainer"].get("args") or {}
    return [
        ("model", " + ".join([f"{model.get('name')} ({model.get('id')})", *extras])),
        ("data", str(config["data"].get("name") or config["data"].get("_target_"))),
        ("trainer", str(config["trainer"].get("kind"))),
        ("rewards", ", ".join(weighted) or "none"),
        ("callbacks", ", ".join(config.get("callbacks") or {}) or "none"),
        ("hardware", str(hardware.get("kind"))),
        ("seed", str(config.get("seed"))),
        ("trainer.args", "\n".join(f"{name}: {value}" for name, value in args.items()) or "-"),
    ]


def _layout_rows(layout: Mapping[str, Any]) -> list[tuple[str, str]]:
    machines, local = layout["machines"], layout["processes_per_machine"]
    world = layout["world_size"]
    where = f"{machines} machines x {local}" if machines > 1 else "on one machine"
    rows = [("processes", f"{world} ({where})" if world > 1 else "1")]
    if machines > 1:
        rows.append(("ranks", _ranks(layout["ranks"])))
    rows.append(("parallel", f"data {layout['data_parallel']}, tensor {layout['tensor_parallel']}"))
    rows.append(("sharding", layout["sharding"]))
    vllm = layout["vllm"]
    if vllm:
        where = "a server of its own" if vllm["mode"] == "server" else "on the training's GPUs"
        copies = f"{vllm['replicas']} copies x {vllm['tensor_parallel']} GPUs (tensor parallel)"
        rows.append(("vLLM", f"{where}: {copies}"))
    if layout["vllm_gpus"]:
        split = f"{layout['training_gpus']} training + {layout['vllm_gpus']} vLLM"
        rows.append(("GPUs", f"{layout['gpus']} ({split})"))
    else:
        rows.append(("GPUs", str(layout["gpus"]) if layout["gpus"] else "none (CPU)"))
    return rows


def _ranks(ranks: list[list[int]]) -> str:
    """The ranks of each machine, the middle left out where there are many."""
    spans = [f"{first}-{last}" if last > first else str(first) for first, last in ranks]
    shown = spans if len(spans) <= 6 else [*spans[:2], "...", spans[-1]]
    return " | ".join(shown) + " (machine by machine)"


def _cost_rows(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    if cost["missing"]:
        return [("GPU-hours", cost["missing"])]
    steps = f"{cost['steps']:,}"
    if not cost["steps_known"]:
        steps += " (an example: the data tells how many)"
    rows = [("optimizer steps", steps), ("seconds a step", _numbers(cost["seconds_per_step"]))]
    if cost["generation_seconds"]:
        rows.append(("  generating", _numbers(cost["generation_seconds"])))
        rows.append(("  training", _numbers(cost["training_seconds"])))
    rows.append(("hours", _numbers(cost["hours"])))
    rows.append(("GPU-hours", _numbers(cost["gpu_hours"])))
    price = cost["price"]
    rows.append(("price", _numbers(price) if price else "set hardware.price_per_gpu_hour"))
    return rows


def _numbers(value: list[float]) -> str:
    low, high = (f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in value)
    return low if low == high else f"{low} to {high}"


_BATCH_LABELS = {
    "rows": "training rows",
    "prompts_per_generation": "prompts a generation",
    "generations": "completions a prompt",
    "generation_batch_size": "completions a generation",
    "prompts_per_step": "prompts a step",
    "completions_per_step": "completions a step",
    "sequences_per_step": "sequences a step",
    "micro_steps_per_step": "micro-steps a step",
    "optimizer_steps": "optimizer steps",
    "epochs": "epochs",
    "tokens_per_step_max": "tokens a step, at most",
    "generated_tokens_max": "generated, at most",
    "trained_tokens_max": "trained on, at most",
}


def _batch_rows(batch: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, label in _BATCH_LABELS.items():
        if key in batch:
            value = batch[key]
            known = f"{value:,}" if isinstance(value, int | float) else str(value)
            rows.append((label, "known once the data is loaded" if value is None else known))
    return rows


def _memory_rows(memory: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, _range(value)) for name, value in memory["parts"].items()]
    if memory.get("total"):
        available = memory.get("available")
        of = f" of {available:g}" if available else ""
        rows.append(("total", _range(memory["total"]) + of))
    if memory.get("host"):
        rows.append(("on the CPU, a machine", _range(memory["host"])))
    if memory.get("parameters"):
        trainable = memory.get("trainable_parameters", memory["parameters"])
        rows.append(("parameters", f"{memory['parameters']:,} ({trainable:,} trained)"))
    return rows


def _range(value: list[float]) -> str:
    low, high = (f"{end:,.2f}" for end in value)
    return low if low == high else f"{low} to {high}"
