"""A file of lines that only grows: a line is in it whole or not at all, whatever happens.

What a write has handed to the kernel survives kill -9 of the process; once a second it is forced to
the disk, for the machine's own death. That happens in a thread: a slow disk holds nobody up.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from r1lab.errors import RunFailed

_SYNC_S = 1.0
_BLOCK = 1 << 16

GOES_ON = "the same line again goes on from there"


class JournalError(RunFailed):
    """A journal that cannot be used or written any more; the message says why, and what is kept."""


class Lines:
    """The lines of ``path``, open for appending. ``end`` is its length in bytes.

    A last line without an end, which a killed process or machine leaves, is cut off: ``torn`` says
    how many bytes that was.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise JournalError(f"{path} cannot be written: {error.strerror}") from error
        size = os.fstat(self._file).st_size
        self.end = self._whole(size)
        self.torn = size - self.end
        self._broken = False
        if self.torn:
            try:
                os.ftruncate(self._file, self.end)
            except OSError as error:
                os.close(self._file)
                raise JournalError(f"{path} cannot be mended: {error.strerror}") from error
        self._synced = time.monotonic()
        self._syncing: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fsync")

    def append(self, line: bytes) -> int:
        """Write a line, its end included, and return where it begins. It survives this process."""
        if self._broken:
            raise JournalError(f"{self.path} ends in half a line since the last error; {GOES_ON}")
        offset, left = self.end, memoryview(line)
        try:
            while left:  # a write may be cut short, on a disk that fills up for example
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self._take_back(offset)
            raise self._failed(error) from error
        except BaseException:  # Ctrl-C
            self._take_back(offset)
            raise
        self.end = offset + len(line)
        self._sync_soon()
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at a place; fewer where the file ends."""
        return os.pread(self._file, length, offset)

    def after(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Each line from ``offset`` on, with its end, and where it begins."""
        with open(self._file, "rb", closefd=False) as file:
            file.seek(offset)
            for line in file:
                yield offset, line
                offset += len(line)

    def close(self) -> None:
        """Force everything to the disk."""
        if self._file < 0:
            return
        try:
            self._join()
            self._force()
        finally:
            self._thread.shutdown()
            os.close(self._file)
            self._file = -1

    def _whole(self, size: int) -> int:
        """Where the last whole line ends, looking backwards from the file's end."""
        while size > 0:
            begin = max(0, size - _BLOCK)
            found = os.pread(self._file, size - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            size = begin
        return 0

    def _take_back(self, offset: int) -> None:
        try:
            os.ftruncate(self._file, offset)
        except OSError:
            self._broken = True  # the next one that opens it cuts it off

    def _sync_soon(self) -> None:
        now = time.monotonic()
        if now - self._synced < _SYNC_S or (self._syncing and not self._syncing.done()):
            return
        self._join()
        self._synced = now
        self._syncing = self._thread.submit(os.fsync, self._file)

    def _join(self) -> None:
        done, self._syncing = self._syncing, None
        try:
            if done is not None:
                done.result()
        except OSError as error:
            raise self._failed(error) from error

    def _force(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> JournalError:
        why, mend = str(error.strerror), "mend that"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why, mend = "the disk (or this user's share of it) is full", "make room"
        elif error.errno == errno.EFBIG:
            why, mend = "it is as large as a file may get here", "raise the limit (ulimit -f)"
        return JournalError(
            f"{self.path} cannot be written: {why}. All of its {self.end} bytes are kept\n"
            f"    fix: {mend}; {GOES_ON}"
        )
