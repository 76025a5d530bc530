"""Which of a run's processes this one is, by the variables that every launcher sets.

``torchrun``, ``accelerate launch``, r1lab's own launcher and its Slurm jobs all set ``RANK``,
``WORLD_SIZE``, ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``, which is
what ``torch.distributed`` reads (its documentation, "Environment variable initialization").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.errors import ConfigError, Problem


@dataclass(frozen=True)
class Rank:
    """One process of a run: its number among all, and among those of its machine."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def nodes(self) -> int:
        return self.world_size // self.local_world_size

    @property
    def is_first(self) -> bool:
        return self.rank == 0


ALONE = Rank(0, 1, 0, 1)


def from_environment(environment: Mapping[str, str] = os.environ) -> Rank:
    """This process's rank, :data:`ALONE` where no launcher has said otherwise."""
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return ALONE
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    local = int(environment.get("LOCAL_RANK", rank))
    return Rank(rank, world, local, int(environment.get("LOCAL_WORLD_SIZE", world)))


def adopted(config: dict[str, Any], me: Rank) -> dict[str, Any]:
    """The config with the processes that a launcher started; a number that says otherwise is a
    ConfigError. Several processes without a strategy are data parallel.
    """
    wanted = config["hardware"]
    for key, count in (("processes", me.local_world_size), ("nodes", me.nodes)):
        given = wanted[key]
        if given != count and not (given == "auto" or (given == 1 and me.world_size > 1)):
            raise ConfigError(
                Problem(
                    f"hardware.{key}",
                    given,
                    f"the launcher started {me.local_world_size} processes on each of "
                    f"{me.nodes} machines",
                    f"set hardware.{key}={count}, or start it with that many",
                )
            )
    strategy = "ddp" if wanted["distributed"] == "none" else wanted["distributed"]
    found = {"processes": me.local_world_size, "nodes": me.nodes, "distributed": strategy}
    return {**config, "hardware": {**wanted, **found}}


def error_file(folder: Path, rank: int) -> Path:
    """Where the worker of a rank leaves the reason why it failed."""
    return folder / ("error.txt" if rank == 0 else f"error_rank{rank}.txt")
