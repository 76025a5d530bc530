"""What the rewards that run programs share: their parameters, the provider, its trial run."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import (
    Completion,
    ParameterError,
    Reward,
    check_choice,
    check_count,
    check_number,
    content_of,
)
from r1lab.rewards.code_blocks import language_of, last_program, open_r1_program
from r1lab.sandbox.base import Limits, Program, Provider, make_provider
from r1lab.sandbox.grading import Attempt, run_attempts
from r1lab.sandbox.judging import COMPARE_MODES, CompareMode, Comparison

ProviderName = Literal["local", "piston", "e2b", "morph"]

#: A program that prints "ok", in the languages that a provider can be tried in before training.
HELLO: dict[str, str] = {
    "python": 'print("ok")\n',
    "cpp": '#include <cstdio>\nint main() { std::puts("ok"); }\n',
    "c": '#include <stdio.h>\nint main(void) { puts("ok"); return 0; }\n',
    "javascript": 'console.log("ok")\n',
    "bash": "echo ok\n",
}


class CodeExecution(Reward):
    """Base of the rewards that run what a completion wrote; subclasses say against what.

    An infrastructure failure is no verdict on the program: its value is ``None``, and it is
    counted as ``infrastructure``.
    """

    def __init__(
        self,
        provider: ProviderName,
        provider_url: str | None,
        language: str,
        timeout_s: float,
        memory_mib: int,
        parallel: int | None,
        test_batch_size: int,
        compare: CompareMode,
        float_tolerance: float | None,
        allow_unisolated: bool,
        compat: Literal["open_r1"] | None,
    ):
        super().__init__()
        if not isinstance(language, str) or not language.strip():
            fix = "name a language, as in python or cpp"
            raise ParameterError("language", language, "is no language", fix)
        check_number("timeout_s", timeout_s, 0.1, 3600)
        check_count("memory_mib", memory_mib, 16)
        if parallel is not None:
            check_count("parallel", parallel)
        check_count("test_batch_size", test_batch_size)
        check_choice("compare", compare, COMPARE_MODES)
        if float_tolerance is not None:
            check_number("float_tolerance", float_tolerance, 0.0, 1.0)
            if compare == "exact":
                message = "is of no use with compare = exact, which knows no numbers"
                fix = "set compare=lines or compare=tokens, or float_tolerance=null"
                raise ParameterError("float_tolerance", float_tolerance, message, fix)
        if not isinstance(allow_unisolated, bool):
            fix = "use true or false"
            raise ParameterError("allow_unisolated", allow_unisolated, "is not a switch", fix)
        if compat not in (None, "open_r1"):
            raise ParameterError("compat", compat, "is no option here", "use open_r1 or null")
        self.language, self.compat = language_of(language), compat
        self.limits = Limits(time_s=float(timeout_s), memory_mib=memory_mib)
        self.comparison = Comparison(compare, float_tolerance)
        self.test_batch_size = test_batch_size
        self._options = _options(provider, provider_url, parallel, allow_unisolated)
        self._provider: Provider | None = None
        self._owner = os.getpid()
        self._make_provider()  # starts nothing, and refuses options that cannot be

    def __getstate__(self) -> dict[str, Any]:
        """Leave the provider behind: it is made again where it is needed."""
        return {**self.__dict__, "_provider": None}

    def prepare(self) -> None:
        """Run a known solution and a known failure, and a first program in ``language``."""
        provider = self.provider
        provider.self_test()
        source = HELLO.get(self.language)
        if source is None:
            return
        limits = self.limits
        if provider.name == "local":
            # A machine that is busy starting a training run is no reason to refuse it. Elsewhere
            # the limits are tried too: a server may not allow them.
            limits = replace(limits, time_s=max(30.0, limits.time_s))
        result = provider.run(Program(self.language, source), [""], limits)[0]
        if result.status != "ok" or result.stdout.strip() != "ok":
            said = result.message or result.stderr.strip()[-500:] or repr(result.stdout[:100])
            raise PrerequisiteError(
                f"a sandbox for {self.language}",
                f"the provider {provider.name!r} could not run a first program "
                f"({result.status}: {said})",
                "install what the message names, or set another provider or language for the "
                f"reward {self.__name__!r}",
            )

    @property
    def provider(self) -> Provider:
        """The provider of this process: one that was forked or pickled makes its own."""
        if self._provider is None or self._owner != os.getpid():
            return self._make_provider()
        return self._provider

    def _make_provider(self) -> Provider:
        provider = make_provider(**self._options)
        self._provider, self._owner = provider, os.getpid()
        weakref.finalize(self, provider.close)
        return provider

    def program_text(self, completion: Completion, language: str | None = None) -> str | None:
        """The program that a completion submits, or ``None``: no block in the language."""
        language = language or self.language
        if self.compat == "open_r1":
            return open_r1_program(last_message(completion), language) or None
        return last_program(self.text(completion), language)

    def run(self, attempts: Sequence[Attempt]) -> None:
        """Run the attempts and count what happened."""
        provider = self.provider
        run_attempts(provider, attempts, self.test_batch_size, self.counts)
        self.counts.update(provider.counts)
        provider.counts.clear()


def last_message(completion: Completion) -> str:
    """The text that open-r1 looks at: the last message's, without what the template wrote."""
    return content_of(completion if isinstance(completion, str) else completion[-1:])


def _options(
    provider: str, url: str | None, parallel: int | None, allow_unisolated: bool
) -> dict[str, Any]:
    """The provider's constructor arguments; refuses what would be ignored."""
    options: dict[str, Any] = {"name": provider}
    if parallel is not None:
        options["parallel"] = parallel
    if provider == "local":
        if url is not None:
            message = "the provider local has no address"
            raise ParameterError("provider_url", url, message, "set provider_url=null")
        return {**options, "allow_unisolated": allow_unisolated}
    if allow_unisolated:
        message = f"is about the provider local; {provider} runs programs elsewhere"
        raise ParameterError("allow_unisolated", True, message, "set allow_unisolated=false")
    if url is not None and (not isinstance(url, str) or not url.strip()):
        raise ParameterError("provider_url", url, "is no address", "give a URL, or null")
    return {**options, "url": url}
