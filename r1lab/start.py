"""The parent's half of a run: check, claim a folder, open the record, start the worker, close the
record.

The parent stays alive beside the worker, so a worker that is killed outright (out of memory, ``kill
-9``) still ends as FAILED in the record, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from r1lab import hardware, hub, rundir
from r1lab.engines import installed, rollout_server
from r1lab.engines.training import server_gpus
from r1lab.errors import (
    FAILED,
    INTERRUPTED,
    MISTAKE,
    ConfigError,
    PrerequisiteError,
    Problem,
    first_cause,
)
from r1lab.evaluation import after, environment
from r1lab.launch import local, ranks, rendezvous, settings, universal
from r1lab.launch.ranks import error_file
from r1lab.plan import Plan, make_plan, resolve_hardware
from r1lab.planning.contradictions import check_launcher
from r1lab.record import wandb_env
from r1lab.secrets import redact
from r1lab.validate import validate

_IN_MLFLOW: dict[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}


def check(config: dict[str, Any]) -> Plan:
    """Validate and plan; :class:`ConfigError` with every error of both."""
    errors, plan = _collect(config)
    if errors:
        raise ConfigError(errors)
    return plan


def _collect(config: dict[str, Any]) -> tuple[list[Problem], Plan]:
    errors = validate(config)
    plan = make_plan(config)
    known = {problem.key for problem in errors}
    errors += [problem for problem in plan.errors if problem.key not in known]
    plan.errors[:] = errors
    return errors, plan


def plan(config: dict[str, Any], as_json: bool, launcher: Mapping[str, Any] | None = None) -> int:
    """Print the plan of a run; exit code 2 when the configuration has errors.

    ``launcher`` is the ``hydra.launcher`` that would start it, to be compared with the run.
    """
    errors, made = _collect(config)
    made.warnings += check_launcher(launcher or {}, config["hardware"], config["engine"])
    if as_json:
        print(
            json.dumps(
                {
                    "errors": [problem.to_dict() for problem in errors],
                    "warnings": [problem.to_dict() for problem in made.warnings],
                    "layout": made.layout,
                    "batch": made.batch,
                    "memory": made.memory,
                    "cost": made.cost,
                    "config": redact(config),
                },
                indent=2,
                default=str,
            )
        )
    else:
        from rich.console import Console

        from r1lab.plan import render

        Console().print(render(made, redact(config)))
    return MISTAKE if errors else 0


def train(config: dict[str, Any], command: str, parent_run_id: str | None = None) -> int:
    """Train one configuration from validation to the registered model; returns the exit code.

    Where a launcher started several processes (torchrun, accelerate, Slurm), each of them calls
    this: rank 0 leads, the others take its plan. ``parent_run_id`` is the MLflow run above this
    one, a sweep's.
    """
    me = ranks.from_environment()
    if me.world_size > 1 and not me.is_first:
        return follow(me)
    if me.world_size > 1:
        config = ranks.adopted(config, me)
        rendezvous.check_launcher(config["hardware"]["distributed"])
    made = check(config)
    device = _ready(config, me)
    with rendezvous.lead(me) as meeting:
        return _lead(config, command, made, device, parent_run_id, me, meeting)


def follow(me: ranks.Rank) -> int:
    """Another rank than the first of a launcher's: run one worker on the plan that rank 0 made."""
    meeting, plan_file, code = rendezvous.follow()
    if plan_file is None:
        return code
    facts = json.loads(Path(plan_file).read_text())
    run = facts["run"]
    places = _places(facts["config"], run["device"], run["deepspeed_file"], me)
    ended = local.run(Path(plan_file), places, None, [meeting.broken])
    state, error = _outcome(ended, Path(facts["run"]["dir"]))
    if state == "failed":
        meeting.fail(me.rank, error or "")
        meeting.wait_for_end()
    return _exit_code(state, ended)


def _lead(
    config: dict[str, Any],
    command: str,
    made: Plan,
    device: str,
    parent_run_id: str | None,
    me: ranks.Rank,
    meeting: rendezvous.Meeting,
) -> int:
    folder = rundir.claim(config, command)
    for line in folder.skipped:
        print(f"r1lab: passing over a broken checkpoint: {line}", file=sys.stderr)
    for warning in made.warnings:
        print(f"r1lab: warning: {warning}", file=sys.stderr)
    _announce(folder)

    from r1lab.record.provenance import collect
    from r1lab.tracking import Tracker

    tracker = None
    try:
        tracker = Tracker.open(config, folder.path, folder.name, folder.run_id, parent_run_id)
        rundir.write_status(folder.path, run_id=tracker.run_id)
        begin = universal.prepare(
            config["hardware"],
            folder.checkpoint,
            folder.path,
            resolve_hardware(config["hardware"])["processes"] * config["hardware"]["nodes"],
            settings.environment(config, device),
        )
        plan = partial(_write_plan, config, made, folder, tracker.run_id, command, device, begin)
        plan_file = plan(None)
        tracker.log_start(config, collect(config), command)
        if folder.trained:
            print("trained already: the benchmarks are left", flush=True)
            meeting.no_plan(0)
            ended, without_server = [], None
        else:
            with rollout_server.running(config, device, folder.path, begin.checkpoint) as server:
                if server.url:
                    plan(server.url)
                places = _places(config, device, begin.deepspeed_file, me)
                places = [place | server.variables for place in places]
                meeting.plan(str(plan_file))
                broken: list[Callable[[], object]] = [server.failure] if server.url else []
                broken += [meeting.broken] if me.world_size > 1 else []
                ended = local.run(plan_file, places, folder.lock.fileno(), broken)
                without_server = server.failure()
        universal.clean(folder.path)
    except BaseException as failure:
        if tracker is not None:
            tracker.finish("FAILED", traceback.format_exc())
        rundir.write_status(folder.path, state="failed", ended=_now(), error=redact(repr(failure)))
        raise
    state, error = _outcome(ended, folder.path)
    if state == "failed" and without_server:
        # A scheduler that takes a machine back signals the server as well, which may end before
        # the step does: the run goes on from its last checkpoint.
        stopped = bool(local.PASSED)
        state, error = ("killed", None) if stopped else ("failed", f"{without_server}\n{error}")
    elsewhere = meeting.failed()
    if elsewhere is not None:
        state, error = "failed", elsewhere["error"]
    elif state == "failed":
        meeting.fail(me.rank, error or "")
    if state == "finished":
        rundir.write_status(folder.path, trained=True)
        state, error = after.run(config, folder.path, tracker, device, command)
    tracker.finish(_IN_MLFLOW[state], error)
    rundir.write_status(folder.path, state=state, ended=_now(), error=error)
    _conclude(folder, state, error, tracker.url)
    return _exit_code(state, ended)


def _exit_code(state: str, ended: list[local.Ended]) -> int:
    if state != "failed":
        return {"finished": 0, "killed": INTERRUPTED}[state]
    # The worker has said a user's mistake already.
    return MISTAKE if any(one.code == MISTAKE for one in ended) else FAILED


def _ready(config: dict[str, Any], me: ranks.Rank) -> str:
    """The device; raises for what this machine or its network cannot do."""
    wanted = config["hardware"]
    device = hardware.device(config)
    processes = resolve_hardware(wanted)["processes"]
    if wanted["nodes"] > 1 and me.world_size == 1:
        raise ConfigError(
            Problem(
                "hardware.nodes",
                wanted["nodes"],
                "this machine starts its own processes only",
                "start it on all of them: hydra/launcher=submitit_slurm, launchers/slurm/, or "
                "torchrun --nnodes on each",
            )
        )
    served, shown = server_gpus(config["engine"]), hardware.gpu_count()
    if device == "cuda" and processes + served > shown and me.world_size == 1:
        server = f" and the vLLM server {served}" if served else ""
        raise PrerequisiteError(
            f"{processes + served - shown} GPUs",
            f"hardware.processes={processes} wants one for each{server}, and this machine shows "
            f"{shown}",
            "set fewer, or hardware.device=cpu to try it on the CPU",
        )
    if config["engine"]["kind"].startswith("vllm_"):
        vllm = installed.require_vllm(
            f"engine={config['engine']['kind']} needs it", "set engine=transformers", device
        )
        if not vllm.supported:  # TRL's generation is written for these
            raise PrerequisiteError(
                f"vLLM {' to '.join(installed.SUPPORTED)}",
                f"TRL supports these, and {vllm.version} is installed",
                installed.install(device),
            )
    if wanted["distributed"] == "deepspeed":
        settings.read_deepspeed(wanted)
        if importlib.util.find_spec("deepspeed") is None:
            raise PrerequisiteError(
                "deepspeed",
                f"hardware={wanted['kind']} needs it",
                "DS_BUILD_OPS=0 pip install 'r1lab[deepspeed]'",
            )
    if config["evaluate"]["tasks"]:  # what the benchmarks lack is found before the training
        environment.python(print)
    hub.check_access(config, rundir.locate(config)[1].get("run_id"))
    wandb_env.report_to(config)
    return device


def _places(
    config: dict[str, Any], device: str, deepspeed_file: Path | str | None, me: ranks.Rank
) -> list[dict[str, str]]:
    """The environment of every worker that this process starts."""
    base = settings.environment(config, device, deepspeed_file)
    if me.world_size > 1:  # a launcher has said which one; its store serves the workers as well
        return [{**base, **rendezvous.worker_variables()}]
    count = resolve_hardware(config["hardware"])["processes"]
    if count == 1 and config["hardware"]["distributed"] == "none":
        return [base]
    # Threads of several processes that share few cores made torch 10 to 30 times slower.
    base.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    port = local.free_port()
    return [
        {**base, **local.variables(ranks.Rank(i, count, i, count), "127.0.0.1", port)}
        for i in range(count)
    ]


def _write_plan(
    config: dict[str, Any],
    made: Plan,
    folder: rundir.RunFolder,
    run_id: str,
    command: str,
    device: str,
    begin: universal.Start,
    engine_url: str | None,
) -> Path:
    """Write ``plan.json``: every fact that the worker needs.

    It holds the values as they are, so only its owner can read it; MLflow's copy is redacted.
    """
    facts = {
        "config": config,
        "plan": {"batch": made.batch, "memory": made.memory},
        "run": {
            "dir": str(folder.path),
            "name": folder.name,
            "run_id": run_id,
            "attempt": folder.attempt,
            "checkpoint": str(begin.checkpoint) if begin.checkpoint else None,
            "deepspeed_file": str(begin.deepspeed_file) if begin.deepspeed_file else None,
            "command": command,
            "device": device,
            "engine_url": engine_url,
        },
    }
    path = folder.path / "plan.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=2, default=str) + "\n")
    return path


def _outcome(ended: list[local.Ended], folder: Path) -> tuple[str, str | None]:
    """(state, error text) from how the workers ended, and the notes that they left."""
    bad = [one for one in ended if one.code not in (0, INTERRUPTED)]
    if not bad:
        return ("killed" if any(one.code == INTERRUPTED for one in ended) else "finished"), None
    notes = {one.rank: error_file(folder, one.rank) for one in bad}
    written = [rank for rank, note in notes.items() if note.is_file()]
    first = bad[0]
    if first.code < 0 or not written:
        return "failed", _unexplained(first, len(ended))
    # The others fail of the first one's end, so its note is the oldest.
    rank = min(written, key=lambda rank: notes[rank].stat().st_mtime_ns)
    return "failed", notes[rank].read_text()


def _unexplained(one: local.Ended, count: int) -> str:
    who = "the worker process" if count == 1 else f"the worker process of rank {one.rank}"
    if one.code > 0:
        return f"{who} ended with exit code {one.code} and left no message"
    name = signal.Signals(-one.code).name
    hint = " (out of memory? `plan` estimates what a run needs)" if name == "SIGKILL" else ""
    return f"{who} was killed by {name}{hint}"


def _announce(folder: rundir.RunFolder) -> None:
    print(f"run    {folder.path}")
    if folder.checkpoint:
        print(f"resume {folder.checkpoint} (attempt {folder.attempt})")
    elif folder.attempt > 1:
        print(f"resume no whole checkpoint yet: starting from step 0 (attempt {folder.attempt})")
    sys.stdout.flush()


def _conclude(folder: rundir.RunFolder, state: str, error: str | None, url: str | None) -> None:
    from r1lab.report import summary

    if state == "finished":
        print(summary(folder.path))
    elif state == "killed" and rundir.read_status(folder.path).get("trained"):
        print("stopped; the model is saved. The same command goes on with the benchmarks.")
    elif state == "killed":
        last, _ = rundir.last_checkpoint(folder.path)
        print(f"stopped; checkpoint {last}. The same command goes on from there.")
    else:
        print(f"r1lab: the run failed: {first_cause(error or '')}", file=sys.stderr)
        print(f"  log: {folder.path / 'log.txt'}", file=sys.stderr)
        if rundir.read_status(folder.path).get("trained"):
            print("  the model is saved: the same command does the benchmarks", file=sys.stderr)
    if url:
        print(f"record {url}")
    sys.stdout.flush()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
