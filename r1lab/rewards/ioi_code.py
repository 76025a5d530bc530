"""Subtasks of the International Olympiad in Informatics: the worst of a subtask's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

from r1lab.rewards.base import Completion, ParameterError, check_number
from r1lab.rewards.code_execution import CodeExecution, ProviderName
from r1lab.sandbox.base import Limits, Program
from r1lab.sandbox.checkers import Checker, cpp_checker
from r1lab.sandbox.grading import Attempt
from r1lab.sandbox.judging import CompareMode
from r1lab.sandbox.testcases import stdin_judge

TEST_DATA = "open-r1/ioi-test-cases"
"""Where the tests of open-r1/ioi are: a configuration a year."""

#: Above this a memory limit is in bytes, as in open-r1/ioi; below, in MiB.
_LARGEST_MIB = 1 << 20


class IoiCode(CodeExecution):
    """The share of a subtask's points that the program earns: the least that any test gives it.

    Value: ``min(score of each test)``, from 0 to 1, times the row's ``score`` (the subtask's
    points) with ``points: true``. Tests run in batches of ``test_batch_size``, and no further once
    one is worth 0. No C++ block and a program that does not compile are worth 0.

    Columns, as in open-r1/ioi: ``id``, ``year``, ``test_names``, ``time_limit`` (seconds),
    ``memory_limit`` (bytes, or MiB where it is small), ``grader_files`` (pairs of name and text),
    ``task_type``, ``score``, ``score_precision``, and optionally ``test_cases`` (pairs of input and
    output, one a name). Without ``test_cases`` they are loaded from ``test_data``, a dataset or
    folder with a configuration a year: by default open-r1/ioi-test-cases, hundreds of MB a year.

    Supported are tasks of type ``Batch``: the submission is compiled with the row's
    ``graders/grader.cpp`` (or ``stub.cpp``) and headers, or alone where there are none; it reads
    the test's input from standard input. ``checker/checker.cpp`` judges its output, run in the
    sandbox as ``checker input.txt correct_output.txt solution_output.txt``; without one the output
    is compared. Not supported, hence ``None`` and counted as ``unsupported``: ``Communication``
    (a manager that talks to the submission), ``OutputOnly`` and other types. ``None`` and counted
    too: a row without tests (``no_tests``), a sandbox that fails (``infrastructure``).

    As in open-r1, ``#include <bits/stdc++.h>``, the task's own header, and ``using namespace std``
    (where ``std::`` does not occur) are put before the program. ``timeout_s`` and ``memory_mib``
    are used where the row has no limits; the other parameters are those of the reward ``code``.

    Source: open-r1's ``ioi_code``. ``compat: open_r1`` looks for the program in all of the last
    message, and rounds the value to the row's ``score_precision``. A failing sandbox, 0 there,
    stays ``None``.
    """

    def __init__(
        self,
        provider: ProviderName = "local",
        provider_url: str | None = None,
        language: str = "cpp",
        timeout_s: float = 5.0,
        memory_mib: int = 2048,
        parallel: int | None = None,
        test_batch_size: int = 16,
        compare: CompareMode = "lines",
        float_tolerance: float | None = None,
        points: bool = False,
        test_data: str = TEST_DATA,
        allow_unisolated: bool = False,
        compat: Literal["open_r1"] | None = None,
    ):
        super().__init__(
            provider=provider,
            provider_url=provider_url,
            language=language,
            timeout_s=timeout_s,
            memory_mib=memory_mib,
            parallel=parallel,
            test_batch_size=test_batch_size,
            compare=compare,
            float_tolerance=float_tolerance,
            allow_unisolated=allow_unisolated,
            compat=compat,
        )
        if self.language != "cpp":
            message = "IOI's graders are written in C++"
            raise ParameterError("language", language, message, "set language=cpp")
        if not isinstance(points, bool):
            raise ParameterError("points", points, "is not a switch", "use true or false")
        if not isinstance(test_data, str) or not test_data.strip():
            fix = f"name a dataset or a folder, as in {TEST_DATA}"
            raise ParameterError("test_data", test_data, "names no data", fix)
        self.points, self.test_data = points, test_data

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        id: Sequence[str],
        test_names: Sequence[Sequence[str]],
        test_cases: Sequence[Any] | None = None,
        year: Sequence[int] | None = None,
        time_limit: Sequence[float | None] | None = None,
        memory_limit: Sequence[float | None] | None = None,
        grader_files: Sequence[Any] | None = None,
        task_type: Sequence[str | None] | None = None,
        score: Sequence[float | None] | None = None,
        score_precision: Sequence[int | None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        columns = {
            "id": id,
            "test_names": test_names,
            "test_cases": test_cases,
            "year": year,
            "time_limit": time_limit,
            "memory_limit": memory_limit,
            "grader_files": grader_files,
            "task_type": task_type,
            "score": score,
            "score_precision": score_precision,
        }
        given = {name: column for name, column in columns.items() if column is not None}
        values: list[float | None] = [None] * len(completions)
        attempts: dict[int, tuple[Attempt, dict[str, Any]]] = {}
        for row, completion in enumerate(completions):
            task = {name: column[row] for name, column in given.items()}
            if str(task.get("task_type") or "Batch").lower() != "batch":
                self.counts["unsupported"] += 1
                continue
            tests = self._tests(task)
            if not tests:
                self.counts["no_tests"] += 1
                continue
            source = self.program_text(completion)
            if source is None:
                self.counts["no_code"] += 1
                values[row] = 0.0
            else:
                attempts[row] = self._attempt(source, tests, task), task
        self.run([attempt for attempt, _ in attempts.values()])
        for row, (attempt, task) in attempts.items():
            values[row] = self.value(attempt, task)
        return values

    def value(self, attempt: Attempt, task: Mapping[str, Any]) -> float | None:
        """What an attempt that has been run earns on its subtask."""
        known = [score for score in attempt.scores if score is not None]
        if 0.0 not in known and len(known) < len(attempt.scores):
            return None
        least = min(known)
        if self.points:
            points = task.get("score")
            if points is None:
                raise ValueError("points = true needs the column `score`, the subtask's points")
            check_number("score", points, 0.0)
            least *= float(points)
        precision = task.get("score_precision")
        return round(least, int(precision)) if self.compat and precision is not None else least

    def _tests(self, task: Mapping[str, Any]) -> list[tuple[str, str]]:
        """``(input, expected output)`` of the subtask's tests, in the order of their names."""
        names, cases = task["test_names"], task.get("test_cases")
        if cases is None:
            if task.get("year") is None:
                return []
            stored = year_tests(self.test_data, int(task["year"]))
            cases = stored.get(str(task["id"]), {})
        elif not isinstance(cases, Mapping):
            cases = dict(zip(names, cases, strict=True))
        missing = [name for name in names if name not in cases]
        if missing:
            raise ValueError(f"{task['id']}: there is no test case called {missing[0]!r}")
        return [(cases[name][0], cases[name][1]) for name in names]

    def _attempt(
        self, source: str, tests: list[tuple[str, str]], task: Mapping[str, Any]
    ) -> Attempt:
        program, checker = build(source, str(task["id"]), task.get("grader_files") or [])
        expected = [output for _, output in tests]
        return Attempt(
            program,
            [given for given, _ in tests],
            self._limits(task),
            judges=[] if checker else [stdin_judge(text, self.comparison) for text in expected],
            checker=checker,
            expected=expected,
            stop_early=True,
        )

    def _limits(self, task: Mapping[str, Any]) -> Limits:
        seconds = float(task.get("time_limit") or self.limits.time_s)
        memory = int(task.get("memory_limit") or self.limits.memory_mib)
        mib = memory >> 20 if memory > _LARGEST_MIB else memory
        # Outputs of IOI's tests reach 10 MB.
        return replace(self.limits, time_s=seconds, memory_mib=max(16, mib), output_bytes=32 << 20)


def build(source: str, task: str, files: Any) -> tuple[Program, Checker | None]:
    """The submission with the task's graders beside it, and the task's checker.

    ``files`` are pairs ``(name, text)`` as in open-r1/ioi: ``graders/...`` and ``checker/...``.
    """
    pairs = files.items() if isinstance(files, Mapping) else files
    graders: dict[str, str] = {}
    checkers: dict[str, str] = {}
    for name, text in pairs:
        folder, _, base = str(name).rpartition("/")
        if text and base.endswith((".cpp", ".cc", ".h", ".hpp")):
            (checkers if folder.endswith("checker") else graders)[base] = text
    graders.pop("manager.cpp", None)
    header = f"{task}.h"
    program = Program("cpp", with_includes(source, header if header in graders else None), graders)
    judge = checkers.pop("checker.cpp", None)
    if judge is None:
        return program, None
    headers = {name: text for name, text in graders.items() if name.endswith((".h", ".hpp"))}
    return program, cpp_checker(judge, {**headers, **checkers})


def with_includes(source: str, header: str | None) -> str:
    """The program with the headers and the namespace that models tend to forget, as in open-r1."""
    lines = ["#include <bits/stdc++.h>"]
    if header is not None and f'#include "{header}"' not in source:
        lines.append(f'#include "{header}"')
    if "std::" not in source and "using namespace std;" not in source:
        lines.append("using namespace std;")
    return "\n".join([*lines, source])


@lru_cache(maxsize=2)
def year_tests(data: str, year: int) -> dict[str, dict[str, tuple[str, str]]]:
    """``{task: {test name: (input, output)}}`` of a year of :data:`TEST_DATA`."""
    import datasets  # heavy, and for this data only

    tests: dict[str, dict[str, tuple[str, str]]] = {}
    for row in datasets.load_dataset(data, name=str(year), split="train"):
        case = (row["test_input"], row["test_output"])
        tests.setdefault(row["problem_id"], {})[row["test_name"]] = case
    return tests
