"""Whether looking right pays as much as being right.

The most that form alone can bring is compared with what a right answer adds over a wrong one.
Only rewards whose range is known here take part; with any other among them nothing can be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1lab.errors import Problem

#: Best value for a right answer and for a wrong one, by the reward's class; parameters by name. A
#: wrong one passes no test and shares no word with the gold: how near it comes is no form.
_ANSWER_REWARDS: dict[str, tuple[float | str, float | str]] = {
    "accuracy": (1.0, 0.0),
    "correct": (1.0, 0.0),
    "cosine": ("max_value_correct", "max_value_wrong"),
    "length": (0.5, 0.0),
    "exact_answer": (1.0, "format_value"),
    "multiple_choice": (1.0, 0.0),
    "f1": (1.0, 0.0),
    "countdown": (1.0, "format_value"),
    "reasoning_gym": (1.0, 0.0),
    "code": (1.0, 0.0),
    "binary_code": (1.0, 0.0),
    "ioi_code": (1.0, 0.0),
    "cf_code": (1.0, 0.0),
}
#: Rewards for how an answer looks, at most 1 each, whatever it says.
_STYLE_REWARDS = ("format", "tag_count", "reasoning_steps", "code_format", "think_format")
#: Rewards that only take away, so that a well-formed answer gets 0 at best.
_PENALTIES = ("repetition_penalty", "soft_overlong_punishment", "soft_overlong")


def reward_balance(rewards: Mapping[str, Any]) -> list[Problem]:
    """A warning where form earns the maximum, or more than being right; empty otherwise."""
    right = style = 0.0
    for node in rewards.values():
        if not isinstance(node, Mapping):
            return []
        weight = node.get("weight", 1.0)
        kind = _reward_kind(node)
        if kind is None or isinstance(weight, bool) or not isinstance(weight, int | float):
            return []
        if kind in _ANSWER_REWARDS:
            best, wrong = (_value(node, spec) for spec in _ANSWER_REWARDS[kind])
            if best is None or wrong is None:
                return []
            right += weight * (best - wrong)
            # What any answer in the asked form earns is form's, too.
            style += weight * wrong if _ANSWER_REWARDS[kind][1] == "format_value" else 0.0
        elif kind in _STYLE_REWARDS:
            style += weight
    if style <= 0 or (right > 0 and style <= right):
        return []
    weights = {name: node.get("weight", 1.0) for name, node in rewards.items()}
    if right <= 0:
        message = "format alone reaches the maximum: no reward looks at the answer"
        fix = "add accuracy (rewards=[accuracy,...]) with a weight above 0"
    else:
        message = f"format alone earns {style:g}, more than being right does ({right:g})"
        fix = "lower the weights of the format rewards, or raise accuracy's"
    return [Problem("rewards", weights, message, fix)]


def _reward_kind(node: Mapping[str, Any]) -> str | None:
    """Which known reward a node is, by its ``_target_`` (``r1lab.rewards.FILE.Class``)."""
    target = str(node.get("_target_") or "")
    if not target.startswith("r1lab.rewards."):
        return None
    file = target.split(".")[2]
    return file if file in (*_ANSWER_REWARDS, *_STYLE_REWARDS, *_PENALTIES) else None


def _value(node: Mapping[str, Any], spec: float | str) -> float | None:
    value = node.get(spec) if isinstance(spec, str) else spec
    return float(value) if isinstance(value, int | float) else None
