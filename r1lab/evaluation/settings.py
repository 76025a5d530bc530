"""The ``evaluate`` node: what is wrong with it, and what each benchmark is asked with.

Light: the parent checks it before anything is started.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1lab import rundir, schema
from r1lab.data.prompts import PROMPTS
from r1lab.errors import Problem, suggest

#: What reads an answer for the lenient score: the verifier, or the letter of an option.
ANSWERS = ("math", "choice")
_LOW: dict[str, float] = {"samples": 1, "limit": 1, "max_new_tokens": 1, "concurrency": 1}


def check(node: Mapping[str, Any]) -> list[Problem]:
    """All mistakes of the node; the files of its data are looked for."""
    found = _values("evaluate", node)
    if node["seed"] < 0:
        found.append(Problem("evaluate.seed", node["seed"], "is below 0", "give 0 or more"))
    if not node["timeout"] > 0:
        fix = "give seconds above 0"
        found.append(Problem("evaluate.timeout", node["timeout"], "is no time", fix))
    if node["name"] is not None and (problem := rundir.check_name(str(node["name"]))):
        found.append(Problem("evaluate.name", node["name"], problem.message, "choose another"))
    folder = node["data_dir"]
    if folder is not None and not Path(folder).expanduser().is_dir():
        fix = "give a folder that holds TASK.jsonl or TASK/SPLIT.jsonl for each task, or null"
        found.append(Problem("evaluate.data_dir", folder, "there is no such folder", fix))
        folder = None
    for name, task in node["tasks"].items():
        found += _task(name, task, folder)
    return found


def check_training(config: Mapping[str, Any]) -> list[Problem]:
    """LightEval's benchmarks after a training: those that ``trainer.benchmarks`` names."""
    node, listed = config["evaluate"], config["trainer"]["benchmarks"]
    unread = [name for name in node["tasks"] if name not in listed]
    if unread:
        fix = f"write trainer.benchmarks=[{','.join([*listed, *unread])}], or use the verb evaluate"
        return [Problem("evaluate", unread, "is read by no training", fix)]
    if node["tasks"]:
        return check(node)
    if "benchmarks" in config["callbacks"]:
        fix = "name one of conf/evaluate in trainer.benchmarks, or leave it out"
        said = "has no benchmark of LightEval's to run on saved steps"
        return [Problem("callbacks.benchmarks", None, said, fix)]
    fix = "name one of conf/evaluate in trainer.benchmarks, or leave it out"
    return [
        Problem(f"evaluate.{name}", node[name], "is read by no training without a benchmark", fix)
        for name, default in asdict(schema.Evaluate()).items()
        if node[name] != default
    ]


def _task(name: str, task: Any, folder: str | None) -> list[Problem]:
    key = f"evaluate.tasks.{name}"
    if not isinstance(task, Mapping) or "samples" not in task:  # a stray override's
        fix = f"add {name} to evaluate=[...], or leave its parameters out"
        return [Problem(key, None, "has parameters but is not selected", fix)]
    found = _values(key, task)
    if task["answers"] not in ANSWERS:
        fix = suggest(str(task["answers"]), ANSWERS)
        found.append(Problem(f"{key}.answers", task["answers"], "is not a choice", fix))
    prompt = task["prompt"]
    if prompt is not None and "{problem}" not in prompt:
        fix = "write {problem} where the question belongs"
        found.append(Problem(f"{key}.prompt", prompt, "has no place for the question", fix))
    if task["data"] is not None and not Path(task["data"]).expanduser().exists():
        fix = "give a .jsonl, or a folder of SPLIT.jsonl, or null"
        found.append(Problem(f"{key}.data", task["data"], "is not there", fix))
    elif task["data"] is None and folder is not None and data_of(name, task, folder) is None:
        fix = f"add {name}.jsonl or {name}/ to it, or set {key}.data"
        found.append(Problem("evaluate.data_dir", folder, f"holds nothing for {name}", fix))
    return found


def _values(key: str, node: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for name, low in _LOW.items():
        value = node.get(name)
        if value is not None and value < low:
            fix = f"give {low:g} or more"
            problems.append(Problem(f"{key}.{name}", value, f"is below {low:g}", fix))
    temperature, top_p = node["temperature"], node["top_p"]
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        fix = "give 0 (the likeliest token) or more"
        problems.append(Problem(f"{key}.temperature", temperature, "is out of range", fix))
    if top_p is not None and not 0 < top_p <= 1:
        fix = "give a number in (0, 1]"
        problems.append(Problem(f"{key}.top_p", top_p, "is no probability", fix))
    return problems


def data_of(name: str, task: Mapping[str, Any], folder: str | None) -> str | None:
    """The file or folder of a task's data, absolute; None where it comes from the hub."""
    if task["data"] is not None:
        return str(Path(task["data"]).expanduser().absolute())
    if folder is None:
        return None
    root = Path(folder).expanduser().absolute()
    for path in (root / f"{name}.jsonl", root / name):
        if path.exists():
            return str(path)
    return None


def system_prompt(node: Mapping[str, Any]) -> str | None:
    """The text; ``open_r1`` and ``boxed`` are names, as they are in ``data``."""
    given = node["system_prompt"]
    return None if given is None else PROMPTS.get(given, given)


def asked(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a task is asked with, its own values before those of ``evaluate``.

    At temperature 0 every sample would be the same: one is asked for, unless the command says how
    many.
    """
    task = node["tasks"][name]

    def first(key: str) -> Any:
        return task[key] if task[key] is not None else node[key]

    temperature = first("temperature")
    samples = node["samples"] or (task["samples"] if temperature > 0 else 1)
    return {
        "data": data_of(name, task, node["data_dir"]),
        "samples": samples,
        "limit": node["limit"],
        "max_new_tokens": first("max_new_tokens"),
        "temperature": temperature,
        "top_p": first("top_p"),
        "prompt": task["prompt"],
    }
