"""From a program and its limits to what the inside of a sandbox is told."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import r1lab
from r1lab.errors import PrerequisiteError
from r1lab.sandbox.base import Limits, Program
from r1lab.sandbox.inside.scratch import SLACK
from r1lab.sandbox.languages import BINARY, COMPILE_LIMITS, Language
from r1lab.sandbox.seccomp import syscall_filter
from r1lab.sandbox.view import INSIDE, View, interpreter

Isolation = Literal["namespaces", "bubblewrap", "none"]

_START = (
    "import sys; sys.path.append(sys.argv[1]); from r1lab.sandbox.inside.main import main; main()"
)


class Place(NamedTuple):
    """Where programs run: their folder, and what PATH and PYTHONPATH are."""

    scratch: str
    path: list[str]
    python_path: str


def specify(
    program: Program,
    language: Language,
    tool: str,
    limits: Limits,
    isolation: Isolation,
    view: View,
    place: Place,
) -> dict[str, Any]:
    """What ``r1lab.sandbox.inside.main`` reads. Raises ``ValueError`` for a file's bad path."""
    files = {_checked(name): text for name, text in program.files.items()}
    files[language.source] = program.source

    def argv(parts: tuple[str, ...]) -> list[str]:
        return language.command(parts, tool, files, limits.memory_mib)

    return {
        "isolation": isolation,
        "scratch": place.scratch,
        "view": view.to_dict(),
        "rules": syscall_filter() if isolation != "none" else _filter_if_any(),
        "user_namespace": os.readlink("/proc/self/ns/user"),
        "processes_per_namespace": _counts_by_namespace(),
        "files": {name: text.encode(errors="replace") for name, text in files.items()},
        "compile": argv(language.compile) if language.compile else None,
        "makes": BINARY,
        "run": argv(language.run),
        "environment": _environment(place),
        "limits": _limits(limits, language),
        "compile_limits": _limits(COMPILE_LIMITS, language),
    }


def command(isolation: Isolation, specification: dict[str, Any], view: View) -> list[str]:
    """What starts the sandbox that ``specification`` is for."""
    root = str(Path(r1lab.__file__).parents[1])
    start = [interpreter(), "-I", "-S", "-c", _START]
    if isolation != "bubblewrap":
        return [*start, root]
    largest = "compile_limits" if specification["compile"] else "limits"
    room = specification[largest]["file_bytes"] + SLACK
    room += 2 * sum(map(len, specification["files"].values()))
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"),
        *("--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv", "--chdir", "/"),
        *view.bubblewrap(room),
        "--",
        *start,
        INSIDE,
    ]


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or str(path) == ".":
        raise ValueError(f"{name!r} is no path within a program's folder")
    return str(path)


def _limits(limits: Limits, language: Language) -> dict[str, Any]:
    return {
        **asdict(limits),
        "cpu_s": limits.time_s if limits.cpu_s is None else limits.cpu_s,
        "stack_mib": language.stack_mib,
        "reserves": language.reserves,
    }


def _environment(place: Place) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join(place.path),
        "HOME": f"{place.scratch}/work",
        "TMPDIR": f"{place.scratch}/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": place.python_path,
        # The same program prints the same, and shares the cores with the others.
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _counts_by_namespace() -> bool:
    """Since Linux 5.14 a user's processes are counted in each user namespace by itself."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return found is not None and tuple(map(int, found.groups())) >= (5, 14)


def _filter_if_any() -> bytes | None:
    """Without isolation the filter is one hurdle more, where it can be had."""
    try:
        return syscall_filter()
    except (PrerequisiteError, OSError):
        return None
