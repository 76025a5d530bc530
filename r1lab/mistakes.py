"""What an override got wrong, said in the user's own terms.

Hydra's messages speak of structs and defaults lists. Here each becomes a :class:`Problem`: the key
as it was typed, the value, and what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1lab import schema
from r1lab.errors import Problem, nearest, suggest
from r1lab.groups import LIST_GROUPS, group_options, groups

CONFIG_NAME = "config"
#: What composing can raise because of what the user wrote.
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError, OSError)


def parse(text: str) -> Override:
    """One override, parsed by Hydra's own grammar."""
    return OverridesParser.create().parse_override(text)


def screen(overrides: list[str], problems: list[Problem], extra_dirs: list[str]) -> list[str]:
    """Find what shows without composing: bad syntax, unknown options of a group, duplicates."""
    known = groups(extra_dirs)
    kept = []
    seen: dict[str, str] = {}
    for text in overrides:
        try:
            override = parse(text)
        except (OverrideParseException, HydraException) as error:
            problems.append(_syntax(text, str(error)))
            continue
        key = override.key_or_group
        problem = _check_option(text, override, known)
        if problem is None and text in seen:
            problem = Problem(
                key, seen[text], "the same override is given twice", "leave one of them out"
            )
        if problem:
            problems.append(problem)
            text = _nearest_options(text, override, known)
        if text and text not in seen:
            kept.append(text)
            seen[text] = text.partition("=")[2]
    return kept


def _nearest_options(text: str, override: Override, known: dict[str, list[str]]) -> str:
    """A group override with unknown options replaced by the nearest; empty for none near."""
    key = override.key_or_group
    value: Any = override.value()
    options = known.get(key)
    if not options or override.is_delete() or value is None:
        return ""
    names = value if isinstance(value, list) else [value]
    near = [name if name in options else nearest(str(name), options) for name in names]
    chosen = list(dict.fromkeys(name for name in near if name is not None))
    left = text.partition("=")[0]
    if key in LIST_GROUPS:
        return f"{left}=[{','.join(chosen)}]" if chosen else ""
    return f"{left}={chosen[0]}" if len(chosen) == 1 else ""


def mended(text: str, problem: Problem) -> str | None:
    """The override with its key spelt as the problem's fix suggests; None where that is not it."""
    found = re.fullmatch(r"did you mean ([\w./@]+)\?", problem.fix)
    if found is None:
        return None
    key = parse(text).key_or_group
    last = problem.key.split(".")
    good = found.group(1).split(".")
    # The suggestion ends at the level that was wrong; what stands below it is the user's.
    return text.replace(key, ".".join([*good, *last[len(good) :]]), 1)


def _syntax(text: str, detail: str) -> Problem:
    if "=" not in text:
        return Problem(
            text,
            None,
            "is neither a verb nor an override",
            f"write key=value, or a verb ({', '.join(schema.VERBS)})",
        )
    key, _, value = text.partition("=")
    fix = "quote it for your shell and for Hydra: 'key=\"a, b\"', 'rewards=[accuracy,cosine]'"
    if re.search(r"{[{%]", value) and value[:1] not in "\"'":  # a template
        escaped = value.replace('"', r"\"")
        fix = f"quote it for your shell and for Hydra: '{key}=\"{escaped}\"'"
    return Problem(key, value, f"cannot be read: {detail.splitlines()[0]}", fix)


def _check_option(text: str, override: Override, groups: dict[str, list[str]]) -> Problem | None:
    key = override.key_or_group
    if key not in groups:
        as_group = key.replace(".", "/")
        if (
            as_group != key
            and as_group in groups
            and groups[as_group]
            and isinstance(override.value(), str)
        ):
            name = text.partition("=")[2]
            return Problem(
                key, name, "is a group of configs, not a value", f"write {as_group}={name}"
            )
        return None
    if override.is_delete() or not groups[key]:
        return None
    value: Any = override.value()
    if value is None and key in LIST_GROUPS:
        return Problem(key, None, "null is no list", f"write {key}=[] for none")
    if isinstance(value, dict):
        return Problem(key, value, "is a group, chosen by name", suggest(str(value), groups[key]))
    chosen = value if isinstance(value, list) else [value]
    if isinstance(value, list) and key not in LIST_GROUPS:
        return Problem(
            key,
            value,
            "takes one name, not a list",
            f"write {key}=NAME, one of: {', '.join(groups[key])}",
        )
    names = [str(name) for name in chosen if name is not None]
    unknown = [name for name in names if name not in groups[key]]
    if unknown:
        fixes = "; ".join(suggest(name, groups[key]) for name in unknown)
        return Problem(
            key, text.partition("=")[2], f"has no option {', '.join(map(repr, unknown))}", fixes
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        name = doubled[0]
        return Problem(
            key,
            text.partition("=")[2],
            f"{name!r} is listed twice",
            "list it once; for a second with other parameters add "
            f"'+{key}@{LIST_GROUPS[key]}.{name}_2={name}'",
        )
    return None


def culprit(error: Exception, overrides: list[str]) -> str | None:
    """The override that ``error`` is about: its key is named, or leaving it out mends things."""
    message = str(error)
    # The longest key first: `rewards` is also the beginning of `rewards.cosine.max_len`.
    for text in sorted(overrides, key=lambda text: len(parse(text).key_or_group), reverse=True):
        key = parse(text).key_or_group
        if re.search(rf"(?<![\w./]){re.escape(key)}(?![\w./])", message):
            return text
    for text in overrides:
        rest = [item for item in overrides if item != text]
        try:
            hydra_compose(CONFIG_NAME, overrides=rest, return_hydra_config=True)
        except COMPOSE_ERRORS:
            continue
        return text
    return None


def explain(error: Exception, culprit: str | None, overrides: list[str]) -> Problem:
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if culprit is None:
        # Not an override's fault: a config file's. Hydra says which one in the message's first
        # line.
        where = re.search(r"In '([^']+)'", first)
        return Problem(
            _full_key(error) or "config",
            None,
            first,
            "mend that file: its keys must exist in the configs they change (see --cfg job)",
            f"{where.group(1)}.yaml" if where else None,
        )
    override = parse(culprit)
    key, value = override.key_or_group, culprit.partition("=")[2]
    causes = [str(error)]
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
        causes.append(str(error))
    typed = next(
        (
            text
            for text in causes
            if re.search(
                r"could not be converted|Cannot assign|is not supported|is not a valid", text
            )
        ),
        None,
    )
    if typed is not None and "of type 'dict'" not in typed:
        reason = typed.splitlines()[0]
        return Problem(key, value, f"has the wrong type: {reason}", "give a value of that type")
    if any("Could not append" in text for text in causes):
        return Problem(key, value, "exists already", f"leave out the '+': {culprit.lstrip('+')}")
    rest = [item for item in overrides if item != culprit]
    return _unknown_key(key, value, rest)


def _full_key(error: Exception) -> str | None:
    found = re.search(r"full_key: (\S+)", str(error))
    return found.group(1) if found else None


def _unknown_key(key: str, value: str, rest: list[str]) -> Problem:
    """``key`` is not in the config: say at which level it goes wrong, and what stands there."""
    config = _without_values(rest)
    if config is None:
        return Problem(key, value, "does not exist", "see the keys with --cfg job")
    group = key.split("@")[0]
    if group in ("hydra/launcher", "hydra/sweeper"):
        known = group_options(group) or ["basic", "optuna"]
        fix = suggest(value, known, f"{group}=")
        return Problem(key, value, f"has no option {value!r}", fix)
    if "/" in group:
        parent = group.rpartition("/")[0]
        nested = [name for name in groups(()) if "/" in name]
        return Problem(
            key,
            value,
            f"is no group of the chosen {parent}",
            suggest(group, [name for name in nested if name != group]),
        )
    path = key.split(".")
    node = config
    for depth, part in enumerate(path):
        if not isinstance(node, DictConfig):
            owner = ".".join(path[:depth])
            return Problem(
                key, value, f"{owner} is a value and has no keys of its own", f"write {owner}=..."
            )
        if part not in node:
            owner = ".".join(path[:depth])
            lists = {place: name for name, place in LIST_GROUPS.items()}
            if owner in lists and len(path) > depth + 1:
                chosen = ", ".join(str(name) for name in node) or "none"
                return Problem(
                    key,
                    value,
                    f"{part} has a parameter but is not selected ({lists[owner]}: {chosen})",
                    f"add {part} to {lists[owner]}=[...], or leave the parameter out",
                )
            place = LIST_GROUPS.get(owner)
            if place and place != owner and part in group_options(owner):
                inside = ".".join([place, *path[depth:]])
                return Problem(key, value, f"{part} is in {place}", f"write {inside}=...")
            known = [str(name) for name in node if str(name) != "hydra"]
            prefix = f"{owner}." if owner else ""
            return Problem(
                key, value, f"{prefix}{part} does not exist", suggest(part, known, prefix)
            )
        node = node._get_node(part)
    return Problem(key, value, "cannot be set", "see the keys with --cfg job")


def _without_values(overrides: list[str]) -> Any:
    """The config that the chosen groups make: other values may be wrong too, and change no key."""
    known = groups(())
    chosen = [text for text in overrides if parse(text).key_or_group.split("@")[0] in known]
    for tried in (overrides, chosen):
        try:
            return hydra_compose(CONFIG_NAME, overrides=tried, return_hydra_config=True)
        except COMPOSE_ERRORS:
            continue
    return None


def unresolved(config: DictConfig) -> list[Problem]:
    """Interpolations that lead nowhere and values that nobody gave (``???``)."""
    problems: list[Problem] = []

    def walk(node: Any, path: str) -> None:
        keys: Any = list(node) if isinstance(node, DictConfig) else range(len(node))
        for key in keys:
            if not path and key == "hydra":
                continue
            here = f"{path}.{key}" if path else str(key)
            if OmegaConf.is_missing(node, key):
                problems.append(Problem(here, "???", "has no value", f"set it: {here}=..."))
            elif OmegaConf.is_interpolation(node, key):
                try:
                    _ = node[key]
                except OmegaConfBaseException as error:
                    said = str(error).splitlines()[0]
                    value = node._get_node(key)._value()
                    problems.append(
                        Problem(
                            here, value, f"refers to nothing: {said}", "refer to a key that exists"
                        )
                    )
            elif isinstance(node[key], DictConfig | ListConfig):
                walk(node[key], here)

    walk(config, "")
    return problems
