"""One process at a time for a folder: two would each ask for what the other is about to get."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from r1lab.generation.lines import JournalError

#: Folders that this process holds: a lock on a file does not keep out the process that has it.
_HELD: set[Path] = set()


class Lock:
    """Holds ``path`` until it is released, or until this process ends, however it does.

    It is a file of its own: to close any descriptor of a locked file gives up the lock, and the
    journal is opened by whoever wants to look at it. Children that are forked do not hold it.
    """

    def __init__(self, path: Path):
        self._path = path.resolve()
        if self._path in _HELD:
            raise JournalError(f"{path.parent} is in use by this very process")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            os.close(self._file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise JournalError(f"{path} cannot be locked: {error.strerror}") from error
            raise JournalError(
                f"{path.parent} is in use by another generation (process {holder or 'unknown'})\n"
                f"    fix: wait until it ends, or end it; or set another generate.name"
            ) from error
        _HELD.add(self._path)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)
        _HELD.discard(self._path)
