"""Running LightEval's process on a job, against a server that answers from a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.evaluation.environment import python
from r1lab.evaluation.inside.parent_events import parse

ROOT = Path(__file__).resolve().parents[2]
INSIDE = ROOT / "r1lab" / "evaluation" / "inside"
SERVER = Path(__file__).with_name("answering_server.py")

Table = dict[str, list[Any]]


@dataclass
class Served:
    """A running server: where it is, and every request that it has had."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    def requests(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@contextmanager
def serving(folder: Path, table: Table, *options: str) -> Iterator[Served]:
    """A server in a process of its own, until the block is left."""
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "table.json", folder / "requests.jsonl"
    file.write_text(json.dumps(table))
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(file), str(log), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdin
    try:
        yield Served(f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", log, process)
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@dataclass
class Done:
    """How a process ended, and what it said to its parent."""

    code: int
    events: list[dict[str, Any]]
    log: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def task(self, name: str) -> dict[str, Any]:
        return next(event for event in self.of("task") if event["task"] == name)

    def error(self) -> dict[str, Any]:
        (error,) = self.of("error")
        return error


def interpreter() -> Path:
    """LightEval's environment, made if there is none: some minutes, and a package index."""
    return python(lambda line: print(line, file=sys.stderr, flush=True))


def job(url: str, output: Path, tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A job with a patience fit for tests."""
    server = {"base_url": url, "concurrency": 8, "retries": 2} | more.pop("server", {})
    model = {"name": "table"}
    return {"tasks": tasks, "model": model, "server": server, "output": str(output), **more}


def command(job: dict[str, Any]) -> list[str]:
    file = Path(job["output"]).with_suffix(".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(job))
    return [str(interpreter()), str(INSIDE / "lighteval_run.py"), str(file)]


def environ(**more: str) -> dict[str, str]:
    """For processes that import torch beside other work."""
    return os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | more


def run(job: dict[str, Any], **variables: str) -> Done:
    """Carry out a job to its end."""
    done = subprocess.run(
        command(job), env=environ(**variables), capture_output=True, text=True, timeout=1500
    )
    lines = done.stderr.splitlines()
    return Done(done.returncode, _events(lines), done.stderr)


def _events(lines: list[str]) -> list[dict[str, Any]]:
    return [event for _, event in map(parse, lines) if event is not None]


def run_all(jobs: dict[str, dict[str, Any]], **variables: str) -> dict[str, Done]:
    """Jobs one after the other in one process: importing LightEval takes longer than most."""
    script = """
import sys
import lighteval_run
for path in sys.argv[1:]:
    sys.stderr.write(f"\\ncode {lighteval_run.main(path)}\\n")
"""
    files = [command(each)[-1] for each in jobs.values()]
    done = subprocess.run(
        [str(interpreter()), "-c", script, *files],
        env=environ(PYTHONPATH=str(INSIDE), **variables),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    found, lines = [], []
    for line in done.stderr.splitlines():
        if line.startswith("code "):
            found.append(Done(int(line.split()[1]), _events(lines), "\n".join(lines)))
            lines = []
        else:
            lines.append(line)
    return dict(zip(jobs, found, strict=True))


def in_environment(script: str, *arguments: str) -> str:
    """Standard output of a script in LightEval's environment, beside r1lab/evaluation/inside."""
    done = subprocess.run(
        [str(interpreter()), "-c", script, *arguments],
        env=environ(PYTHONPATH=str(INSIDE)),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
