"""Benchmarks on a model that an engine serves: asked, scored, written down.

The straight line that the verb ``evaluate`` and the end of a training share::

    requests -> place -> engine up -> LightEval's process -> engine down -> lenient scores -> table
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.engines.base import Engine
from r1lab.engines.context import context_of, fitting
from r1lab.engines.external import ExternalServer
from r1lab.evaluation import place as places
from r1lab.evaluation import process, scores, settings, tables
from r1lab.evaluation.place import Place
from r1lab.evaluation.watching import Watch
from r1lab.record.provenance import versions

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

#: Fields of the ``engine`` node that change no answer, or are in the engine's name.
_WHERE = ("kind", "url", "host", "port", "start_timeout")
#: The table of all tasks in a place, for a model card.
TABLE = "table.md"


@dataclass
class Asked:
    """One evaluation: benchmarks of one model, by one engine.

    ``model`` is what :func:`r1lab.evaluation.identity.of_model` says; ``script`` is LightEval's
    side, in its environment's ``python``.
    """

    evaluate: Mapping[str, Any]
    engine_node: Mapping[str, Any]
    engine: Engine
    model: dict[str, Any]
    command: str
    python: Path
    watch: Watch
    script: Path = process.SCRIPT
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        return list(self.evaluate["tasks"])


def requests(
    node: Mapping[str, Any], engine_node: Mapping[str, Any], engine: Engine, model: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """By task, all that its answers depend on."""
    # A folder may move: its weights say what it is.
    named = () if model.get("weights") and not model.get("revision") else ("id", "revision")
    common = {
        "model": {k: model.get(k) for k in (*named, "weights", "chat_template")},
        "engine": _of_engine(engine, engine_node),
        "system_prompt": settings.system_prompt(node),
        "seed": node["seed"],
    }
    found = {}
    for name in node["tasks"]:
        asked = settings.asked(node, name)
        found[name] = {**asked, "data": _data(asked["data"]), **common}
    return found


def _of_engine(engine: Engine, node: Mapping[str, Any]) -> dict[str, Any]:
    """Its name with its version, and what is set of it; of another's server nothing is known."""
    name = "external" if isinstance(engine, ExternalServer) else engine.name
    return {
        "name": name,
        **{k: v for k, v in node.items() if k not in _WHERE and v not in (None, {})},
    }


def _data(path: str | None) -> dict[str, Any] | None:
    """A local file's or folder's name and hash; None for the hub."""
    if path is None:
        return None
    root = Path(path)
    files = sorted(root.glob("*.jsonl")) if root.is_dir() else [root]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return {"path": path, "sha256": digest.hexdigest()[:16]}


def measure(asked: Asked, place: Place) -> dict[str, dict[str, Any]]:
    """Ask what is missing in ``place``; the scores of all tasks, also written there.

    What was done before a failure is scored and kept; the failure is raised after that.
    """
    missing = [task for task in asked.tasks if scores.read(place.folder / task) is None]
    if missing:
        try:
            with asked.engine.running(), asked.watch.live():
                job = _job(asked, place, missing)
                process.run(
                    asked.python,
                    job,
                    workplace(asked, place),
                    asked.engine,
                    lambda event: _hear(asked, event),
                    asked.script,
                )
        finally:  # the engine is down: its memory is free, and the verifier has the cores
            for task in [task for task in missing if task in asked.events]:
                _conclude(asked, place.folder / task, task, job)
    return written(place, asked.tasks, asked)


def workplace(asked: Asked, place: Place) -> Path:
    """Where journal, job and log are: a command for one task has its own, beside others'."""
    return place.folder / asked.tasks[0] if len(asked.tasks) == 1 else place.folder


def _hear(asked: Asked, event: dict[str, Any]) -> None:
    if event["event"] == "task":
        asked.events[event["task"]] = event
    asked.watch(event)


def _job(asked: Asked, place: Place, tasks: Sequence[str]) -> dict[str, Any]:
    """What LightEval's process is told (see its docstring)."""
    node, engine, model = asked.evaluate, asked.engine, asked.model
    context = context_of(engine)
    wanted = {name: settings.asked(node, name) for name in tasks}
    for name, one in wanted.items():
        room = fitting(one["max_new_tokens"], context)
        if room < one["max_new_tokens"]:
            asked.watch(
                {
                    "event": "warning",
                    "message": f"{name}: answers of {one['max_new_tokens']} tokens do not fit the "
                    f"model's context of {context}: {room} are asked for",
                }
            )
            one["max_new_tokens"] = room
    return {
        "tasks": wanted,
        "model": {
            "name": engine.model,
            "fingerprint": f"{model.get('weights')} {model.get('chat_template')}",
        },
        "server": {
            "base_url": engine.url,
            "api_key_env": process.API_KEY,
            "concurrency": node["concurrency"],
            "timeout_s": node["timeout"],
        },
        "sampling": {
            "temperature": node["temperature"],
            "top_p": node["top_p"],
            "seed": node["seed"],
        },
        "system_prompt": settings.system_prompt(node),
        "choice_seed": 0,
        "output": str(place.folder),
        "journal": str(workplace(asked, place) / "answers.jsonl"),
        "settings": {
            "model": model,
            "engine": _of_engine(engine, asked.engine_node),
            "context": context,
            "versions": versions(),
            "command": asked.command,
        },
    }


def _conclude(asked: Asked, folder: Path, task: str, job: Mapping[str, Any]) -> None:
    """The task's lenient scores, its metrics, and ``score.json``."""
    answers = asked.evaluate["tasks"][task]["answers"]
    seconds = scores.add_lenient(folder / "samples.parquet", answers)
    metrics, warnings = scores.score(folder, answers, job["tasks"][task]["max_new_tokens"])
    event = asked.events[task]
    counts = {"asked": event["asked"], "kept": event["kept"]}
    times = {
        "generation": event["generate_s"],
        "strict scoring": event["score_s"],
        "lenient scoring": round(seconds, 3),
    }
    scores.write(folder, metrics, warnings, times, counts)


def written(place: Place, tasks: Sequence[str], asked: Asked) -> dict[str, dict[str, Any]]:
    """The scores of these tasks, with all of the place's tables brought up to date."""
    done = {
        path.parent.name: found
        for path in sorted(place.folder.glob(f"*/{scores.SCORE}"))
        if (found := scores.read(path.parent)) is not None
    }
    if done:
        (place.folder / TABLE).write_text(tables.markdown(done, _note(asked)))
    return {task: done[task] for task in tasks if task in done}


def _note(asked: Asked) -> str:
    node, model = asked.evaluate, asked.model
    used = versions()
    return (
        f"{model['name']}; temperature {node['temperature']:g}, top_p {node['top_p']:g}, at most "
        f"{node['max_new_tokens']} new tokens, seed {node['seed']}; {asked.engine.name}; r1lab "
        f"{used.get('r1lab', 'from source')}, LightEval's tasks and metrics. 95% intervals: "
        "bootstrap over questions. Strict: the benchmark's own parser; lenient: r1lab's verifier."
    )


def log(
    tracker: Tracker, place: Place, found: Mapping[str, dict[str, Any]], step: int
) -> dict[str, float]:
    """Metrics and files into MLflow; returns the metrics."""
    metrics: dict[str, float] = {}
    for task, one in found.items():
        metrics |= scores.metric_names(task, one["metrics"], place.prefix)
        folder = place.folder / task
        files = ["samples.parquet", "settings.json", scores.SCORE, places.REQUEST]
        for path in [folder / name for name in files] + sorted(folder.rglob("results_*.json")):
            if path.is_file():
                tracker.log_artifact(path, f"{place.artifacts}/{task}")
    tracker.log_metrics(metrics, step)
    if (place.folder / TABLE).is_file():
        tracker.log_artifact(place.folder / TABLE, place.artifacts)
    return metrics


def same_answers(before: Place, after: Place, task: str) -> str:
    """How far two askings at temperature 0 agree, and where they first do not."""
    import pandas

    columns = ["question_id", "sample", "text"]
    first, second = (
        pandas.read_parquet(place.folder / task / "samples.parquet", columns=columns)
        for place in (before, after)
    )
    both = first.merge(second, on=["question_id", "sample"], suffixes=("_1", "_2"))
    differing = both[both["text_1"] != both["text_2"]]
    if differing.empty:
        return f"{task}: the same {len(both)} answers as in {before.folder}"
    lines = [f"{task}: {len(differing)} of {len(both)} answers differ from {before.folder}"]
    for row in differing.head(3).itertuples():
        pairs = zip(f"{row.text_1}\0", f"{row.text_2}\0", strict=False)
        at = next(i for i, (one, two) in enumerate(pairs) if one != two)
        shown = [json.dumps(str(text)[at : at + 40]) for text in (row.text_1, row.text_2)]
        lines.append(f"  {row.question_id}: from character {at}: {shown[0]}, now {shown[1]}")
    return "\n".join(lines)
