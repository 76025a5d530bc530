"""Untrusted programs on this machine, in namespaces of their own; see docs/sandbox.md."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError, check_choice, check_count
from r1lab.sandbox.base import Job, Limits, Program, Result
from r1lab.sandbox.inside.scratch import empty
from r1lab.sandbox.languages import COMPILE_LIMITS, LANGUAGES, find_language
from r1lab.sandbox.seccomp import syscall_filter
from r1lab.sandbox.session import Session, SessionDied
from r1lab.sandbox.specification import Isolation, Place, command, specify
from r1lab.sandbox.view import (
    PACKAGES,
    find_tool,
    make_view,
    missing_packages,
    package_path,
    search_path,
)

logger = logging.getLogger(__name__)

Mechanism = Literal["auto", "namespaces", "bubblewrap"]

#: Seconds in which a sandbox stands, on a machine busy with other things.
START_LIMIT = 60.0
#: Sandboxes that may die under one program before its other inputs are given up.
MOST_DEATHS = 3

_PROBE = Program("python", "print(6 * 7)")


class Local:
    """Runs programs in subprocesses that see nothing of the machine that they do not need.

    ``parallel`` programs at a time (default: the CPUs this process may use). ``mechanism``: user
    namespaces set up by r1lab (``namespaces``) or by bubblewrap, where that is installed; ``auto``
    takes the first of the two that works. Where neither does, nothing is run, unless
    ``allow_unisolated`` says that programs may then read the user's files and signal the user's
    processes. ``packages``: importable Python packages; all others are hidden. ``read_only``:
    further folders to show, such as a compiler's own (its ``bin`` is searched). ``languages``: what
    ``self_test`` tries.
    """

    name = "local"

    def __init__(
        self,
        parallel: int | None = None,
        allow_unisolated: bool = False,
        mechanism: Mechanism = "auto",
        packages: Sequence[str] = ("numpy",),
        read_only: Sequence[str] = (),
        languages: Sequence[str] = ("python",),
    ):
        if parallel is not None:
            check_count("parallel", parallel)
        check_choice("mechanism", mechanism, ("auto", "namespaces", "bubblewrap"))
        for name in languages:
            if find_language(name) is None:
                fix = f"use some of {', '.join(LANGUAGES)}"
                raise ParameterError("languages", name, "cannot be run here", fix)
        for folder in read_only:
            if not os.path.isdir(folder) or _holds_home(folder):
                fix = "name a folder that holds programs, and not your home folder"
                raise ParameterError("read_only", folder, "is no folder to be shown", fix)
        for name in missing_packages(packages):
            fix = "install it, or leave it out"
            raise ParameterError("packages", name, "is no installed package", fix)
        self.parallel = parallel or len(os.sched_getaffinity(0))
        self.allow_unisolated = allow_unisolated
        self.mechanism = mechanism
        self.packages, self.read_only = tuple(packages), tuple(read_only)
        self.languages = tuple(languages)
        self.counts: Counter[str] = Counter()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._isolation: Isolation | None = None
        self._sessions: set[Session] = set()
        self._closed = 0

    def _if_forked(self) -> None:
        """A forked child has the parent's sandboxes, which are not its own, and maybe its lock."""
        if self._process != os.getpid():
            self._start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def run(self, program: Program, stdin: Sequence[str], limits: Limits) -> list[Result]:
        """One result an input, each from a fresh process in a fresh folder."""
        self._if_forked()
        return self._serve(program, stdin, limits, self._closed)

    def _serve(
        self, program: Program, stdin: Sequence[str], limits: Limits, closed: int
    ) -> list[Result]:
        try:
            isolation = self.isolation()
        except PrerequisiteError as error:
            return [Result("infrastructure", message=str(error))] * len(stdin)
        if isolation == "none":
            self._count("unisolated")
        return self._run(program, stdin, limits, isolation, closed)

    def run_many(self, jobs: Sequence[Job], limits: Limits) -> list[list[Result]]:
        """As ``run``, ``parallel`` programs at a time."""
        if len(jobs) < 2:
            return [self.run(job.program, job.stdins, limits) for job in jobs]
        self._if_forked()
        closed = self._closed
        with ThreadPoolExecutor(min(self.parallel, len(jobs)), "sandbox") as pool:
            running = [
                pool.submit(self._serve, job.program, job.stdins, limits, closed) for job in jobs
            ]
            try:
                return [future.result() for future in running]
            except BaseException:  # Ctrl-C included
                pool.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def self_test(self) -> None:
        """Try the isolation, and in each language a right program and one that fails."""
        isolation = self.isolation()
        for name in self.languages:
            language = find_language(name)
            assert language is not None
            if find_tool(language, self.read_only) is None:
                raise PrerequisiteError(
                    " or ".join(language.tools),
                    f"programs in {name} need it, in {', '.join(search_path(self.read_only))}",
                    f"apt-get install {language.tools[0]}, or name its folder in read_only",
                )
            right, wrong = (Program(name, source) for source in language.trial)
            limits = Limits(time_s=20.0, memory_mib=1024)
            [good], [bad] = (self.run(p, ["3 4\n"], limits) for p in (right, wrong))
            if good.status != "ok" or good.stdout.strip() != "7" or bad.status != "runtime_error":
                raise PrerequisiteError(
                    f"a working sandbox for {name}",
                    f"a program that adds two numbers came out as {good}, one that exits with 3 "
                    f"as {bad}",
                    f"look at what {language.tools[0]} says on this machine",
                )
        if isolation != "none":
            self._test_isolation(isolation)

    def close(self) -> None:
        """Kill what runs; the calls that wait for it return ``infrastructure`` results.

        Later calls run as ever.
        """
        self._if_forked()
        with self._lock:
            self._closed += 1
            for session in self._sessions:
                session.close()

    def isolation(self) -> Isolation:
        """What this machine allows, found out once. Raises ``PrerequisiteError`` for nothing."""
        self._if_forked()
        with self._lock:
            if self._isolation is None:
                self._isolation = self._choose()
            return self._isolation

    def _choose(self) -> Isolation:
        wanted: dict[str, list[Isolation]] = {
            "auto": ["namespaces", "bubblewrap"],
            "namespaces": ["namespaces"],
            "bubblewrap": ["bubblewrap"],
        }
        reasons = []
        for isolation in wanted[self.mechanism]:
            reason = self._try(isolation)
            if reason is None:
                return isolation
            reasons.append(f"{isolation}: {reason}")
        if not self.allow_unisolated:
            raise PrerequisiteError(
                "isolation for untrusted programs",
                "; ".join(reasons),
                "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 or "
                "kernel.apparmor_restrict_unprivileged_userns=0; for a container see "
                "docs/sandbox.md), install bubblewrap, or use a remote provider; "
                "allow_unisolated=true runs programs with your rights",
            )
        logger.warning(
            "programs written by the model run WITHOUT isolation, since allow_unisolated is true: "
            "they can read your files and signal your processes (%s)",
            "; ".join(reasons),
        )
        return "none"

    def _try(self, isolation: Isolation) -> str | None:
        """Why it does not work here, or ``None``."""
        try:
            syscall_filter()
        except (PrerequisiteError, OSError) as error:
            return str(error)
        if isolation == "bubblewrap":
            if shutil.which("bwrap") is None:
                return "bwrap is not installed"
            if os.geteuid() == 0 and _is_real_root():
                return "not for root, who can have namespaces without it"
        [result] = self._run(_PROBE, [""], Limits(time_s=20.0), isolation)
        if result.status == "ok" and result.stdout.strip() == "42":
            return None
        return result.message or f"a program that prints 42 came out as {result}"

    def _test_isolation(self, isolation: Isolation) -> None:
        with tempfile.TemporaryDirectory(prefix="r1lab-") as folder:
            path = Path(folder, "outside")
            path.write_text("outside")
            source = f"import os; print(os.path.exists({str(path)!r}), os.path.exists('/proc/9'))"
            [result] = self._run(Program("python", source), [""], Limits(time_s=20.0), isolation)
        if result.stdout.split() != ["False", "False"]:
            raise PrerequisiteError(
                "a sandbox that isolates",
                f"asked whether it sees {path} and other processes, a program gave {result}",
                "use a remote provider, and report this",
            )

    def _run(
        self,
        program: Program,
        stdin: Sequence[str],
        limits: Limits,
        isolation: Isolation,
        closed: int | None = None,
    ) -> list[Result]:
        results: list[Result] = []
        deaths, repeated = 0, False
        closed = self._closed if closed is None else closed
        while len(results) < len(stdin):
            try:
                if closed != self._closed:
                    raise SessionDied("the provider was closed")
                with self._session(program, limits, isolation) as session:
                    ready = session.ready(START_LIMIT + COMPILE_LIMITS.time_s)
                    if ready.status != "ok":
                        return results + [ready] * (len(stdin) - len(results))
                    for text in stdin[len(results) :]:
                        data = text.encode(errors="replace")
                        results.append(session.run(data, limits.time_s))
                        repeated = False
            except (SessionDied, OSError, ValueError) as error:
                failed = Result("infrastructure", message=str(error))
                deaths += 1
                if closed != self._closed or deaths >= MOST_DEATHS or isinstance(error, ValueError):
                    return results + [failed] * (len(stdin) - len(results))
                # Once more: something else on the machine may have killed it.
                if repeated:
                    results.append(failed)
                else:
                    self._count("retries")
                repeated = not repeated
        return results

    @contextmanager
    def _session(self, program: Program, limits: Limits, isolation: Isolation) -> Iterator[Session]:
        """A running sandbox; ``ValueError`` for a program that cannot be run here."""
        language = find_language(program.language)
        if language is None:
            raise ValueError(f"no way to run programs in {program.language!r} here")
        tool = find_tool(language, self.read_only)
        if tool is None:
            raise ValueError(f"{' or '.join(language.tools)} is not installed")
        view = make_view(self.packages, self.read_only)
        folder = tempfile.mkdtemp(prefix="r1lab-sandbox-") if isolation == "none" else None
        try:
            place = Place(
                folder or "/scratch",
                search_path(self.read_only),
                package_path(self.packages) if folder else PACKAGES,
            )
            specification = specify(program, language, tool, limits, isolation, view, place)
            session = Session(command(isolation, specification, view), specification)
            with self._lock:
                self._sessions.add(session)
            try:
                with session:
                    yield session
            finally:
                with self._lock:
                    self._sessions.discard(session)
                session.release()
        finally:
            if folder:
                empty(folder)
                os.rmdir(folder)

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


def _holds_home(folder: str) -> bool:
    return Path.home().resolve().is_relative_to(Path(folder).resolve())


def _is_real_root() -> bool:
    """Whether user 0 here is root of the machine, and not of a user namespace around us."""
    return Path("/proc/self/uid_map").read_text().split()[1:] == ["0", "4294967295"]
