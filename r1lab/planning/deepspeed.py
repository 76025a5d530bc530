"""A DeepSpeed file against the run: what it says twice must be the same, or ``auto``.

accelerate replaces ``auto`` by the run's own values and compares the others when the trainer is
built, after the model was loaded; here they are compared before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1lab.errors import Problem
from r1lab.planning.states import mixed_precision

KEY = "hardware.deepspeed_config"


def check_deepspeed(
    path_or_dict: str | Path | Mapping[str, Any],
    batch: Mapping[str, Any],
    hardware: Mapping[str, Any],
) -> list[Problem]:
    """Everything that the file and the run disagree on; the file's values may all be ``auto``.

    ``batch`` is the plan's batch table, ``hardware`` the resolved node.
    """
    if isinstance(path_or_dict, Mapping):
        config, file = path_or_dict, None
    else:
        file = str(path_or_dict)
        read = _read(Path(path_or_dict))
        if isinstance(read, Problem):
            return [read]
        config = read
    problems: list[Problem] = []

    def compare(name: str, wanted: Any, setting: str) -> None:
        value = _at(config, name)
        if value in (None, "auto") or wanted is None or value == wanted:
            return
        fix = f'write "{name.rpartition(".")[2]}": "auto" in the file, or {setting}'
        message = f"{name} is {value} in the DeepSpeed file, and {wanted} in this run"
        problems.append(Problem(KEY, hardware.get("deepspeed_config"), message, fix, file))

    stage = _at(config, "zero_optimization.stage") or 0
    if stage != hardware.get("zero_stage"):
        message = f"the DeepSpeed file has zero_optimization.stage {stage}"
        fix = f"set hardware.zero_stage={stage}, or the stage in the file"
        problems.append(
            Problem("hardware.zero_stage", hardware.get("zero_stage"), message, fix, file)
        )
    problems += _offload(config, hardware, file)
    sequences = batch.get("completions_per_step") or batch.get("sequences_per_step")
    accumulate, world = batch.get("micro_steps_per_step"), batch["processes"]
    per_device = sequences // (accumulate * world) if sequences and accumulate else None
    compare("train_batch_size", sequences, "set the trainer's sizes to give it")
    compare(
        "train_micro_batch_size_per_gpu",
        per_device,
        f"set trainer.args.per_device_train_batch_size={_at(config, _MICRO)}",
    )
    compare(
        "gradient_accumulation_steps",
        accumulate,
        f"set trainer.args.gradient_accumulation_steps={_at(config, _ACCUMULATE)}",
    )
    precision = mixed_precision(hardware)
    for name in ("bf16", "fp16"):
        compare(f"{name}.enabled", precision == name, f"set hardware.mixed_precision={name}")
    return problems


_MICRO, _ACCUMULATE = "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"


def _read(path: Path) -> Mapping[str, Any] | Problem:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"cannot be read as JSON: {error}"
        return Problem(KEY, str(path), message, "repair the file, or leave it out")
    if not isinstance(config, dict):
        return Problem(KEY, str(path), "holds no JSON object", "see launchers/deepspeed/zero3.json")
    return config


def _at(config: Mapping[str, Any], name: str) -> Any:
    node: Any = config
    for part in name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _offload(
    config: Mapping[str, Any], hardware: Mapping[str, Any], file: str | None
) -> list[Problem]:
    devices = {
        name: _at(config, f"zero_optimization.{name}.device") or "none"
        for name in ("offload_optimizer", "offload_param")
    }
    offloads = any(device != "none" for device in devices.values())
    asked = bool(hardware.get("offload"))
    if offloads == asked:
        return []
    message = f"the DeepSpeed file offloads {'to the CPU' if offloads else 'nothing'}"
    fix = f"set hardware.offload={str(offloads).lower()}, or another file"
    return [Problem("hardware.offload", asked, message, fix, file)]
