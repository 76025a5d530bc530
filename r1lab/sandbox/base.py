"""The interface behind which untrusted programs run: a program, its inputs, limits, results.

What the tests expect is no part of it: a provider is told what to run and on which input, and the
comparison happens in the caller. What never enters a sandbox cannot be read there.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from r1lab.rewards.base import ParameterError, check_choice, check_count, check_number

Status = Literal[
    "ok",
    "runtime_error",
    "compile_error",
    "timeout",
    "memory",
    "output_limit",
    "infrastructure",
]

#: Provider's name -> where its class is. Imported when asked for: a client costs nothing unused.
PROVIDERS: dict[str, str] = {
    "local": "r1lab.sandbox.local:Local",
    "piston": "r1lab.sandbox.piston:Piston",
    "e2b": "r1lab.sandbox.e2b:E2B",
    "morph": "r1lab.sandbox.morph:Morph",
}


@dataclass(frozen=True)
class Program:
    """What a model wrote, and what has to lie beside it when it runs.

    ``files`` maps relative paths to text; they are written into the program's folder before every
    run, a header or a grader included, so that compiling finds them too.
    """

    language: str
    source: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What one run of a program on one input may use.

    Raises ``ParameterError`` for a number that makes no sense.
    """

    #: Wall time, seconds.
    time_s: float = 5.0
    #: CPU time of all the program's processes together, seconds; ``None`` means ``time_s``.
    cpu_s: float | None = None
    #: Memory of all the program's processes together.
    memory_mib: int = 512
    #: Processes and threads at the same time.
    processes: int = 16
    #: Standard output and standard error, each.
    output_bytes: int = 1 << 20
    #: All that lies in the program's folder, beside what was put there.
    file_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        check_number("time_s", self.time_s, 0.01, 3600.0)
        if self.cpu_s is not None:
            check_number("cpu_s", self.cpu_s, 0.01, 3600.0)
        for name in ("memory_mib", "processes", "output_bytes"):
            check_count(name, getattr(self, name))
        check_count("file_bytes", self.file_bytes, 0)


@dataclass(frozen=True)
class Result:
    """What became of one run.

    ``ok`` means: ended by itself, within all limits, with exit code 0. Output that came before a
    failure is kept, so who scores must ask for ``ok`` and not only compare ``stdout``.
    ``infrastructure`` says nothing about the program: the sandbox could not run it (``message``
    tells why), and a reward has to leave it out.
    """

    status: Status
    stdout: str = ""
    stderr: str = ""
    #: Negative: the number of the signal that ended it. ``None``: it never started.
    exit_code: int | None = None
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Job:
    """One program and all the inputs that it is to be run on."""

    program: Program
    stdins: Sequence[str]


class Provider(Protocol):
    """Runs programs. Safe to share between threads."""

    name: str
    #: What happened beside the results (``unisolated``, ``retries``, ...), for a reward's metrics.
    counts: Counter[str]

    def run(self, program: Program, stdin: Sequence[str], limits: Limits) -> list[Result]:
        """One result an input, in order; a language that compiles is compiled once.

        Never raises for what a program does.
        """

    def run_many(self, jobs: Sequence[Job], limits: Limits) -> list[list[Result]]:
        """``run`` for each job, at most the provider's ``parallel`` of them at a time."""

    def self_test(self) -> None:
        """Run a program that must succeed and one that must fail.

        Raises ``PrerequisiteError`` where either comes out otherwise.
        """

    def close(self) -> None:
        """End whatever the provider still has running."""


def make_provider(name: str, **options: Any) -> Provider:
    """The provider called ``name``, constructed with ``options``; nothing is started by that.

    Raises ``ParameterError`` for an unknown name or an option that the provider does not have.
    """
    check_choice("provider", name, list(PROVIDERS))
    module, _, class_name = PROVIDERS[name].partition(":")
    factory = getattr(importlib.import_module(module), class_name)
    try:
        return cast(Provider, factory(**options))
    except TypeError as error:
        fix = f"see {module}.{class_name} for its options"
        raise ParameterError("provider", name, str(error), fix) from error
