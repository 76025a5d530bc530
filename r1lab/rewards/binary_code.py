"""1 for a program that passes (nearly) all of its test cases, else 0."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from r1lab.rewards.base import ParameterError, check_number
from r1lab.rewards.code import Code
from r1lab.rewards.code_execution import ProviderName
from r1lab.sandbox.grading import Attempt
from r1lab.sandbox.judging import CompareMode


class BinaryCode(Code):
    """1.0 when more than ``threshold`` of the test cases pass, else 0.0.

    Value: ``1 if code > threshold else 0``, where ``code`` is the reward of that name with
    ``scoring: partial``. At the default of 0.99 all of up to 100 tests have to pass; where one
    failed test settles the value like that, they run in batches of ``test_batch_size`` and stop
    after the first batch with a failure. ``None`` as there.

    The other parameters are those of ``code``. Source: open-r1's ``binary_code``, whose threshold
    is 0.99; ``compat: open_r1`` is that of ``code``.
    """

    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = Code.example

    def __init__(
        self,
        threshold: float = 0.99,
        provider: ProviderName = "local",
        provider_url: str | None = None,
        language: str = "python",
        timeout_s: float = 5.0,
        memory_mib: int = 512,
        parallel: int | None = None,
        test_batch_size: int = 16,
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
        check_number("threshold", threshold, 0.0, 1.0)
        if threshold == 1.0:
            fix = "give a share below 1, as in 0.99"
            raise ParameterError("threshold", threshold, "is more than can be passed", fix)
        self.threshold = threshold

    def stops_early(self, total: int) -> bool:
        return self.compat is None and 1.0 - 1.0 / total <= self.threshold

    def value(self, attempt: Attempt) -> float | None:
        failed = any(score is not None and score < 1.0 for score in attempt.scores)
        if failed and self.stops_early(len(attempt.stdins)):
            return 0.0
        share = super().value(attempt)
        return None if share is None else float(share > self.threshold)
