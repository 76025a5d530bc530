"""``python -m r1lab evaluate model=X 'evaluate=[aime24,math_500]'``: benchmarks on a model.

Nothing here imports torch: the engine and LightEval are processes of their own.
"""

from __future__ import annotations

import json
import sys
import time
from calendar import timegm
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab import rundir
from r1lab.engines import own
from r1lab.engines.base import Engine
from r1lab.engines.check import check as check_engine
from r1lab.engines.external import ExternalServer
from r1lab.errors import INTERRUPTED, ConfigError, Problem, RunFailed
from r1lab.evaluation import environment, identity, jobs, measure, settings, tables
from r1lab.evaluation import place as places
from r1lab.evaluation import scores as scores_of
from r1lab.evaluation.measure import Asked
from r1lab.evaluation.place import Place
from r1lab.evaluation.watching import Watch
from r1lab.groups import group_options
from r1lab.models import reference
from r1lab.serve import Stop, note, stopped_by_signals, unread

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

_READ = (
    *("model", "engine", "hardware", "experiment", "output_dir", "hydra.searchpath", "evaluate"),
    *("model.id", "model.name", "model.revision", "model.trust_remote_code"),
    *("model.chat_template", "model.arch", "model.license"),
    *("hardware.kind", "hardware.device", "hardware.processes"),
    *("hardware.gpu", "hardware.gpu_memory_gib", "hydra/launcher"),
)
_BELOW = ("engine.", "evaluate.", "tracking.", "hydra.launcher.")
#: MLflow's words for how a run ended.
_ENDED = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


def evaluate(overrides: Sequence[str], dirs: Sequence[str], as_json: bool, command: str) -> int:
    """Evaluate until it is done (0) or a signal comes (130); what fails raises.

    ``as_json``: one object on standard output at the end, and nothing else there.
    """
    config, found, served = checked(overrides, dirs)
    if jobs.wanted(overrides):
        return _as_jobs(config, found, served, as_json, command, overrides, dirs)
    with stopped_by_signals():
        try:
            return _evaluate(config, found, served, as_json, command)
        except Stop:
            note("stopped; what was answered is kept, and the same line again goes on from there")
            return INTERRUPTED


def checked(
    overrides: Sequence[str], dirs: Sequence[str]
) -> tuple[dict[str, Any], reference.Found | None, str | None]:
    """What the command composes to; ConfigError with every mistake in it.

    Beside the config: what ``model=X`` stood for, and what the server at ``engine.url`` calls it.
    """
    composed = _compose(overrides, dirs)
    found = [*_check(composed[0]), *unread(overrides, _READ, _BELOW, "evaluate")]
    problems = {problem.key: problem for problem in found}
    if problems:
        raise ConfigError(problems.values())
    return composed


def _compose(
    overrides: Sequence[str], dirs: Sequence[str]
) -> tuple[dict[str, Any], reference.Found | None, str | None]:
    """With a URL, an X that is nothing here is the server's name for the model."""
    named, rest = reference.split(overrides, dirs)
    external = any(item.partition("=")[0].lstrip("+") == "engine.url" for item in rest)
    if not external:
        return *reference.compose(overrides, dirs), None
    try:
        config, found = reference.compose(overrides, dirs)
    except ConfigError as error:
        if named is None or [problem.key for problem in error.problems] != ["model"]:
            raise
        config, found = reference.compose(rest, dirs)
        return config, None, named
    if found is not None and not Path(found.where).is_dir():
        return config, None, named
    return config, found, None


def _check(config: dict[str, Any]) -> list[Problem]:
    problems = [*check_engine(config["engine"], "evaluate"), *settings.check(config["evaluate"])]
    if not config["evaluate"]["tasks"]:
        fix = f"write 'evaluate=[NAME,...]', of: {', '.join(group_options('evaluate'))}"
        problems.append(Problem("evaluate", [], "names no benchmark", fix))
    template = config["model"]["chat_template"]
    if template is not None and not Path(template).expanduser().is_file():
        fix = "give the path of a .jinja file, or null"
        problems.append(Problem("model.chat_template", template, "there is no such file", fix))
    writable = rundir.check_writable(config["output_dir"])
    return [*problems, writable] if writable else problems


def _as_jobs(
    config: dict[str, Any],
    found: reference.Found | None,
    served: str | None,
    as_json: bool,
    command: str,
    overrides: Sequence[str],
    dirs: Sequence[str],
) -> int:
    """One job of the scheduler's for each benchmark, and the table of all when they have ended."""
    if config["hardware"]["device"] == "auto" and not config["engine"]["url"]:
        fix = "set hardware=single_gpu (with hardware.processes=N for more), or hardware=cpu"
        said = "would be this machine's, and the jobs run elsewhere"
        raise ConfigError(Problem("hardware.device", "auto", said, fix))
    environment.python(note)  # the machines of a cluster may have no network
    asked, place, _ = _prepare(config, found, served, command, Path(), elsewhere=True)
    launcher = jobs.launcher(overrides, dirs)
    left = [task for task in asked.tasks if scores_of.read(place.folder / task) is None]
    for line in _intent(asked, place, found):
        note(line)
    _close(_open(config, place, command), place, "FINISHED")  # one record, made before the jobs
    gpus = config["hardware"]["processes"] if config["hardware"]["device"] == "cuda" else None
    submitted = jobs.submit(launcher, overrides, dirs, left, place.folder, gpus)
    if not launcher["wait"]:
        note("the same line without hydra.launcher.wait=false waits and shows the table")
        return 0
    failed = jobs.wait(submitted)
    done = measure.written(place, asked.tasks, asked)
    if done and not as_json:
        tables.show(done, sys.stdout)
    elif done:
        print(json.dumps({"folder": str(place.folder), "scores": done}))
    if failed:
        said = "; ".join(f"{task}: {why}" for task, why in failed.items())
        raise RunFailed(f"{said}\n    fix: the same line again runs what is missing")
    return 0


def _prepare(
    config: dict[str, Any],
    found: reference.Found | None,
    served: str | None,
    command: str,
    python: Path,
    elsewhere: bool = False,
) -> tuple[Asked, Place, Place | None]:
    """What is asked, where it goes (claimed), and what it is asked again beside.

    ``elsewhere``: the engine will run on another machine, whose GPUs are not seen here.
    """
    from rich.console import Console

    output = Path(config["output_dir"]).expanduser().absolute()
    engine, model, folder = _engine(config, found, served, output, elsewhere)
    node = config["evaluate"]
    wanted = measure.requests(node, config["engine"], engine, model)
    place, before = places.choose(
        output, folder, model["name"], node["name"], wanted, node["again"]
    )
    places.remember(place, wanted)
    watch = Watch(Console(stderr=True))
    return Asked(node, config["engine"], engine, model, command, python, watch), place, before


def _evaluate(
    config: dict[str, Any],
    found: reference.Found | None,
    served: str | None,
    as_json: bool,
    command: str,
) -> int:
    asked, place, before = _prepare(config, found, served, command, environment.python(note))
    if all(scores_of.read(place.folder / task) for task in asked.tasks):
        note("all of it was answered before (evaluate.again=true asks anew)")
    for line in _intent(asked, place, found):
        note(line)
    tracker = _open(config, place, command)
    try:
        scores = measure.measure(asked, place)
    except BaseException as failure:
        _close(tracker, place, "KILLED" if isinstance(failure, Stop) else "FAILED")
        done = measure.written(place, asked.tasks, asked)
        if done:
            tables.show(done, sys.stderr)
        if isinstance(failure, RunFailed):
            note("r1lab: what was answered is kept: the same line again goes on from there")
        raise
    measure.log(tracker, place, scores, _step(Path(found.where) if found else None))
    _close(tracker, place, "FINISHED")
    if before is not None:
        for task in asked.tasks:
            if settings.asked(asked.evaluate, task)["temperature"] == 0:
                note(measure.same_answers(before, place, task))
    _show(scores, place, tracker, as_json)
    return 0


def _engine(
    config: dict[str, Any],
    found: reference.Found | None,
    served: str | None,
    output: Path,
    elsewhere: bool,
) -> tuple[Engine, dict[str, Any], Path | None]:
    """The engine, not started; what the model is; and its folder, where that may be a run's."""
    folder = Path(found.where) if found and Path(found.where).is_dir() else None
    if config["engine"]["url"]:
        external = ExternalServer(config["engine"], served)
        if found is None:
            name = served or "model"
            return external, {"id": served, "name": name, "weights": None}, None
        return external, identity.of_model(reference.servable(config["model"])), folder
    model = reference.servable(config["model"])
    log = output / "evaluations" / "servers"
    name = f"{places.safe(model.name)}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    engine, _ = own.server(config, model, log / name, "evaluate", elsewhere)
    return engine, identity.of_model(model), folder


def _intent(asked: Asked, place: Place, found: reference.Found | None) -> list[str]:
    node = asked.evaluate
    counts = {name: settings.asked(node, name)["samples"] for name in asked.tasks}
    listed = ", ".join(f"{name} x {count}" for name, count in counts.items())
    lines = [
        f"model   {found.said if found else asked.model['name']}",
        f"engine  {asked.engine.name}",
        f"asks    {listed} answers a question",
        f"folder  {place.folder}",
    ]
    if asked.engine.doubt:
        lines.append(f"r1lab: warning: {asked.engine.doubt}")
    return lines


def _step(folder: Path | None) -> int:
    """The training step of a run's model; 0 for any other."""
    if folder is None:
        return 0
    for state in (folder / "trainer_state.json", folder.parent / "trainer_state.json"):
        if state.is_file():
            return int(json.loads(state.read_text()).get("global_step", 0))
    return 0


def _open(config: dict[str, Any], place: Place, command: str) -> Tracker:
    """The run's own record, where it is a run's model and no training is writing there; else one of
    the evaluation's own.
    """
    from r1lab.record.provenance import collect
    from r1lab.tracking import Tracker

    status = rundir.read_status(place.run) if place.run else {}
    if place.run and status.get("run_id") and status.get("state") != "running":
        trained = json.loads((place.run / "plan.json").read_text())["config"]
        where = {"tracking": trained["tracking"], "output_dir": str(place.run.parent)}
        return Tracker.open(where, place.run, place.run.name, status["run_id"])
    kept = place.folder / "evaluation.json"
    run_id = json.loads(kept.read_text())["run_id"] if kept.is_file() else None
    tracker = Tracker.open(config, place.folder, f"evaluate {place.base.name}", run_id)
    kept.write_text(json.dumps({"run_id": tracker.run_id, "command": command}) + "\n")
    names = ("model", "engine", "evaluate", "hardware", "tracking", "output_dir")
    tracker.log_start({name: config[name] for name in names}, collect(config), command)
    return tracker


def _close(tracker: Tracker, place: Place, ended: Any) -> None:
    """A training's record keeps how and when the training ended."""
    status = rundir.read_status(place.run) if place.run else {}
    if tracker.run_id and tracker.run_id == status.get("run_id"):
        when = status.get("ended")
        stamp = timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%S%z")) if when else 0
        tracker.finish(_ENDED[status["state"]], ended=stamp)  # type: ignore[arg-type]
        return
    tracker.finish(ended)


def _show(scores: dict[str, Any], place: Place, tracker: Tracker, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"folder": str(place.folder), "scores": scores}))
        return
    tables.show(scores, sys.stdout)
    print(f"table   {place.folder / measure.TABLE}")
    if tracker.url:
        print(f"record  {tracker.url}")
    sys.stdout.flush()
