"""From configuration to the callables that a trainer takes."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1lab import targets
from r1lab.errors import R1labError
from r1lab.rewards.base import ParameterError, Reward, RewardError, content_of, needed_columns


class CheckedReward:
    """A reward under its name in the config, whose results are checked before they are trained on.

    It passes on what it is called with, and turns an exception, a wrong number of results, or a
    result that is no finite number or ``None`` into a :class:`RewardError` with the row.
    """

    def __init__(self, reward: Callable[..., Any], name: str):
        self.reward = reward
        self.__name__ = name
        self._accepted = _accepted(reward)
        if isinstance(reward, Reward):
            reward.__name__ = name

    @property
    def prefill(self) -> str:
        """What the chat template writes at the beginning of each answer."""
        return self.reward.prefill if isinstance(self.reward, Reward) else ""

    @prefill.setter
    def prefill(self, text: str) -> None:
        if isinstance(self.reward, Reward):
            self.reward.prefill = text

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if self._accepted is not None:  # a plain function need not declare **kwargs
            columns = {key: value for key, value in columns.items() if key in self._accepted}
        try:
            values = self.reward(completions=completions, **columns)
        except (RewardError, R1labError):
            raise
        except Exception as error:
            row, culprit = self._find_row(completions, columns, error)
            shown = "" if row is None else f" {content_of(completions[row])[:200]!r}:"
            message = f"{shown} {type(culprit).__name__}: {culprit}".strip()
            raise RewardError(self.__name__, row, message) from culprit
        try:
            found = len(values)
        except TypeError:
            message = f"returned {type(values).__name__}, not a list with a value a completion"
            raise RewardError(self.__name__, None, message) from None
        if found != len(completions):
            message = f"returned {found} values for {len(completions)} completions"
            raise RewardError(self.__name__, None, message)
        return [self._value(row, value) for row, value in enumerate(values)]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """For ``inspect``: the columns that are asked for are the reward's own."""
        return self.reward

    @property
    def full_marks(self) -> float | None:
        """See :class:`Reward`; ``None`` for a plain function."""
        return self.reward.full_marks if isinstance(self.reward, Reward) else None

    @property
    def reads_math(self) -> bool:
        """Whether golds that the verifier cannot read are of no use to it."""
        if "solution" not in needed_columns(self.reward):
            return False
        return not isinstance(self.reward, Reward) or self.reward.solution_is_math

    def prepare(self) -> None:
        """See :meth:`Reward.prepare`; nothing for a plain function."""
        if isinstance(self.reward, Reward):
            self.reward.prepare()

    def drain_counts(self) -> dict[str, int]:
        """What the reward counted since the last call; nothing for a plain function."""
        return self.reward.drain_counts() if isinstance(self.reward, Reward) else {}

    def _value(self, row: int, value: Any) -> float | None:
        if value is None:
            return None
        fix = "return a float, or None for 'does not apply'"
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            message = f"gave {value!r}, a {type(value).__name__}; {fix}"
            raise RewardError(self.__name__, row, message)
        if not math.isfinite(value):
            raise RewardError(self.__name__, row, f"gave {value!r}; {fix}")
        return float(value)

    def _find_row(
        self, completions: Sequence[Any], columns: dict[str, Any], error: Exception
    ) -> tuple[int | None, Exception]:
        """Score the rows one by one to find the first that fails; the run stops afterwards."""
        size = len(completions)
        per_row = {
            key
            for key, value in columns.items()
            if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == size
        }
        for row in range(size):
            one = {k: v[row : row + 1] if k in per_row else v for k, v in columns.items()}
            try:
                self.reward(completions=completions[row : row + 1], **one)
            except Exception as found:
                return row, found
        return None, error


def construct_reward(name: str, node: Mapping[str, Any], prefill: str = "") -> CheckedReward:
    """The reward of one config node: a class is constructed, a plain function taken as it is.

    Raises :class:`ParameterError` for parameters that cannot be, ``TargetError`` for a target.
    """
    target = targets.resolve(node["_target_"])
    parameters = {key: value for key, value in node.items() if key not in ("_target_", "weight")}
    if not inspect.isclass(target):
        if parameters:
            key = next(iter(parameters))
            raise ParameterError(
                key,
                parameters[key],
                f"{node['_target_']} is a function and takes no parameters from a config",
                "make it a class whose constructor takes them",
            )
        if not callable(target):
            fix = "name a class or a function"
            raise ParameterError("_target_", node["_target_"], "cannot be called", fix)
        return _checked(target, name, prefill, node["_target_"])
    try:
        inspect.signature(target).bind(**parameters)
    except TypeError as error:
        known = ", ".join(inspect.signature(target).parameters)
        fix = f"its parameters are: {known}"
        raise ParameterError("_target_", node["_target_"], str(error), fix) from None
    return _checked(target(**parameters), name, prefill, node["_target_"])


def build_rewards(
    nodes: Mapping[str, Mapping[str, Any]], prefill: str = ""
) -> tuple[list[CheckedReward], list[float]]:
    """The callables and weights of a config's ``rewards``, in its order, named by its keys.

    ``prefill`` is what the chat template writes at the beginning of each answer; it can be set
    later as well, when the tokenizer is there.
    """
    rewards = [construct_reward(name, node, prefill) for name, node in nodes.items()]
    return rewards, [float(node.get("weight", 1.0)) for node in nodes.values()]


def _checked(reward: Any, name: str, prefill: str, target: str) -> CheckedReward:
    if not callable(reward):
        fix = "give it __call__(self, completions, **columns)"
        raise ParameterError("_target_", target, "its instances cannot be called", fix)
    called = reward if inspect.isroutine(reward) else type(reward).__call__
    if inspect.iscoroutinefunction(called):
        fix = "write a plain function; one that waits may use threads"
        raise ParameterError("_target_", target, "is asynchronous", fix)
    checked = CheckedReward(reward, name)
    checked.prefill = prefill
    return checked


def _accepted(reward: Callable[..., Any]) -> set[str] | None:
    """The keywords that a callable takes, or ``None`` when it takes any."""
    parameters = inspect.signature(reward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}
