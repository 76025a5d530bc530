"""Takes away from completions that come near the length limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from r1lab.rewards.base import (
    Completion,
    LengthUnit,
    ParameterError,
    Reward,
    check_choice,
    check_count,
    lengths,
)


class SoftOverlongPunishment(Reward):
    """0 for a completion with room to spare, down to -1 for one that reaches the limit.

    With ``room = max_completion_len - length`` the value is ``min(0, max(-1, room / cache - 1))``:
    0 up to ``max_completion_len - cache``, then falling linearly to -1 at ``max_completion_len``,
    and -1 beyond. ``cache`` 0 makes a step of it: -1 for what is longer than
    ``max_completion_len``. Set ``max_completion_len`` to what the trainer generates at most.

    ``length_unit``: tokens as generated, end of sequence included, or characters.

    The values are open-r1's, so there is no ``compat``.

    Source: DAPO, arXiv 2503.14476, equation 13.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": ["short", "near the limit", "cut off"],
        "completion_ids": [[0] * 1000, [0] * 14336, [0] * 16384],
    }

    def __init__(
        self,
        max_completion_len: int = 16384,
        cache: int = 4096,
        length_unit: LengthUnit = "tokens",
    ):
        super().__init__()
        check_count("max_completion_len", max_completion_len)
        check_count("cache", cache, low=0)
        if cache > max_completion_len:
            message = f"is more than max_completion_len = {max_completion_len}"
            fix = f"give a whole number between 0 and {max_completion_len}"
            raise ParameterError("cache", cache, message, fix)
        check_choice("length_unit", length_unit, ("tokens", "chars"))
        self.max_completion_len, self.cache, self.length_unit = (
            max_completion_len,
            cache,
            length_unit,
        )

    def __call__(
        self,
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        sizes = lengths(completions, completion_ids, self.length_unit)
        return [self.value(size) for size in sizes]

    def value(self, length: int) -> float:
        """The reward of a completion of this length."""
        over = length - (self.max_completion_len - self.cache)
        if over <= 0:
            return 0.0
        return -1.0 if over >= self.cache else -over / self.cache
