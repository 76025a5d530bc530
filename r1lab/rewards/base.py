"""What every reward is: a picklable callable that scores a batch of completions.

A reward takes the batch that TRL hands it (``completions``, the data's columns, and optionally
``prompts``, ``completion_ids``, ...) and returns one value a completion: a float, or ``None`` for
"does not apply here". It is constructed in the parent to be validated, so constructing is light.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from r1lab.errors import R1labError

#: TRL passes one of these: plain text, or the messages that followed the prompt.
Completion = str | list[dict[str, Any]]
LengthUnit = Literal["tokens", "chars"]

#: Arguments of a reward's ``__call__`` that TRL supplies; every other one is a column of the data.
TRAINER_ARGUMENTS = frozenset(
    {
        "self",
        "completions",
        "prompts",
        "completion_ids",
        "trainer_state",
        "log_extra",
        "log_metric",
        "environments",
    }
)


class ParameterError(R1labError, ValueError):
    """A constructor's parameter that cannot be right; the validator adds where it was written."""

    def __init__(self, parameter: str, value: Any, message: str, fix: str):
        self.parameter, self.value, self.message, self.fix = parameter, value, message, fix
        super().__init__(f"{parameter} = {value!r}: {message}\n    fix: {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameter, self.value, self.message, self.fix)


class RewardError(RuntimeError):
    """A reward failed while scoring; the run stops, since a made-up value would be trained on.

    ``row`` is the index in the batch, or ``None`` when no row fails by itself.
    """

    def __init__(self, reward: str, row: int | None, message: str):
        self.reward, self.row, self.message = reward, row, message
        where = "the batch" if row is None else f"row {row} of the batch"
        super().__init__(f"reward {reward!r} failed on {where}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reward, self.row, self.message)


class Reward:
    """Base of the rewards here; a subclass defines ``__init__(**parameters)`` and ``__call__``."""

    #: TRL names the metric by this; ``build_rewards`` sets it to the reward's key in the config.
    __name__: str
    #: Whether the data's ``solution`` is read by the verifier, so that golds which it cannot read
    #: are reported before training. False where a gold is compared as text or as a letter.
    solution_is_math: ClassVar[bool] = True
    #: The least value that says the whole answer is right, for held-out accuracy; ``None`` where a
    #: value does not say that.
    full_marks: ClassVar[float | None] = None
    #: Keyword arguments of a small call, which the gallery of the docs makes and shows.
    example: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.__name__ = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        #: What the chat template already wrote of the answer, such as ``"<think>\n"``.
        self.prefill = ""
        #: What happened beside the values: unparseable, timeout, error, ...
        self.counts: Counter[str] = Counter()

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float | None]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Get ready to score, once, in the training process before the model is loaded.

        Start helper processes here, without waiting for them, and try what the reward depends on;
        raise ``PrerequisiteError`` for what is missing. Constructing a reward does none of that.
        """

    def text(self, completion: Completion) -> str:
        """The whole answer as a reader sees it, with what the chat template wrote of it."""
        return self.prefill + content_of(completion)

    def drain_counts(self) -> dict[str, int]:
        """The counts since the last call, which starts them again from zero."""
        drained = dict(self.counts)
        self.counts.clear()
        return drained


def content_of(completion: Completion) -> str:
    """What the model itself wrote: the text, or the assistant's messages one under the other."""
    if isinstance(completion, str):
        return completion
    parts = [message_text(m) for m in completion if m.get("role", "assistant") == "assistant"]
    return "\n".join(parts)


def message_text(message: dict[str, Any]) -> str:
    """A message's text, with its reasoning put back where a parser split it off."""
    content = message.get("content") or ""
    if not isinstance(content, str):  # the multimodal form: a list of typed parts
        content = "".join(part.get("text") or "" for part in content)
    reasoning = message.get("reasoning_content")
    return f"<think>\n{reasoning}\n</think>\n{content}" if reasoning else content


def lengths(
    completions: Sequence[Completion],
    completion_ids: Sequence[Sequence[int]] | None,
    unit: LengthUnit,
) -> list[int]:
    """Length of what the model wrote: tokens as TRL generated them (EOS included), or characters.

    Raises ``ParameterError`` for tokens without ``completion_ids``: guessing from the text would
    change the reward's scale in silence.
    """
    if unit == "chars":
        return [len(content_of(c)) for c in completions]
    if completion_ids is None:
        raise ParameterError(
            "length_unit",
            unit,
            "lengths in tokens need `completion_ids`, and the caller passed none",
            "pass completion_ids (TRL does), or set length_unit=chars",
        )
    return [len(ids) for ids in completion_ids]


def needed_columns(reward: Callable[..., Any]) -> list[str]:
    """The data's columns that a reward cannot do without: its parameters with no default."""
    target = reward.__call__ if inspect.isclass(reward) else reward
    return [
        name
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in TRAINER_ARGUMENTS
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def check_number(
    parameter: str, value: Any, low: float = -math.inf, high: float = math.inf, fix: str = ""
) -> None:
    """Refuse what is no finite number between ``low`` and ``high`` (both allowed)."""
    fix = fix or f"give a number{_range(low, high)}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterError(parameter, value, "is not a number", fix)
    if not low <= value <= high:
        bound = f"below {low:g}" if value < low else f"above {high:g}"
        raise ParameterError(parameter, value, f"is {bound}", fix)


def check_count(parameter: str, value: Any, low: int = 1) -> None:
    """Refuse what is no whole number of at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        fix = f"give a whole number of at least {low}"
        raise ParameterError(parameter, value, "is not a whole number that makes sense here", fix)


def check_choice(parameter: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is none of ``choices``."""
    if value not in choices:
        raise ParameterError(
            parameter, value, "is no option here", f"use one of {', '.join(choices)}"
        )


def _range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" between {low:g} and {high:g}"
    if math.isfinite(low):
        return f" of at least {low:g}"
    return f" of at most {high:g}" if math.isfinite(high) else ""
