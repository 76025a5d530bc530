"""A vLLM server, on CUDA or on a CPU, started from the ``engine`` node."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1lab.engines.base import OwnServer
from r1lab.engines.installed import require_vllm, unsupported
from r1lab.engines.training import CPU_CACHE_GIB

#: Tokens that vLLM prefills in one go at least, where a prompt must fit as a whole.
BATCHED_TOKENS = 4096


class VLLMServer(OwnServer):
    """``vllm.entrypoints.openai.api_server`` for one model, a folder or a hub id.

    ``engine`` is the config's node. ``gpus`` are indices among those that this process sees; None
    is all of them. ``arguments`` and ``environment`` come last, so they win over ours. ``context``
    is the most tokens of the model itself (prompt and answer), where it is known.
    """

    def __init__(
        self,
        model: str,
        engine: Mapping[str, Any],
        *,
        served_name: str,
        device: str,
        log: Path,
        gpus: Sequence[int] | None = None,
        api_key: str | None = None,
        context: int | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ):
        super().__init__(engine, served_name, log, api_key)
        installed = require_vllm("engine=vllm needs it", "set engine=transformers", device)
        self.name, self.doubt = str(installed), unsupported(installed)
        self._path, self._engine, self._device = model, dict(engine), device
        self._gpus, self._context = gpus, context
        self._arguments, self._environment = list(arguments), dict(environment or {})

    def command(self) -> list[str]:
        options: dict[str, Any] = {
            "model": self._path,
            "served_model_name": self.model,
            "host": self.host,
            "port": self.port,
            "disable_log_stats": True,
            "disable_uvicorn_access_log": True,
            **_options(self._engine, self._device, self._context),
            **self._engine["args"],
        }
        # Not its command `vllm`, which looks for a package of that name: the build for CPUs has
        # another.
        module = "vllm.entrypoints.openai.api_server"
        return [sys.executable, "-m", module, *flags(options), *self._arguments]

    def environment(self) -> dict[str, str]:
        chosen = dict(os.environ)
        chosen.setdefault("VLLM_NO_USAGE_STATS", "1")  # it would report to its makers
        chosen.pop("VLLM_API_KEY", None)
        if self.api_key:
            chosen["VLLM_API_KEY"] = self.api_key
        if self._device == "cpu":
            chosen.setdefault("VLLM_HOST_IP", "127.0.0.1")
            chosen.setdefault("VLLM_CPU_KVCACHE_SPACE", str(CPU_CACHE_GIB))
            # Threads that wait actively took most of a busy machine's cores from those that work.
            chosen.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        elif self._gpus is not None:
            chosen["CUDA_VISIBLE_DEVICES"] = visible(self._gpus, os.environ)
        return chosen | self._environment


def _options(engine: Mapping[str, Any], device: str, context: int | None) -> dict[str, Any]:
    """vLLM's arguments for the node's fields; a field that is null is left to vLLM."""
    names = ("tensor_parallel_size", "data_parallel_size", "max_model_len", "enforce_eager")
    chosen = {name: engine[name] for name in names if engine.get(name) is not None}
    chosen["dtype"] = engine["dtype"]
    if device == "cuda":
        if engine.get("gpu_memory_utilization") is not None:
            chosen["gpu_memory_utilization"] = engine["gpu_memory_utilization"]
        return chosen
    if engine["dtype"] == "auto":
        chosen["dtype"] = "float32"  # as training on a CPU; vLLM's own choice would be bfloat16
    if engine.get("enforce_eager") is None:
        chosen["enforce_eager"] = True  # compiling takes minutes there
    # A request with a seed ends an engine on a CPU that prefills in chunks. Without chunks a prompt
    # is prefilled as a whole.
    chosen["enable_chunked_prefill"] = False
    length = engine.get("max_model_len") or context
    if length:
        chosen["max_num_batched_tokens"] = max(BATCHED_TOKENS, length)
    return chosen


def flags(options: Mapping[str, Any]) -> list[str]:
    """``{"max_num_seqs": 4, "enable_prefix_caching": False}`` as vLLM's command line has it."""
    written: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            written.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list | tuple):
            written += [f"--{flag}", *(str(item) for item in value)]
        else:
            text = json.dumps(value) if isinstance(value, Mapping) else str(value)
            written += [f"--{flag}", text]
    return written


def visible(gpus: Sequence[int], environment: Mapping[str, str]) -> str:
    """``CUDA_VISIBLE_DEVICES`` for GPUs counted among those that ``environment`` shows."""
    shown = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return ",".join(shown[index] if shown else str(index) for index in gpus)
