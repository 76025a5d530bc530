"""The protocol around a model that is scripted: answers, failures, clients that hang up, keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from r1lab.engines.app.asked import Defaults
from r1lab.engines.app.generating import Failed
from r1lab.engines.app.server import Server
from tests.models.small import tokenizer

HELLO = [{"role": "user", "content": "hello"}]


class Scripted:
    """Stands in for a loaded model: it says ``text``, however it is asked."""

    def __init__(self, text: str = "well", fails: bool = False, slow: bool = False):
        self.tokenizer = tokenizer()
        self.defaults, self.context = Defaults(), 100
        self.stop_ids = [self.tokenizer.eos_token_id]
        self.failure: str | None = None
        self.says = [*self.tokenizer(text)["input_ids"], *self.stop_ids]
        self.fails, self.slow = fails, slow
        self.asked: list[tuple[int, int, list[int]]] = []
        self.ended_early = 0

    async def tokens(
        self, prompt: Sequence[int], most: int, stop_ids: list[int], sampling: Any, each: bool
    ) -> AsyncIterator[tuple[list[int], bool]]:
        self.asked.append((len(prompt), most, stop_ids))
        done = False
        try:
            if each:
                yield self.says[:1], False
            if self.slow:
                await asyncio.sleep(60)
            if self.fails:
                raise Failed("the cache is full")
            done = True
            yield self.says, True
        finally:
            self.ended_early += not done


def call(
    scripted: Scripted,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    key: str | None = None,
    hangs_up: bool = False,
) -> tuple[int, str]:
    """One request to the app, as a server would hand it over: (status, body)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    incoming = [{"type": "http.request", "body": raw}]
    outgoing: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop(0)
        if not hangs_up:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        outgoing.append(dict(message))

    app = Server(scripted, "m", key).app()  # type: ignore[arg-type]
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    text = b"".join(message.get("body", b"") for message in outgoing).decode()
    return outgoing[0]["status"], text


def chat(scripted: Scripted, **fields: Any) -> tuple[int, Any]:
    status, text = call(scripted, "/v1/chat/completions", {"messages": HELLO, **fields})
    return status, json.loads(text)


def test_n_answers_are_one_answer_with_their_tokens_summed():
    scripted = Scripted()
    status, answer = chat(scripted, n=3, max_tokens=7, stop_token_ids=[5])
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", "m")
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"well"}
    ((length, most, stops),) = {(a, b, tuple(c)) for a, b, c in scripted.asked}
    assert (most, stops) == (7, (*scripted.stop_ids, 5))
    assert answer["usage"]["prompt_tokens"] == length  # once, not three times
    assert answer["usage"]["completion_tokens"] == 3 * len(scripted.says)


def test_without_a_limit_an_answer_may_fill_the_context():
    scripted = Scripted()
    chat(scripted, ignore_eos=True)
    ((length, most, stops),) = scripted.asked
    assert length + most == scripted.context
    assert stops == []


def test_several_prompts_of_text_are_answered_in_order():
    body = {"prompt": ["a", "b"], "n": 2}
    status, text = call(Scripted(), "/v1/completions", body)
    assert [choice["index"] for choice in json.loads(text)["choices"]] == [0, 1, 2, 3]
    status, text = call(Scripted(), "/v1/completions", {"prompt": [10**6]})
    assert status == 400


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers():
    status, answer = chat(Scripted(), max_tokens=100)
    assert status == 400
    assert "the context holds 100 tokens" in answer["error"]["message"]


def test_a_failure_of_the_model_is_the_servers_fault():
    status, answer = chat(Scripted(fails=True), n=2)
    assert (status, answer["error"]["message"]) == (500, "the cache is full")
    assert answer["error"]["type"] == "server_error"


def test_a_failure_in_the_middle_of_a_stream_is_told_in_it():
    body = {"messages": HELLO, "stream": True}
    status, text = call(Scripted(fails=True), "/v1/chat/completions", body)
    events = [line for line in text.splitlines() if line]
    assert status == 200  # it was on its way already
    assert json.loads(events[-1][6:])["error"]["message"] == "the cache is full"


def test_a_stream_ends_with_its_usage_where_that_is_asked_for():
    body = {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    _, text = call(Scripted(), "/v1/chat/completions", body)
    *pieces, usage, done = [line[6:] for line in text.splitlines() if line]
    assert done == "[DONE]"
    assert json.loads(usage)["usage"]["completion_tokens"] == len(Scripted().says)
    told = [json.loads(piece)["choices"][0] for piece in pieces]
    assert "".join(choice["delta"]["content"] for choice in told) == "well"
    assert [choice["finish_reason"] for choice in told] == [None] * (len(told) - 1) + ["stop"]


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_generated_for_a_client_that_has_hung_up(stream):
    scripted = Scripted(slow=True)
    body = {"messages": HELLO, "stream": stream, "n": 2}
    call(scripted, "/v1/chat/completions", body, hangs_up=True)
    assert scripted.ended_early == 2


def test_health_tells_when_nothing_can_be_generated_any_more():
    scripted = Scripted()
    assert call(scripted, "/health")[0] == 200
    scripted.failure = "out of memory"
    status, text = call(scripted, "/health")
    assert status == 503 and "out of memory" in text


def test_a_key_guards_all_but_health():
    for headers, status in [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "hush"}, 401),
        ({"authorization": "Bearer hush"}, 200),
    ]:
        assert call(Scripted(), "/v1/models", headers=headers, key="hush")[0] == status
    assert call(Scripted(), "/health", key="hush")[0] == 200


def test_errors_have_the_shape_that_clients_read():
    for path, body, status in [
        ("/v1/nothing", {}, 404),
        ("/v1/chat/completions", None, 405),
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", [], 400),
        ("/v1/chat/completions", {"messages": HELLO, "model": "other"}, 404),
    ]:
        found, text = call(Scripted(), path, body)
        assert found == status, text
        assert set(json.loads(text)["error"]) == {"message", "type", "param", "code"}
