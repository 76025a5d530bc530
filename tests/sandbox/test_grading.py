from __future__ import annotations

from collections import Counter

import pytest

from r1lab.sandbox.base import Limits, Program
from r1lab.sandbox.checkers import cpp_checker, python_checker, read_verdict
from r1lab.sandbox.grading import Attempt, run_attempts
from r1lab.sandbox.judging import Comparison
from r1lab.sandbox.testcases import stdin_judge
from tests.sandbox.runner import Runner

LIMITS = Limits()
ECHO = Program("python", "print(input())")


def attempt(source: str, tests: list[tuple[str, str]], stop: bool = False) -> Attempt:
    judges = [stdin_judge(expected, Comparison()) for _, expected in tests]
    stdins = [given for given, _ in tests]
    return Attempt(Program("python", source), stdins, LIMITS, judges, stop_early=stop)


def test_batches_stop_after_a_failure() -> None:
    runner, counts = Runner(), Counter[str]()
    tests = [("1", "1"), ("2", "2"), ("3", "x"), ("4", "4"), ("5", "5")]
    stops, goes_on = attempt("print(input())", tests, stop=True), attempt("print(input())", tests)
    run_attempts(runner, [stops, goes_on], 2, counts)
    assert stops.scores == [1.0, 1.0, 0.0, 1.0]
    assert goes_on.scores == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert [len(stdins) for _, stdins, _ in runner.jobs] == [2, 5, 2]


def test_the_right_output_of_a_program_that_fails_is_no_pass() -> None:
    counts = Counter[str]()
    hostile = [
        "print(input(), flush=True); raise SystemExit(1)",
        "print(input(), flush=True)\nwhile True: pass",
        "import os, signal; print(input(), flush=True); os.kill(os.getpid(), signal.SIGKILL)",
    ]
    attempts = [attempt(source, [("1", "1")]) for source in hostile]
    for each in attempts:
        each.limits = Limits(time_s=0.5)
    run_attempts(Runner(), attempts, 4, counts)
    assert [each.scores for each in attempts] == [[0.0]] * 3
    assert [each.results[0].stdout for each in attempts] == ["1\n"] * 3
    assert counts == {"runtime_error": 2, "timeout": 1}


def test_infrastructure_leaves_a_test_open() -> None:
    counts = Counter[str]()
    each = attempt("print(1)", [("", "1"), ("", "1")])
    run_attempts(Runner(broken=["python"]), [each], 4, counts)
    assert each.scores == [None, None]
    assert counts == {"infrastructure": 1}


CLOSE = """
import sys
given, wanted, said = (open(name).read().split() for name in sys.argv[1:])
assert given == ["2"], given
print(1 if abs(float(said[0]) - float(wanted[0])) < 0.1 else 0)
"""


@pytest.mark.parametrize(
    ("checker", "output", "score", "counted"),
    [
        (CLOSE, "1.45", 1.0, {}),
        (CLOSE, "2.0", 0.0, {}),
        (CLOSE, "nonsense", 0.0, {"checker_failed": 1}),
        ("print('maybe')", "1.4", 0.0, {"checker_failed": 1}),
        ("print(0.25)", "1.4", 0.25, {}),
        ("print('wrong, expected 1')", "1.4", 0.0, {"checker_failed": 1}),
        ("raise SystemExit(1)", "1.4", 0.0, {"checker_failed": 1}),
    ],
)
def test_python_checkers(checker: str, output: str, score: float, counted: dict[str, int]) -> None:
    runner, counts = Runner(), Counter[str]()
    program = Program("python", f"print({output!r})")
    each = Attempt(program, ["2"], LIMITS, checker=python_checker(checker), expected=["1.41421"])
    run_attempts(runner, [each], 4, counts)
    assert (each.scores, dict(counts)) == ([score], counted)
    submission, stdins, _ = runner.jobs[0]
    assert "1.41421" not in repr((submission, stdins))  # the answer stays away from it


def test_a_checker_is_not_asked_about_a_program_that_failed() -> None:
    runner = Runner()
    program = Program("python", "raise SystemExit(1)")
    each = Attempt(program, ["2"], LIMITS, checker=python_checker("print(1)"), expected=["x"])
    run_attempts(runner, [each], 4, Counter())
    assert each.scores == [0.0]
    assert len(runner.jobs) == 1


CPP = """
#include "helper.h"
#include <fstream>
#include <iostream>
int main(int argc, char* argv[]) {
    std::ifstream given(argv[1]), wanted(argv[2]), said(argv[3]);
    std::string a, b, c;
    std::getline(given, a); std::getline(wanted, b); std::getline(said, c);
    std::cout << (argc == 4 && a == "gr\\u00fcn" && same(b, c) ? 0.5 : 0) << std::endl;
    std::cerr << "translate:partial" << std::endl;
    return 0;
}
"""
HELPER = "#include <string>\ninline bool same(std::string a, std::string b) { return a == b; }\n"


def test_cpp_checkers() -> None:
    counts = Counter[str]()
    checker = cpp_checker(CPP, {"helper.h": HELPER})
    each = Attempt(ECHO, ["grün"] * 2, LIMITS, checker=checker, expected=["grün", "rot"])
    run_attempts(Runner(), [each], 4, counts)
    assert (each.scores, counts) == ([0.5, 0.0], {})
    broken = Attempt(ECHO, ["1"], LIMITS, checker=cpp_checker("no C++", {}), expected=["1"])
    run_attempts(Runner(), [broken], 4, counts)
    assert (broken.scores, counts) == ([None], {"checker_unavailable": 1})


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("1", 1.0),
        ("0.5\n", 0.5),
        ("100", None),
        ("-1", None),
        ("", None),
        ("no", None),
        ("nan", None),
        ("wrong, expected 1", None),
    ],
)
def test_verdicts(said: str, verdict: float | None) -> None:
    assert read_verdict(said) == verdict


def test_a_provider_that_loses_results_is_a_bug() -> None:
    class Loses(Runner):
        def run_many(self, jobs, limits):  # type: ignore[no-untyped-def]
            return [[] for _ in jobs]

    with pytest.raises(RuntimeError, match="0 results for 1"):
        run_attempts(Loses(), [attempt("print(1)", [("", "1")])], 4, Counter())
