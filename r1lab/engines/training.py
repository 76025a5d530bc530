"""The engine of a training: which of TRL's fields the ``engine`` node stands for.

TRL generates with transformers, with vLLM inside the training processes (``colocate``), or on a
vLLM server that it pushes new weights to (``server``). Imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: TRL's field for each of ours; None is left to TRL's default.
_FIELDS = {
    "tensor_parallel_size": "vllm_tensor_parallel_size",
    "gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "max_model_len": "vllm_max_model_length",
    "sleep_mode": "vllm_enable_sleep_mode",
    "importance_sampling_correction": "vllm_importance_sampling_correction",
    "importance_sampling_mode": "vllm_importance_sampling_mode",
    "importance_sampling_clip_max": "vllm_importance_sampling_clip_max",
    "importance_sampling_clip_min": "vllm_importance_sampling_clip_min",
}
#: TRL's fields that the node decides, and what to set instead.
OWNED = {
    "use_vllm": "engine=vllm_colocate or engine=vllm_server",
    "vllm_mode": "engine=vllm_colocate or engine=vllm_server",
    "vllm_server_base_url": "engine.url",
    "vllm_server_host": "engine.url",
    "vllm_server_port": "engine.url",
    "vllm_server_timeout": "engine.start_timeout",
    "vllm_importance_sampling_cap": "engine.importance_sampling_clip_max",
    **{theirs: f"engine.{ours}" for ours, theirs in _FIELDS.items()},
}
_MODES = {"vllm_colocate": "colocate", "vllm_server": "server"}


def trl_arguments(engine: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The fields of ``trl.GRPOConfig`` that the node sets; none for SFT, which generates nothing.

    A server's URL is the run's business (:mod:`r1lab.engines.rollout_server`).
    """
    mode = _MODES.get(engine.get("kind", "auto"))
    if mode is None or kind != "grpo":
        return {}
    chosen = {
        theirs: engine[ours] for ours, theirs in _FIELDS.items() if engine.get(ours) is not None
    }
    return chosen | {"use_vllm": True, "vllm_mode": mode}


def root(url: str) -> str:
    """A server's address without ``/v1``: TRL adds paths of its own to it."""
    return url.rstrip("/").removesuffix("/v1")


def server_gpus(engine: Mapping[str, Any]) -> int:
    """GPUs of a vLLM server that the run starts; one that runs already has its own."""
    if engine.get("kind") != "vllm_server" or engine.get("url"):
        return 0
    sizes = (engine.get("tensor_parallel_size"), engine.get("data_parallel_size"))
    product = 1
    for size in sizes:
        product *= size if isinstance(size, int) and size > 0 else 1
    return product


def server_machines(engine: Mapping[str, Any]) -> int:
    """Machines that a Slurm job has for a server of the run's own, beside the training's."""
    return 1 if server_gpus(engine) else 0


#: GiB of a machine's memory for vLLM's key-value cache where there is no GPU to take a share of.
CPU_CACHE_GIB = 1


def environment(engine: Mapping[str, Any], device: str) -> dict[str, str]:
    """Variables that vLLM must find in a worker when it is imported."""
    if engine["kind"] != "vllm_colocate":
        return {}
    chosen = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    if device == "cpu":
        chosen["VLLM_HOST_IP"] = "127.0.0.1"
        chosen["VLLM_CPU_KVCACHE_SPACE"] = str(CPU_CACHE_GIB)
        # The engine in this very process: its model runner takes the weights.
        chosen["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return chosen
