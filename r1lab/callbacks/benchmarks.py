"""Keep the model of saved steps, so that LightEval's benchmarks see them after the training."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from r1lab.callbacks.base import Callback
from r1lab.rewards.base import check_number

#: What only a training that goes on needs.
_LEFT_OUT = ("optimizer*", "scheduler*", "rng_state*", "global_step*", "training_args.bin")


class Benchmarks(Callback):
    """On every save (or each ``every_saves``-th), rank 0 keeps the checkpoint's model.

    ``trainer.benchmarks`` are then run on each of them when the training is over (see
    :mod:`r1lab.evaluation.after`), and logged at their steps. The files are hard links: they cost
    no space until ``save_total_limit`` removes the checkpoint, and are removed once evaluated.
    """

    def __init__(self, every_saves: int = 1):
        check_number("every_saves", every_saves, low=1, high=10**6)
        self.every_saves = every_saves
        self._saves = 0

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saves += 1
        if not state.is_world_process_zero or self._saves % self.every_saves:
            return
        # The last step's model is the final one, which is evaluated anyway.
        if state.global_step >= state.max_steps:
            return
        name = f"checkpoint-{state.global_step}"
        target = self.run.run_dir / "evaluations" / name / "model"
        shutil.rmtree(target, ignore_errors=True)
        skip = shutil.ignore_patterns(*_LEFT_OUT)
        shutil.copytree(Path(args.output_dir) / name, target, copy_function=_link, ignore=skip)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
