"""Whether an engine really answers, and how fast: a prompt, then a short burst."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from r1lab.engines import address
from r1lab.engines.base import Engine, EngineFailed

_PROMPT = "What is 2 + 3?"
_FIRST_TOKENS = 16
#: Of every answer in the burst, and answers at once.
_TOKENS, _PARALLEL = 32, 8
#: Seconds for one answer: a large model on a CPU takes its time.
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Speed:
    """Tokens a second: of one answer alone, and of several at once together."""

    single: float
    parallel: float
    requests: int = _PARALLEL

    def __str__(self) -> str:
        return f"{self.single:.1f} tokens/s alone, {self.parallel:.1f} with {self.requests} at once"


@dataclass(frozen=True)
class First:
    """The first answer, and whether it came from a chat (else the model has no chat template)."""

    text: str
    chat: bool


def first(engine: Engine) -> First:
    """The answer to one prompt; :class:`EngineFailed` with the server's own words otherwise."""
    try:
        return First(_text(_ask(engine, True, max_tokens=_FIRST_TOKENS)), True)
    except EngineFailed as error:
        if "template" not in str(error):
            raise
    return First(_text(_ask(engine, False, max_tokens=_FIRST_TOKENS)), False)


def speed(engine: Engine, chat: bool = True) -> Speed:
    """Measured with answers of a fixed length, their prompts' time included."""
    alone, seconds = _burst(engine, chat, 1)
    together, meanwhile = _burst(engine, chat, _PARALLEL)
    return Speed(alone / seconds, together / meanwhile)


def _burst(engine: Engine, chat: bool, requests: int) -> tuple[int, float]:
    def one(seed: int) -> int:
        answer = _ask(engine, chat, max_tokens=_TOKENS, ignore_eos=True, temperature=1.0, seed=seed)
        return int(answer["usage"]["completion_tokens"])

    begin = time.perf_counter()
    with ThreadPoolExecutor(requests) as pool:
        tokens = sum(pool.map(one, range(requests)))
    return tokens, time.perf_counter() - begin


def _ask(engine: Engine, chat: bool, **asked: Any) -> Mapping[str, Any]:
    what: dict[str, Any] = {"prompt": _PROMPT}
    if chat:
        what = {"messages": [{"role": "user", "content": _PROMPT}]}
    url = f"{engine.url}/{'chat/' if chat else ''}completions"
    body = {"model": engine.model, **what, **asked}
    try:
        answer = address.fetch(url, body, engine.api_key, _TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise EngineFailed(f"{engine.name} refused a prompt: {_said(error)}") from error
    except (OSError, ValueError) as error:
        reason = engine.failure() or f"gave no answer ({error})"
        raise EngineFailed(f"{engine.name} {reason}") from error
    if not isinstance(answer, dict) or not answer.get("choices"):
        raise EngineFailed(f"{engine.name} answered a prompt with {str(answer)[:200]}")
    return answer


def _said(error: urllib.error.HTTPError) -> str:
    """The message in the body of a refusal."""
    text = error.read().decode(errors="replace")
    try:
        found = json.loads(text)["error"]
        return str(found["message"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {error.code}: {text[:200]}"


def _text(answer: Mapping[str, Any]) -> str:
    choice = answer["choices"][0]
    message = choice.get("message") or {}
    return str(message.get("content") or choice.get("text") or "")
