"""Compare a config node with the constructor it names: the signature is the schema.

Used for rewards, callbacks and data sources alike. Every mistake becomes a :class:`Problem` whose
key is the one that the user typed, so `rewards.cosine.max_lne` is answered with
`rewards.cosine.max_len`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from r1lab import targets
from r1lab.errors import ConfigError, Problem, suggest


def check(key: str, node: Any, skip: tuple[str, ...] = ()) -> tuple[Any, list[Problem]]:
    """Build the component that ``node`` describes, or say everything that is wrong with it.

    Returns ``(component, [])`` or ``(None, problems)``. A target whose import loads torch is left
    to the worker: ``(None, [])``.
    """
    if not isinstance(node, Mapping):
        return None, [
            Problem(key, node, "is not a component", f"write {key}._target_=package.module.Name")
        ]
    if "_target_" not in node:
        group, _, name = key.rpartition(".")
        if group:
            message = f"has parameters but is not selected ({', '.join(map(str, node)) or 'none'})"
            return None, [
                Problem(
                    key, None, message, f"add {name} to {group}=[...], or leave its parameters out"
                )
            ]
        return None, [Problem(f"{key}._target_", None, "is missing", "name the class to build")]
    path = node["_target_"]
    if isinstance(path, str) and targets.is_heavy(path):
        return None, []
    try:
        target = targets.resolve(path)
    except targets.TargetError as error:
        return None, [Problem(f"{key}._target_", path, error.message, error.fix)]
    given = {
        str(name): value for name, value in node.items() if name != "_target_" and name not in skip
    }
    problems = _check_arguments(key, path, target, given)
    if problems:
        return None, problems
    return _construct(key, node, skip)


def _check_arguments(key: str, path: str, target: Any, given: dict[str, Any]) -> list[Problem]:
    if not inspect.isclass(target):
        if not callable(target):
            return [
                Problem(f"{key}._target_", path, "cannot be called", "name a class or a function")
            ]
        return [
            Problem(
                f"{key}.{name}",
                value,
                f"{path} is a function and takes no configuration",
                "make it a class, or drop this",
            )
            for name, value in given.items()
        ]
    signature = inspect.signature(target)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    known = {
        name: p
        for name, p in signature.parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    try:
        hints = typing.get_type_hints(target.__init__)
    except (NameError, TypeError):  # an annotation that only a type checker can read
        hints = {}
    problems = []
    for name, value in given.items():
        if name not in known:
            if not open_ended:
                problems.append(
                    Problem(
                        f"{key}.{name}",
                        value,
                        f"{target.__name__} has no such parameter",
                        suggest(name, list(known), f"{key}."),
                    )
                )
        elif name in hints and not fits(value, hints[name]):
            problems.append(
                Problem(f"{key}.{name}", value, *_refusal(target, known[name], hints[name], value))
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            problems.append(
                Problem(
                    f"{key}.{name}", None, f"{target.__name__} needs it", f"set {key}.{name}=..."
                )
            )
    return problems


def _refusal(target: Any, parameter: inspect.Parameter, hint: Any, value: Any) -> tuple[str, str]:
    """Why ``value`` cannot be this parameter's, and what to write."""
    options = [item for item in _members(hint) if item is not None]
    if options and all(isinstance(item, str) for item in options) and isinstance(value, str):
        return f"is none of {', '.join(options)}", suggest(value, options)
    takes = f"{target.__name__} takes {describe(hint)}"
    fix = f"give a value of that type{_default(parameter)}"
    return f"is a {type(value).__name__}, and {takes}", fix


def _members(hint: Any) -> list[Any]:
    """The values that an annotation lists, None among them; an empty list where it lists none."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return list(typing.get_args(hint))
    if hint is type(None):
        return [None]
    if origin in (typing.Union, types.UnionType):
        parts = [_members(member) for member in typing.get_args(hint)]
        return [item for part in parts for item in part] if all(parts) else []
    return []


def _construct(
    key: str, node: Mapping[str, Any], skip: tuple[str, ...]
) -> tuple[Any, list[Problem]]:
    try:
        return targets.build(node, skip=skip), []
    except ConfigError as error:
        return None, [
            Problem(
                p.key if p.key.startswith(key) else f"{key}.{p.key}",
                p.value,
                p.message,
                p.fix,
                p.file,
            )
            for p in error.problems
        ]
    except (ValueError, TypeError) as error:
        name = getattr(error, "parameter", None)
        if name is not None:
            fix = getattr(error, "fix", "see its docstring")
            message = getattr(error, "message", str(error))
            return None, [
                Problem(f"{key}.{name}", getattr(error, "value", node.get(name)), message, fix)
            ]
        return None, [
            Problem(
                key,
                None,
                f"{node['_target_']} refused its parameters: {error}",
                "mend the parameter that it names",
            )
        ]


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain YAML value can be what the annotation says; one not known takes any."""
    if hint is Any or hint is inspect.Parameter.empty:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, member) for member in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and origin in (list, tuple):
        return isinstance(value, list | tuple)
    if isinstance(hint, type) and hint in (list, tuple, dict):
        return isinstance(value, hint)
    return True


def describe(hint: Any) -> str:
    """An annotation as a person says it: ``int or null``, ``one of tokens, chars``."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(member) for member in typing.get_args(hint))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if hint is type(None):
        return "null"
    return getattr(hint, "__name__", str(hint)) if origin is None else str(hint)


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty or not isinstance(
        parameter.default, str | int | float | bool
    ):
        return ""
    return f" (its default is {parameter.default!r})"
