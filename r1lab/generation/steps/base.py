"""Steps from raw samples to rows to train on: each takes groups and passes on what it keeps.

A step is a small class with the shape of its config file (``conf/steps/*.yaml``), as rewards are.
Groups are streamed: a step holds no more of them than it must. It counts what it drops, and says
why; nothing is asked of the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from r1lab.errors import Problem
from r1lab.generation.request import Answer, Prompt


@dataclass
class Sample:
    """One answer, and what steps found out about it.

    ``correct``: right by the gold, wrong, or None where it was not (or could not be) verified.
    ``scores``: the values of rewards, by name.
    """

    number: int
    answer: Answer
    correct: bool | None = None
    scores: dict[str, float | None] = field(default_factory=dict)


@dataclass
class Group:
    """A prompt and its samples that are still in.

    ``asked`` is how many there were before any step. ``pass_rate`` is the share of right ones among
    all that were verified, set by ``verify`` before anything was dropped for being wrong.
    """

    prompt: Prompt
    samples: list[Sample]
    asked: int
    pass_rate: float | None = None


@dataclass
class Context:
    """What steps may need beside the groups.

    ``before`` is set for a step's check: the kinds of the steps that come before it.
    """

    config: Mapping[str, Any]
    has_gold: bool
    has_samples: int  # samples a prompt
    before: Sequence[type[Step]] = ()


class Step:
    """One step; subclasses implement :meth:`apply`.

    ``counts`` says what it did, in a few words each: ``dropped: wrong`` counts samples,
    ``dropped prompts: too easy`` prompts with all the samples that they had left. The runner adds
    how many prompts and samples came in and went out.
    """

    #: Whether it sets ``Sample.correct`` and ``Group.pass_rate``, which later steps read.
    verifies: ClassVar[bool] = False

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        #: Rows for a file of its own in the data folder (``NAME.jsonl``): offenders, for example.
        self.listed: list[dict[str, Any]] = []

    def check(self, key: str, context: Context) -> list[Problem]:
        """What is wrong, as far as it shows before anything is asked; ``key`` is steps.NAME."""
        return []

    def needs_columns(self) -> Sequence[str]:
        """Columns of the data's raw rows that it reads."""
        return ()

    def fetch(self, context: Context) -> None:
        """Get what may not be to be had (from the hub, say), before anything is asked."""

    def prepare(self, context: Context) -> None:
        """Load what it needs (models, benchmarks), once, before the first group."""

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        """Pass on the groups that stay, with the samples that stay. A group without samples is
        dropped by the runner, and counted.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement apply()")

    def facts(self) -> dict[str, Any]:
        """What it learnt of the answers that came in, under the names of ``Statistics.facts``."""
        return {}

    def close(self) -> None:
        """Give back what :meth:`prepare` took."""
