"""``python -m r1lab compare A B``: reading the command line, printing the comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1lab.errors import ConfigError, Problem, nearest

USAGE = """\
r1lab compare: two evaluations of the same benchmarks, question by question

  python -m r1lab compare A B [FLAG ...]

A and B are each a run's folder, an evaluation's folder (what `evaluate` printed), or a
results_*.json of LightEval's with its details beside it. B - A has a bootstrap interval over
questions; p is McNemar's exact test for one right or wrong sample a question, else a permutation
test; `detectable` is the smallest difference that would be found 4 times out of 5.

flags
  --force             compare though prompt, sampling, engine, data or versions differ (also
                      force=true)
  --intersect         compare the common questions where each has others (also intersect=true)
  --task NAME[,NAME]  only these benchmarks
  --score NAME        by which score questions flip: strict (default) or lenient
  --metric NAME       of LightEval's results: which of several metrics
  --flips N           flipped questions shown for each benchmark (10)
  --json              one object on standard output, with all flipped questions and whole answers
  --markdown          Markdown, for a model card or an issue

examples
  python -m r1lab compare outputs/RUN_A outputs/RUN_B
  python -m r1lab compare outputs/RUN/evaluations/checkpoint-100 outputs/RUN --task math_500
"""
_SWITCHES = ("--force", "--intersect", "--json", "--markdown")
_VALUES = ("--task", "--score", "--metric", "--flips")
_FLIPS = 10
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def main(arguments: Sequence[str]) -> int:
    """Compare and print; returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    paths, values = parse(arguments)
    try:
        return _run(paths, values)
    except ConfigError as error:
        if "--json" in values:
            print(json.dumps({"errors": [problem.to_dict() for problem in error.problems]}))
        raise


def parse(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """A and B, and the flags by name; raises :class:`ConfigError` for what is no part of it."""
    paths: list[str] = []
    values: dict[str, str] = {}
    problems: list[Problem] = []
    items = iter(arguments)
    for item in items:
        name, equals, value = item.partition("=")
        dashed = name if name.startswith("--") else f"--{name}"
        if not item.startswith("-") and (not equals or Path(item).exists()):
            paths.append(item)
        elif dashed in _SWITCHES:
            if equals and value.lower() not in (*_YES, *_NO):
                problems.append(Problem(name, value, "is no yes or no", f"write {name}=true"))
            if not equals or value.lower() in _YES:
                values[dashed] = "true"
        elif dashed in _VALUES:
            values[dashed] = value if equals else next(items, "")
            problems += _check(dashed, values[dashed])
        else:
            near = nearest(dashed, (*_SWITCHES, *_VALUES))
            fix = f"did you mean {near}?" if near else "see python -m r1lab compare --help"
            problems.append(Problem(item, None, "is not a flag of compare", fix))
    if len(paths) != 2:
        fix = "python -m r1lab compare A B"
        problems.append(Problem("compare", paths, "takes two evaluations", fix))
    if "--json" in values and "--markdown" in values:
        problems.append(Problem("--markdown", None, "and --json are both given", "leave one out"))
    if problems:
        raise ConfigError(problems)
    return paths, values


def _check(name: str, value: str) -> list[Problem]:
    if not value:
        return [Problem(name, None, "needs a value", f"write {name} VALUE")]
    if name == "--score" and value not in ("strict", "lenient"):
        return [Problem(name, value, "is no score", "choose strict or lenient")]
    if name == "--flips" and not value.isdecimal():
        return [Problem(name, value, "is no number of questions", "write --flips 10")]
    return []


def _run(paths: Sequence[str], values: dict[str, str]) -> int:
    from r1lab.evaluation import compare, compare_tables, evaluations

    first, second = (
        evaluations.find(Path(path).expanduser(), values.get("--metric")) for path in paths
    )
    tasks = [name for name in values.get("--task", "").split(",") if name]
    options = compare.Options(
        force="--force" in values,
        intersect="--intersect" in values,
        tasks=tasks,
        flips_by=values.get("--score", "strict"),
    )
    found = compare.compare(first, second, options)
    flips = int(values.get("--flips", _FLIPS))
    names = _named(paths[0], first), _named(paths[1], second)
    left_out = {
        "a": [task for task in first if task not in second],
        "b": [task for task in second if task not in first],
    }
    if "--json" in values:
        whole: dict[str, Any] = {"a": paths[0], "b": paths[1], "only": left_out}
        whole["tasks"] = {task.task: compare.to_json(asdict(task)) for task in found}
        print(json.dumps(whole, allow_nan=False))
    elif "--markdown" in values:
        print(compare_tables.markdown(names, found, flips), end="")
    else:
        compare_tables.show(names, found, flips)
        for letter, others in zip("AB", left_out.values(), strict=True):
            if others and not tasks:
                print(f"only {letter} has: {', '.join(others)}")
    return 0


def _named(path: str, found: dict[str, Any]) -> str:
    """The path, and the model's name where it was recorded."""
    settings = next(iter(found.values())).settings
    for part in ("model", "served_model"):
        name = (settings.get(part) or {}).get("name")
        if name:
            return f"{path}  ({name})"
    return path
