"""Codeforces problems: what the submitted program earns on the problem's tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import Completion, ParameterError, check_choice, check_number
from r1lab.rewards.code_blocks import language_of
from r1lab.rewards.code_execution import CodeExecution, ProviderName
from r1lab.sandbox.base import Limits, Program, Result
from r1lab.sandbox.checkers import python_checker
from r1lab.sandbox.grading import Attempt
from r1lab.sandbox.judging import SCORINGS, CompareMode, Scoring, reward_of
from r1lab.sandbox.testcases import TestCase, UnusableTests, read_cases, stdin_judge

#: open-r1's name of the folder of generated tests.
TESTS_FOLDER_VARIABLE = "CF_TESTS_FOLDER"


class CfCode(CodeExecution):
    """What the program earns on a Codeforces problem: its tests, or a penalty for none that runs.

    No code block in the row's language is worth ``no_code_reward``, a program that does not compile
    (for Python: one with a syntax error) ``compile_error_reward``. Else, with ``passed`` of
    ``total`` tests, by ``scoring``,

        weighted_sum:  (1 if passed == total else 0) + 0.1 * passed / total
        partial:       passed / total
        pass_fail:     1 if passed == total else 0

    Columns, as in open-r1/codeforces (``verifiable-prompts``): ``official_tests`` and
    ``generated_tests`` (lists of ``{input, output}``), ``language``, ``time_limit`` (seconds),
    ``memory_limit`` (MB), ``generated_checker``, ``input_mode``, ``interaction_format``, ``id``;
    only the first has to be there. Where ``generated_tests`` is a number, as in the data's newer
    revisions, the tests themselves are read from ``tests_folder`` (or ``$CF_TESTS_FOLDER``), files
    ``test_cases_NNNN.parquet``; without a folder only the official ones run. A
    ``generated_checker`` is a Python program that judges instead of comparing; it is run in the
    sandbox as ``checker.py input.txt correct_output.txt solution_output.txt`` and accepts by
    printing 1.

    ``timeout_s`` and ``memory_mib`` are used where the row has no limits of its own; a Python
    program gets ``python_time_factor`` times the row's time, which was set for C++. ``None``, and
    counted: no tests (``no_tests``), tests that cannot be read (``unusable_tests``), a problem that
    reads files or is interactive (``unsupported``), a sandbox that fails (``infrastructure``).
    Programs run as in the reward ``code``, whose other parameters these are; only ``pass_fail``
    stops after the first batch of ``test_batch_size`` tests with a failed one.

    Source: open-r1's ``cf_code`` (the rewards -1 and -0.1, the three modes). What compares outputs
    there is a script in its build of Piston, which is not at hand: by ``tokens`` is what
    Codeforces' own default checker does. ``compat: open_r1`` looks for the program in all of the
    last message, under the exact label; gives Python no longer time; and is -1 for a row whose
    ``language`` is null. A failing sandbox, a failed test there, stays ``None``.
    """

    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "```python\nprint(sum(map(int, input().split())))\n```",
            "```python\nprint(3)\n```",
            "I would add them up.",
        ],
        "official_tests": [
            [{"input": "1 2", "output": "3"}, {"input": "20 22", "output": "42"}],
        ]
        * 3,
        "language": ["python"] * 3,
        "time_limit": [1.0] * 3,
        "memory_limit": [256.0] * 3,
    }

    def __init__(
        self,
        provider: ProviderName = "local",
        provider_url: str | None = None,
        language: str = "cpp",
        timeout_s: float = 5.0,
        memory_mib: int = 512,
        parallel: int | None = None,
        test_batch_size: int = 16,
        scoring: Scoring = "weighted_sum",
        compare: CompareMode = "tokens",
        float_tolerance: float | None = None,
        python_time_factor: float = 3.0,
        no_code_reward: float = -1.0,
        compile_error_reward: float = -0.1,
        tests_folder: str | None = None,
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
        check_choice("scoring", scoring, SCORINGS)
        check_number("python_time_factor", python_time_factor, 1.0, 100.0)
        check_number("no_code_reward", no_code_reward, high=0.0)
        check_number("compile_error_reward", compile_error_reward, high=0.0)
        if tests_folder is not None and not Path(tests_folder).is_dir():
            fix = "give the folder of the test_cases_NNNN.parquet files, or null"
            raise ParameterError("tests_folder", tests_folder, "is no folder", fix)
        self.scoring, self.tests_folder = scoring, tests_folder
        self.python_time_factor = 1.0 if compat else python_time_factor
        self.no_code_reward, self.compile_error_reward = no_code_reward, compile_error_reward

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        official_tests: Sequence[Any],
        generated_tests: Sequence[Any] | None = None,
        language: Sequence[str | None] | None = None,
        time_limit: Sequence[float | None] | None = None,
        memory_limit: Sequence[float | None] | None = None,
        generated_checker: Sequence[str | None] | None = None,
        input_mode: Sequence[str | None] | None = None,
        interaction_format: Sequence[str | None] | None = None,
        id: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        columns = {
            "official_tests": official_tests,
            "generated_tests": generated_tests,
            "language": language,
            "time_limit": time_limit,
            "memory_limit": memory_limit,
            "generated_checker": generated_checker,
            "input_mode": input_mode,
            "interaction_format": interaction_format,
            "id": id,
        }
        given = {name: column for name, column in columns.items() if column is not None}
        values: list[float | None] = [None] * len(completions)
        attempts: dict[int, Attempt] = {}
        for row, completion in enumerate(completions):
            problem = {name: column[row] for name, column in given.items()}
            cases = self._cases(problem)
            if not cases:
                continue
            source, wanted = self._source(completion, problem)
            if source is None:
                self.counts["no_code"] += 1
                values[row] = self.no_code_reward
            else:
                attempts[row] = self._attempt(Program(wanted, source), cases, problem)
        self.run(list(attempts.values()))
        for row, attempt in attempts.items():
            values[row] = self.value(attempt)
        return values

    def value(self, attempt: Attempt) -> float | None:
        """What an attempt that has been run earns."""
        if not attempt.compiles or is_syntax_error(attempt.results):
            return self.compile_error_reward
        return reward_of(attempt.scores, len(attempt.stdins), self.scoring)

    def _source(self, completion: Completion, problem: dict[str, Any]) -> tuple[str | None, str]:
        label = problem.get("language", self.language)
        if label is None and self.compat:
            return None, self.language
        label = label or self.language
        return self.program_text(completion, label), language_of(label)

    def _cases(self, problem: dict[str, Any]) -> list[TestCase]:
        """The row's tests; none, and counted, where the row cannot be scored."""
        if problem.get("input_mode") == "file" or problem.get("interaction_format"):
            self.counts["unsupported"] += 1
            return []
        generated = problem.get("generated_tests")
        try:
            cases = read_cases(problem["official_tests"])
            if isinstance(generated, int | float):
                cases += self._stored_tests(str(problem.get("id") or "")) if generated else []
            else:
                cases += read_cases(generated)
        except UnusableTests:
            self.counts["unusable_tests"] += 1
            return []
        if not cases:
            self.counts["no_tests"] += 1
        return cases

    def _stored_tests(self, problem_id: str) -> list[TestCase]:
        folder = self.tests_folder or os.environ.get(TESTS_FOLDER_VARIABLE)
        contest = problem_id.partition("/")[0]
        if not folder or not contest.isdecimal():
            self.counts["generated_tests_missing"] += 1
            return []
        return contest_tests(folder, int(contest)).get(problem_id, [])

    def _attempt(self, program: Program, cases: list[TestCase], problem: dict[str, Any]) -> Attempt:
        expected = [case.output for case in cases]
        checker = problem.get("generated_checker")
        return Attempt(
            program,
            [case.input for case in cases],
            self._limits(program.language, problem),
            judges=[] if checker else [stdin_judge(text, self.comparison) for text in expected],
            checker=python_checker(checker) if checker else None,
            expected=expected,
            stop_early=self.scoring == "pass_fail",
        )

    def _limits(self, language: str, problem: dict[str, Any]) -> Limits:
        seconds = float(problem.get("time_limit") or self.limits.time_s)
        if language == "python":
            seconds *= self.python_time_factor
        memory = int(problem.get("memory_limit") or self.limits.memory_mib)
        least = 64 if language == "python" else 16  # some problems allow 4 MB: less than Python
        return replace(self.limits, time_s=seconds, memory_mib=max(least, memory))


def is_syntax_error(results: Sequence[Result]) -> bool:
    """Whether Python refused to load the program: it then says so without a traceback."""
    first = results[0] if results else None
    if first is None or first.status != "runtime_error" or "Traceback" in first.stderr:
        return False
    last = first.stderr.rstrip().rpartition("\n")[2]
    return last.startswith(("SyntaxError", "IndentationError", "TabError"))


@lru_cache(maxsize=32)
def contest_tests(folder: str, contest: int) -> dict[str, list[TestCase]]:
    """``{problem id: tests}`` of a contest's parquet file; empty where there is no such file."""
    file = Path(folder) / f"test_cases_{contest:04d}.parquet"
    if not Path(folder).is_dir():
        raise PrerequisiteError(
            f"the folder {folder}",
            "the reward cf_code reads the generated tests of Codeforces problems from it",
            "hf download --repo-type dataset open-r1/codeforces --include 'generated_tests/*' "
            "--local-dir FOLDER",
        )
    if not file.is_file():
        return {}
    import pandas  # heavy, and for this data only

    table = pandas.read_parquet(file, columns=["problem_id", "input", "output"])
    tests: dict[str, list[TestCase]] = {}
    for problem, given, wanted in table.itertuples(index=False):
        tests.setdefault(problem, []).append(TestCase(given, wanted))
    return tests
