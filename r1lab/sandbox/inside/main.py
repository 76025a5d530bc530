"""Serve the provider outside over the socket that is standard input.

The provider sends one specification and then one input after the other; each is answered before
the next is sent. Specifications come from the trusted side and are marshalled. Answers have a fixed
form (``ANSWER``) that the provider can check, since a program runs next to who writes them.
"""

from __future__ import annotations

import marshal
import os
import struct
from typing import Any

from r1lab.sandbox.inside import processes, system
from r1lab.sandbox.inside.execution import Outcome, Setting, run
from r1lab.sandbox.inside.namespaces import PROGRAM_ID, enter
from r1lab.sandbox.inside.scratch import SLACK, Scratch

#: status (index into STATUSES), has exit code, exit code, seconds, bytes of message, stdout, stderr
ANSWER = struct.Struct(">B?idIII")
LENGTH = struct.Struct(">Q")
STATUSES = (
    "ok",
    "runtime_error",
    "compile_error",
    "timeout",
    "memory",
    "output_limit",
    "infrastructure",
)
#: The largest program that a compiler may make.
MOST_PROGRAM_BYTES = 64 << 20


def main() -> None:
    """Set the sandbox up, compile, say whether that went well, then run input after input."""
    try:
        # Beside the end of the channel, which a forked child of the provider may hold open.
        system.die_with_parent()
        system.handle_no_signals()
        specification = marshal.loads(_receive() or b"")
        setting, scratch = _set_up(specification)
        ready, files = _compile(specification, setting, scratch)
    except Exception as error:  # of whatever kind: the provider decides what it means
        _answer(_failure(error))
        raise
    _answer(ready)
    limits = _limits(specification, "limits", files)
    while (stdin := _receive()) is not None:
        try:
            scratch.renew(files, limits["disk_bytes"])
            outcome = run(
                specification["run"], specification["environment"], stdin, limits, setting
            )
        except Exception as error:
            outcome = _failure(error)
        _answer(outcome)
    processes.end_all(setting.alone, 0)
    os._exit(0)  # Python's own way out takes longer and has nothing left to do


def _failure(error: Exception) -> Outcome:
    message = f"{type(error).__name__}: {error}"
    return Outcome("infrastructure", None, 0.0, message, b"", b"")


def _set_up(specification: dict[str, Any]) -> tuple[Setting, Scratch]:
    isolation, root = specification["isolation"], specification["scratch"]
    change_user = isolation == "namespaces" and enter(specification["view"])
    alone = isolation != "none"
    if alone and os.getpid() != 1:
        raise RuntimeError(f"process {os.getpid()} where process 1 was to be")
    if not alone:
        system.adopt_orphans()
    own_processes = None
    if os.readlink("/proc/self/ns/user") != specification["user_namespace"]:
        bridges = 1 if isolation == "namespaces" else 0
        own_processes = 0 if change_user else 1 + bridges
    if not specification["processes_per_namespace"]:
        own_processes = None
    system.hide_memory()
    owner = PROGRAM_ID if change_user else None
    scratch = Scratch(root, mounts=isolation == "namespaces", owner=owner)
    rules = specification["rules"]
    return Setting(scratch.work, change_user, rules, alone, own_processes), scratch


def _limits(specification: dict[str, Any], name: str, files: dict[str, bytes]) -> dict[str, Any]:
    limits = dict(specification[name])
    used = sum(-(-len(content) // 4096) * 4096 for content in files.values())
    limits["disk_bytes"] = limits["file_bytes"] + used + SLACK
    return limits


def _compile(
    specification: dict[str, Any], setting: Setting, scratch: Scratch
) -> tuple[Outcome, dict[str, bytes]]:
    """How it went, and the files that a run needs."""
    files: dict[str, bytes] = specification["files"]
    argv: list[str] | None = specification["compile"]
    if not argv:
        return Outcome("ok", 0, 0.0, "", b"", b""), files
    limits = _limits(specification, "compile_limits", files)
    scratch.renew(files, limits["disk_bytes"])
    outcome = run(argv, specification["environment"], b"", limits, setting)
    if outcome.status == "infrastructure":
        return outcome, files
    if outcome.status == "ok":
        try:
            program = scratch.take(specification["makes"], MOST_PROGRAM_BYTES)
            return outcome, {**files, specification["makes"]: program}
        except OSError as error:
            outcome = outcome._replace(message=f"no program came of it: {error}")
    return outcome._replace(status="compile_error"), files


def _receive() -> bytes | None:
    """The next message, or ``None`` when the provider has gone."""
    head = _exactly(LENGTH.size)
    return None if head is None else _exactly(LENGTH.unpack(head)[0])


def _exactly(count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        data = os.read(0, min(count - len(parts), 1 << 20))
        if not data:
            return None
        parts += data
    return bytes(parts)


def _answer(outcome: Outcome) -> None:
    message = outcome.message.encode(errors="replace")
    head = ANSWER.pack(
        STATUSES.index(outcome.status),
        outcome.exit_code is not None,
        outcome.exit_code or 0,
        outcome.seconds,
        len(message),
        len(outcome.stdout),
        len(outcome.stderr),
    )
    rest = memoryview(head + message + outcome.stdout + outcome.stderr)
    while rest:
        rest = rest[os.write(0, rest) :]
