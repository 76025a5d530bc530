"""The vLLM server that a training's rollouts come from: started and watched beside the workers.

TRL pushes new weights to it after every step, and before its first rollout: a resumed run's server
may start from any weights of the same shapes. It starts from the checkpoint's own where they are
whole, so that nothing but the run's weights is ever served.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from r1lab.engines import address, cpu_weights
from r1lab.engines.external import API_KEY
from r1lab.engines.rollouts import SHARED
from r1lab.engines.training import root, server_gpus
from r1lab.errors import ConfigError, Problem
from r1lab.launch import engine_machine

#: What a checkpoint must hold to be served as a model of its own.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@dataclass
class RolloutServer:
    """A server that is up, or nothing (``url=None``); ``variables`` are for the workers."""

    url: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    reason: Callable[[], str | None] = field(default=lambda: None)
    name: str = ""

    def failure(self) -> str | None:
        """Why it no longer answers, once its process has ended."""
        reason = self.reason()
        return f"the rollouts' server ended: {self.name} {reason}" if reason else None


@contextmanager
def running(
    config: Mapping[str, Any], device: str, folder: Path, checkpoint: Path | None
) -> Iterator[RolloutServer]:
    """The server that ``engine=vllm_server`` asks for, healthy; stopped at the end if it is ours.

    ``folder`` is the run's. EngineFailed when it does not come up in time.
    """
    engine = config["engine"]
    if engine["kind"] != "vllm_server" or config["trainer"]["kind"] != "grpo":
        yield RolloutServer()
        return
    if engine["url"]:
        from r1lab.engines.external import ExternalServer

        ExternalServer(engine).wait()
        check_given(root(engine["url"]), config["model"]["id"])
        yield RolloutServer(root(engine["url"]))
        return
    shared = folder / "engine"
    shared.mkdir(exist_ok=True)
    variables = {SHARED: str(shared)}
    if file := os.environ.get(engine_machine.VARIABLE):
        with _elsewhere(Path(file), engine, variables) as found:
            yield found
        return
    processes = config["hardware"]["processes"]
    first = processes if isinstance(processes, int) else 1
    server = own_server(config, device, shared / "server.log", checkpoint, first_gpu=first)
    print(f"engine {server.name} is starting ({server.log})", flush=True)
    with server.running():
        print(f"engine {server.url} answers", flush=True)
        if server.api_key:
            variables[API_KEY] = server.api_key
        try:
            yield RolloutServer(server.root, variables, server.failure, server.name)
        finally:
            (shared / cpu_weights.FILE).unlink(missing_ok=True)


@contextmanager
def _elsewhere(
    file: Path, engine: Mapping[str, Any], variables: dict[str, str]
) -> Iterator[RolloutServer]:
    """The server on the job's machine for it."""
    try:
        found = engine_machine.find(file, float(engine["start_timeout"]))
        url, key = found["url"], found["key"]
        print(f"engine {url} answers", flush=True)
        reason = partial(engine_machine.failure, file)
        yield RolloutServer(url, {**variables, API_KEY: key}, reason, url)
    finally:
        engine_machine.say_over(file)
        (Path(variables[SHARED]) / cpu_weights.FILE).unlink(missing_ok=True)


def own_server(
    config: Mapping[str, Any], device: str, log: Path, checkpoint: Path | None, first_gpu: int
) -> Any:
    """A :class:`VLLMServer` that takes new weights; ``first_gpu`` and those after it are its own.

    It listens on ``engine.host``; where others than this machine reach that, every request must
    bring a key (the environment's ``R1LAB_API_KEY``, else a random one). vLLM guards ``/v1`` with
    it, not the development endpoints through which weights come.
    """
    from r1lab.engines.vllm import VLLMServer
    from r1lab.models.load import resolve_id

    engine, model = config["engine"], config["model"]
    whole = checkpoint is not None and any((checkpoint / name).is_file() for name in _WEIGHTS)
    arguments = ["--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1"]
    if device == "cpu":
        extension = "r1lab.engines.cpu_weights.CpuWeights"
        arguments += ["--worker-extension-cls", extension]
    else:
        arguments += ["--weight-transfer-config", json.dumps({"backend": "nccl"})]
    if model["from_scratch"]:
        arguments += ["--load-format", "dummy"]
    else:
        arguments += ["--revision", model["revision"]] * (not whole and "/" in model["id"])
    if model["trust_remote_code"]:
        arguments.append("--trust-remote-code")
    key = None
    if not address.is_loopback(engine["host"]):
        key = os.environ.get(API_KEY) or secrets.token_urlsafe(24)
    return VLLMServer(
        str(checkpoint) if whole else resolve_id(model["id"]),
        engine,
        served_name=model["id"],
        device=device,
        gpus=list(range(first_gpu, first_gpu + server_gpus(engine))),
        log=log,
        api_key=key,
        arguments=arguments,
        # The endpoints through which new weights come.
        environment={"VLLM_SERVER_DEV_MODE": "1"},
    )


def check_given(url: str, model_id: str) -> None:
    """ConfigError where the server at ``url`` cannot take weights, or serves another model."""
    key = os.environ.get(API_KEY)
    try:
        address.fetch(f"{url}/server_info?config_format=json", api_key=key)
        models = address.fetch(f"{url}/v1/models", api_key=key)["data"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            Problem(
                "engine.url",
                url,
                f"is no vLLM server that takes new weights ({error})",
                "start it with VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config "
                """'{"backend": "nccl"}' --logprobs-mode processed_logprobs --max-logprobs -1, """
                f"or leave engine.url out: r1lab then starts one ({API_KEY} is its key)",
            )
        ) from error
    served = {str(one.get(name)) for one in models for name in ("id", "root")}
    if not {Path(name).name for name in served} & {Path(model_id).name}:
        raise ConfigError(
            Problem(
                "engine.url",
                url,
                f"serves {', '.join(sorted(served))}, and the run trains {model_id}",
                f"start it with --model {model_id}, or set model.id",
            )
        )
