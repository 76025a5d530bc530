"""The client against fakes of E2B's cloud and of open-r1's router, both of which run scripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.sandbox.base import Job, Limits, Program, make_provider
from r1lab.sandbox.e2b import E2B, read_stream
from r1lab.sandbox.json_client import RemoteError
from tests.sandbox.fake_router import FakeRouter, run_script
from tests.sandbox.fake_server import Answer, FakeServer, serving

LIMITS = Limits(time_s=2.0)
DOUBLE = Program("python", "print(2 * int(input()))")
KEY = "e2b_secret"


class FakeCloud:
    """The API and the sandboxes' interpreters on one server, told apart by the path."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        self.made = 0

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if path.startswith("/sandboxes") and headers.get("x-api-key") != KEY:
            return 401, {"code": 401, "message": "Invalid API key"}
        if (method, path) == ("POST", "/sandboxes"):
            assert body["templateID"] == "code-interpreter-v1"
            assert body["timeout"] > 0
            self.made += 1
            name = f"sb{self.made}"
            self.alive.add(name)
            return 201, {"sandboxID": name, "envdAccessToken": f"token-{name}", "domain": None}
        if method == "DELETE":
            self.alive.discard(path.rpartition("/")[2])
            return 204, ""
        _, name, verb = path.split("/")
        if verb != "execute" or name not in self.alive:
            return 404, {"message": "no such sandbox"}
        if headers.get("x-access-token") != f"token-{name}":
            return 403, {"message": "wrong token"}
        printed = run_script(body["code"])
        lines = [{"type": "number_of_executions", "execution_count": 1}]
        for start in range(0, len(printed), 1000):  # Jupyter sends output in pieces
            text = printed[start : start + 1000]
            lines.append({"type": "stdout", "text": text, "timestamp": 0})
        lines.append({"type": "end_of_execution"})
        return 200, "\n".join(map(json.dumps, lines)) + "\n"


def cloud(server: FakeServer) -> E2B:
    return E2B(api_url=server.url, sandbox_url=server.url + "/{sandbox}", retry_wait_s=0.01)


def test_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", KEY)
    fake = FakeCloud()
    with serving(fake) as server:
        provider = cloud(server)
        provider.self_test()
        long = Program("python", "print('x' * 5000)")
        jobs = [Job(DOUBLE, ["1", "21"]), Job(long, [""]), Job(Program("python", "1/0"), [""])]
        doubled, many, failed = provider.run_many(jobs, LIMITS)
        assert [r.stdout for r in doubled] == ["2\n", "42\n"]
        assert many[0].stdout == "x" * 5000 + "\n"
        assert failed[0].status == "runtime_error"
        assert (fake.made, fake.alive) == (5, set())  # none is left running


def test_the_key_comes_from_the_environment_and_goes_to_the_api_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    with serving(FakeCloud()) as server:
        with pytest.raises(PrerequisiteError, match="export E2B_API_KEY"):
            cloud(server).self_test()
        monkeypatch.setenv("E2B_API_KEY", "wrong-" + KEY)
        with pytest.raises(PrerequisiteError, match="401 Invalid API key") as caught:
            cloud(server).self_test()
        assert KEY not in str(caught.value)
        monkeypatch.setenv("E2B_API_KEY", KEY)
        cloud(server).run(DOUBLE, ["1"], LIMITS)
        for _, path, body, headers in server.requests:
            assert KEY not in json.dumps(body)
            assert path.startswith("/sandboxes") or "x-api-key" not in headers


def test_a_cloud_in_trouble_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", KEY)
    fake = FakeCloud()
    with serving(fake) as server:
        provider = cloud(server)
        server.failures = [(429, {"message": "too many sandboxes"})]
        assert provider.run(DOUBLE, ["1"], LIMITS)[0].status == "ok"
        server.failures = [(500, "oops")] * 4
        assert provider.run(DOUBLE, ["1", "2"], LIMITS)[1].status == "infrastructure"
        assert fake.alive == set()


@pytest.mark.parametrize("kind", ["e2b", "morph"])
@pytest.mark.parametrize("provider_name", ["e2b", "morph"])
def test_the_router(kind: Any, provider_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("E2B_API_KEY", "MORPH_API_KEY"):  # the router has the key
        monkeypatch.delenv(variable, raising=False)
    router = FakeRouter(kind)
    with serving(router) as server:
        address = server.url.removeprefix("http://")  # as open-r1's options have it
        provider = make_provider(provider_name, url=address, retry_wait_s=0.01)
        provider.self_test()
        results = provider.run(DOUBLE, ["1", "21", "x"], LIMITS)
        assert [r.status for r in results] == ["ok", "ok", "runtime_error"]
        router.exceptions = ["no sandbox left"]
        assert provider.run(DOUBLE, ["1"], LIMITS)[0].status == "ok"
        router.exceptions = ["no sandbox left"] * 4
        result = provider.run(DOUBLE, ["1"], LIMITS)[0]
        assert result.status == "infrastructure"
        assert "no sandbox left" in result.message
        assert provider.counts["retries"] == 5


def test_an_address_that_is_no_router() -> None:
    with (
        serving(lambda *_: (200, {"hello": "world"})) as server,
        pytest.raises(PrerequisiteError, match="not the answer of a router"),
    ):
        E2B(url=server.url).self_test()


def test_streams() -> None:
    stream = '{"type": "stdout", "text": "a"}\n\n{"type": "stdout", "text": "b"}\n'
    assert read_stream(stream) == "ab"
    error = '{"type": "error", "name": "KeyError", "value": "x", "traceback": ""}'
    assert read_stream(error) == "KeyError: x"
    with pytest.raises(RemoteError, match="no JSON"):
        read_stream("<html>")
