"""LightEval's process: given a job file, watched, and its events handed on.

The other end is ``r1lab/evaluation/inside/lighteval_run.py``, where the job and the events are
described. It lives in an environment of its own, and dies with this process, however that ends.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from r1lab.engines import keeper
from r1lab.engines.base import Engine, EngineFailed
from r1lab.errors import FAILED, INTERRUPTED, MISTAKE, ConfigError, Problem, RunFailed
from r1lab.evaluation.inside.parent_events import parse

SCRIPT = Path(__file__).resolve().parent / "inside" / "lighteval_run.py"
#: The variable in which it finds the server's key: not in the job file, nor on its command line.
API_KEY = "R1LAB_EVALUATION_KEY"
#: Seconds to end by itself after a signal.
_GRACE_S = 10.0
_POLL_S = 1.0
#: Its exit code where the server failed it.
SERVER = 3

Event = dict[str, Any]


class EvaluationFailed(RunFailed):
    """LightEval's process did not finish, and why."""


def run(
    python: Path,
    job: Mapping[str, Any],
    folder: Path,
    engine: Engine,
    handle: Callable[[Event], None],
    script: Path = SCRIPT,
) -> None:
    """Carry out ``job``; ``handle`` is told every event.

    ``folder`` gets ``job.json`` and ``lighteval.log``. :class:`EngineFailed` where the server went
    away, :class:`EvaluationFailed` for all else that stopped it; what it has done is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "job.json", folder / "lighteval.log"
    file.write_text(json.dumps(job, indent=2) + "\n")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # r1lab's own packages are not those that LightEval wants.
    environment.pop("PYTHONPATH", None)
    if engine.api_key:
        environment[API_KEY] = engine.api_key
    last: list[Event] = []
    with log.open("w") as output:
        process = subprocess.Popen(
            # -P: that script's folder has modules named vllm and transformers.
            [sys.executable, "-P", keeper.__file__, str(_GRACE_S), str(python), script, file],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process, which ends it in order
        )
        assert process.stdin is not None and process.stderr is not None
        try:
            code = _follow(process, process.stderr, output, engine, handle, last)
        finally:
            process.stdin.close()
            process.wait()
    if code == 0:
        return
    gone = engine.failure()
    if gone is not None:
        raise EngineFailed(f"{engine.name} {gone}")
    raise _failure(code, last, log)


def _follow(
    process: subprocess.Popen[str],
    lines: IO[str],
    log: IO[str],
    engine: Engine,
    handle: Callable[[Event], None],
    errors: list[Event],
) -> int:
    """Hand on events until it ends, or until the server has: it would wait for that one long."""
    said: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(lines, said), daemon=True).start()
    while True:
        try:
            line = said.get(timeout=_POLL_S)
        except queue.Empty:
            if engine.failure() is not None:
                return SERVER
            continue
        if line is None:
            return process.wait()
        text, event = parse(line)
        if text:
            log.write(text)
            log.flush()
        if event is None:
            continue
        if event["event"] == "error":
            errors.append(event)
        handle(event)


def _read(lines: IO[str], said: queue.Queue[str | None]) -> None:
    for line in lines:
        said.put(line)
    said.put(None)


def _failure(code: int, errors: list[Event], log: Path) -> Exception:
    if errors:
        error = errors[-1]
        if code == MISTAKE:
            return ConfigError(Problem("evaluate", None, error["message"], error["fix"]))
        fix = f"\n    fix: {error['fix']}" if error.get("fix") else ""
        return EvaluationFailed(f"{error['message']}{fix}")
    if code == INTERRUPTED:
        return EvaluationFailed("LightEval's process was interrupted")
    end = log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"]
    how = f"ended with exit code {code}" if code in (FAILED, MISTAKE, SERVER) else f"ended ({code})"
    return EvaluationFailed(f"LightEval's process {how}: {end[-1]}\n  log: {log}")
