"""The score that a reasoning-gym task gives an answer, for ``data=reasoning_gym``."""

from __future__ import annotations

import cmath
import json
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import Completion, Reward, check_count, check_number
from r1lab.verify.answers import MAX_CHARS, after_reasoning, last_boxed

START_LIMIT = 120.0
"""Seconds that the scoring process may take to start: it imports sympy, on a busy machine."""

_OPEN, _CLOSE = "<answer>", "</answer>"


class ReasoningGym(Reward):
    """What the task's own ``score_answer`` says, from 0 to 1; partial scores are the task's.

    The answer is what the last ``<answer>`` holds, without a box around it, else the last box; a
    completion with neither, or whose thinking never ends, scores 0. So does an answer that the
    scorer cannot read, that takes it more than ``deadline_s`` or ``memory_mib``, or that is no
    finite number ("nan" compares as right in some tasks); each is counted by its reason.
    """

    def __init__(self, deadline_s: float = 5.0, memory_mib: int = 2048) -> None:
        super().__init__()
        check_number("deadline_s", deadline_s, 0.1, 600)
        check_count("memory_mib", memory_mib, 256)
        self.deadline_s, self.memory_mib = deadline_s, memory_mib
        self._process: _Process | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the process behind: it is started again where it is needed."""
        return {**self.__dict__, "_process": None}

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        reasoning_gym_entry: Sequence[str],
        **kwargs: Any,
    ) -> list[float | None]:
        return [
            self._score(self.text(completion), entry)
            for completion, entry in zip(completions, reasoning_gym_entry, strict=True)
        ]

    def _score(self, text: str, entry: str) -> float:
        answer = answer_text(text)
        if not answer:
            return self._zero("no_answer")
        if len(answer) > MAX_CHARS or _is_not_finite(answer):
            return self._zero("unreadable_answer")
        message = self._ask(entry, answer)
        if "broken" in message:
            raise ValueError(f"the task's scorer fails on its own answer: {message['broken']}")
        if "score" in message:
            return float(message["score"])
        return self._zero("unreadable_answer" if "unreadable" in message else message["failure"])

    def _zero(self, reason: str) -> float:
        self.counts[reason] += 1
        return 0.0

    def _ask(self, entry: str, answer: str) -> dict[str, Any]:
        """Return the process's reply; one that dies is tried once more, with a fresh process."""
        message: dict[str, Any] = {}
        for _ in range(2):
            # A forked child must not talk to its parent's process.
            if self._process is None or self._process.owner != os.getpid():
                self._process = _Process(self.deadline_s, self.memory_mib)
            try:
                message = self._process.ask({"entry": entry, "answer": answer})
            except BaseException:  # Ctrl-C included: a late reply must not meet the next question
                self._process.stop()
                self._process = None
                raise
            if "failure" not in message:
                return message
            self._process.stop()
            self._process = None
            if message["failure"] == "timeout":
                break
        return message


def answer_text(text: str) -> str | None:
    """Return the answer in a completion as the scorers read it: plain text, no tags and no box."""
    rest = after_reasoning(text)
    if rest is None:
        return None
    _, opened, inside = rest.rpartition(_OPEN)
    if opened:
        inside, closed, _ = inside.partition(_CLOSE)
        if not closed:
            return None
        inside = inside.strip()
        whole = inside.startswith("\\boxed") and inside.endswith("}")
        boxed = last_boxed(inside) if whole else None
        return (inside if boxed is None else boxed).strip() or None
    boxed = last_boxed(rest)
    return None if boxed is None else boxed.strip() or None


def _is_not_finite(answer: str) -> bool:
    """Whether Python reads the answer as a number that is infinite or none ("nan", "inf+2i")."""
    bare = answer.replace(" ", "")
    for spelling in (bare, bare[:-1] + "j" if bare.endswith("i") else bare):
        try:
            if not cmath.isfinite(complex(spelling)):
                return True
        except (ValueError, OverflowError):
            continue
    return False


class _Process:
    """The scoring process, started at once; it ends with this object, or with its parent."""

    def __init__(self, deadline_s: float, memory_mib: int):
        self.owner, self.deadline_s = os.getpid(), deadline_s
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        module = "r1lab.rewards.reasoning_gym_worker"
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._process = subprocess.Popen(
            # -P: nothing in the current folder may stand in for a module of ours
            [sys.executable, "-P", "-m", module, str(deadline_s), str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # No secrets of the environment: what it evaluates is a model's answer.
            env={**keep, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self._received = b""
        self._finalizer = weakref.finalize(self, _end, self._process)
        message = self._receive(START_LIMIT)
        if "missing" in message:
            raise PrerequisiteError(
                "the package reasoning-gym",
                f"its tasks score the answers ({message['missing']})",
                "pip install reasoning-gym==0.1.25",
            )
        if "ready" not in message:
            self.stop()
            raise RuntimeError(f"reasoning-gym's scoring process did not start: {message}")

    def ask(self, job: dict[str, str]) -> dict[str, Any]:
        """Return the reply, or ``{"failure": "timeout" | "crash"}``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"failure": "crash"}
        return self._receive(self.deadline_s)

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._received:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return {"failure": "timeout"}
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                return {"failure": "crash"}
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def stop(self) -> None:
        self._finalizer()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # what was buffered for a dead process
                continue
