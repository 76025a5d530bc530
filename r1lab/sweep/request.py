"""A sweep's command line, checked before anything starts: its points, its launcher, its sampler.

A mistake in the last point of a grid is not found after days: every point is composed here. A
sampler's points are not known yet; the configuration around them, every choice, and both ends of
every range are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from r1lab import rundir
from r1lab.compose import attempt
from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.planning.contradictions import check_launcher
from r1lab.sweep.composing import compose_point, composed, search_override, search_path

_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_OURS = "hydra_plugins.r1lab_launchers."
_PLUGINS = ("hydra/launcher", "hydra/sweeper")
#: What a launcher or sweeper imports, and how it is installed.
_NEEDS = {
    "submitit": (("submitit",), "r1lab[slurm]"),
    "optuna": (("optuna", "hydra_plugins.hydra_optuna_sweeper"), "r1lab[optuna]"),
}
#: Overrides that say where and how a sweep runs, not which one it is.
_NOT_IDENTITY = ("hydra.", "hydra/launcher=", "sweep.", "objective=", "output_dir=", "tracking.")


@dataclass(frozen=True)
class Request:
    """A checked sweep: the arguments for Hydra, and what to warn of."""

    arguments: list[str]
    warnings: list[str]


def check(overrides: Sequence[str], dirs: Sequence[str]) -> Request:
    """Check a sweep; ConfigError or PrerequisiteError with everything that is wrong with it."""
    swept, fixed = _split(overrides)
    chosen = dict(item.partition("=")[::2] for item in _hydra_only(overrides))
    _installed({name: chosen[name] for name in _PLUGINS if name in chosen})
    base, problems = attempt([*fixed, *_hydra_only(overrides)], list(dirs))
    if base is None or problems:
        # What else is wrong with the points is told in the same go.
        raise ConfigError(_unique([*problems, *_grid_problems(overrides, dirs)]))
    targets = {"hydra/launcher": base.hydra.launcher, "hydra/sweeper": base.hydra.sweeper}
    _installed({name: str(node._target_) for name, node in targets.items()})
    params = OmegaConf.select(base, "hydra.sweeper.params") or {}
    written = [f"{key}={value}" for key, value in params.items()]
    name = str(base.sweep.name or derived_name([*written, *overrides]))
    unsafe = rundir.check_name(name)
    problems += [replace(unsafe, key="sweep.name")] if unsafe else []
    problems += _plugins(base)
    named = [] if base.sweep.name else [f"sweep.name={name}"]
    given = [*written, *_task_only(overrides), *named]
    seeds = list(base.sweep.seeds)
    wrong = _seeds(seeds, given)
    problems += wrong
    grid = base.hydra.sweeper._target_ == _BASIC
    search = search_path(overrides, dirs)
    configs: list[dict[str, Any]] = []
    for point in points(given) if grid else _samples(given):
        for seed in [None] if wrong else seeds or [None]:
            mine = [*point, *([f"seed={seed}"] if seed is not None else [])]
            try:
                configs.append(compose_point(tuple(mine), search))
            except ConfigError as error:
                problems += error.problems
    launcher = OmegaConf.to_container(base.hydra.launcher)
    assert isinstance(launcher, dict)
    tasks = {str(key): value for key, value in launcher.items()}
    problems += [
        p for config in configs for p in check_launcher(tasks, config["hardware"], config["engine"])
    ]
    if problems:
        raise ConfigError(_unique(problems))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # optuna's import of it would talk
    others = [item for item in overrides if not item.startswith("hydra.searchpath=")]
    arguments = ["--multirun", *others, *named, *search_override(search)]
    return Request(arguments, _warnings(base, configs, grid, bool(swept or params)))


def points(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each point of a grid, as Hydra's own sweeper splits them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = OverridesParser.create().parse_overrides(_task_only(overrides))
    try:
        batches = BasicSweeper.split_arguments(parsed, None)
    except HydraException:
        ranges = [item for item in parsed if item.is_sweep_override() and _is_interval(item)]
        raise ConfigError(
            Problem(
                item.get_key_element(),
                str(item.input_line).partition("=")[2],
                "is a range to sample from: a grid takes values",
                "list them (1e-6,3e-6), or sample it with hydra/sweeper=optuna",
            )
            for item in ranges
        ) from None
    return [list(point) for batch in batches for point in batch]


def derived_name(overrides: Sequence[str]) -> str:
    """A sweep's name from its line: what is swept, and a hash of what makes it this sweep.

    Launcher, seeds and objective are left out: the same points with more of them are the same
    sweep. So is the order.
    """
    swept, _ = _split(overrides)
    keys = [item.get_key_element().rpartition(".")[2].strip("+~") for item in swept]
    identity = [item for item in overrides if not item.startswith(_NOT_IDENTITY)]
    digest = hashlib.sha256("\n".join(sorted(identity)).encode()).hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(keys)).strip("._-")[:60]
    return f"{stem or 'sweep'}-{digest}"


def _split(overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
    """(the swept overrides, the text of the others); what cannot be parsed is among the others."""
    swept, fixed = [], []
    for text in _task_only(overrides):
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            fixed.append(text)
            continue
        if override.is_sweep_override():
            swept.append(override)
        else:
            fixed.append(text)
    return swept, fixed


def _hydra_only(overrides: Sequence[str]) -> list[str]:
    return [item for item in overrides if item.lstrip("+~").startswith(("hydra.", "hydra/"))]


def _task_only(overrides: Sequence[str]) -> list[str]:
    return [item for item in overrides if not item.lstrip("+~").startswith(("hydra.", "hydra/"))]


def _grid_problems(overrides: Sequence[str], dirs: Sequence[str]) -> list[Problem]:
    found: list[Problem] = []
    try:
        every = points(overrides)
    except (ConfigError, HydraException):  # told with the base
        return found
    for point in every:
        try:
            composed(point, list(dirs))
        except ConfigError as error:
            found += error.problems
    return found


def _installed(plugins: Mapping[str, str]) -> None:
    """The packages that a launcher or a sweeper needs; PrerequisiteError names the command."""
    for plugin, name in plugins.items():
        for word, (modules, extra) in _NEEDS.items():
            missing = [module for module in modules if word in name and not _has(module)]
            if missing:
                package = missing[0].rpartition(".")[2].replace("_", "-")
                why = f"{plugin}={word} needs it"
                raise PrerequisiteError(package, why, f"pip install '{extra}'")


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _plugins(base: DictConfig) -> list[Problem]:
    launcher = str(base.hydra.launcher._target_)
    chosen = base.hydra.runtime.choices["hydra/launcher"]
    if not launcher.startswith(_OURS):
        fix = "use hydra/launcher=local (the default) or a submitit one: they keep what finished"
        return [Problem("hydra/launcher", chosen, "is not one of r1lab's launchers", fix)]
    parallel = OmegaConf.select(base, "hydra.launcher.parallel", default=1)
    if type(parallel) is not int or parallel < 1:
        fix = "give the number of points to run at once, 1 or more"
        return [Problem("hydra.launcher.parallel", parallel, "is no such number", fix)]
    wait = OmegaConf.select(base, "hydra.launcher.wait", default=True)
    if not wait and base.hydra.sweeper._target_ != _BASIC:
        said = "a sampler needs each result to choose the next point"
        return [Problem("hydra.launcher.wait", wait, said, "leave it out, or sweep a grid")]
    sampler = OmegaConf.select(base, "hydra.sweeper.sampler._target_")
    if sampler == "optuna.samplers.GridSampler":  # it raises when its last trial fails
        fix = "leave out hydra/sweeper: -m alone runs a grid"
        return [Problem("hydra/sweeper/sampler", "grid", "adds nothing to a grid", fix)]
    storage = OmegaConf.select(base, "hydra.sweeper.storage")
    if storage is not None and int(version("sqlalchemy").partition(".")[0]) > 1:
        said = f"optuna {version('optuna')} cannot use it with SQLAlchemy {version('sqlalchemy')}"
        fix = "leave it out: the same line again finds the points that have finished"
        return [Problem("hydra.sweeper.storage", storage, said, fix)]
    return []


def _seeds(seeds: list[int], overrides: Sequence[str]) -> list[Problem]:
    if len(set(seeds)) != len(seeds):
        return [Problem("sweep.seeds", seeds, "names a seed twice", "name each once")]
    if seeds and any(item.partition("=")[0].lstrip("+") == "seed" for item in overrides):
        fix = "leave out seed=..., or sweep.seeds"
        return [Problem("sweep.seeds", seeds, "sets the seed, and so does seed=", fix)]
    return []


def _samples(overrides: Sequence[str]) -> list[list[str]]:
    """Points that stand for all that a sampler may ask for: the first value of everything, then
    each other value of each key on its own.
    """
    columns: list[list[str]] = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            columns.append([f"{key}={override.get_value_element_as_str()}"])
        elif _is_interval(override):
            interval = override.value()
            assert isinstance(interval, IntervalSweep)
            columns.append([f"{key}={interval.start}", f"{key}={interval.end}"])
        else:
            columns.append([f"{key}={value}" for value in override.sweep_string_iterator()])
    first = [column[0] for column in columns]
    others = (
        [*first[:index], value, *first[index + 1 :]]
        for index, column in enumerate(columns)
        for value in column[1:]
    )
    return list(itertools.chain([first], others))


def _is_interval(override: Override) -> bool:
    return bool(override.is_interval_sweep())


def _warnings(
    base: DictConfig, configs: list[dict[str, Any]], grid: bool, swept: bool
) -> list[str]:
    found = []
    if grid and not swept and not base.sweep.seeds:
        found.append("no override has several values: this sweep has one point")
    objective = str(base.objective)
    unevaluated = [c for c in configs if not c["trainer"]["evaluation"]["enabled"]]
    if objective.startswith("heldout") and unevaluated:
        found.append(
            f"objective={objective} is measured by trainer.evaluation, which is off: the table "
            "will have no objective (choose another: objective=train_loss)"
        )
    direction = OmegaConf.select(base, "hydra.sweeper.direction")
    if direction is not None and is_cost(objective) and "max" in str(direction):
        found.append(
            f"objective={objective} is maximised: for a smaller one, "
            "hydra.sweeper.direction=minimize"
        )
    sampler = OmegaConf.select(base, "hydra.sweeper.sampler")
    if sampler is not None and "seed" in sampler and sampler.seed is None:
        found.append(
            "hydra.sweeper.sampler.seed is null: started again, the sampler will ask for other "
            "points, and the finished ones will not be found again"
        )
    return found


def is_cost(objective: str) -> bool:
    """Whether less of it is better, as far as its name tells."""
    return any(word in objective.lower() for word in ("loss", "perplexity", "runtime"))


def _unique(problems: Sequence[Problem]) -> list[Problem]:
    return list({str(problem): problem for problem in problems}.values())
