"""From the ``engine`` node to the engine: which one, on which GPUs, split how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.engines import installed
from r1lab.engines.base import Engine
from r1lab.engines.check import check
from r1lab.engines.external import ExternalServer
from r1lab.engines.transformers import TransformersServer
from r1lab.engines.vllm import VLLMServer, flags
from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.models import offline
from r1lab.models.reference import Servable
from r1lab.planning.architecture import Architecture
from r1lab.planning.engine import CPU_HEAD_SIZE
from r1lab.planning.layout import _heads as check_heads

#: vLLM's own share of a GPU, and how much of that weights may take: the rest is its cache.
_SHARE, _WEIGHTS = 0.9, 0.75
_GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """GPUs that hold one copy of the model, and copies."""

    tensor_parallel: int
    data_parallel: int

    @property
    def gpus(self) -> int:
        return self.tensor_parallel * self.data_parallel


def kind(engine: Mapping[str, Any], device: str, arch: Architecture | None = None) -> str:
    """``auto`` decided: vLLM where it is installed for the device and has the model's attention,
    else transformers.
    """
    if engine["kind"] != "auto":
        return str(engine["kind"])
    found = installed.vllm()
    narrow = device == "cpu" and arch is not None and arch.head_dim < CPU_HEAD_SIZE
    if found is None or found.device != device or narrow:
        return "transformers"
    return "vllm_server"


def make(
    engine: Mapping[str, Any],
    model: Servable,
    hardware: Mapping[str, Any],
    log: Path,
    *,
    visible: int,
    verb: str,
    api_key: str | None = None,
) -> Engine:
    """The engine for ``model``, not started yet.

    ``hardware`` is resolved (``plan.resolve_hardware``); ``visible`` counts the GPUs that this
    process sees. ConfigError or PrerequisiteError for what cannot be.
    """
    if engine.get("url"):
        return ExternalServer(engine)
    device = hardware["device"]
    chosen = {**engine, "kind": kind(engine, device, model.architecture)}
    # Fields that `auto` may have are wrong where it turns out to be transformers.
    if problems := check(chosen, verb, device):
        raise ConfigError(problems)
    environment = {} if model.is_folder else offline.environment(model.where)
    if chosen["kind"] == "transformers":
        return TransformersServer(
            model.where,
            chosen,
            served_name=model.name,
            device=device,
            log=log,
            gpus=None if device == "cpu" else [0],
            api_key=api_key,
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            chat_template=model.chat_template,
            environment=environment,
        )
    split = sizes(chosen, hardware, model.architecture)
    if device == "cuda" and split.gpus > visible:
        raise PrerequisiteError(
            f"{split.gpus - visible} GPUs",
            f"the engine is to have {split.tensor_parallel} x {split.data_parallel}, and this "
            f"machine shows {visible}",
            "lower hardware.processes, engine.tensor_parallel_size or engine.data_parallel_size",
        )
    options = {
        "revision": None if model.is_folder else model.revision,
        "trust_remote_code": model.trust_remote_code or None,
        "chat_template": model.chat_template,
    }
    parallel = {
        "tensor_parallel_size": split.tensor_parallel,
        "data_parallel_size": split.data_parallel,
    }
    return VLLMServer(
        model.where,
        {**chosen, **(parallel if device == "cuda" else {})},
        served_name=model.name,
        device=device,
        log=log,
        gpus=range(split.gpus) if device == "cuda" else None,
        api_key=api_key,
        context=model.architecture.max_position_embeddings if model.architecture else None,
        arguments=flags(options),
        environment=environment,
    )


def sizes(
    engine: Mapping[str, Any], hardware: Mapping[str, Any], arch: Architecture | None
) -> Sizes:
    """How the GPUs of ``hardware`` (``processes``) are used; 1 and 1 without any.

    A model is split over the fewest GPUs that it fits, where its size and their memory are known;
    the GPUs that are left hold copies.
    """
    if hardware["device"] == "cpu":
        return Sizes(1, 1)
    gpus = int(hardware["processes"])
    split = engine.get("tensor_parallel_size") or _fewest(engine, hardware, arch, gpus)
    if arch is not None and (problems := check_heads(split, arch)):
        raise ConfigError(problems)
    return Sizes(split, engine.get("data_parallel_size") or max(gpus // split, 1))


def _fewest(
    engine: Mapping[str, Any],
    hardware: Mapping[str, Any],
    arch: Architecture | None,
    gpus: int,
) -> int:
    memory = hardware.get("gpu_memory_gib")
    if arch is None or not memory:
        return 1
    width = 4 if engine["dtype"] == "float32" else 2
    share = engine.get("gpu_memory_utilization") or _SHARE
    needed = arch.parameters() * width / _GIB
    fitting = [
        split
        for split in range(1, arch.num_attention_heads + 1)
        if not check_heads(split, arch) and needed / split <= _WEIGHTS * share * memory
    ]
    within = [split for split in fitting if split <= gpus]
    if within:
        return within[0]
    if not fitting:
        return 1  # vLLM says what is missing, to the byte
    raise ConfigError(
        Problem(
            "hardware.processes",
            gpus,
            f"{needed:.0f} GiB of weights want {fitting[0]} GPUs of {memory:g} GiB",
            f"set hardware.processes={fitting[0]} (or engine.tensor_parallel_size to try it)",
        )
    )
