"""``python -m r1lab serve model=X``: start an engine for a model, say where it is, stop it cleanly.

Nothing here imports torch: the server is a process of its own, and this one watches it.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from r1lab import rundir
from r1lab.engines import address, own, probe
from r1lab.engines.base import Engine, EngineFailed, OwnServer
from r1lab.engines.check import check
from r1lab.engines.external import API_KEY
from r1lab.errors import INTERRUPTED, ConfigError, Problem
from r1lab.mistakes import parse
from r1lab.models import reference

#: What may be set: of everything else nothing here would read it.
_READ = (
    *("model", "engine", "hardware", "experiment", "output_dir", "hydra.searchpath"),
    *("model.id", "model.name", "model.revision", "model.trust_remote_code"),
    *("model.chat_template", "model.arch", "model.license"),
    *("hardware.kind", "hardware.device", "hardware.processes"),
    *("hardware.gpu", "hardware.gpu_memory_gib"),
)
_POLL_S = 0.5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """A signal asked for the end."""


def serve(overrides: Sequence[str], dirs: Sequence[str], as_json: bool) -> int:
    """Serve until Ctrl-C, SIGTERM or SIGHUP (exit code 0); what fails raises.

    ``as_json``: one line of JSON on standard output once it answers, and nothing else.
    """
    config, found = reference.compose(overrides, dirs)
    unread_ones = unread(overrides, _READ, ("engine.",), "serve")
    problems = {problem.key: problem for problem in [*_check(config), *unread_ones]}
    if problems:
        raise ConfigError(problems.values())
    with stopped_by_signals():
        try:
            return _serve(config, found, as_json)
        except Stop:
            return INTERRUPTED  # before it was up


def _serve(config: dict[str, Any], found: reference.Found | None, as_json: bool) -> int:
    model = reference.servable(config["model"])
    log = _folder(config, model.name) / "server.log"
    engine, made = own.server(config, model, log, "serve")
    assert isinstance(engine, OwnServer)  # engine.url is refused above
    note(f"model  {found.said if found else model.where}")
    note(f"engine {engine.name}, starting (log {log})")
    if engine.doubt:
        note(f"r1lab: warning: {engine.doubt}")
    begin = time.monotonic()
    with engine.running():
        answer = probe.first(engine)
        seconds = time.monotonic() - begin
        speed = probe.speed(engine, answer.chat)
        if as_json:
            print(json.dumps(_facts(engine, log, seconds, speed, made)), flush=True)
        else:
            print(_summary(engine, answer, seconds, speed, made), flush=True)
        try:
            _watch(engine)
        except Stop:
            note("stopping")
    note("stopped")
    return 0


def _watch(engine: Engine) -> None:
    """Return never: a signal raises, and so does the server's end."""
    while True:
        time.sleep(_POLL_S)
        reason = engine.failure()
        if reason is not None:
            raise EngineFailed(f"{engine.name} {reason}")


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """The first signal raises :class:`Stop`; later ones wait until everything is stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in _STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stop

    before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def unread(
    overrides: Sequence[str], read: Sequence[str], below: tuple[str, ...], verb: str
) -> list[Problem]:
    """Overrides that the verb has no use for: neither in ``read`` nor below one of ``below``."""
    problems = []
    nodes = dict.fromkeys(key.partition(".")[0] for key in (*read, *below))
    fix = f"leave it out: {verb} reads {', '.join(nodes)}"
    for item in overrides:
        key = item.partition("=")[0].lstrip("+~").partition("@")[0]
        if key not in read and not key.startswith(below):
            value = parse(item).value() if key != "model" else None
            problems.append(Problem(key, value, f"is not read by {verb}", fix))
    return problems


def _check(config: dict[str, Any]) -> list[Problem]:
    problems = check(config["engine"], "serve")
    model, places = config["model"], config["hardware"]
    template = model["chat_template"]
    if template is not None and not Path(template).expanduser().is_file():
        fix = "give the path of a .jinja file, or null"
        problems.append(Problem("model.chat_template", template, "there is no such file", fix))
    if places["nodes"] > 1:
        fix = "set hardware.nodes=1 and start one on each machine"
        problems.append(Problem("hardware.nodes", places["nodes"], "serve has one machine", fix))
    writable = rundir.check_writable(config["output_dir"])
    return [*problems, writable] if writable else problems


def _folder(config: dict[str, Any], name: str) -> Path:
    """A fresh ``output_dir/serve/NAME-TIME``."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    stem = f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder = Path(config["output_dir"]).expanduser().absolute() / "serve" / stem
    folder.mkdir(parents=True)
    return folder


def _facts(
    engine: OwnServer, log: Path, seconds: float, speed: probe.Speed, made: bool
) -> dict[str, Any]:
    return {
        "url": engine.url,
        "model": engine.model,
        "engine": engine.name,
        "pid": os.getpid(),
        "log": str(log),
        "start_seconds": round(seconds, 1),
        "tokens_per_second": {
            "1": round(speed.single, 1),
            str(speed.requests): round(speed.parallel, 1),
        },
        **({"api_key": engine.api_key} if made else {}),
    }


def _summary(
    engine: OwnServer, answer: probe.First, seconds: float, speed: probe.Speed, made: bool
) -> str:
    """What a person needs to use it."""
    elsewhere = []
    if not address.is_loopback(engine.host):
        elsewhere = [f"from elsewhere   http://{socket.gethostname()}:{engine.port}/v1"]
    key = [f"api key          {engine.api_key} (made for this server; set {API_KEY} to choose it)"]
    shown = key if made else [f"api key          that of {API_KEY}"] if engine.api_key else []
    no_chat = "    (the model has no chat template: /v1/completions only)"
    return "\n".join(
        [
            f"url              {engine.url}",
            *elsewhere,
            f"model            {engine.model}{'' if answer.chat else no_chat}",
            f"engine           {engine.name}",
            *shown,
            f"started in       {seconds:.0f} s, the first answer included: {answer.text[:60]!r}",
            f"speed            {speed}",
            "",
            *_examples(engine, answer.chat),
            "",
            "Ctrl-C stops it.",
        ]
    )


def _examples(engine: OwnServer, chat: bool) -> list[str]:
    body: dict[str, Any] = {"model": engine.model, "max_tokens": 64}
    call = f"client.completions.create(model={engine.model!r}, prompt='2 + 3 =')"
    if chat:
        body["messages"] = [{"role": "user", "content": "What is 2 + 3?"}]
        call = (
            f"client.chat.completions.create(model={engine.model!r}, "
            "messages=[{'role': 'user', 'content': 'What is 2 + 3?'}])"
        )
    else:
        body["prompt"] = "2 + 3 ="
    header = f' -H "Authorization: Bearer ${API_KEY}"' if engine.api_key else ""
    python_key = f"os.environ['{API_KEY}']" if engine.api_key else "'none'"
    path = "chat/completions" if chat else "completions"
    return [
        f"curl {engine.url}/{path} -H 'Content-Type: application/json'{header} \\",
        f"  -d {shlex.quote(json.dumps(body))}",
        "",
        f"import {'os, ' if engine.api_key else ''}openai",
        f"client = openai.OpenAI(base_url={engine.url!r}, api_key={python_key})",
        f"print({call})",
    ]


def note(line: str) -> None:
    """For a person who watches; standard output is for what others read."""
    print(line, file=sys.stderr, flush=True)
