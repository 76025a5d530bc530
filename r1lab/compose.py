"""From command-line overrides to one resolved configuration, with every mistake found on the way.

Hydra stops at the first override it cannot apply. Here an override that fails is noted and left
out, and composition is tried again (0.05 s a try), so that all of them are reported together, each
with the nearest name that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from r1lab import mistakes, schema
from r1lab.data.entries import expand
from r1lab.errors import ConfigError, Problem, suggest
from r1lab.groups import config_dir
from r1lab.mistakes import COMPOSE_ERRORS, CONFIG_NAME


def compose(overrides: Sequence[str], extra_dirs: Sequence[str] = ()) -> DictConfig:
    """Compose the root config with ``overrides``; :class:`ConfigError` lists every one that fails.

    ``extra_dirs`` are a user's own config folders (``--config-dir``), searched after ours.
    """
    config, problems = attempt(overrides, extra_dirs)
    if problems or config is None:
        raise ConfigError(problems)
    return config


def attempt(
    overrides: Sequence[str], extra_dirs: Sequence[str] = ()
) -> tuple[DictConfig | None, list[Problem]]:
    """The config as far as it composes, and what is wrong with the overrides.

    A misspelt name is read as the nearest one, so that what else is wrong can be told in the same
    go; a config that comes with problems is for that alone, never to be run. None where nothing
    composes.
    """
    schema.register()
    problems = [problem for folder in extra_dirs for problem in _check_folder(Path(folder))]
    if problems:
        return None, problems
    search = [f"file://{Path(folder).resolve()}" for folder in extra_dirs]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="r1lab"):
        kept = mistakes.screen(list(overrides), problems, list(extra_dirs))
        kept = [*_search_path(kept, search)]
        while True:
            try:
                config = hydra_compose(CONFIG_NAME, overrides=kept, return_hydra_config=True)
                break
            except COMPOSE_ERRORS as error:
                culprit = mistakes.culprit(error, kept)
                problems.append(mistakes.explain(error, culprit, kept))
                if culprit is None:
                    return None, problems
                kept.remove(culprit)
                mended = mistakes.mended(culprit, problems[-1])
                if mended is not None and mended not in kept:
                    kept.append(mended)
        unresolved = mistakes.unresolved(config)
    if unresolved:
        return None, [*problems, *unresolved]
    HydraConfig.instance().set_config(config)
    return config, problems


def _check_folder(folder: Path) -> list[Problem]:
    if not folder.is_dir():
        fix = "give a folder that holds YAML groups"
        return [Problem("--config-dir", str(folder), "no such folder", fix)]
    return [
        Problem(
            "--config-dir",
            str(folder / name),
            "has the name of a config that ships with r1lab, which would be taken instead",
            "rename it",
        )
        for name in sorted(_configs(folder) & _configs(config_dir()))
    ]


def _configs(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")}


def resolve(config: DictConfig) -> dict[str, Any]:
    """The config as plain Python values: interpolations resolved, Hydra's own node left out."""
    with_hydra = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain = OmegaConf.to_container(with_hydra, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    resolved = {str(key): value for key, value in plain.items()}
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    resolved["data"] = expand(resolved["data"], folders)
    _add_benchmarks(resolved, folders)
    return resolved


def _add_benchmarks(resolved: dict[str, Any], folders: list[Path]) -> None:
    """What ``trainer.benchmarks`` names: LightEval's go into ``evaluate.tasks``, data configs into
    ``benchmarks``.

    A name of both ``conf/evaluate`` and ``conf/data`` is LightEval's; ``data/NAME`` is the data's.
    """
    listed = [str(name) for name in resolved["trainer"]["benchmarks"]]
    tasks, data = _options("evaluate", folders), _options("data", folders)
    known = [*tasks, *(f"data/{name}" if name in tasks else name for name in data)]
    unknown = [name for name in listed if name not in tasks and _data_name(name) not in data]
    if unknown:
        said = "is no benchmark (conf/evaluate) and no data config"
        raise ConfigError(
            Problem("trainer.benchmarks", name, said, suggest(name, known)) for name in unknown
        )
    wanted = [name for name in listed if name in tasks]
    chosen: dict[str, Any] = resolved["evaluate"]["tasks"]
    missing = [name for name in wanted if name not in chosen]
    if missing:
        chosen |= _compose_node(f"evaluate=[{','.join(missing)}]", folders, "evaluate")["tasks"]
    resolved["benchmarks"] = {
        _data_name(name): _compose_node(f"data={_data_name(name)}", folders, "data")
        for name in listed
        if name not in tasks
    }


def _options(group: str, folders: list[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _data_name(benchmark: str) -> str:
    return benchmark.removeprefix("data/")


def _compose_node(override: str, folders: list[Path], key: str) -> dict[str, Any]:
    """The node at ``key`` of the root config with this one override."""
    extra = [f"file://{folder}" for folder in folders if folder != config_dir()]
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="r1lab"):
        composed = hydra_compose(CONFIG_NAME, overrides=_search_path([override], extra))
    node = OmegaConf.to_container(composed[key], resolve=True)
    assert isinstance(node, dict)
    return {str(name): value for name, value in node.items()}


def _search_path(overrides: list[str], search: list[str]) -> list[str]:
    """Fold ``--config-dir`` into the user's own ``hydra.searchpath``, if there is one."""
    if not search:
        return overrides
    own = [item for item in overrides if item.startswith("hydra.searchpath=")]
    for item in own:
        search = [*search, *item.split("=", 1)[1].strip("[]").split(",")]
    rest = [item for item in overrides if item not in own]
    return [*rest, f"hydra.searchpath=[{','.join(part for part in search if part)}]"]
