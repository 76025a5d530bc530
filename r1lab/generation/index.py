"""Which answers a journal holds, and where: a SQLite file that can be thrown away at any time.

It keeps memory flat over millions of answers. SQLite writes it without waiting for the disk, which
is safe against a killed process but not against a machine that dies: an index that was open then
(``boot``) is not trusted. What it says of the journal (``State``) is compared when it is opened.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from r1lab.generation.lines import GOES_ON, JournalError

#: Of the tables below: an index of another version is made again.
_VERSION = 1
_CACHE_KIB = 8 * 1024
_TABLES = """
CREATE TABLE answers (
    key BLOB, sample INTEGER, place INTEGER, length INTEGER, PRIMARY KEY (key, sample)
) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value);
"""
#: Of SQLite's errors, those that making the index again would not mend.
_OUTSIDE = {
    sqlite3.SQLITE_BUSY: "another program has it open",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_READONLY: "it may not be written",
    sqlite3.SQLITE_IOERR: "the disk fails, or is full",
}

_OF_NOTHING = hashlib.sha256().hexdigest()

Row = tuple[bytes, int, int, int]  # key, sample, place, length


@dataclass
class State:
    """The journal as far as the index knows it: up to byte ``end``, with hashes of both ends."""

    end: int = 0
    head: str = _OF_NOTHING
    tail: str = _OF_NOTHING
    unreadable: int = 0
    duplicates: int = 0


class Unfit(Exception):
    """An index that cannot be used, and is to be made again."""


class Index:
    """The places of answers by (key, sample). :class:`Unfit` where the file is no such index."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise self._failed(error) from error
        except Unfit:
            self._database.close()
            raise

    @classmethod
    def fresh(cls, path: Path) -> Index:
        """An empty index, in place of the one that may be there."""
        for end in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        return cls(path)

    def _open(self) -> None:
        new = not self.path.exists()
        self._database = sqlite3.connect(self.path, isolation_level=None, cached_statements=16)
        run = self._database.execute
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = OFF")
        if new:
            self._database.executescript(_TABLES)
        elif run("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise Unfit("another version")
        elif run("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise Unfit("damaged")
        kept = dict(run("SELECT name, value FROM state"))
        if kept.get("open") and (not _boot() or kept.get("boot") != _boot()):
            raise Unfit("open when the machine went down")
        self.state = State(**{f.name: kept[f.name] for f in fields(State) if f.name in kept})
        self._count = int(run("SELECT count(*) FROM answers").fetchone()[0])
        run("BEGIN IMMEDIATE")
        run(f"PRAGMA user_version = {_VERSION}")
        self._set(open=1, boot=_boot())
        run("COMMIT")

    def __len__(self) -> int:
        return self._count

    def has(self, key: bytes, sample: int) -> bool:
        found = self._ask("SELECT 1 FROM answers WHERE key = ? AND sample = ?", key, sample)
        return bool(found)

    def samples(self, key: bytes) -> set[int]:
        return {row[0] for row in self._ask("SELECT sample FROM answers WHERE key = ?", key)}

    def places(self, key: bytes) -> list[tuple[int, ...]]:
        """(sample, place, length) of each of a key's answers."""
        return self._ask("SELECT sample, place, length FROM answers WHERE key = ?", key)

    def add(self, rows: Iterable[Row], state: State) -> int:
        """Add answers, all or none, and return how many were new: the first of a sample stays."""
        # In the order of the keys, every page of the file is changed once, and not once an answer.
        ordered = sorted(rows)
        run = self._database.execute
        try:
            run("BEGIN IMMEDIATE")
            insert = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)"
            added = self._database.executemany(insert, ordered).rowcount if ordered else 0
            state = replace(state, duplicates=state.duplicates + len(ordered) - added)
            self._set(**asdict(state))
            run("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._database.in_transaction:
                run("ROLLBACK")
            raise self._failed(error) from error
        self.state = state
        self._count += added
        return added

    def close(self, *, whole: bool) -> None:
        """Close it; ``whole`` where it knows all of the journal, and may be trusted next time."""
        try:
            if whole:
                run = self._database.execute
                run("PRAGMA synchronous = FULL")
                run("PRAGMA wal_checkpoint(TRUNCATE)")
                run("BEGIN IMMEDIATE")
                self._set(open=0)
                run("COMMIT")
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from error
        finally:
            self._database.close()

    def _ask(self, statement: str, *values: object) -> list[tuple[int, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from error

    def _set(self, **values: object) -> None:
        self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())

    def _failed(self, error: sqlite3.DatabaseError) -> Exception:
        """What to raise: a reason outside of it, or else the index itself is to be made again."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in _OUTSIDE:
            return Unfit(str(error))
        return JournalError(
            f"{self.path} cannot be used: {_OUTSIDE[code]} ({error}). The answers are safe in the "
            f"journal beside it\n    fix: mend that; {GOES_ON}"
        )


def _boot() -> str:
    """Tells one start of the machine from the next. Empty where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
