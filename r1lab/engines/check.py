"""What is wrong with an ``engine`` node: values out of range, and fields that nothing reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from r1lab.errors import Problem

KINDS = ("auto", "transformers", "vllm_colocate", "vllm_server")
DTYPES = ("auto", "float32", "bfloat16", "float16")
#: TRL's.
_MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
#: Values that say nothing; any other must have a reader.
_UNSET: dict[str, Any] = {"host": "127.0.0.1", "start_timeout": 900.0, "dtype": "auto", "args": {}}

_PARALLEL = {"tensor_parallel_size", "data_parallel_size"}
_VLLM = {
    *("tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "dtype"),
    *("enforce_eager", "args"),
}
_LISTENS = {"host", "port", "start_timeout"}
_CORRECTION = {
    *("importance_sampling_correction", "importance_sampling_mode"),
    *("importance_sampling_clip_max", "importance_sampling_clip_min"),
}
#: Fields that are read, by kind: in training, and by a server for serve, evaluate and generate.
_IN_TRAINING: dict[str, set[str]] = {
    "auto": set(),
    "transformers": set(),
    "vllm_colocate": _VLLM | _CORRECTION | {"sleep_mode"},
    "vllm_server": _VLLM | _LISTENS | _CORRECTION | {"data_parallel_size", "url"},
}
_AS_SERVER: dict[str, set[str]] = {
    "transformers": _LISTENS | {"gpu_memory_utilization", "max_model_len", "dtype"},
    "vllm_server": _VLLM | _LISTENS | {"data_parallel_size", "url"},
}
_AS_SERVER["auto"] = _AS_SERVER["vllm_server"]
#: What is left where the server is another's.
_EXTERNAL = {"url", "start_timeout"} | _CORRECTION
#: Arguments of vLLM that r1lab decides, and the key to set instead.
OWNED_ARGS = {
    "model": "model",
    "served_model_name": "model.name",
    "revision": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "chat_template": "model.chat_template",
    "api_key": "the environment's R1LAB_API_KEY",
    **{name: f"engine.{name}" for name in ("host", "port", *sorted(_VLLM | _PARALLEL - {"args"}))},
}


def check(engine: Mapping[str, Any], verb: str, device: str | None = None) -> list[Problem]:
    """All mistakes of the node; ``verb`` is train, plan, serve, evaluate or generate.

    With ``device`` (cpu or cuda), where it is known, also what is for the other one.
    """
    kind = engine.get("kind", "auto")
    if kind not in KINDS:
        fix = f"choose one of: {', '.join(KINDS)}"
        return [Problem("engine.kind", kind, "is not a choice", fix)]
    problems = _values(engine)
    training = verb in ("train", "plan")
    if kind == "vllm_colocate" and not training:
        fix = "set engine=vllm (a server of its own), or engine=transformers"
        said = f"lives inside a training's processes, and {verb} trains nothing"
        return [*problems, Problem("engine.kind", kind, said, fix)]
    if engine.get("url") and verb == "serve":
        fix = "leave engine.url out; or give it to evaluate or generate, which use that server"
        said = "is of a server that runs already, and serve starts one"
        return [*problems, Problem("engine.url", engine["url"], said, fix)]
    wrong = {problem.key for problem in problems}
    unread = [
        problem
        for problem in [*_unread(engine, kind, training), *_of_gpus(engine, device)]
        if problem.key not in wrong  # one thing at a time
    ]
    return problems + unread


def _of_gpus(engine: Mapping[str, Any], device: str | None) -> list[Problem]:
    said, fix = "is about GPUs, and this is a CPU", "leave it out, or choose hardware with GPUs"
    return [
        Problem(f"engine.{name}", engine[name], said, fix)
        for name in ("gpu_memory_utilization", *sorted(_PARALLEL))
        if device == "cpu"
        and is_set(engine, name)
        and not (name in _PARALLEL and engine[name] == 1)
    ]


def is_set(engine: Mapping[str, Any], name: str) -> bool:
    """Whether the node says something with the field."""
    value = engine.get(name)
    return value is not None and value != _UNSET.get(name)


def _unread(engine: Mapping[str, Any], kind: str, training: bool) -> list[Problem]:
    read = (_IN_TRAINING if training else _AS_SERVER)[kind]
    external = bool(engine.get("url"))
    if external:
        read = read & _EXTERNAL
    if external and "url" in read:
        said, fix = "is for the server at engine.url to decide", "leave it out, or engine.url"
    elif training and not read:
        said = "is read by no training that generates with transformers itself"
        fix = "leave it out, or set engine=vllm_colocate or engine=vllm_server"
    elif training:
        said, fix = f"is not read by engine={kind}", "leave it out"
    else:
        said = f"is not read by engine={kind} outside training"
        fix = "leave it out" if kind != "transformers" else "leave it out, or set engine=vllm"
    return [
        Problem(f"engine.{name}", value, said, fix)
        for name, value in engine.items()
        if name != "kind"
        and name not in read
        and is_set(engine, name)
        # One GPU is what every engine has.
        and not (name in _PARALLEL and value == 1)
    ]


def _values(engine: Mapping[str, Any]) -> list[Problem]:
    found = [
        _choice(engine, "dtype", DTYPES),
        _choice(engine, "importance_sampling_mode", (None, *_MODES)),
        _whole(engine, "port", 1, 65535),
        _whole(engine, "tensor_parallel_size", 1),
        _whole(engine, "data_parallel_size", 1),
        _whole(engine, "max_model_len", 1),
        _above_zero(engine, "start_timeout"),
        _above_zero(engine, "gpu_memory_utilization", 1),
        _above_zero(engine, "importance_sampling_clip_max"),
        _clip_min(engine),
        _url(engine),
    ]
    host = engine.get("host", "127.0.0.1")
    if not host or any(mark in host for mark in "/ "):
        fix = "give 127.0.0.1, or 0.0.0.0 for all addresses of this machine"
        found.append(Problem("engine.host", host, "is no address to listen on", fix))
    return [problem for problem in found if problem] + _args(engine.get("args"))


def _choice(
    engine: Mapping[str, Any], name: str, choices: tuple[str | None, ...]
) -> Problem | None:
    value = engine.get(name, choices[0])
    if value in choices:
        return None
    shown = ", ".join(choice or "null" for choice in choices)
    return Problem(f"engine.{name}", value, "is not a choice", f"choose one of: {shown}")


def _whole(
    engine: Mapping[str, Any], name: str, low: int, high: float = math.inf
) -> Problem | None:
    value = engine.get(name)
    if value is None or (
        isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    ):
        return None
    fix = f"give {low} or more, or null" if math.isinf(high) else f"give {low} to {high}, or null"
    return Problem(f"engine.{name}", value, "is out of range", fix)


def _above_zero(engine: Mapping[str, Any], name: str, high: float = math.inf) -> Problem | None:
    value = engine.get(name)
    if value is None or (math.isfinite(value) and 0 < value <= high):
        return None
    fix = "give a number above 0" if math.isinf(high) else f"give a number above 0, to {high:g}"
    return Problem(f"engine.{name}", value, "is out of range", fix)


def _clip_min(engine: Mapping[str, Any]) -> Problem | None:
    low, high = (engine.get(f"importance_sampling_clip_{end}") for end in ("min", "max"))
    if low is None or (low >= 0 and (high is None or low < high)):
        return None
    fix = "give 0 or more, and less than engine.importance_sampling_clip_max"
    return Problem("engine.importance_sampling_clip_min", low, "is out of range", fix)


def _url(engine: Mapping[str, Any]) -> Problem | None:
    url = engine.get("url")
    if url is None:
        return None
    parts = urlsplit(str(url))
    if parts.scheme in ("http", "https") and parts.hostname:
        return None
    return Problem("engine.url", url, "is no URL", "write engine.url=http://localhost:8000/v1")


def _args(args: Any) -> list[Problem]:
    if args is not None and not isinstance(args, Mapping):
        fix = "set its fields: engine.args.max_num_seqs=64"
        return [Problem("engine.args", args, "is not a mapping", fix)]
    return [
        Problem(f"engine.args.{name}", value, "is decided by another key", f"set {owner} instead")
        for name, value in (args or {}).items()
        if (owner := OWNED_ARGS.get(name.replace("-", "_")))
    ]
