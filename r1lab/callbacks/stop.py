"""Ends training at the next step boundary when a signal asked for it, with a checkpoint to go on
from.
"""

from __future__ import annotations

from typing import Any, Protocol

from r1lab.callbacks.base import Callback


class Request(Protocol):
    """What tells whether to stop (the worker's signal handler), and is told that all agreed."""

    asked: bool
    agreed: bool


def agree(request: Request, accelerator: Any) -> bool:
    """Whether any rank was asked to stop; every rank gets the same answer, since every rank asks.

    A scheduler signals the processes of a run at different moments: one that stopped alone would
    leave the others waiting for it.
    """
    if accelerator.num_processes == 1:
        request.agreed = request.asked
        return request.agreed
    if request.asked:
        accelerator.set_trigger()
    request.agreed = bool(accelerator.check_trigger())
    return request.agreed


class Stop(Callback):
    """Part of every run, not of a config list: saves and stops once any rank was asked to."""

    def __init__(self, request: Request):
        self._request = request

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if agree(self._request, self.run.trainer.accelerator):
            control.should_save = True
            control.should_training_stop = True
