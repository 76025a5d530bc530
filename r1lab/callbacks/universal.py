"""Mends what DeepSpeed gets wrong when it loads a universal checkpoint under ZeRO-3."""

from __future__ import annotations

from typing import Any

from r1lab.callbacks.base import Callback


class OwnSteps(Callback):
    """Part of every run that goes on with another number of processes, not of a config list.

    DeepSpeed 0.19 gives all groups of parameters the one tensor that counts Adam's steps, so each
    group counts for the others as well, and the bias correction is off from the next update on.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        own_steps(kwargs["optimizer"])


def own_steps(optimizer: Any) -> None:
    """Give every parameter's state a counter of its own, with the value that it has."""
    import torch

    while hasattr(optimizer, "optimizer"):  # accelerate's and DeepSpeed's wrappers
        optimizer = optimizer.optimizer
    for state in optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()
