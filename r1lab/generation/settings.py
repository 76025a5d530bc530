"""The ``generate`` node: what is wrong with it, and what it stands for. Light: checked first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from r1lab import rundir
from r1lab.errors import Problem, suggest
from r1lab.generation.request import Sampling

CLIENTS = ("async", "ray", "distilabel")
#: The least value of each number.
_LEAST: dict[str, int] = {
    "client_replicas": 1,
    "limit": 1,
    "max_new_tokens": 1,
    "num_generations": 1,
    "seed": 0,
    "input_batch_size": 1,
    "max_concurrency": 1,
    "retries": 0,
}
_SECONDS = ("timeout", "server_timeout")
#: What the client sends itself; in ``extra`` it would be sent twice.
_SENT = {
    "model": "generate.model",
    "messages": "data and generate.prompt_template",
    "n": "generate.num_generations",
    "max_tokens": "generate.max_new_tokens",
    "max_completion_tokens": "generate.max_new_tokens",
    "temperature": "generate.temperature",
    "top_p": "generate.top_p",
    "seed": "generate.seed",
}


def check(config: Mapping[str, Any]) -> list[Problem]:
    """All mistakes of the node that show in its values and the file system."""
    node = config["generate"]
    found = [
        Problem(f"generate.{name}", node[name], f"is below {least}", f"give {least} or more")
        for name, least in _LEAST.items()
        if node[name] is not None and node[name] < least
    ]
    found += [
        Problem(f"generate.{name}", node[name], "is no time", "give seconds above 0")
        for name in _SECONDS
        if not (node[name] > 0 and math.isfinite(node[name]))
    ]
    temperature, top_p = node["temperature"], node["top_p"]
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        fix = "give 0 (the likeliest token) or more, or null for the server's own"
        found.append(Problem("generate.temperature", temperature, "is out of range", fix))
    if temperature == 0 and node["num_generations"] > 1:
        said = "with temperature 0 all samples of a prompt would be the same"
        fix = "set generate.temperature above 0 (0.6 is usual for reasoning models), or 1 sample"
        found.append(Problem("generate.num_generations", node["num_generations"], said, fix))
    if top_p is not None and not 0 < top_p <= 1:
        fix = "give a number in (0, 1], or null for the server's own"
        found.append(Problem("generate.top_p", top_p, "is no probability", fix))
    if node["client"] not in CLIENTS:
        fix = suggest(str(node["client"]), CLIENTS)
        found.append(Problem("generate.client", node["client"], "is not a choice", fix))
    return [*found, *_server(config), *_extra(node["extra"]), *_result(node)]


def _server(config: Mapping[str, Any]) -> list[Problem]:
    url, other = config["generate"]["base_url"], config["engine"]["url"]
    if url is None:
        return []
    if other is not None and other != url:
        fix = "leave engine.url out"
        return [Problem("engine.url", other, f"another server is generate.base_url={url}", fix)]
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.netloc or not _port(parts):
        fix = "write http://HOST:PORT/v1"
        return [Problem("generate.base_url", url, "is no address of a server", fix)]
    return []


def _port(parts: SplitResult) -> bool:
    """Whether it is a number, or not there."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _extra(extra: Any) -> list[Problem]:
    if not isinstance(extra, Mapping):
        fix = "write generate.extra.top_k=20"
        return [Problem("generate.extra", extra, "is a mapping of the server's own fields", fix)]
    found = [
        Problem(f"generate.extra.{name}", extra[name], "is sent already", f"set {_SENT[name]}")
        for name in extra
        if name in _SENT
    ]
    if extra.get("stream"):
        fix = "leave it out"
        found.append(Problem("generate.extra.stream", True, "answers are asked for whole", fix))
    return found


def _result(node: Mapping[str, Any]) -> list[Problem]:
    found = []
    size = node["test_size"]
    if not math.isfinite(size) or size < 0 or (size >= 1 and not float(size).is_integer()):
        fix = "write a whole number of prompts (0: none held out), or a share between 0 and 1"
        found.append(Problem("generate.test_size", size, "is no number of prompts", fix))
    if node["name"] is not None and (problem := rundir.check_name(str(node["name"]))):
        found.append(Problem("generate.name", node["name"], problem.message, "choose another"))
    output = node["output"]
    if output is not None:
        if Path(output).expanduser().is_file():
            fix = "give a folder"
            found.append(Problem("generate.output", output, "is a file", fix))
        elif problem := rundir.check_writable(str(output)):
            found.append(Problem("generate.output", output, problem.message, problem.fix))
    return found


def sampling(node: Mapping[str, Any]) -> Sampling:
    """How the model is asked."""
    return Sampling(
        max_new_tokens=node["max_new_tokens"],
        temperature=node["temperature"],
        top_p=node["top_p"],
        seed=node["seed"],
        extra=dict(node["extra"]),
    )
