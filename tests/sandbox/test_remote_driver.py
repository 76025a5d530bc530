"""The script that runs in remote sandboxes, run here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from r1lab.sandbox.base import Limits, Program, Result
from r1lab.sandbox.json_client import RemoteError
from r1lab.sandbox.remote import driver_script, read_report
from tests.sandbox.runner import Runner


def run(source: str, stdin: str = "", language: str = "python", **limits: float) -> Result:
    return Runner().run(Program(language, source), [stdin], Limits(**limits))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("print(input())", "ok"),
        ("raise SystemExit(3)", "runtime_error"),
        ("print(1 / 0)", "runtime_error"),
        ("import time; time.sleep(60)", "timeout"),
        ("while True: pass", "timeout"),
        ("import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: pass", "timeout"),
        ("x = bytearray(900 << 20)", "memory"),
        ("while True: print('x' * 1000)", "output_limit"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output_limit"),
        ("print('right'", "runtime_error"),
    ],
)
def test_outcomes(source: str, status: str) -> None:
    result = run(source, "hello", time_s=1.0, output_bytes=10_000)
    assert result.status == status
    assert len(result.stdout) <= 10_000


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", "print(int(input()) + 1)"),
        ("cpp", "#include <iostream>\nint main() { int a; std::cin >> a; std::cout << a + 1; }"),
        ("c", '#include <stdio.h>\nint main(void){int a;scanf("%d",&a);printf("%d",a+1);}'),
        ("bash", "read a; echo $((a + 1))"),
    ],
)
def test_languages(language: str, source: str) -> None:
    results = Runner().run(Program(language, source), ["1", "41"], Limits())
    assert [(r.status, r.stdout.strip()) for r in results] == [("ok", "2"), ("ok", "42")]


def test_a_program_that_does_not_compile() -> None:
    results = Runner().run(Program("cpp", "int main() { return x; }"), ["1", "2"], Limits())
    assert [r.status for r in results] == ["compile_error"] * 2
    assert "was not declared" in results[0].stderr


def test_further_sources_and_headers_are_compiled_with_it() -> None:
    files = {
        "task.h": "int solve(int);",
        "grader.cpp": '#include "task.h"\n#include <cstdio>\nint n = 1;\n'
        'int main() { std::scanf("%d", &n); std::printf("%d", solve(n)); }',
    }
    program = Program("cpp", '#include "task.h"\nstatic int n = 2;\nint solve(int x) {return n*x;}')
    result = Runner().run(Program("cpp", program.source, files), ["21"], Limits())[0]
    assert (result.status, result.stdout) == ("ok", "42")


def test_a_language_that_is_not_there() -> None:
    result = run("say 1", language="cobol")
    assert (result.status, result.message) == ("infrastructure", "no language 'cobol'")


def test_the_script_runs_alone_and_its_report_is_found() -> None:
    program = Program("python", "print(input() + open('more.txt').read())", {"more.txt": "ü"})
    script, nonce = driver_script(program, ["a", "b"], Limits())
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = read_report(f"noise\n{done.stdout}", nonce, 2)
    assert [result.stdout for result in results] == ["aü\n", "bü\n"]


@pytest.mark.parametrize(
    "text", ["", "R1LAB-REPORT other e30=", "R1LAB-REPORT n", "R1LAB-REPORT n !"]
)
def test_no_report_is_infrastructure(text: str) -> None:
    with pytest.raises(RemoteError, match="report"):
        read_report(text, "n", 1)


def test_a_report_of_the_wrong_length_is_infrastructure() -> None:
    script, nonce = driver_script(Program("python", "print(1)"), ["a"], Limits())
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    with pytest.raises(RemoteError, match="1 results for 2"):
        read_report(done.stdout, nonce, 2)
