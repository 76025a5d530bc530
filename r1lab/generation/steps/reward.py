"""Keep answers by the values of rewards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from r1lab.errors import Problem, suggest
from r1lab.generation.scoring import BATCH_SAMPLES, Scorer, batches, items_of
from r1lab.generation.steps.base import Context, Group, Sample, Step
from r1lab.rewards.base import ParameterError, check_choice, check_count, check_number

NotApplicable = Literal["drop", "keep"]
_EXAMPLE = "'steps.reward.of={format: 1, cosine: {min: 0.2, max: 0.9}}'"


@dataclass(frozen=True)
class Bounds:
    """The values that are kept, both ends included."""

    min: float | None = None
    max: float | None = None

    def outside(self, value: float) -> str | None:
        """Which bound a value misses, None: neither."""
        if self.min is not None and value < self.min:
            return f"below {self.min:g}"
        if self.max is not None and value > self.max:
            return f"above {self.max:g}"
        return None


class ByReward(Step):
    """Score answers with rewards of the library, and keep those within the bounds of each.

    ``of`` maps a reward's name to its bounds, ``{min: 0.2, max: 0.9}`` (either may be missing), or
    to a number, which is the least value; ``null`` only scores, for ``choose`` and for the rows.
    A reward's parameters are those of the config's ``rewards`` where it is selected there
    (``'rewards=[cosine]' rewards.cosine.max_len=2000``), else its defaults. Values go into the
    sample's scores. A reward that compares the answers of a prompt sees those that are left.

    ``not_applicable: drop`` drops an answer about which a reward with bounds says nothing (a gold
    that it cannot parse), ``keep`` keeps it. ``batch_size`` is how many samples are scored at a
    time.
    """

    def __init__(
        self,
        of: Mapping[str, Any] | None = None,
        not_applicable: NotApplicable = "drop",
        batch_size: int = BATCH_SAMPLES,
    ):
        super().__init__()
        check_choice("not_applicable", not_applicable, ("drop", "keep"))
        check_count("batch_size", batch_size)
        self.bounds = {str(name): _bounds(str(name), given) for name, given in (of or {}).items()}
        self.not_applicable, self.batch_size = not_applicable, batch_size
        self._scorers = [Scorer(name) for name in self.bounds]

    def check(self, key: str, context: Context) -> list[Problem]:
        if not self._scorers:
            fix = f"name rewards with their bounds: {_EXAMPLE}"
            return [Problem(f"{key}.of", None, "names no reward, so the step does nothing", fix)]
        return [
            problem for scorer in self._scorers for problem in scorer.check(f"{key}.of", context)
        ]

    def needs_columns(self) -> Sequence[str]:
        return list(dict.fromkeys(name for scorer in self._scorers for name in scorer.columns))

    def prepare(self, context: Context) -> None:
        for scorer in self._scorers:
            scorer.prepare(context)

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for batch in batches(groups, self.batch_size):
            items = items_of(batch)
            for scorer in self._scorers:
                for (_, sample), value in zip(items, scorer(items), strict=True):
                    sample.scores[scorer.name] = value
                for why, count in scorer.reward.drain_counts().items():
                    self.counts[f"{scorer.name}: {why}"] += count
            for group in batch:
                group.samples = [sample for sample in group.samples if self._stays(sample)]
                yield group

    def _stays(self, sample: Sample) -> bool:
        for name, bounds in self.bounds.items():
            value = sample.scores[name]
            if value is None:
                why = "does not apply" if self._needs_value(bounds) else None
            else:
                why = bounds.outside(value)
            if why is not None:
                self.counts[f"dropped: {name} {why}"] += 1
                return False
        return True

    def _needs_value(self, bounds: Bounds) -> bool:
        return self.not_applicable == "drop" and bounds != Bounds()


def _bounds(name: str, given: Any) -> Bounds:
    parameter = f"of.{name}"
    if given is None:
        return Bounds()
    if not isinstance(given, Mapping):
        fix = "give a number, the least value, or {min: ..., max: ...}"
        check_number(parameter, given, fix=fix)
        return Bounds(min=float(given))
    for bound, value in given.items():
        if bound not in ("min", "max"):
            fix = suggest(str(bound), ["min", "max"], f"{parameter}.")
            raise ParameterError(f"{parameter}.{bound}", value, "is no bound", fix)
        if value is not None:
            check_number(f"{parameter}.{bound}", value)
    low, high = given.get("min"), given.get("max")
    if low is not None and high is not None and low > high:
        raise ParameterError(
            f"{parameter}.min", low, f"is above max ({high:g})", "give a lower min"
        )
    return Bounds(low, high)
