"""What a request asks for: the body of OpenAI's two completion calls, read strictly.

Nothing is ignored in silence. A parameter that this server does not carry out is refused with its
name, unless its value is the one that changes nothing (``presence_penalty: 0``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MAX_N, _MAX_LOGPROBS, _MAX_STOPS = 1024, 20, 16
#: Read below, in both calls.
_READ = {
    *("model", "temperature", "top_p", "top_k", "min_p", "seed", "n", "stop", "stop_token_ids"),
    *("ignore_eos", "max_tokens", "logprobs", "stream", "stream_options"),
}
_READ_CHAT = {"messages", "top_logprobs", "max_completion_tokens", "chat_template_kwargs"}
_READ_TEXT = {"prompt"}
#: These say who asks, or what becomes of the answer elsewhere.
_WITHOUT_EFFECT = {"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"}
#: Parameters that are not carried out, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "store": (False,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "skip_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
}


class BadRequest(Exception):
    """A request that cannot be answered as it stands; ``status`` is HTTP's."""

    def __init__(self, message: str, param: str | None = None, status: int = 400):
        super().__init__(message)
        self.param, self.status = param, status


@dataclass(frozen=True)
class Defaults:
    """What the model's ``generation_config.json`` says of sampling, as vLLM takes it."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request. ``logprobs`` counts the likeliest tokens to report; None reports nothing."""

    chat: bool
    messages: list[dict[str, Any]]  # of a chat, with plain text as content
    template_kwargs: dict[str, Any]
    prompts: list[str | list[int]]  # of the other call: texts or token ids
    n: int
    max_tokens: int | None  # None: what the context leaves
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int | None
    stop: list[str]
    stop_token_ids: list[int]
    ignore_eos: bool
    logprobs: int | None
    stream: bool
    include_usage: bool


def read(body: Any, chat: bool, defaults: Defaults, name: str) -> Asked:
    """The request in ``body``; :class:`BadRequest` names what is wrong with it."""
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    given = {key: value for key, value in body.items() if value is not None}
    if given.get("model", name) != name:
        raise BadRequest(f"the model {given['model']!r} is not served here: {name}", "model", 404)
    _refuse_unknown(given, chat)
    options = given.get("stream_options", {})
    if not isinstance(options, dict) or set(options) - {"include_usage"}:
        raise BadRequest("stream_options takes include_usage alone", "stream_options")
    kwargs = given.get("chat_template_kwargs", {})
    if not isinstance(kwargs, dict):
        raise BadRequest("chat_template_kwargs is not an object", "chat_template_kwargs")
    length = "max_completion_tokens" if "max_completion_tokens" in given else "max_tokens"
    top_k = _integer(given, "top_k", defaults.top_k, low=-1)
    return Asked(
        chat=chat,
        messages=_messages(given.get("messages")) if chat else [],
        template_kwargs=kwargs,
        prompts=[] if chat else _prompts(given.get("prompt")),
        n=_integer(given, "n", 1, low=1, high=_MAX_N),
        max_tokens=_whole(given, length, None if chat else 16, low=1),  # OpenAI's default
        temperature=_number(given, "temperature", defaults.temperature, 0, 100),
        top_p=_number(given, "top_p", defaults.top_p, 0, 1, above=True),
        top_k=max(top_k, 0),
        min_p=_number(given, "min_p", defaults.min_p, 0, 1),
        seed=_whole(given, "seed", None),
        stop=_stops(given.get("stop")),
        stop_token_ids=_ids(given.get("stop_token_ids", []), "stop_token_ids"),
        ignore_eos=_flag(given, "ignore_eos"),
        logprobs=_logprobs(given, chat),
        stream=_flag(given, "stream"),
        include_usage=_flag(options, "include_usage"),
    )


def _refuse_unknown(given: Mapping[str, Any], chat: bool) -> None:
    known = _READ | (_READ_CHAT if chat else _READ_TEXT) | _WITHOUT_EFFECT
    for key, value in given.items():
        if key not in known and value not in _NEUTRAL.get(key, ()):
            raise BadRequest(
                f"{key} is not supported by engine=transformers (engine=vllm may): leave it out",
                key,
            )


def _messages(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages is not a list with at least one message", "messages")
    read_: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest("a message is not an object with a role", "messages")
        if unknown := set(message) - {"role", "content", "name", "reasoning_content"}:
            raise BadRequest(f"a message has {', '.join(sorted(unknown))}", "messages")
        read_.append({**message, "content": _text(message.get("content"))})
    return read_


def _text(content: Any) -> str:
    """A message's text; parts are joined, and parts that are no text are refused."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "\n".join(str(text) for text in texts)
    raise BadRequest("a message's content is neither text nor a list of text parts", "messages")


def _prompts(prompt: Any) -> list[str | list[int]]:
    """One or several prompts, each a text or its token ids."""
    several = prompt if isinstance(prompt, list) and prompt else [prompt]
    if isinstance(prompt, list) and all(type(item) is int for item in several):
        several = [several]
    if all(isinstance(item, str) or (isinstance(item, list) and item) for item in several):
        return [item if isinstance(item, str) else _ids(item, "prompt") for item in several]
    raise BadRequest("prompt is neither a text, nor token ids, nor a list of these", "prompt")


def _ids(value: Any, key: str) -> list[int]:
    if not isinstance(value, list) or not all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value
    ):
        raise BadRequest(f"{key} is not a list of token ids", key)
    return value


def _stops(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop if stop is not None else []
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise BadRequest("stop is neither a text nor a list of texts", "stop")
    if len(stops) > _MAX_STOPS:
        raise BadRequest(f"stop has more than {_MAX_STOPS} texts", "stop")
    return stops


def _logprobs(given: Mapping[str, Any], chat: bool) -> int | None:
    """A chat says ``logprobs: true`` and ``top_logprobs: 5``; the other call ``logprobs: 5``."""
    if not chat:
        return _whole(given, "logprobs", None, low=0, high=_MAX_LOGPROBS)
    top = _integer(given, "top_logprobs", 0, low=0, high=_MAX_LOGPROBS)
    if not _flag(given, "logprobs"):
        if top:
            raise BadRequest("top_logprobs needs logprobs: true", "top_logprobs")
        return None
    return top


def _flag(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{key} is neither true nor false", key)
    return value


def _integer(
    given: Mapping[str, Any], key: str, default: int, low: float, high: float = math.inf
) -> int:
    found = _whole(given, key, default, low, high)
    assert found is not None  # the default is a number
    return found


def _whole(
    given: Mapping[str, Any],
    key: str,
    default: int | None,
    low: float = -math.inf,
    high: float = math.inf,
) -> int | None:
    value = given.get(key, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"{key} is not a whole number", key)
    if not low <= value <= high:
        raise BadRequest(f"{key}={value} is not {_range(low, high)}", key)
    return value


def _number(
    given: Mapping[str, Any],
    key: str,
    default: float,
    low: float,
    high: float,
    above: bool = False,
) -> float:
    """A number from ``low`` (or above it) to ``high``."""
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{key} is not a number", key)
    if not low <= value <= high or (above and value == low):
        raise BadRequest(
            f"{key}={value} is not {'above' if above else 'from'} {low} to {high}", key
        )
    return float(value)


def _range(low: float, high: float) -> str:
    return f"{low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
