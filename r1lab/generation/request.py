"""What is asked and what comes back: the plain values that the pieces of a generation exchange."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, str]


@dataclass(frozen=True)
class Sampling:
    """How a model is asked. ``None`` is not sent: the server's own default holds.

    ``extra`` is sent beside OpenAI's fields (``top_k``, ``min_p``, ``chat_template_kwargs``, ...).
    ``seed`` is the generation's; every request has a seed of its own, drawn from it.
    """

    max_new_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """One prompt of the data: ``row`` counts from 0 in the split, ``values`` are its raw columns.

    ``gold`` is the final answer that the data gives; None where it has none.
    """

    row: int
    messages: list[Message]
    gold: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """Sample ``sample`` of a prompt. ``key`` is of the prompt, the model and the sampling."""

    key: str  # 32 hexadecimal digits
    sample: int
    row: int
    messages: list[Message]
    seed: int | None = None


@dataclass(frozen=True)
class Answer:
    """A sample as the server gave it. Counts are tokens, None where the server does not count."""

    content: str
    reasoning: str | None = None  # what a server with a reasoning parser returns beside the content
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0  # from the request that succeeded to its answer

    @property
    def truncated(self) -> bool:
        """Whether the limit on new tokens cut it."""
        return self.finish_reason == "length"

    def whole(self, think: str = "think") -> str:
        """The reasoning, between its tags, and the content: what a model would have written."""
        if not self.reasoning:
            return self.content
        return f"<{think}>\n{self.reasoning.strip()}\n</{think}>\n\n{self.content.lstrip()}"


def digest(**asked: Any) -> str:
    """32 hexadecimal digits (128 bits of SHA-256) of plain values, whatever their order."""
    canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_of(model: str, sampling: Sampling, messages: list[Message]) -> str:
    """What all samples of a prompt share in the journal.

    The number of samples is no part of it: with ``num_generations`` raised, only the new ones are
    asked for.
    """
    return digest(
        model=model,
        messages=messages,
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        extra=dict(sampling.extra),
    )


def seed_of(sampling: Sampling, messages: list[Message], sample: int) -> int | None:
    """A request's seed in [0, 2**31). Two models are asked with the same draws.

    Hashed, not counted up: the samples of seed 1 must not be those of seed 0, moved.
    """
    if sampling.seed is None:
        return None
    return int(digest(seed=sampling.seed, messages=messages, sample=sample)[:8], 16) & 0x7FFFFFFF
