"""Among a prompt's right answers, the short ones earn more."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from r1lab.rewards.base import Completion, LengthUnit, Reward, check_choice, lengths
from r1lab.rewards.compat import Compat, check_compat, first_message
from r1lab.verify.verifier import (
    DEFAULT_DEADLINE_S,
    OnUnparseable,
    check_parameters,
    get_verifier,
    judge,
)


class Length(Reward):
    """Being right, compared by length with the other completions of the same prompt.

    With ``s = 0.5 - (length - shortest) / (longest - shortest)`` a right answer earns ``s`` (0.5
    for the group's shortest completion, -0.5 for its longest) and a wrong one ``min(0, s)``. All
    completions of the group make ``shortest`` and ``longest``, right or wrong; where all are
    equally long each gets 0.

    A group is what has equal ``prompts`` (a conversation is compared by its messages); a caller
    without prompts may pass a column ``group``; without both the whole batch is one group. Where
    several processes share the completions of a prompt, each compares only its own.

    ``length_unit``: tokens as generated, end of sequence included, or characters.
    ``on_unparseable``: a gold that cannot be parsed gives ``None`` (``skip``), or counts as
    answered right (``one``) or wrong (``zero``). ``deadline_s`` is the most that one comparison may
    take, seconds.

    ``compat: open_r1`` counts characters, takes shortest and longest over the whole batch, judges
    as open-r1's ``length`` does (a gold without LaTeX does not parse), and counts a gold that does
    not parse as answered right.

    Source: Kimi k1.5, arXiv 2501.12599.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": ["\\boxed{7}", "\\boxed{7}", "\\boxed{8}", "\\boxed{8}"],
        "solution": ["7"] * 4,
        "completion_ids": [[0] * 100, [0] * 500, [0] * 200, [0] * 400],
        "prompts": ["3 + 4?"] * 4,
    }

    def __init__(
        self,
        length_unit: LengthUnit = "tokens",
        on_unparseable: OnUnparseable = "skip",
        deadline_s: float = DEFAULT_DEADLINE_S,
        compat: Compat = None,
    ):
        super().__init__()
        check_choice("length_unit", length_unit, ("tokens", "chars"))
        check_parameters(on_unparseable, deadline_s)
        check_compat(compat, on_unparseable=(on_unparseable, "skip"))
        self.length_unit, self.on_unparseable = length_unit, on_unparseable
        self.deadline_s, self.compat = deadline_s, compat

    def prepare(self) -> None:
        get_verifier(self.deadline_s).warm()

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        solution: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        prompts: Sequence[Any] | None = None,
        group: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        if self.compat:
            texts = [first_message(completion) for completion in completions]
            sizes = [len(text) for text in texts]
            groups: list[Hashable] = [None] * len(texts)
        else:
            texts = [self.text(completion) for completion in completions]
            sizes = lengths(completions, completion_ids, self.length_unit)
            groups = group_keys(len(texts), prompts, group)
        right = judge(
            texts,
            solution,
            self.on_unparseable,
            self.deadline_s,
            self.counts,
            compat="open_r1_latex_gold" if self.compat else None,
        )
        if self.compat:
            right = [True if verdict is None else verdict for verdict in right]
        places = relative_lengths(sizes, groups)
        return [
            None if verdict is None else self.value(verdict, place)
            for verdict, place in zip(right, places, strict=True)
        ]

    def value(self, correct: bool, place: float | None) -> float:
        """The reward at ``place``: 0 for the group's shortest, 1 for its longest."""
        if place is None:
            return 0.0
        return 0.5 - place if correct else min(0.0, 0.5 - place)


def group_keys(
    size: int, prompts: Sequence[Any] | None, group: Sequence[Any] | None
) -> list[Hashable]:
    """What tells the completions of one prompt from another's, a key a completion."""
    given = prompts if prompts is not None else group
    if given is None:
        return [None] * size
    if len(given) != size:
        named = "prompts" if prompts is not None else "group"
        raise ValueError(f"{len(given)} {named} for {size} completions")
    return [
        item if isinstance(item, str | int) else json.dumps(item, sort_keys=True, default=repr)
        for item in given
    ]


def relative_lengths(sizes: Sequence[int], groups: Sequence[Hashable]) -> list[float | None]:
    """Where each length lies between its group's least (0) and greatest (1); None: all equal."""
    members: dict[Hashable, list[int]] = {}
    for size, key in zip(sizes, groups, strict=True):
        members.setdefault(key, []).append(size)
    least = {key: min(found) for key, found in members.items()}
    span = {key: max(found) - least[key] for key, found in members.items()}
    return [
        (size - least[key]) / span[key] if span[key] else None
        for size, key in zip(sizes, groups, strict=True)
    ]
