"""What accelerate is told about a run's processes: the variables of each strategy.

accelerate reads these when the trainer is built, which is what its own ``accelerate launch`` relies
on. The variables are the only way that works on a CPU as well: ``TrainingArguments(deepspeed=...)``
with ``use_cpu`` counts the processes wrongly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1lab.engines import training as engine
from r1lab.errors import ConfigError, Problem, suggest

#: What another launcher may have set; r1lab's own hardware group decides instead.
FOREIGN = ("ACCELERATE_", "FSDP_")


def launchers_dir() -> Path:
    """``launchers/``: beside the package in a checkout, inside it in an installed wheel."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "launchers"
    return inside if inside.is_dir() else here.parent / "launchers"


def deepspeed_file(hardware: Mapping[str, Any]) -> Path:
    """The DeepSpeed file of a ``hardware`` node: the one it names, else its stage's own.

    ``deepspeed_config`` is a path, or the name of a file in ``launchers/deepspeed``.
    """
    folder = launchers_dir() / "deepspeed"
    name = hardware.get("deepspeed_config")
    if name is None:
        offload = "_offload" if hardware.get("offload") else ""
        return folder / f"zero{hardware['zero_stage']}{offload}.json"
    for path in (Path(name).expanduser(), folder / name, folder / f"{name}.json"):
        if path.is_file():
            return path.absolute()
    shipped = sorted(path.stem for path in folder.glob("*.json"))
    raise ConfigError(
        Problem("hardware.deepspeed_config", name, "is no file", suggest(str(name), shipped))
    )


def read_deepspeed(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The content of :func:`deepspeed_file`; ConfigError where it is no JSON object."""
    path = deepspeed_file(hardware)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = f"cannot be read as JSON: {error}"
        key = "hardware.deepspeed_config"
        raise ConfigError(Problem(key, str(path), message, "repair the file")) from error
    if not isinstance(found, dict):
        message, fix = "holds no JSON object", "see launchers/deepspeed/zero3.json"
        raise ConfigError(Problem("hardware.deepspeed_config", str(path), message, fix))
    return found


def environment(
    config: Mapping[str, Any], device: str, file: Path | str | None = None
) -> dict[str, str]:
    """A worker's environment: this process's, with the strategy's variables and r1lab's own.

    ``file`` is a DeepSpeed file to use in place of :func:`deepspeed_file`.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    # The user's own values of vLLM's variables win.
    kept = engine.environment(config["engine"], device) | kept
    hardware = config["hardware"]
    kept |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TOKENIZERS_PARALLELISM": "false",
        "ACCELERATE_MIXED_PRECISION": precision(hardware["mixed_precision"], device),
    }
    if hardware["distributed"] == "deepspeed":
        kept |= {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(file or deepspeed_file(hardware)),
            "ACCELERATE_DEEPSPEED_ZERO3_INIT": str(hardware["zero_stage"] == 3).lower(),
            # Compiled when they are first used, with a GPU; never while it is being imported.
            "DS_BUILD_OPS": "0",
        }
    elif hardware["distributed"] == "fsdp":
        kept |= {
            "ACCELERATE_USE_FSDP": "true",
            "FSDP_VERSION": "2",
            "FSDP_RESHARD_AFTER_FORWARD": "true",
            "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
            "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
            "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
            "FSDP_OFFLOAD_PARAMS": str(bool(hardware["offload"])).lower(),
        }
    if device == "cpu":
        # Threads that spin while they wait take the core that the next one needs: measured 1.4
        # against 22.5 generated tokens a second on two contended cores.
        kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        kept.setdefault("CUDA_VISIBLE_DEVICES", "")
        # Else it is cpu:0, and torch cannot load a checkpoint's optimizer to a device of that name.
        kept["ACCELERATE_TORCH_DEVICE"] = "cpu"
        kept.setdefault("DS_ACCELERATOR", "cpu")  # else it warns that it found no GPU
    return kept


def precision(wanted: str, device: str) -> str:
    """``no``, ``bf16`` or ``fp16``: auto is bfloat16 on a GPU and full precision on a CPU."""
    if wanted != "auto":
        return wanted
    return "bf16" if device == "cuda" else "no"
