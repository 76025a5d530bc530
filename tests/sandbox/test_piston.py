"""The client against a server that speaks Piston's API v2, and runs what it is sent."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError
from r1lab.sandbox.base import Job, Limits, Program, make_provider
from r1lab.sandbox.piston import Piston, read_answer
from tests.sandbox.fake_server import Answer, FakeServer, serving
from tests.sandbox.runner import Runner

LIMITS = Limits(time_s=2.0)
DOUBLE = Program("python", "print(2 * int(input()))")
RUNTIMES = [
    {"language": "python", "version": "3.12.0", "aliases": ["py", "py3", "python3"]},
    {"language": "c++", "version": "10.2.0", "aliases": ["cpp", "g++"], "runtime": "gcc"},
]
#: How the server names what the driver found, with `run.status` (2024 on) and without.
NAMED = {"timeout": ("TO", "SIGKILL"), "output_limit": ("OL", None), "runtime_error": ("RE", None)}


class FakePiston:
    """Compiles what is not in base64, as the server does; knows no memory limit."""

    def __init__(self, modern: bool = True, most_ms: int = 5000, most_output: int = 1 << 20):
        self.modern, self.most_ms, self.most_output = modern, most_ms, most_output

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if (method, path) == ("GET", "/api/v2/runtimes"):
            return 200, RUNTIMES
        if (method, path) != ("POST", "/api/v2/execute"):
            return 404, {"message": "Not Found"}
        language = {"python": "python", "c++": "cpp"}.get(body["language"])
        if language is None or body["version"] != "*":
            return 400, {"message": f"{body['language']}-{body['version']} runtime is unknown"}
        if body["run_timeout"] > self.most_ms:
            message = f"run_timeout cannot exceed the configured limit of {self.most_ms}"
            return 400, {"message": message}
        source, *others = body["files"]
        files = {
            file["name"]: base64.b64decode(file["content"]).decode()
            if file.get("encoding") == "base64"
            else file["content"]
            for file in others
        }
        limits = Limits(time_s=body["run_timeout"] / 1000, output_bytes=self.most_output)
        program = Program(language, source["content"], files)
        result = Runner().run(program, [body["stdin"]], limits)[0]
        answer: dict[str, Any] = {"language": body["language"], "version": "1"}
        if language == "cpp":
            failed = result.status == "compile_error"
            answer["compile"] = {"code": int(failed), "signal": None, "stderr": result.stderr}
        status, signal = NAMED.get(result.status, (None, None))
        answer["run"] = {
            "stdout": result.stdout,
            "stderr": result.stderr,
            "code": None if signal else result.exit_code,
            "signal": signal,
        }
        if self.modern:
            answer["run"] |= {"status": status, "wall_time": result.seconds * 1000}
        return 200, answer


@pytest.fixture(params=[True, False], ids=["modern", "old"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    with serving(FakePiston(request.param)) as fake:
        yield fake


def piston(server: FakeServer, **options: Any) -> Piston:
    return Piston(url=server.url, retry_wait_s=0.01, **options)


def test_results(server: FakeServer) -> None:
    provider = piston(server)
    provider.self_test()
    results = provider.run(DOUBLE, ["1", "21"], LIMITS)
    assert [(r.status, r.stdout) for r in results] == [("ok", "2\n"), ("ok", "42\n")]
    assert server.paths().count("GET /api/v2/runtimes") == 1


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("raise SystemExit(3)", "runtime_error"),
        ("print(1, flush=True)\nwhile True: pass", "timeout"),
        ("raise MemoryError", "memory"),
    ],
)
def test_failures_of_the_program(server: FakeServer, source: str, status: str) -> None:
    result = piston(server).run(Program("python", source), [""], Limits(time_s=0.5))[0]
    assert result.status == status


def test_cpp_with_a_grader_and_a_header(server: FakeServer) -> None:
    files = {
        "task.h": "int solve(int);",
        "grader.cpp": '#include "task.h"\n#include <cstdio>\n'
        'int main() { int n; std::scanf("%d", &n); std::printf("%d", solve(n)); }',
    }
    source = '#include "task.h"\nint solve(int n) { return 2 * n; }'
    provider = piston(server)
    assert provider.run(Program("cpp", source, files), ["21"], LIMITS)[0].stdout == "42"
    sent = server.requests[-1][2]
    assert [file["name"] for file in sent["files"] if "encoding" not in file] == [
        "main.cpp",
        "grader.cpp",
    ]
    broken = provider.run(Program("cpp", "int main() { return x; }"), ["1", "2"], LIMITS)
    assert [r.status for r in broken] == ["compile_error"] * 2


def test_limits_are_sent_and_nothing_of_what_is_expected(server: FakeServer) -> None:
    piston(server).run(DOUBLE, ["1"], Limits(time_s=1.5, memory_mib=64))
    sent = server.requests[-1][2]
    assert (sent["run_timeout"], sent["run_memory_limit"]) == (1500, 64 << 20)
    names = {"language", "version", "files", "stdin"}
    assert set(sent) == names | {"run_timeout", "run_cpu_time", "run_memory_limit"}


def test_many_at_a_time(server: FakeServer) -> None:
    jobs = [Job(DOUBLE, [str(number)]) for number in range(6)]
    results = piston(server, parallel=3).run_many(jobs, LIMITS)
    assert [r[0].stdout for r in results] == [f"{2 * number}\n" for number in range(6)]


def test_trouble_is_retried_and_then_infrastructure(server: FakeServer) -> None:
    provider = piston(server)
    assert provider.run(DOUBLE, ["1"], LIMITS)[0].status == "ok"
    said = "bash: fork: retry: Resource temporarily unavailable"
    overloaded = {"run": {"stdout": "", "stderr": said, "code": 254}}
    server.failures = [(500, {"message": "oops"}), (0, ""), (200, overloaded)]
    assert provider.run(DOUBLE, ["1"], LIMITS)[0].status == "ok"
    assert provider.counts == {"retries": 3}
    server.failures = [(503, "busy")] * 4
    result = provider.run(DOUBLE, ["1"], LIMITS)[0]
    assert result.status == "infrastructure"
    assert "503 busy (4 tries)" in result.message


def test_a_limit_that_the_server_does_not_allow_is_infrastructure(server: FakeServer) -> None:
    result = piston(server).run(DOUBLE, ["1"], Limits(time_s=60.0))[0]
    assert result.status == "infrastructure"
    assert "configured limit of 5000" in result.message


def test_a_language_that_is_not_installed_names_the_command(server: FakeServer) -> None:
    result = piston(server).run(Program("bash", "echo 1"), [""], LIMITS)[0]
    assert result.status == "infrastructure"
    assert "/api/v2/packages" in result.message


def test_self_test_fails_early() -> None:
    with serving(lambda *_: (404, {"message": "Not Found"})) as nothing:
        url = nothing.url
        with pytest.raises(PrerequisiteError, match="404 Not Found"):
            Piston(url=url, tries=1).self_test()
    with pytest.raises(PrerequisiteError, match="provider_url"):
        Piston(url=url, tries=1).self_test()

    def lies(method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        run = {"stdout": "42\n", "stderr": "", "code": 0, "signal": None}
        return 200, RUNTIMES if method == "GET" else {"run": run}

    with serving(lies) as server, pytest.raises(PrerequisiteError, match="fails came out as ok"):
        Piston(url=server.url).self_test()


def test_self_test_finds_a_server_that_cuts_outputs_off() -> None:
    """1,024 characters is what a server that nobody configured lets through."""
    with (
        serving(FakePiston(most_output=1024)) as server,
        pytest.raises(PrerequisiteError, match="output_limit, with 1024") as caught,
    ):
        Piston(url=server.url).self_test()
    assert "PISTON_OUTPUT_MAX_SIZE" in str(caught.value)


def test_servers_take_turns_and_come_from_open_r1s_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(FakePiston()) as one, serving(FakePiston()) as two:
        monkeypatch.setenv("PISTON_ENDPOINTS", f"{one.url}/api/v2,{two.url}")
        monkeypatch.setenv("PISTON_API_KEY", "sesame")
        provider = make_provider("piston")
        provider.run(DOUBLE, ["1", "2", "3", "4"], LIMITS)
        assert one.paths().count("POST /api/v2/execute") == 2
        assert two.paths().count("POST /api/v2/execute") == 2
        assert one.requests[0][3]["authorization"] == "sesame"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"message": "no"}, "infrastructure"),
        (None, "infrastructure"),
        ({"run": {"code": None, "signal": "SIGKILL", "status": "XX"}}, "infrastructure"),
        ({"run": {"code": None, "signal": "SIGSEGV", "status": "SG"}}, "runtime_error"),
        ({"run": {"code": 0, "signal": None, "stdout": "x" * 2_000_000}}, "output_limit"),
        ({"compile": {"code": None, "signal": "SIGKILL"}, "run": {}}, "compile_error"),
        ({"compile": {"code": None, "status": "XX"}, "run": {}}, "infrastructure"),
    ],
)
def test_answers(answer: Any, status: str) -> None:
    assert read_answer(answer, LIMITS, 0.1).status == status


def test_options_that_cannot_be() -> None:
    with pytest.raises(ParameterError, match="parallel"):
        Piston(parallel=0)
    with pytest.raises(ParameterError):
        make_provider("piston", colour="red")
