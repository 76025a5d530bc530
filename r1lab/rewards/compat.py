"""What the rewards need to give open-r1's values: ``compat: open_r1``.

open-r1 is taken as of its newest snapshot (2025-05), known bugs included.
"""

from __future__ import annotations

from typing import Any, Literal

from r1lab.rewards.base import Completion, ParameterError, check_choice, message_text

Compat = Literal["open_r1"] | None


def check_compat(compat: Any, **overruled: tuple[Any, Any]) -> None:
    """Refuse an unknown ``compat``, and parameters that it would silently overrule.

    ``overruled`` holds ``name=(value, default)`` of the parameters that open-r1 has fixed.
    """
    if compat is None:
        return
    check_choice("compat", compat, ("open_r1",))
    for parameter, (value, default) in overruled.items():
        if value != default:
            message = "has no effect with compat=open_r1, which fixes it"
            fix = f"leave {parameter} at {default!r}, or set compat=null"
            raise ParameterError(parameter, value, message, fix)


def first_message(completion: Completion) -> str:
    """The text that open-r1 scores: the first message, without what the template wrote of it."""
    if isinstance(completion, str):
        return completion
    first = {**completion[0], "reasoning_content": None} if completion else {}
    return message_text(first)
