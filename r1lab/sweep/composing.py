"""The configuration of a point, composed and checked once a process.

The command line composes every point of a grid to check it; the launcher then asks for the same
ones again, and gets them from here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from r1lab.compose import attempt, resolve
from r1lab.errors import ConfigError
from r1lab.sweep import points


@cache
def compose_point(overrides: tuple[str, ...], dirs: tuple[str, ...]) -> dict[str, Any]:
    """The resolved, valid config of a point; ConfigError holds everything wrong with it.

    A ``run_name`` is the sweep's: a point's run adds its key, or the points would take it in turn.
    """
    config = composed(list(overrides), list(dirs))
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
        if not problems:
            return config
        start.check(config)
    except ConfigError as error:
        known = {problem.key for problem in problems}
        problems += [problem for problem in error.problems if problem.key not in known]
    raise ConfigError(problems)
