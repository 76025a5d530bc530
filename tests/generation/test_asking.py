"""Every failure of a real server, and what the asker makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from r1lab.generation.asking import Asker, Failed, Fatal, Refused, answer_of, is_local, retry_after
from r1lab.generation.request import Answer, Request, Sampling
from tests.generation.faulty_server import GARBAGE
from tests.generation.serving import Served, serving

SAMPLING = Sampling(max_new_tokens=100, temperature=0.7)
QUIET = {"status": 0, "refuse": "", "api_key": "", "garbage": "", "reasoning": "", "latency": 0.0}
RATES = ("error_rate", "busy_rate", "garbage_rate", "close_rate", "hang_rate")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture
def served(server: Served) -> Served:
    """The module's server, without the faults of the test before."""
    server.control(**QUIET, **dict.fromkeys(RATES, 0.0), retry_after_as="seconds", no_usage=False)
    return server


def request(prompt: str = "What is 2 + 3?", seed: int | None = 7) -> Request:
    return Request("0" * 32, 0, 0, [{"role": "user", "content": prompt}], seed)


def ask(
    url: str,
    *requests: Request,
    sampling: Sampling = SAMPLING,
    model: str = "tiny",
    timeout_s: float | None = 10.0,
    api_key: str | None = None,
) -> Any:
    """What came of the requests, asked at once: the one outcome, or a list."""

    async def run() -> list[Any]:
        asker = Asker(url, api_key, model, sampling, timeout_s)
        try:
            asked = [asker.ask(each) for each in requests or (request(),)]
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await asker.aclose()

    outcomes = asyncio.run(run())
    return outcomes if len(outcomes) > 1 else outcomes[0]


def failed(outcome: Any) -> Failed:
    assert isinstance(outcome, Failed), repr(outcome)
    return outcome


def test_an_answer_has_text_counts_and_the_reason_for_its_end(served):
    answer = ask(served.url)
    assert isinstance(answer, Answer)
    assert "\\boxed{5}" in answer.content and answer.finish_reason == "stop"
    assert (answer.prompt_tokens, answer.completion_tokens) == (5, len(answer.content.split()))
    assert answer.reasoning is None and 0 < answer.seconds < 5
    cut = ask(served.url, sampling=Sampling(max_new_tokens=3))
    assert cut.truncated and cut.completion_tokens == 3
    served.control(no_usage=True)
    assert ask(served.url).completion_tokens is None


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_whatever_the_server_calls_it(served, name):
    served.control(reasoning=name)
    assert ask(served.url).reasoning.startswith("I think of")


def test_only_what_was_set_is_sent(served):
    ask(served.url, request("plain", None), sampling=Sampling(max_new_tokens=9))
    extra = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}}
    ask(served.url, request("all", 11), sampling=Sampling(9, 0.0, 0.9, extra=extra))
    plain, full = served.requests()[-2:]
    known = ("fate", "prompt", "time", "model")
    assert {name: value for name, value in plain.items() if name not in known} == {"max_tokens": 9}
    assert {name: value for name, value in full.items() if name not in known} == {
        **{"max_tokens": 9, "temperature": 0.0, "top_p": 0.9, "seed": 11},
        **extra,
    }


def test_a_refused_request_has_the_servers_words(served):
    served.control(refuse="secret plans")
    refused, other = ask(served.url, request("my secret plans"), request("nothing of the sort"))
    assert isinstance(refused, Refused) and "no secret plans here" in refused.reason
    assert isinstance(other, Answer)
    for status in (413, 422):
        served.control(status=status)
        assert isinstance(ask(served.url), Refused)


def test_half_a_character_in_a_prompt_is_refused(served):
    refused = ask(served.url, request("half \ud83d"))
    assert isinstance(refused, Refused) and "half a character" in refused.reason


def test_no_request_will_work_without_the_key(served):
    served.control(api_key="sesame")
    for key in (None, "wrong"):
        error = ask(served.url, api_key=key)
        assert isinstance(error, Fatal) and "401" in error.reason
        assert "R1LAB_API_KEY" in error.fix
    assert isinstance(ask(served.url, api_key="sesame\n"), Answer)


def test_a_wrong_model_and_a_wrong_address_are_told_with_a_fix(served):
    error = ask(served.url, model="tini")
    assert isinstance(error, Fatal)
    assert "`tini` does not exist" in error.reason and "/models lists" in error.fix
    error = ask(served.url.removesuffix("/v1"))
    assert isinstance(error, Fatal) and "ends in /v1" in error.fix
    served.control(status=403)
    assert "key" in ask(served.url).fix
    error = ask("localhost:8000/v1")
    assert isinstance(error, Fatal) and "http://HOST:PORT/v1" in error.fix


@pytest.mark.parametrize(
    ("status", "kind", "away"),
    [
        *((500, "http_500", False), (502, "http_502", True), (504, "http_504", True)),
        *((503, "busy", True), (429, "busy", True)),
        *((408, "http_408", False), (409, "http_409", False), (425, "http_425", False)),
    ],
)
def test_statuses_that_may_pass_are_worth_another_try(served, status, kind, away):
    served.control(status=status)
    error = failed(ask(served.url))
    assert (error.kind, error.server) == (kind, away)
    assert str(status) in error.reason


@pytest.mark.parametrize(("form", "slack"), [("seconds", 0.0), ("ms", 0.0), ("date", 1.1)])
def test_a_busy_server_says_when_to_come_back(served, form, slack):
    served.control(busy_rate=1.0, retry_after=7.5 if form != "date" else 7, retry_after_as=form)
    for error in map(failed, ask(served.url, request(), request())):
        wanted = 7.5 if form != "date" else 7
        assert error.retry_after is not None
        assert wanted - slack <= error.retry_after <= wanted
        assert error.kind == "busy" and error.server


def test_retry_after_that_makes_no_sense_is_none():
    assert retry_after({}) is None
    for strange in ("soon", "nan", "inf", "Someday, 99 Foo 2020", ""):
        assert retry_after({"retry-after": strange}) is None
    assert retry_after({"retry-after": "-3"}) == 0.0
    assert retry_after({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0.0
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_no_answer(served, name):
    served.control(garbage=name)
    error = failed(ask(served.url))
    assert (error.kind, error.server) == ("garbage", False)
    json.dumps(error.reason).encode()  # it can be written, whatever was in the reply


def test_a_connection_closed_before_or_amid_the_answer(served):
    served.control(close_rate=1.0)
    for error in map(failed, ask(served.url, *[request()] * 4)):
        assert (error.kind, error.server) == ("closed", True)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "garbage"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", "garbage"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "closed"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 50\r\n\r\n{}", "closed"),
    ],
)
def test_what_is_no_http_is_no_answer(reply, kind):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            asker = Asker(f"http://127.0.0.1:{port}/v1", None, "tiny", SAMPLING, 10.0)
            with pytest.raises(Failed) as failed:
                await asker.ask(request())
            await asker.aclose()
            assert failed.value.kind == kind, failed.value.reason

    asyncio.run(run())


def test_a_server_that_hangs_is_left_after_the_time_limit(served):
    served.control(hang_rate=1.0)
    began = time.monotonic()
    error = failed(ask(served.url, timeout_s=0.3))
    assert (error.kind, error.server) == ("timeout", False)
    assert "0.3 s" in error.reason and time.monotonic() - began < 3


def test_a_slow_server_is_waited_for(served):
    served.control(latency=0.3)
    assert ask(served.url, timeout_s=None).seconds >= 0.3


def test_a_server_that_is_away_and_comes_back(tmp_path):
    with serving(tmp_path) as served:

        async def run() -> None:
            asker = Asker(served.url, None, "tiny", SAMPLING, 10.0)
            before = await asker.ask(request())
            served.stop()
            for _ in range(2):
                with pytest.raises(Failed) as away:
                    await asker.ask(request())
                assert away.value.server
            assert away.value.kind == "connect" and str(served.port) in away.value.reason
            served.restart()
            assert (await asker.ask(request())).content == before.content
            await asker.aclose()

        asyncio.run(run())


def test_more_requests_at_once_than_openai_has_connections(served):
    """openai's own pool has 1000, and the limit on open files is often 1024."""
    served.control(latency=0.4, slots=2000)
    began = time.monotonic()
    outcomes = ask(served.url, *(request(f"prompt {number}") for number in range(1100)))
    assert all(isinstance(each, Answer) for each in outcomes), outcomes
    assert time.monotonic() - began < 6


def test_a_proxy_of_the_environment_is_not_for_this_machine(served, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(ask(served.url), Answer)
    assert isinstance(ask(served.url.replace("127.0.0.1", "localhost")), Answer)
    error = failed(ask("http://model.invalid:8000/v1"))
    assert "('127.0.0.1', 9)" in error.reason, "the proxy is asked for other servers"


def test_which_servers_are_on_this_machine():
    local = (
        "http://localhost:8000/v1",
        "http://127.0.0.5/v1",
        "http://[::1]:8000",
        "http://0.0.0.0:1",
    )
    away = ("https://api.example.com/v1", "http://10.0.0.3:8000/v1", "not an address")
    assert all(map(is_local, local)) and not any(map(is_local, away))


def reply(message: dict[str, Any] | None = None, **choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}]}).encode()


def test_an_empty_answer_is_an_answer_and_an_aborted_one_is_not():
    assert answer_of(reply({"content": ""}, finish_reason="stop"), 0.0).content == ""
    with pytest.raises(Failed, match="abort") as caught:
        answer_of(reply({"content": "half of"}, finish_reason="abort"), 0.0)
    assert caught.value.kind == "aborted"


def test_reasoning_that_was_cut_before_the_answer_is_kept():
    message = {"content": None, "reasoning_content": "hm"}
    answer = answer_of(reply(message, finish_reason="length"), 0.0)
    assert (answer.content, answer.reasoning, answer.truncated) == ("", "hm", True)


def test_half_a_character_in_an_answer_can_be_written(tmp_path: Path):
    answer = answer_of(reply({"content": "é \ud83d", "reasoning": "\udc00"}), 0.0)
    (tmp_path / "text").write_text(answer.whole(), encoding="utf-8")
    assert answer.content == "é ?"


def test_an_error_with_status_200_keeps_its_words():
    content = json.dumps({"error": {"message": "upstream is full", "code": 429}}).encode()
    with pytest.raises(Failed, match="upstream is full"):
        answer_of(content, 0.0)


def test_the_clients_do_not_report_every_request(served, caplog):
    caplog.set_level("INFO")
    ask(served.url)
    assert [record.name for record in caplog.records] == []
