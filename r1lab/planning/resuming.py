"""What keeps an interrupted run from going on exactly as it would have without a stop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1lab import rundir
from r1lab.errors import ConfigError, Problem
from r1lab.planning.geometry import Arguments

PER_DEVICE = "trainer.args.per_device_train_batch_size"
ACCUMULATE = "trainer.args.gradient_accumulation_steps"


def check_resumed_batch(
    config: Mapping[str, Any], args: Arguments, batch: Mapping[str, Any]
) -> list[Problem]:
    """A warning where the checkpoint that training would go on from was made with another number
    of processes, and the batch of a step is another one now; with the numbers that keep it."""
    before = _batch_before(config)
    size, world = _per_step(batch), batch.get("processes")
    old_size, old_world = _per_step(before), before.get("processes")
    if not size or not old_size or not world or world == old_world or size == old_size:
        return []
    unit = "completions" if batch.get("kind") == "grpo" else "sequences"
    message = (
        f"{world} processes, and the checkpoint was made with {old_world}: a step is of {size} "
        f"{unit} now and was of {old_size}"
    )
    fix = _keep(old_size, world, args["per_device_train_batch_size"])
    return [Problem("hardware.processes", config["hardware"].get("processes"), message, fix)]


def _per_step(batch: Mapping[str, Any]) -> int | None:
    return batch.get("completions_per_step") or batch.get("sequences_per_step")


def _keep(total: int, world: int, per_device: int) -> str:
    """Sizes that make a step of ``total`` on ``world`` processes, the device's nearest to now."""
    if total % world:
        near = [n for n in range(1, total + 1) if total % n == 0]
        processes = min(near, key=lambda n: abs(n - world))
        return f"no batch keeps it on {world} processes; use {processes} (nodes x processes)"
    each = total // world
    size = max(d for d in range(1, min(per_device, each) + 1) if each % d == 0)
    return f"set {PER_DEVICE}={size} {ACCUMULATE}={each // size}"


def _batch_before(config: Mapping[str, Any]) -> dict[str, Any]:
    """The batch table in the ``plan.json`` of the run that training would go on from, else {}."""
    resume = str(config.get("resume") or "never")
    if resume == "never":
        return {}
    if resume == "auto":
        try:
            folder, _ = rundir.locate(dict(config))
        except ConfigError:
            return {}  # the start says why this folder cannot be used
        if rundir.last_checkpoint(folder)[0] is None:
            return {}
    else:
        given = Path(resume).expanduser()
        folder = given if rundir.checkpoints(given) else given.parent
    try:
        found = json.loads((folder / "plan.json").read_text())["plan"]["batch"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a checkpoint of another program's, or of a folder that was tidied up
    return found if isinstance(found, dict) else {}


def check_schedule(args: Arguments, batch: Mapping[str, Any]) -> list[Problem]:
    """Checkpoints from which a run cannot go on as it would have."""
    found = []
    if args["save_only_model"] and args["save_strategy"] != "no":
        found.append(
            Problem(
                "trainer.args.save_only_model",
                True,
                "makes checkpoints without optimizer: a stopped run starts again from step 0",
                "set trainer.args.save_only_model=false (save_total_limit bounds the disk they "
                "take)",
            )
        )
    if args["ignore_data_skip"]:
        found.append(
            Problem(
                "trainer.args.ignore_data_skip",
                True,
                "makes a resumed run train on the first rows of its epoch again",
                "set trainer.args.ignore_data_skip=false",
            )
        )
    return found + _torn_generations(args, batch)


def _torn_generations(args: Arguments, batch: Mapping[str, Any]) -> list[Problem]:
    save, total = args["save_steps"], batch.get("optimizer_steps")
    if args.kind != "grpo" or args["save_strategy"] != "steps" or save <= 0:
        return []
    if save < 1:  # a share of the run; transformers rounds it up
        save = math.ceil(save * total) if total else 0
    per_generation = batch.get("steps_per_generation")
    if not per_generation or not save:
        return []
    # On resuming, GRPOTrainer counts micro-steps from 0 and has lost the completions in use.
    accumulate, every = args["gradient_accumulation_steps"], per_generation * args["num_iterations"]
    epoch, last = batch.get("steps_per_epoch"), min(total or math.inf, 1000 * save)
    whole = every // math.gcd(every, accumulate)

    def torn(steps: float) -> bool:
        saved = range(int(steps), int(max(last, steps + 1)), int(steps))
        return any((step % epoch if epoch else step) * accumulate % every for step in saved)

    if not ((total is None or save < total) and torn(save)):
        return []
    near = max(round(save / whole), 1) * whole
    return [
        Problem(
            "trainer.args.save_steps",
            args["save_steps"],
            f"saves amid a generation of {every / accumulate:g} steps: a resumed run makes "
            "its completions anew and does not go on as it would have",
            f"set trainer.args.save_steps={near}"
            if not torn(near)
            else "set trainer.args.save_strategy=epoch",
        )
    ]
