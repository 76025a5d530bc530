"""Where an evaluation's files are: in the run whose model it is of, else under ``evaluations``.

    outputs/RUN/evaluation/TASK/                             the final model of a run
    outputs/RUN/evaluations/checkpoint-200/evaluation/TASK/  a checkpoint, or evaluate.name
    outputs/evaluations/NAME/evaluation/TASK/                any other model

Each task's folder keeps what was asked for, in ``request.json``. The same request finds the same
folder, so that it goes on where it stopped; another one takes the next free folder (``-2``,
``-3``, ...). Nothing is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab import rundir
from r1lab.errors import ConfigError, Problem
from r1lab.evaluation import scores

REQUEST = "request.json"
_KEY = "evaluate.name"


@dataclass(frozen=True)
class Place:
    """``base`` holds ``evaluation/``; ``prefix`` begins the names of its metrics in MLflow."""

    base: Path
    prefix: str
    run: Path | None = None

    @property
    def folder(self) -> Path:
        return self.base / "evaluation"

    @property
    def artifacts(self) -> str:
        return self.prefix.replace("benchmark", "evaluation", 1)


def run_of(model: Path) -> Path | None:
    """The run's folder that a model's folder (``model``, ``checkpoint-N``) is in, if any."""
    return model.parent if rundir.read_status(model.parent) else None


def choose(
    output_dir: Path,
    model: Path | None,
    called: str,
    name: str | None,
    requests: Mapping[str, Mapping[str, Any]],
    again: bool = False,
) -> tuple[Place, Place | None]:
    """The place for these requests, and with ``again`` the one before it.

    ``model`` is the model's folder where it has one, ``called`` its name. ``requests``: by task,
    what is asked. ``again``: finished answers are left where they are, and asked for anew.
    """
    run = run_of(model) if model else None
    if run is None:
        first = output_dir / "evaluations" / (name or safe(called))
    elif name is None and model is not None and model.name == "model":
        first = run
    else:
        assert model is not None
        first = run / "evaluations" / (name or model.name)
    before = None
    for number in range(1, 10_000):
        place = Place(_numbered(first, run, number), _prefix(first, run, name, number), run)
        other = _differing(place, requests)
        if other is None and again and all(scores.read(place.folder / t) for t in requests):
            before = place
        elif other is None:
            return place, before
        elif name is not None and not again:
            task, keys = other
            said = f"{place.folder / task} was made with another {', '.join(keys)}"
            raise ConfigError(Problem(_KEY, name, said, "choose another name, or leave it out"))
    raise AssertionError("ten thousand evaluations of one model")


def _numbered(first: Path, run: Path | None, number: int) -> Path:
    if number == 1:
        return first
    if first == run:
        return run / "evaluations" / str(number)
    return first.with_name(f"{first.name}-{number}")


def _prefix(first: Path, run: Path | None, name: str | None, number: int) -> str:
    """Checkpoints of a run share names with its final model: their steps tell them apart."""
    parts = ["benchmark", *([name] if name and run else []), *([str(number)] * (number > 1))]
    return "_".join(parts)


def _differing(
    place: Place, requests: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[str]] | None:
    """A task that was asked otherwise there, and in what; None where none was."""
    for task, wanted in requests.items():
        try:
            kept = json.loads((place.folder / task / REQUEST).read_text())
        except FileNotFoundError:
            continue
        if kept != wanted:
            keys = sorted(k for k in {*kept, *wanted} if kept.get(k) != wanted.get(k))
            return task, keys
    return None


def remember(place: Place, requests: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what is asked, before anything is."""
    for task, wanted in requests.items():
        folder = place.folder / task
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REQUEST).write_text(json.dumps(wanted, indent=2) + "\n")


def safe(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in name)
