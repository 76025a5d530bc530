"""The configuration of a point, composed and checked once a process.

The command line composes every point of a grid to check it; the launcher then asks for the same
ones again, and gets them from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from r1lab import schema
from r1lab.compose import attempt, resolve
from r1lab.errors import ConfigError, Problem
from r1lab.sweep import points

_SEARCH = "hydra.searchpath="


def search_path(overrides: Sequence[str], dirs: Sequence[str]) -> tuple[str, ...]:
    """Where the user's own configs are: ``--config-dir`` folders and ``hydra.searchpath``."""
    found = [f"file://{Path(folder).resolve()}" for folder in dirs]
    for item in overrides:
        if item.startswith(_SEARCH):
            found += [part.strip() for part in item.removeprefix(_SEARCH).strip("[]").split(",")]
    return tuple(dict.fromkeys(part for part in found if part))


def search_override(search: Sequence[str]) -> list[str]:
    return [f"{_SEARCH}[{','.join(search)}]"] if search else []


@cache
def compose_point(overrides: tuple[str, ...], search: tuple[str, ...]) -> dict[str, Any]:
    """The resolved, valid config of a point; ConfigError holds everything wrong with it.

    A ``run_name`` is the sweep's: a point's run adds its key, or the points would take it in turn.
    """
    dirs = [part.removeprefix("file://") for part in search if part.startswith("file://")]
    others = [part for part in search if not part.startswith("file://")]
    config = composed([*overrides, *search_override(others)], dirs)
    if config["run_name"]:
        config["run_name"] = f"{config['run_name']}-{points.key_of(config)[:8]}"
    from r1lab import start

    start.check(config)
    return config


def composed(overrides: list[str], dirs: list[str]) -> dict[str, Any]:
    """The resolved config; a ConfigError holds what composing and validating find, together."""
    from r1lab import start

    found, problems = attempt(overrides, dirs)
    if found is None:
        raise ConfigError(problems)
    try:
        config = resolve(found)
        problems += _only_generate(overrides)
        for node in schema.GENERATION:
            del config[node]
        if not problems:
            return config
        start.check(config)
    except ConfigError as error:
        known = {problem.key for problem in problems}
        problems += [problem for problem in error.problems if problem.key not in known]
    raise ConfigError(problems)


def _only_generate(overrides: Sequence[str]) -> list[Problem]:
    """Overrides that a training would not read."""
    return [
        Problem(key, value, "is read by generate alone", "write: python -m r1lab generate ...")
        for key, _, value in (item.partition("=") for item in overrides)
        if key.lstrip("+~").partition(".")[0].partition("@")[0] in schema.GENERATION
    ]
