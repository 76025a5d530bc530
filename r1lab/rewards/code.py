"""The share of test cases that the submitted program passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from r1lab.rewards.base import Completion, ParameterError, check_choice
from r1lab.rewards.code_blocks import language_of
from r1lab.rewards.code_execution import CodeExecution, ProviderName
from r1lab.sandbox.base import Program
from r1lab.sandbox.grading import Attempt
from r1lab.sandbox.judging import SCORINGS, CompareMode, Judge, Scoring, reward_of
from r1lab.sandbox.testcases import (
    CALL,
    Tests,
    UnusableTests,
    call_judge,
    call_stdin,
    caller,
    open_r1_judge,
    read_verification_info,
    stdin_judge,
)


class Code(CodeExecution):
    """The share of the row's test cases that the completion's program passes.

    The program is the last fenced block of the row's language after the reasoning; a completion
    without one earns 0 and is counted as ``no_code``. Tests are the column ``verification_info``:
    ``{"language": ..., "test_cases": [{"input", "output", "type", "fn_name"}, ...]}``, a mapping
    or its JSON. A test of type ``stdin_stdout`` (the default) feeds ``input`` to the program; one
    of type ``function_call`` (Python only) calls ``fn_name`` with the JSON list ``input``. Expected
    outputs stay outside the sandbox. A test is passed when the program ends by itself with exit
    code 0, inside its limits, having printed the expected output: printing it and then crashing or
    running on does not pass.

    With ``passed`` of ``total`` tests the value is, by ``scoring``,

        partial:       passed / total
        pass_fail:     1 if passed == total else 0
        weighted_sum:  pass_fail + 0.1 * passed / total

    ``None`` is for a row without tests (counted as ``no_tests``), with tests that cannot be read
    (``unusable_tests``), or that call functions of another language than Python (``unsupported``),
    and for a sandbox that fails (``infrastructure``). Each way of failing is counted once a
    completion: ``timeout``, ``runtime_error``, ``compile_error``, ``memory``, ``output_limit``.

    ``provider`` runs the programs: ``local`` in a sandbox of this machine, ``piston`` at
    ``provider_url``, ``e2b`` and ``morph`` in their clouds, or behind open-r1's router at
    ``provider_url``. ``language`` is used where the row names none. ``timeout_s`` (wall time) and
    ``memory_mib`` are for one test. ``parallel`` programs run at a time (null: the provider's
    default). Where a failed test settles the value (``pass_fail``), tests run in batches of
    ``test_batch_size`` and stop after the first batch with a failure. ``compare`` is ``exact``,
    ``lines`` (white space at the end of a line and of the output is forgiven, the number of lines
    is not) or ``tokens`` (words, whatever is between them); ``float_tolerance`` forgives numbers
    an absolute or relative error. ``allow_unisolated`` lets ``local`` run where it can isolate
    nothing.

    Source: open-r1's ``code`` reward, data of open-r1/verifiable-coding-problems-python.
    ``compat: open_r1`` gives its values: any block labelled python in the last message counts,
    reasoning included; no block is an empty program; an output that is the beginning of the
    expected one (or goes on after it) passes; one test that times out makes the value 0, and so do
    no tests; every test is a ``stdin_stdout`` one. A failing sandbox stays ``None``.
    """

    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "```python\na, b = map(int, input().split())\nprint(a + b)\n```",
            "```python\nprint(3)\n```",
            "The answer is 3.",
        ],
        "verification_info": [
            {
                "language": "python",
                "test_cases": [
                    {"input": "1 2", "output": "3"},
                    {"input": "20 22", "output": "42"},
                ],
            }
        ]
        * 3,
    }

    def __init__(
        self,
        provider: ProviderName = "local",
        provider_url: str | None = None,
        language: str = "python",
        timeout_s: float = 5.0,
        memory_mib: int = 512,
        parallel: int | None = None,
        test_batch_size: int = 16,
        scoring: Scoring = "partial",
        compare: CompareMode = "lines",
        float_tolerance: float | None = None,
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
        if compat is not None:
            _refuse_beside_compat(scoring=scoring, compare=compare, float_tolerance=float_tolerance)
        self.scoring = scoring

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], verification_info: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        values: list[float | None] = [None] * len(completions)
        attempts: dict[int, Attempt] = {}
        for row, (completion, info) in enumerate(zip(completions, verification_info, strict=True)):
            tests = self._tests(info)
            if not tests.cases:
                values[row] = 0.0 if self.compat else None
                continue
            language = language_of(tests.language or self.language)
            source = self.program_text(completion, "python" if self.compat else language)
            if source is None and not self.compat:
                self.counts["no_code"] += 1
                values[row] = 0.0
                continue
            attempt = self._attempt(source or "", language, tests)
            if attempt is None:
                self.counts["unsupported"] += 1
            else:
                attempts[row] = attempt
        self.run(list(attempts.values()))
        for row, attempt in attempts.items():
            values[row] = self.value(attempt)
        return values

    def stops_early(self, total: int) -> bool:
        """Whether one failed test out of ``total`` settles the value."""
        return self.scoring == "pass_fail"

    def value(self, attempt: Attempt) -> float | None:
        """What an attempt that has been run earns."""
        if self.compat and any(result.status == "timeout" for result in attempt.results):
            return 0.0
        return reward_of(attempt.scores, len(attempt.stdins), self.scoring)

    def _tests(self, info: Any) -> Tests:
        """The row's tests; none, and counted, where there are none or they cannot be read."""
        try:
            tests = read_verification_info(info)
        except UnusableTests:
            self.counts["unusable_tests"] += 1
            return Tests([])
        if not tests.cases:
            self.counts["no_tests"] += 1
        return tests

    def _attempt(self, source: str, language: str, tests: Tests) -> Attempt | None:
        """The run of a program; ``None`` for tests that call functions of another language."""
        cases, stop = tests.cases, self.stops_early(len(tests.cases))
        stdins = [case.input for case in cases]
        if self.compat:
            judges: list[Judge] = [open_r1_judge(case.output) for case in cases]
            return Attempt(Program("python", source), stdins, self.limits, judges)
        calls = [case.type == CALL for case in cases]
        if not any(calls):
            judges = [stdin_judge(case.output, self.comparison) for case in cases]
            return Attempt(Program(language, source), stdins, self.limits, judges, stop_early=stop)
        if not all(calls) or language != "python":
            return None
        judges = [call_judge(case.output, self.comparison) for case in cases]
        stdins = [call_stdin(case) for case in cases]
        return Attempt(caller(source), stdins, self.limits, judges, stop_early=stop)


def _refuse_beside_compat(**values: Any) -> None:
    """Refuse what ``compat`` decides: a value that is ignored would not be noticed."""
    defaults = {"scoring": "partial", "compare": "lines", "float_tolerance": None}
    for name, value in values.items():
        if value != defaults[name]:
            fix = f"set compat=null, or leave {name} out"
            raise ParameterError(name, value, "is decided by compat = open_r1", fix)
