"""A server on transformers' continuous batching: for machines without vLLM."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from r1lab.engines.base import OwnServer
from r1lab.engines.training import CPU_CACHE_GIB
from r1lab.engines.vllm import visible


class TransformersServer(OwnServer):
    """:mod:`r1lab.engines.app` for one model, a folder or a hub id, on one device.

    ``gpus`` are indices among those that this process sees; the first is used. ``environment``
    comes last, so it wins over ours.
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
        revision: str = "main",
        trust_remote_code: bool = False,
        chat_template: str | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        super().__init__(engine, served_name, log, api_key)
        self.name = f"transformers {version('transformers')} ({device})"
        self._device, self._gpus = device, gpus
        self._environment = dict(environment or {})
        dtype = engine["dtype"]
        self._settings = {
            "model": model,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
            "chat_template": chat_template,
            "name": served_name,
            "host": self.host,
            "port": self.port,
            "device": device,
            "dtype": "float32" if dtype == "auto" and device == "cpu" else dtype,
            "max_model_len": engine.get("max_model_len"),
            "memory_share": engine.get("gpu_memory_utilization"),
            "cache_gib": CPU_CACHE_GIB,
        }

    def command(self) -> list[str]:
        return [sys.executable, "-m", "r1lab.engines.app", json.dumps(self._settings)]

    def environment(self) -> dict[str, str]:
        chosen = dict(os.environ)
        chosen["PYTHONPATH"] = os.pathsep.join(part or os.getcwd() for part in sys.path)
        chosen.pop("R1LAB_API_KEY", None)
        if self.api_key:
            chosen["R1LAB_API_KEY"] = self.api_key
        if self._device == "cpu":
            # Threads that wait actively took most of a busy machine's cores from those that work.
            chosen.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        elif self._gpus is not None:
            chosen["CUDA_VISIBLE_DEVICES"] = visible(self._gpus[:1], os.environ)
        return chosen | self._environment
