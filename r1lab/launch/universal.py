"""Going on from a checkpoint of DeepSpeed's with another number of processes.

Each process saves its own shard, and DeepSpeed loads them only into as many processes again. It can
convert them into whole tensors ("universal checkpoint"), which any number of processes divides anew
when it is told ``checkpoint.load_universal``. The conversion runs in a process of its own, before
the workers start; its result lives in the run's folder, beside the checkpoints that training makes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.errors import ConfigError, Problem
from r1lab.launch import settings

#: In the run's folder: the converted checkpoint, and the DeepSpeed file that has it loaded.
CONVERTED, EFFECTIVE = "universal", "deepspeed.json"
_SHARD = re.compile(r"(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_\d+_optim_states\.pt")


@dataclass(frozen=True)
class Shards:
    """What a checkpoint of DeepSpeed's is made of: the ZeRO stage, and the number of processes."""

    zero_stage: int
    processes: int


@dataclass(frozen=True)
class Start:
    """Where training goes on, and the DeepSpeed file of the workers (None: the hardware's own)."""

    checkpoint: Path | None
    deepspeed_file: Path | None = None


def shards(checkpoint: Path) -> Shards | None:
    """What DeepSpeed saved in ``checkpoint``; None where it did not make it. Stages 1 and 2 look
    the same: both hold whole weights, and read as 2.
    """
    try:
        folder = checkpoint / (checkpoint / "latest").read_text().strip()
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return None
    ranks = [int(found[1]) for found in map(_SHARD.fullmatch, names) if found]
    if not ranks:
        return None
    whole = any(name.startswith("mp_rank_") for name in names)
    return Shards(2 if whole else 3, max(ranks) + 1)


def prepare(
    hardware: Mapping[str, Any],
    checkpoint: Path | None,
    folder: Path,
    processes: int,
    environment: Mapping[str, str],
) -> Start:
    """A checkpoint that ``processes`` can load: the one given, or a converted one in ``folder``.

    ConfigError where it was made by another strategy, whose optimizer cannot be taken over, or
    cannot be converted.
    """
    clean(folder)
    if checkpoint is None:
        return Start(None)
    made = shards(checkpoint)
    _check_strategy(hardware, checkpoint, made)
    if made is None or made.processes == processes:
        return Start(checkpoint)
    print(f"resume: dividing the shards of {made.processes} processes among {processes}")
    sys.stdout.flush()
    target = folder / CONVERTED / checkpoint.name
    done = subprocess.run(
        [sys.executable, "-m", "r1lab.launch.universal", str(checkpoint), str(target)],
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join(part or os.getcwd() for part in sys.path),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        clean(folder)
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ConfigError(
            Problem(
                "hardware.processes",
                hardware["processes"],
                f"{checkpoint} was made with {made.processes} processes, and DeepSpeed cannot "
                f"divide it among {processes}: {last}",
                f"go on with {made.processes} (nodes x processes)",
            )
        )
    content = settings.read_deepspeed(hardware)
    content["checkpoint"] = {**content.get("checkpoint", {}), "load_universal": True}
    file = folder / EFFECTIVE
    file.write_text(json.dumps(content, indent=2) + "\n")
    return Start(target, file)


def clean(folder: Path) -> None:
    """Remove what :func:`prepare` made; it is needed only until the workers have loaded it."""
    shutil.rmtree(folder / CONVERTED, ignore_errors=True)
    (folder / EFFECTIVE).unlink(missing_ok=True)


def _check_strategy(hardware: Mapping[str, Any], checkpoint: Path, made: Shards | None) -> None:
    """Another strategy's weights load, but not its optimizer; transformers says so too late, or
    begins with a new one in silence.
    """
    wanted = None
    if hardware["distributed"] == "deepspeed":
        wanted = 3 if hardware["zero_stage"] == 3 else 2
    found = made.zero_stage if made else None
    if found == wanted:
        return
    by = f"DeepSpeed ZeRO-{found}, {made.processes} processes" if made else "a run without it"
    key = "hardware.zero_stage" if made and wanted else "hardware.distributed"
    name = f"deepspeed_z{found}" if made else "ddp, single_gpu or cpu"
    raise ConfigError(
        Problem(
            key,
            hardware[key.partition(".")[2]],
            f"{checkpoint} was made by {by}: its optimizer cannot go on under "
            + (f"DeepSpeed ZeRO-{hardware['zero_stage']}" if wanted else "this strategy"),
            f"go on with hardware={name}, or begin anew from its weights (model.id={checkpoint})",
        )
    )


def convert(checkpoint: Path, target: Path) -> None:
    """Write the universal form of ``checkpoint`` to ``target``, beside links to its small files."""
    from argparse import Namespace

    from deepspeed.checkpoint import ds_to_universal

    target.mkdir(parents=True)
    for path in checkpoint.iterdir():
        if path.is_file() and path.name != "latest":
            (target / path.name).symlink_to(path.resolve())
    tag = (checkpoint / "latest").read_text().strip()
    output = target / f"{tag}_universal"
    cores = len(os.sched_getaffinity(0))
    ds_to_universal.main(
        Namespace(
            input_folder=str(checkpoint / tag),
            output_folder=str(output),
            num_extract_workers=min(4, cores),
            num_merge_workers=min(2, cores),
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,  # what only Megatron's models bring along
        )
    )
    _keep_weight_decay(output / "zero" / "optimizer_state.pt")


def _keep_weight_decay(file: Path) -> None:
    """ZeRO-3 sets every group of parameters to what the first had, so biases and norms would decay
    like the rest. Without the value each keeps its own.
    """
    import torch

    state = torch.load(file, weights_only=False)
    for group in state.get("optimizer_state_dict", {}).get("param_groups", []):
        group.pop("weight_decay", None)
    torch.save(state, file)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
