"""``python -m r1lab generate data=X generate.base_url=URL``: answers, and data to train on.

First everything that is missing is asked for (``client.py``) and kept (``journal.py``); then the
steps make data of what the journal has (``dataset.py``). The same line again asks only for what is
missing, and other steps ask for nothing.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab import components, rundir
from r1lab.engines.base import Engine
from r1lab.engines.check import check as check_engine
from r1lab.engines.external import ExternalServer
from r1lab.errors import INTERRUPTED, ConfigError, Problem, RunFailed
from r1lab.generation import dataset, formats, place, publish, settings
from r1lab.generation.asked import Asking
from r1lab.generation.place import Place
from r1lab.generation.prompts import Prompts
from r1lab.generation.steps import runner
from r1lab.generation.steps.base import Context, Step
from r1lab.models import reference
from r1lab.serve import Stop, note, stopped_by_signals, unread

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

_READ = (
    *("model", "engine", "hardware", "experiment", "output_dir", "hydra.searchpath", "data"),
    *("generate", "steps", "rewards"),
    *("model.id", "model.name", "model.revision", "model.trust_remote_code"),
    *("model.chat_template", "model.arch", "model.license"),
    *("hardware.kind", "hardware.device", "hardware.processes"),
    *("hardware.gpu", "hardware.gpu_memory_gib"),
)
_BELOW = ("engine.", "generate.", "tracking.", "data.", "steps.", "rewards.", "steps@", "rewards@")
#: What a generation's record in MLflow holds of the config.
_RECORDED = ("data", "generate", "steps", "rewards", "model", "engine", "hardware", "output_dir")


@dataclass
class Job:
    """A checked command: what is asked, and what is made of the answers."""

    config: dict[str, Any]
    found: reference.Found | None
    prompts: Prompts
    steps: dict[str, Step]
    context: Context
    command: str

    @property
    def external(self) -> bool:
        """Whether another's server answers."""
        return bool(self.config["engine"]["url"])


def generate(overrides: Sequence[str], dirs: Sequence[str], as_json: bool, command: str) -> int:
    """Generate until it is done (0) or a signal comes (130); what fails raises.

    ``as_json``: one object on standard output at the end, and nothing else there.
    """
    job = checked(overrides, dirs, command)
    with stopped_by_signals():
        try:
            return _generate(job, as_json)
        except Stop:
            note("stopped; what was answered is kept, and the same line again goes on from there")
            return INTERRUPTED
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            fix = "make room; what was answered is kept: the same line again goes on from there"
            raise RunFailed(f"the disk is full: {error}\n    fix: {fix}") from error


def checked(overrides: Sequence[str], dirs: Sequence[str], command: str) -> Job:
    """What the command composes to; ConfigError with every mistake in it."""
    config, found = reference.compose(overrides, dirs)
    node = config["generate"]
    url = node["base_url"] or config["engine"]["url"]
    named = node["model"] if not url else None
    if named is not None:  # the engine's model, under the name that it has beside a server
        if any(item.partition("=")[0] == "model" for item in overrides):
            said, fix = "is named by model=... too", "leave one of the two out"
            raise ConfigError(Problem("generate.model", named, said, fix))
        config, found = reference.compose([*overrides, f"model={named}"], dirs)
        config["generate"]["model"] = None
    problems = [*settings.check(config), *unread(overrides, _READ, _BELOW, "generate")]
    config["engine"]["url"] = url
    problems += _check_model(config, overrides)
    source, wrong = components.check("data", config["data"])
    has_gold = source is not None and source.column("solution") is not None
    context = Context(config, has_gold, node["num_generations"])
    steps, unfit = runner.check(config["steps"], context)
    problems += [*wrong, *unfit, *formats.check(node["format"], has_gold)]
    prompts = None
    if source is not None:
        prompts = Prompts(source, node["split"], node["prompt_template"], node["limit"])
        problems += prompts.check()
        problems += _check_columns(source, steps, node["keep_columns"])
    writable = rundir.check_writable(config["output_dir"])
    problems += [writable] if writable else []
    by_key = {(problem.key, problem.message): problem for problem in problems}
    if by_key or prompts is None:
        raise ConfigError(by_key.values())
    return Job(config, found, prompts, steps, context, command)


def _check_model(config: dict[str, Any], overrides: Sequence[str]) -> list[Problem]:
    problems = check_engine(config["engine"], "generate")
    if config["generate"]["base_url"]:  # what is wrong with it is said under that name
        problems = [problem for problem in problems if problem.key != "engine.url"]
    if config["engine"]["url"]:
        return problems + [
            Problem(
                item.partition("=")[0],
                item.partition("=")[2],
                f"is not what answers: {config['engine']['url']} is a server with its own model",
                "name its model by generate.model=..., or leave the URL out",
            )
            for item in overrides
            if item.partition("=")[0].partition(".")[0] in ("model", "hardware")
        ]
    template = config["model"]["chat_template"]
    if template is not None and not Path(template).expanduser().is_file():
        fix = "give the path of a .jinja file, or null"
        problems.append(Problem("model.chat_template", template, "there is no such file", fix))
    return problems


def _check_columns(source: Any, steps: dict[str, Step], keep: Sequence[str]) -> list[Problem]:
    """Columns that steps read or that are to be kept, where the data's are known already."""
    known = source.raw_columns()
    if known is None:
        return []
    wanted = dict.fromkeys(keep, "generate.keep_columns")
    for step_name, step in steps.items():
        wanted |= dict.fromkeys(step.needs_columns(), f"steps.{step_name}")
    has = ", ".join(sorted(known))
    return [
        Problem(key, name, f"the data has no column {name!r}; it has: {has}", "name one of these")
        for name, key in wanted.items()
        if name not in known and source.column(name) is None
    ]


def _generate(job: Job, as_json: bool) -> int:
    from r1lab.record.provenance import collect
    from r1lab.tracking import Tracker

    engine, model = _engine(job)
    found = place.choose(job.config, model)
    name = found.folder.name
    hub_id = job.config["generate"]["hub_id"]
    if hub_id:
        publish.check_access(hub_id, name)
    found.remember(asked=found.asked, command=job.command)
    tracker = Tracker.open(job.config, found.folder, f"generate {name}", found.kept.get("run_id"))
    found.remember(run_id=tracker.run_id)
    recorded = {key: job.config[key] for key in _RECORDED}
    provenance = collect(job.config)
    tracker.log_start(recorded, provenance, job.command)
    try:
        for line in _intent(job, engine, found):
            note(line)
        result = _work(job, engine, model, found, tracker, provenance)
    except BaseException as failure:
        tracker.finish("KILLED" if isinstance(failure, Stop) else "FAILED")
        raise
    tracker.finish("FINISHED")
    _show(result, tracker, as_json)
    return 0


def _work(
    job: Job,
    engine: Engine,
    model: dict[str, Any],
    found: Place,
    tracker: Tracker,
    provenance: dict[str, Any],
) -> dict[str, Any]:
    from r1lab.generation.dead_letters import DEAD_LETTERS, DeadLetters
    from r1lab.generation.journal import Journal

    node = job.config["generate"]
    for step in job.steps.values():
        step.fetch(job.context)
    total = job.prompts.scan()
    for line in _of_data(job.prompts, node["num_generations"], total):
        note(line)
    with (
        Journal(found.folder) as journal,
        DeadLetters(found.folder / DEAD_LETTERS) as letters,
    ):
        for line in _of_journal(journal):
            note(f"r1lab: warning: {line}")
        asking = Asking(node, engine, model, found, journal, letters, tracker, note)
        counts = asking.ask(job.prompts, total) if node["ask"] else None
        dead = letters.rewrite(lambda key, sample: not journal.has(key, sample))
        if dead:
            note(
                f"r1lab: warning: {dead} samples failed for good ({letters.path} says why); the "
                "same line again asks for them again"
            )
        made = dataset.make(
            job.config,
            job.context,
            job.steps,
            asking.groups(job.prompts),
            folder=found.folder,
            command=job.command,
            model=asking.model_name,
            dead=dataset.reasons(letters.path),
            provenance=provenance,
            tracker=tracker,
            note=note,
        )
    facts = {"folder": str(found.folder), "prompts": total, "dead_letters": dead}
    if counts is not None:
        facts |= {"kept": counts.kept, "answered": counts.answered, "errors": dict(counts.errors)}
    return {**facts, **made, "run_id": tracker.run_id}


def _engine(job: Job) -> tuple[Engine, dict[str, Any]]:
    """What answers, not started, and which model that is, as far as it is known."""
    config, node = job.config, job.config["generate"]
    if job.external:
        engine = ExternalServer(config["engine"], node["model"])
        return engine, {"name": node["model"] or "model", "weights": None}
    from r1lab.engines import own
    from r1lab.evaluation import identity

    served = reference.servable(config["model"])
    model = identity.of_model(served)
    log = Path(config["output_dir"]).expanduser().absolute() / "generations" / "servers"
    stem = "".join(char if char.isalnum() or char in "._-" else "_" for char in served.name)
    started, _ = own.server(
        config, served, log / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}.log", "generate"
    )
    return started, model


def _intent(job: Job, engine: Engine, found: Place) -> list[str]:
    node, data = job.config["generate"], job.config["data"]
    model = job.found.said if job.found else node["model"] or job.config["model"]["name"]
    if job.external:
        model = node["model"] or "the one that the server has"
    system = data.get("system_prompt")
    drawn = {name: node[name] for name in ("temperature", "top_p", "seed")}
    own = ", ".join(f"{k} {v}" for k, v in drawn.items() if v is not None)
    lines = [
        f"data    {data.get('name', 'data')}, {node['split']}; system prompt: {system or 'none'}",
        f"model   {model}",
        f"engine  {engine.name}" + (f", client {node['client']}" * (node["client"] != "async")),
        f"asks    {node['num_generations']} x a prompt, {node['max_new_tokens']} new tokens at most"
        + f", {own or 'the server`s own sampling'}".replace("`", "'"),
        f"steps   {', '.join(job.config['steps']) or 'none'}",
        f"folder  {found.folder}",
    ]
    return lines + ([f"r1lab: warning: {engine.doubt}"] if engine.doubt else [])


def _of_data(prompts: Prompts, n: int, total: int) -> list[str]:
    lines = [f"prompts {total:,}, so {total * n:,} samples"]
    if prompts.repeated:
        lines.append(f"        {prompts.repeated:,} rows repeat a prompt, which is asked once")
    lines += [f"        {count:,} rows have {why}" for why, count in prompts.dropped.items()]
    return lines


def _of_journal(journal: Any) -> list[str]:
    lines = []
    if journal.torn:
        lines.append(f"{journal.torn} bytes of a cut last line of {journal.path} were taken off")
    if journal.unreadable:
        lines.append(
            f"{journal.unreadable} lines of {journal.path} hold no answer; those samples are asked "
            "for again"
        )
    if journal.duplicates:
        lines.append(f"{journal.duplicates} answers stand twice in {journal.path}; the first count")
    return lines


def _show(result: dict[str, Any], tracker: Tracker, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console

    Console(file=sys.stdout).print(runner.table(result["steps"]))
    rows = ", ".join(f"{count:,} {split}" for split, count in result["rows"].items())
    print(f"data    {result['data']} ({rows})")
    print(f"card    {result['data']}/README.md")
    if result["train"]:
        print(f"train   {result['train']}")
    if result["pushed"]:
        print(f"pushed  {result['pushed']}")
    if tracker.url:
        print(f"record  {tracker.url}")
    sys.stdout.flush()
