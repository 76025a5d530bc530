"""What the worker does for the strategy that shares a model among processes: before and after it
is set up.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

from r1lab.errors import ConfigError, Problem

_EXPECTED = {"ddp": "MULTI_", "deepspeed": "DEEPSPEED", "fsdp": "FSDP"}


def prepare(hardware: Mapping[str, Any], device: str) -> None:
    """Called before anything is built for the strategy."""
    if hardware["distributed"] == "deepspeed":
        # DeepSpeed 0.19 calls torch's collectives by their old names, once a bucket and step.
        warnings.filterwarnings(
            "ignore", r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning
        )
        _log_with_us()
    if hardware["distributed"] == "deepspeed" and device == "cpu":
        import deepspeed.ops

        # Its shared-memory collectives are compiled at first use: two minutes, a compiler and
        # ninja, for what gloo does as well.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def check_strategy(accelerator: Any, hardware: Mapping[str, Any]) -> None:
    """Raise where accelerate set up another strategy than was asked for, which it does silently,
    and ConfigError where a DeepSpeed file says other numbers than the trainer's.

    ``plan`` has compared batch and precision; what is left are the optimizer's numbers.
    """
    wanted = hardware["distributed"]
    if wanted == "none" or (wanted == "ddp" and accelerator.num_processes == 1):
        return
    found = accelerator.distributed_type.name
    if not found.startswith(_EXPECTED[wanted]):
        raise RuntimeError(
            f"hardware={hardware['kind']} asks for {wanted}, and accelerate set up {found}"
        )
    if wanted == "deepspeed":
        different = accelerator.state.deepspeed_plugin.hf_ds_config.mismatches
        if different:
            raise ConfigError(
                Problem(
                    "hardware.deepspeed_config",
                    str(hardware["deepspeed_config"]),
                    "; ".join(line.removeprefix("- ") for line in different),
                    'write "auto" for these in the file',
                )
            )


def _log_with_us() -> None:
    """DeepSpeed's log goes where r1lab's goes; it prints by itself on every rank otherwise."""
    from deepspeed.utils import logger

    logger.handlers.clear()
    logger.propagate = True
    # Of a universal checkpoint: an argument for Megatron's tensor parallelism.
    logger.addFilter(lambda record: "MPU is not provided" not in record.getMessage())
    logger.setLevel(logging.WARNING)
