"""The job file as objects, with every mistake in it found before anything heavy is imported."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any


class JobError(Exception):
    """A mistake in the job or in the data it names. ``kind`` is ``job`` or ``data``."""

    def __init__(self, message: str, fix: str, kind: str = "job"):
        super().__init__(message)
        self.fix, self.kind = fix, kind


@dataclass(frozen=True)
class TaskJob:
    """One benchmark. ``None`` stands for the task table's value, or for the job's sampling."""

    data: Path | None = None
    samples: int | None = None
    limit: int | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class Model:
    """The model by the server's name, and what that name does not say: weights, chat template."""

    name: str
    fingerprint: str = ""


@dataclass(frozen=True)
class Server:
    """Where the answers come from. Times are in seconds."""

    base_url: str
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    startup_timeout_s: float = 30.0
    timeout_s: float = 3600.0
    retries: int = 5


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; ``max_new_tokens`` is the task's affair and filled in for each."""

    temperature: float = 0.6
    top_p: float = 0.95
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    max_new_tokens: int = 0


@dataclass(frozen=True)
class Job:
    """What one process evaluates."""

    tasks: dict[str, TaskJob]
    model: Model
    server: Server
    output: Path
    sampling: Sampling = field(default_factory=Sampling)
    system_prompt: str | None = None
    choice_seed: int = 0
    scoring_processes: int | None = None
    journal: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def read_job(path: Path) -> Job:
    """The job in a file; JobError for whatever is wrong with it."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(
            f"the job file {path} cannot be read: {error}", "write it as JSON"
        ) from error
    job = _build(Job, given, "")
    tasks = {name: _build(TaskJob, task, f"tasks.{name}") for name, task in job.tasks.items()}
    whole = Job(
        **given
        | {
            "tasks": {name: _with_path(task) for name, task in tasks.items()},
            "model": _build(Model, given["model"], "model"),
            "server": _build(Server, given["server"], "server"),
            "sampling": _build(Sampling, given.get("sampling") or {}, "sampling"),
            "output": Path(given["output"]),
            "journal": Path(given["journal"]) if given.get("journal") else None,
        }
    )
    _check(whole)
    return whole


def _build(kind: Any, given: Any, where: str) -> Any:
    """An object of a dataclass from a mapping that may lack what has a default."""
    known = {each.name: each for each in fields(kind)}
    needed = {
        name
        for name, each in known.items()
        if each.default is MISSING and each.default_factory is MISSING
    }
    if given is None and not needed:
        given = {}
    if not isinstance(given, dict):
        raise JobError(f"{where or 'the job'} is no mapping", "see the docstring of lighteval_run")
    place = f"{where}." if where else ""
    if unknown := sorted(set(given) - set(known)):
        raise JobError(f"{place}{unknown[0]} is unknown", f"known are: {', '.join(known)}")
    if missing := sorted(needed - set(given)):
        raise JobError(f"{place}{missing[0]} is missing", "give it")
    return kind(**given)


def _with_path(task: TaskJob) -> TaskJob:
    given = {each.name: getattr(task, each.name) for each in fields(TaskJob)}
    return TaskJob(**given | {"data": Path(task.data) if task.data else None})


def _check(job: Job) -> None:
    if not job.tasks:
        raise JobError("tasks is empty", "name at least one benchmark")
    at_least_one: dict[str, Any] = {
        "server.concurrency": job.server.concurrency,
        "scoring_processes": job.scoring_processes,
    }
    for name, task in job.tasks.items():
        for key in ("samples", "limit", "max_new_tokens"):
            at_least_one[f"tasks.{name}.{key}"] = getattr(task, key)
        if task.prompt is not None and "{problem}" not in task.prompt:
            raise JobError(
                f"tasks.{name}.prompt has no {{problem}}", "put {problem} where the question goes"
            )
    for key, value in at_least_one.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise JobError(f"{key} = {value!r} is not a count", "give a whole number from 1 on")
