"""Every answer on disk the moment it arrives, so that a killed evaluation asks nothing twice.

One line of JSON an answer, appended with one write: what the kernel has survives kill -9 of the
process, and once a second it is forced to the disk, for the machine's own death. A line that was
cut by that is taken off when the file is opened again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

_SYNC_SECONDS = 1.0


class JournalError(Exception):
    """A journal that cannot be used; the message says why."""


def key_of(**asked: Any) -> str:
    """The key of an answer: a hash of everything it depends on, whatever the order."""
    canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Journal:
    """The answers of earlier runs and of this one. Use it as a context.

    ``torn`` says how many bytes of a cut last line were taken off; ``unreadable`` how many lines
    in the middle are no JSON with a key (they stay in the file, and are asked for again).
    """

    def __init__(self, path: Path):
        self.path = path
        self.torn = self.unreadable = 0
        self._answers: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise JournalError(f"{path} cannot be written: {error.strerror}") from error
        try:
            # Two evaluations that share one would each ask for what the other is about to get.
            # (A lock of this kind is the process's own: one that it forks does not hold it.)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise JournalError(f"{path} is in use by another evaluation") from error
        self._read()
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer under a key, if there is one."""
        return self._answers.get(key)

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer; it survives the process from here on."""
        line = json.dumps({"key": key, **answer}, ensure_ascii=False) + "\n"
        left = line.encode("utf-8", "surrogatepass")
        while left:  # a write may be cut short, on a disk that fills up for example
            left = left[os.write(self._file, left) :]
        self._answers[key] = answer
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force everything to the disk."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Force everything to the disk and let others have the file."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        # By this very file: closing another of the same path would give up the lock.
        with open(self._file, "rb", closefd=False) as file:
            content = file.read()
        whole = content.rfind(b"\n") + 1
        self.torn = len(content) - whole
        if self.torn:
            os.ftruncate(self._file, whole)
        for line in content[:whole].split(b"\n"):
            if not line:
                continue
            try:
                row = json.loads(line)
                self._answers[row.pop("key")] = row
            except (ValueError, KeyError, AttributeError, TypeError):
                self.unreadable += 1
