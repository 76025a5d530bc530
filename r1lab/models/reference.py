"""``model=X`` for verbs that use a model: a run, a folder, a hub id, or an option of the group.

    model=tiny                       an option of conf/model
    model=my_run                     a run under output_dir (or its path, or its MLflow run id):
                                     its final model
    model=my_run@last                its newest whole checkpoint
    model=my_run@best                the checkpoint that was best, by the run's own record
    model=my_run@200                 checkpoint-200
    model=./folder                   a folder that save_pretrained wrote, of a model or an adapter
    model=Qwen/Qwen3-0.6B            a hub id (model=Qwen/Qwen3-0.6B@REVISION)

The part of ``model`` that says what to serve is then in the config as if a file had said it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r1lab import rundir, schema
from r1lab.compose import attempt, resolve
from r1lab.errors import ConfigError, Problem, suggest
from r1lab.groups import group_options
from r1lab.mistakes import parse
from r1lab.models import merge
from r1lab.models.load import resolve_id
from r1lab.planning.architecture import Architecture, read_architecture

FINAL, LAST, BEST = "final", "last", "best"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FIX = (
    "give a run (its folder or name under output_dir), a folder with config.json, a hub id "
    "(owner/name), or an option of conf/model"
)


@dataclass(frozen=True)
class Found:
    """What a reference stands for: a folder or hub id, what to call it, and what it is."""

    where: str
    name: str
    said: str
    revision: str = "main"


@dataclass(frozen=True)
class Servable:
    """A model as an engine loads it: a whole one, adapters merged."""

    where: str
    name: str
    revision: str
    trust_remote_code: bool
    chat_template: str | None  # a file's path
    architecture: Architecture | None

    @property
    def is_folder(self) -> bool:
        return Path(self.where).is_dir()


def compose(
    overrides: Sequence[str], dirs: Sequence[str] = ()
) -> tuple[dict[str, Any], Found | None]:
    """The resolved config for ``overrides``, and what ``model=X`` stood for where X is no option.

    ConfigError holds all that is wrong with the overrides and with X.
    """
    reference, rest = split(overrides, dirs)
    composed, problems = attempt(list(rest), list(dirs))
    if composed is None:
        raise ConfigError(problems)
    config = resolve(composed)
    found = None
    if reference is not None:
        try:
            found = locate(reference, Path(config["output_dir"]).expanduser())
        except ConfigError as error:
            problems += error.problems
        else:
            config["model"] = _node(found, config["model"], rest)
    if problems:
        raise ConfigError(problems)
    return config, found


def split(overrides: Sequence[str], dirs: Sequence[str]) -> tuple[str | None, list[str]]:
    """The ``X`` of ``model=X`` where it is no option of the group, and the other overrides."""
    rest = list(overrides)
    options = group_options("model", dirs)
    for item in overrides:
        key, _, value = item.partition("=")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if key == "model" and value not in options and _may_be_reference(value):
            rest.remove(item)
            return value, rest
    return None, rest


def _may_be_reference(value: str) -> bool:
    """A path, a run, an id: not what a sweep or a misspelt option looks like to Hydra."""
    return bool(value) and not value.startswith(("[", "{", "$"))


def _node(found: Found, composed: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The ``model`` node of what was found, with what the overrides say of it."""
    node = asdict(schema.Model(id=found.where, name=found.name, revision=found.revision))
    for item in overrides:
        parts = parse(item).key_or_group.split(".")
        if parts[0] == "model" and len(parts) > 1:
            node[parts[1]] = composed[parts[1]]
    return node


def locate(reference: str, output_dir: Path) -> Found:
    """What ``reference`` stands for; ConfigError where it is nothing, or not to be had."""
    whole, _, which = reference.rpartition("@")
    name, which = (whole, which) if whole else (which, "")
    folder = _folder(name, output_dir)
    if folder is None and not name.startswith(("/", "./", "../", "~")) and _HUB_ID.fullmatch(name):
        return Found(name, name, f"{name} of the Hugging Face Hub", which or "main")
    if folder is None:
        raise ConfigError(
            Problem("model", reference, "is nothing that was found", _fix(name, output_dir))
        )
    if rundir.read_status(folder):
        return _of_run(folder, which or FINAL, reference)
    if which:
        fix = f"write model={name}"
        raise ConfigError(Problem("model", reference, f"{folder} is no run's folder", fix))
    kind = _kind(folder)
    if kind is None:
        raise ConfigError(Problem("model", reference, f"{folder} holds no config.json", _FIX))
    # `model` and `checkpoint-20` say nothing without the run that they are of.
    inside = rundir.read_status(folder.parent)
    called = f"{folder.parent.name}-{folder.name}" if inside else folder.name
    return Found(str(folder), called, f"the {kind} in {folder}")


def _folder(name: str, output_dir: Path) -> Path | None:
    """The folder of a path, of a run's name, or of a run's MLflow id."""
    if not name:
        return None
    for folder in (Path(name).expanduser(), output_dir / name):
        if folder.is_dir():
            return folder.absolute()
    if _RUN_ID.fullmatch(name):
        for status in output_dir.glob(f"*/{rundir.STATUS}"):
            if rundir.read_status(status.parent).get("run_id") == name:
                return status.parent.absolute()
    return None


def _fix(name: str, output_dir: Path) -> str:
    runs = [path.parent.name for path in output_dir.glob(f"*/{rundir.STATUS}")]
    near = suggest(name, [*runs, *group_options("model")])
    return near if near.startswith("did you mean") else _FIX


def _kind(folder: Path) -> str | None:
    if merge.is_adapter(folder):
        return "adapter"
    return "model" if (folder / "config.json").is_file() else None


def _of_run(folder: Path, which: str, reference: str) -> Found:
    if which == FINAL:
        return _final(folder, reference)
    if which == LAST:
        checkpoint, skipped = rundir.last_checkpoint(folder)
        if checkpoint is None:
            reasons = f": {'; '.join(skipped)}" if skipped else ""
            raise _refused(reference, f"{folder} has no whole checkpoint{reasons}", folder)
    elif which == BEST:
        checkpoint = _best(folder, reference)
    elif which.isdigit():
        checkpoint = folder / f"checkpoint-{which}"
    else:
        fix = "write @last, @best or @STEP, or leave it out for the final model"
        raise ConfigError(Problem("model", reference, f"@{which} names no checkpoint", fix))
    if _kind(checkpoint) is None:
        there = checkpoint.is_dir()
        lacks = "holds shards of a distributed run and no whole model" if there else "is not there"
        raise _refused(reference, f"{checkpoint} {lacks}", folder)
    return Found(
        str(checkpoint), f"{folder.name}-{checkpoint.name}", f"{checkpoint.name} of {folder}"
    )


def _final(folder: Path, reference: str) -> Found:
    status = rundir.read_status(folder)
    state = status.get("state")
    if not (state == "finished" or status.get("trained")) or _kind(folder / "model") is None:
        said = f"{folder} has no final model: the run is {state}"
        raise _refused(reference, said, folder)
    return Found(str(folder / "model"), folder.name, f"the final model of {folder}")


def _refused(reference: str, said: str, folder: Path) -> ConfigError:
    steps = [path.name.rpartition("-")[2] for path in rundir.checkpoints(folder)]
    name = reference.partition("@")[0]
    fix = "the same training line again goes on with the run"
    if rundir.last_checkpoint(folder)[0] is not None:
        has = ", ".join(reversed(steps))
        fix = f"it has checkpoints at {has}: write model={name}@{steps[0]}, or @last"
    return ConfigError(Problem("model", reference, said, fix))


def _best(folder: Path, reference: str) -> Path:
    """The checkpoint that the trainer called best, else that was best by early stop's metric."""
    state = _json(folder / "trainer_state.json")
    newest = rundir.checkpoints(folder)
    if not state and newest:
        state = _json(newest[0] / "trainer_state.json")
    named = state.get("best_model_checkpoint")
    if named:  # the run may have moved since
        return folder / Path(str(named)).name
    stop = (_json(folder / "plan.json").get("config") or {}).get("callbacks", {}).get("early_stop")
    if not stop:
        said = "its record names no best checkpoint (no callbacks=[early_stop], no best metric)"
        raise _refused(reference, said, folder)
    metric, sign = stop["metric"], 1 if stop["mode"] == "max" else -1
    rows = [row for row in state.get("log_history", []) if isinstance(row.get(metric), int | float)]
    valued = []
    for checkpoint in newest:
        step = int(checkpoint.name.rpartition("-")[2])
        before = [row for row in rows if row["step"] <= step]
        if before:
            valued.append((sign * before[-1][metric], step, checkpoint))
    if not valued:
        raise _refused(reference, f"no {metric} was logged by any of its checkpoints", folder)
    return max(valued)[2]


def _json(path: Path) -> dict[str, Any]:
    """A JSON object's file; empty where there is none or it is cut short."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def servable(model: dict[str, Any]) -> Servable:
    """The ``model`` node as engines load it: r1lab's own models made, adapters merged.

    The name is the config's. ConfigError where an adapter cannot be merged.
    """
    where = resolve_id(model["id"])
    if model["id"].startswith(("/", ".", "~")) and _kind(Path(where)) is None:
        raise ConfigError(Problem("model.id", model["id"], "holds no config.json", _FIX))
    if Path(where).is_dir() and merge.is_adapter(Path(where)):
        where = str(merge.merged(Path(where)))
    template = model["chat_template"]
    return Servable(
        where=where,
        name=model["name"],
        revision=model["revision"],
        trust_remote_code=model["trust_remote_code"],
        chat_template=str(Path(template).expanduser().absolute()) if template else None,
        architecture=read_architecture({**model, "id": where}),
    )
