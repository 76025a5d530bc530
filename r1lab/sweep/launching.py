"""What every launcher of r1lab does around a batch of points; how they start is the backend's.

Hydra hands a launcher the overrides of a batch of points, a whole grid or what a sampler asks for
next. Here they become configurations (composed once, in this process: a job that composed its own
could resolve another one), folders, and, when they have ended, objectives.
"""

from __future__ import annotations

import hashlib
import os
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from r1lab.errors import ConfigError, RunFailed
from r1lab.record.provenance import command_line
from r1lab.secrets import redact_text
from r1lab.sweep import points
from r1lab.sweep.points import Point

_POLL_S = 1.0
#: Nodes of a sweeper whose keys are what it varies.
_SPACES = ("params", "search_space")


class SweepLauncher(Launcher):
    """Base of our launchers: a subclass lives under ``hydra_plugins`` and says :meth:`run`.

    ``scheduler`` is what knows the state of a ``job_id`` ("slurm"); None: a process's lock does.
    ``attends_first``: whether points that are running already are waited for before others start.
    """

    scheduler: ClassVar[str | None] = None
    attends_first: ClassVar[bool] = False

    def __init__(self) -> None:
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config = config

    @abstractmethod
    def run(self, todo: list[Point], sweep_dir: Path) -> None:
        """Start every point and, unless told not to, wait until all have ended.

        Each is ``python -m r1lab.sweep.run_point FOLDER`` in processes of its own, which write the
        point's status. Never raises because a point failed; KeyboardInterrupt when a signal stopped
        the sweep, after the points that ran have ended.
        """

    @property
    def waits(self) -> bool:
        """Whether the points have ended when :meth:`run` returns: ``hydra.launcher.wait``."""
        return bool(OmegaConf.select(self._hydra, "launcher.wait", default=True))

    @property
    def _hydra(self) -> DictConfig:
        assert self.config is not None, "Hydra calls setup() first"
        return self.config.hydra

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Run what has no result yet of this batch; each job's return value is its objective, the
        mean over ``sweep.seeds``, None where there is none.
        """
        from r1lab.sweep import folder, state

        sweep_dir = Path(str(self._hydra.sweep.dir)).expanduser().absolute()
        sweep = folder.open_sweep(sweep_dir, self._facts(), self._shell())
        for whole in sweep_dir.glob("multirun.yaml"):  # Hydra's sweeper writes it, values and all
            whole.chmod(0o600)
        jobs = [
            self._points(list(overrides), initial_job_idx + index, sweep_dir, sweep.parent_run_id)
            for index, overrides in enumerate(job_overrides)
        ]
        batch = {point.key: point for job in jobs for point in job}
        now = state.settle_all(batch.values(), self.scheduler)
        busy = [point for key, point in batch.items() if now[key]["state"] in points.IN_FLIGHT]
        todo = [
            point
            for key, point in batch.items()
            if now[key]["state"] not in (*points.IN_FLIGHT, points.FINISHED)
            and point.config
            and key not in sweep.keys  # a sampler that asks again for what failed just now
        ]
        _say(batch, now, busy, todo)
        sweep.keys.update(batch)
        for point in todo:
            points.update_status(point.folder, state=points.PENDING, error=None, job_id=None)
        try:
            if self.attends_first:
                self._attend(busy)
            if todo:
                self.run(todo, sweep_dir)
            if self.waits and not self.attends_first:
                self._attend(busy)
        except KeyboardInterrupt:
            sweep.interrupted = True
            raise
        sweep.detached = not self.waits
        return [self._returned(list(job_overrides[index]), job) for index, job in enumerate(jobs)]

    def _points(
        self, overrides: list[str], number: int, sweep_dir: Path, parent_run_id: str | None
    ) -> list[Point]:
        """The points of one job: one, or one for each of ``sweep.seeds``."""
        from r1lab.sweep.composing import compose_point, search_path

        search = search_path(list(self._hydra.overrides.hydra), ())
        shell = self._shell()
        swept = self._swept()
        found = []
        for seed in list(shell["sweep"]["seeds"]) or [None]:
            mine = [*overrides, *([f"seed={seed}"] if seed is not None else [])]
            config: dict[str, Any] = {}
            why = None
            try:
                config = compose_point(tuple(mine), search)
                key = points.key_of(config)
            except ConfigError as error:  # a grid is checked before; a sampler's point is not
                key = hashlib.sha256(repr(mine).encode()).hexdigest()[:12]
                why = redact_text(str(error))
            point = Point(
                key=key,
                number=number,
                overrides=[item for item in overrides if not item.startswith("sweep.")],
                settings=[item for item in overrides if item.partition("=")[0] in swept],
                seed=seed,
                group=points.group_of(config) if config and seed is not None else key,
                command=command_line(mine),
                config=config,
                parent_run_id=parent_run_id,
                folder=sweep_dir / "points" / key,
            )
            points.write_point(point)
            if why:
                points.update_status(point.folder, state=points.FAILED_STATE, error=why)
            found.append(point)
        return found

    def _swept(self) -> set[str]:
        """The keys that the line or the sweeper's own node gives several values."""
        from r1lab.sweep import folder

        nodes = [OmegaConf.select(self._hydra, f"sweeper.{key}") for key in _SPACES]
        given = OmegaConf.to_container(self._hydra.overrides.task)
        assert isinstance(given, list)
        return set(folder.grid(given)["swept"]).union(*(node or () for node in nodes))

    def _attend(self, busy: list[Point]) -> None:
        """Wait for points that an earlier start of this sweep left running."""
        from r1lab.sweep import state

        waiting = list(busy)
        while waiting:
            now = state.settle_all(waiting, self.scheduler)
            waiting = [p for p in waiting if now[p.key]["state"] in points.IN_FLIGHT]
            if waiting:
                time.sleep(_POLL_S if self.scheduler is None else 10 * _POLL_S)

    def _returned(self, overrides: list[str], job: list[Point]) -> JobReturn:
        """A job's result. Hydra's own sweeper stops at the first job that failed, and would not
        start the batches behind it, so it is told None; a sampler is told of the failure.
        """
        found = [points.read_status(point.folder) for point in job]
        result = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
        values = [float(row["objective"]) for row in found if row.get("objective") is not None]
        if len(values) == len(found):
            result.return_value = sum(values) / len(values)
            return result
        target = str(self._hydra.sweeper._target_)
        if self.waits and not target.startswith("hydra._internal.core_plugins."):
            why = [row.get("error") or row.get("note") or row["state"] for row in found]
            result.status = JobStatus.FAILED
            result.return_value = RunFailed("; ".join(why))
        return result

    def _shell(self) -> dict[str, Any]:
        """The parts of the configuration that are the sweep's, not a point's."""
        assert self.config is not None
        keys = ["output_dir", "tracking", "sweep", "objective"]
        plain = OmegaConf.to_container(OmegaConf.masked_copy(self.config, keys), resolve=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}

    def _facts(self) -> dict[str, Any]:
        """What ``sweep.json`` says beside its ids and times."""
        from r1lab.sweep import folder

        given = OmegaConf.to_container(self._hydra.overrides)
        assert isinstance(given, dict)
        shell = self._shell()
        overrides = [*given["task"], *given["hydra"]]
        return {
            "command": command_line(["-m", *_without_mode(overrides)]),
            "overrides": _without_mode(overrides),
            "cwd": os.getcwd(),
            "objective": shell["objective"],
            "direction": _direction(self._hydra, shell["objective"]),
            "seeds": shell["sweep"]["seeds"],
            "launcher": self._hydra.runtime.choices["hydra/launcher"],
            "scheduler": self.scheduler,
            "grid": folder.grid(given["task"]),
        }


def _direction(hydra: DictConfig, objective: str) -> str:
    """Whether the best is the largest: a sampler is told, a grid's table goes by the name."""
    from r1lab.sweep.request import is_cost

    said = OmegaConf.select(hydra, "sweeper.direction")
    if said is None:
        return "minimize" if is_cost(objective) else "maximize"
    return str(getattr(said, "name", said))


def _without_mode(overrides: list[str]) -> list[str]:
    return [item for item in overrides if not item.startswith("hydra.mode=")]


def _say(
    batch: dict[str, Point], now: dict[str, dict[str, Any]], busy: list[Point], todo: list[Point]
) -> None:
    finished = sum(status["state"] == points.FINISHED for status in now.values())
    said = [f"{len(todo)} to run"]
    said += [f"{finished} finished before"] if finished else []
    said += [f"{len(busy)} running or waiting already"] if busy else []
    print(f"sweep  {len(batch)} points: {', '.join(said)}", flush=True)
