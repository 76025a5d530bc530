"""What a request may ask for: read, or refused by name; nothing is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from r1lab.engines.app.asked import BadRequest, Defaults, read

DEFAULTS = Defaults(temperature=0.6, top_p=0.95, top_k=20)
HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> Any:
    return read({"model": "m", "messages": HELLO, **fields}, True, DEFAULTS, "m")


def text(prompt: Any, **fields: Any) -> Any:
    return read({"prompt": prompt, **fields}, False, DEFAULTS, "m")


def test_what_is_not_said_is_the_models_default():
    asked = chat()
    assert (asked.temperature, asked.top_p, asked.top_k) == (0.6, 0.95, 20)
    assert (asked.n, asked.max_tokens, asked.seed, asked.stop) == (1, None, None, [])
    assert chat(temperature=None, top_p=1).top_p == 1


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"n": 3}, "n", 3),
        ({"temperature": 0}, "temperature", 0),
        ({"top_k": -1}, "top_k", 0),
        ({"stop": "x"}, "stop", ["x"]),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens", 5),
        ({"logprobs": True}, "logprobs", 0),
        ({"logprobs": True, "top_logprobs": 3}, "logprobs", 3),
        ({"logprobs": False}, "logprobs", None),
        ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage", True),
        ({"chat_template_kwargs": {"x": 1}}, "template_kwargs", {"x": 1}),
    ],
)
def test_fields_that_are_read(fields, name, value):
    assert getattr(chat(**fields), name) == value


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 0.5},
        {"presence_penalty": -1},
        {"logit_bias": {"5": 1}},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function"}]},
        {"repetition_penalty": 1.1},
        {"best_of": 2},
        {"prompt_logprobs": 1},
        {"not_a_parameter": 1},
        {"prompt": "of the other call"},
    ],
)
def test_what_would_be_ignored_is_refused_by_name(fields):
    (name,) = fields
    with pytest.raises(
        BadRequest, match=f"{name} is not supported by engine=transformers"
    ) as found:
        chat(**fields)
    assert (found.value.param, found.value.status) == (name, 400)


def test_values_that_ask_for_nothing_pass():
    chat(frequency_penalty=0, presence_penalty=0.0, logit_bias={}, tools=None, user="me")
    chat(response_format={"type": "text"}, best_of=1, metadata={"a": "b"})


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 0},
        {"n": True},
        {"n": 1.5},
        {"temperature": -0.1},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": 2},
        {"max_tokens": 0},
        {"seed": "x"},
        {"stop": ""},
        {"stop": ["x"] * 17},
        {"stop_token_ids": ["x"]},
        {"stream": 1},
        {"stream_options": {"other": 1}},
        {"top_logprobs": 21, "logprobs": True},
        {"top_logprobs": 3},
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": []}]},
        {"chat_template_kwargs": []},
    ],
)
def test_values_out_of_range_are_refused_by_name(fields):
    with pytest.raises(BadRequest) as found:
        chat(**fields)
    assert found.value.param in fields


def test_another_model_is_not_found():
    with pytest.raises(BadRequest) as found:
        chat(model="other")
    assert found.value.status == 404


def test_parts_of_text_are_one_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0]["content"] == "a\nb"


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_prompts_are_texts_or_tokens(prompt, prompts):
    asked = text(prompt, logprobs=2)
    assert (asked.prompts, asked.max_tokens, asked.logprobs) == (prompts, 16, 2)


@pytest.mark.parametrize("prompt", [None, 3, [], [[]], [True], [-1], {"a": 1}, [["a"]]])
def test_other_prompts_are_refused(prompt):
    with pytest.raises(BadRequest) as found:
        text(prompt)
    assert found.value.param == "prompt"
