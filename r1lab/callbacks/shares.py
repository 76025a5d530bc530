"""Says what every process holds of a model that is shared among them: the proof that it is."""

from __future__ import annotations

import json
import logging
from typing import Any

from r1lab.callbacks.base import Callback

log = logging.getLogger(__name__)
FILE = "shares.json"


class Shares(Callback):
    """Part of every run of DeepSpeed or FSDP, not of a config list: one line in the log, and
    ``shares.json`` in the run's folder and its record.
    """

    _said = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._said:  # the optimizer's state exists from the first step on
            return
        self._said = True
        from accelerate.utils import gather_object

        model, optimizer = kwargs["model"], kwargs["optimizer"]
        mine = {"parameters": held(model), "optimizer_values": moments(optimizer)}
        ranks = gather_object([mine])
        if not state.is_world_process_zero:
            return
        kind = self.run.trainer.accelerator.distributed_type.name
        facts = {"strategy": kind, "parameters": whole(model), "ranks": ranks}
        log.info(
            "%s: rank 0 of %d holds %.3g of %.3g M parameters, and %.3g M values of the optimizer",
            kind,
            len(ranks),
            mine["parameters"] / 1e6,
            facts["parameters"] / 1e6,
            mine["optimizer_values"] / 1e6,
        )
        text = json.dumps(facts, indent=2) + "\n"
        (self.run.run_dir / FILE).write_text(text)
        self.run.tracker.log_text(text, FILE)


def whole(model: Any) -> int:
    """The parameters of the model, wherever they lie."""
    return sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())


def held(model: Any) -> int:
    """The parameters that lie in this process between two steps.

    ZeRO-3 empties a parameter and keeps a part of it aside, but for the small ones that it keeps
    whole everywhere (``stage3_param_persistence_threshold``); FSDP has a local part of each.
    """
    found = 0
    for p in model.parameters():
        if hasattr(p, "ds_tensor"):
            found += p.numel() or p.ds_tensor.numel()
        else:
            found += p.to_local().numel() if hasattr(p, "to_local") else p.numel()
    return found


def moments(optimizer: Any) -> int:
    """The values of the optimizer's state that lie in this process."""
    import torch

    while hasattr(optimizer, "optimizer"):  # accelerate's and DeepSpeed's wrappers
        optimizer = optimizer.optimizer
    return sum(
        value.numel()
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.dim() > 0
    )
