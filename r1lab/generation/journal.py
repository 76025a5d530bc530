"""Every answer on disk the moment it arrives, so that nothing is lost and nothing asked twice.

``journal.jsonl`` is the truth: one line of JSON an answer, appended and never changed. Beside it
``index.sqlite`` says which answers there are and where, so that memory stays flat over millions; it
is caught up, or made again, from the journal whenever the two do not fit.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from r1lab.generation.index import Index, Row, State, Unfit
from r1lab.generation.lines import JournalError, Lines
from r1lab.generation.lock import Lock
from r1lab.generation.request import Answer, Request

JOURNAL, INDEX, LOCK = "journal.jsonl", "index.sqlite", "journal.lock"

_ANSWER = tuple(field.name for field in fields(Answer))
_OWN = {"key", "sample", "row", *_ANSWER}
_KEY = re.compile(r"[0-9a-f]{32}")
#: New answers go to the index together: once a second, or when there are so many of them.
_INDEX_S, _INDEX_ROWS = 1.0, 5_000
#: Answers whose places are held in memory while the index is made from the journal.
_BATCH = 50_000
#: Bytes of each end of the journal whose hash the index keeps.
_ENDS = 4096

Stored = tuple[int, Answer, dict[str, Any]]  # sample, answer, facts
Found = TypeVar("Found")


class Journal:
    """The answers of earlier generations in ``folder`` and of this one. Use it as a context.

    ``torn``: bytes of a cut last line that were taken off when it was opened. ``unreadable``: lines
    in the middle that hold no answer; they stay in the file, and are asked for again.
    ``duplicates``: answers that stand in it twice, of which the first counts. ``mended``: why the
    index was made again, None where it fitted.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL
        self._index_path = folder / INDEX
        self._pending: dict[bytes, dict[int, tuple[int, int]]] = {}
        self._waiting = 0
        self.mended: str | None = None
        with ExitStack() as undo:
            self._lock = Lock(folder / LOCK)
            undo.callback(self._lock.release)
            self._lines = Lines(self.path)
            undo.callback(self._lines.close)
            self._index = self._open_index()
            undo.pop_all()
        self.torn = self._lines.torn
        self._indexed = time.monotonic()
        self._closed = False

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index) + self._waiting

    @property
    def unreadable(self) -> int:
        return self._index.state.unreadable

    @property
    def duplicates(self) -> int:
        return self._index.state.duplicates

    def add(self, request: Request, answer: Answer, **facts: Any) -> bool:
        """Keep an answer; it survives this process from here on. False where there was one.

        ``facts`` are plain values that stand in its line beside it. :class:`JournalError` where the
        disk is full or fails: all earlier answers are kept then, and nothing of this one.
        """
        if not _OWN.isdisjoint(facts):
            raise ValueError(f"an answer has a {', '.join(_OWN & facts.keys())} of its own")
        key = bytes.fromhex(request.key)
        if self._has(key, request.sample):
            return False
        asked = {"key": request.key, "sample": request.sample, "row": request.row}
        line = line_of(asked | {name: getattr(answer, name) for name in _ANSWER} | facts)
        place = self._lines.append(line)
        self._pending.setdefault(key, {})[request.sample] = (place, len(line))
        self._waiting += 1
        if self._waiting >= _INDEX_ROWS or time.monotonic() - self._indexed > _INDEX_S:
            self._ask(self._flush)
        return True

    def has(self, key: str, sample: int) -> bool:
        """Whether this sample of a prompt is there."""
        return self._has(bytes.fromhex(key), sample)

    def missing(self, key: str, n: int) -> list[int]:
        """Those of the samples 0 to n - 1 of a prompt that are not there."""
        raw = bytes.fromhex(key)
        there = self._ask(lambda index: index.samples(raw))
        there.update(self._pending.get(raw, ()))
        return [sample for sample in range(n) if sample not in there]

    def read(self, key: str) -> list[Stored]:
        """The answers to a prompt in the order of the samples, each with its facts."""
        return self._ask(lambda index: self._read(index, key))

    def close(self) -> None:
        """Force everything to the disk, and let others have the journal."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as then:  # from the last to the first, whatever becomes of the others
            then.callback(self._lock.release)
            then.callback(self._index.close, whole=self._save_index())
            then.callback(self._lines.close)

    def _has(self, key: bytes, sample: int) -> bool:
        pending = self._pending.get(key)
        if pending and sample in pending:
            return True
        return self._ask(lambda index: index.has(key, sample))

    def _read(self, index: Index, key: str) -> list[Stored]:
        raw = bytes.fromhex(key)
        new = self._pending.get(raw, {})
        places = [*index.places(raw), *((sample, *place) for sample, place in new.items())]
        found = []
        for sample, place, length in sorted(places):
            row = _row(self._lines.read(place, length))
            if row is None or (row["key"], row["sample"]) != (key, sample):
                raise Unfit(f"byte {place} of the journal is not what it was")
            facts = {name: value for name, value in row.items() if name not in _OWN}
            answer = Answer(**{name: row[name] for name in _ANSWER if name in row})
            found.append((sample, answer, facts))
        return found

    def _ask(self, ask: Callable[[Index], Found]) -> Found:
        """Ask the index; one that turns out to be damaged is made again."""
        try:
            return ask(self._index)
        except Unfit as why:
            self._index.close(whole=False)
            self._index = self._make_index(str(why))
            self._pending, self._waiting = {}, 0
            return ask(self._index)

    def _flush(self, index: Index) -> None:
        """Hand the new answers to the index."""
        if self._pending:
            rows = [
                (key, sample, *place)
                for key, places in self._pending.items()
                for sample, place in places.items()
            ]
            index.add(rows, self._known(index.state, self._lines.end))
            self._pending, self._waiting = {}, 0
        self._indexed = time.monotonic()

    def _save_index(self) -> bool:
        """Whether the index knows all of the journal now."""
        try:
            self._flush(self._index)
        except (JournalError, Unfit):
            # The disk is full, say, which the journal has said. It is caught up when there is room.
            return False
        return True

    def _open_index(self) -> Index:
        try:
            index = Index(self._index_path)
            state = index.state
            if state.end > self._lines.end or state != self._known(state, state.end):
                index.close(whole=False)
                raise Unfit("it is of another journal")
            self._catch_up(index)
            return index
        except Unfit as why:
            return self._make_index(str(why))

    def _make_index(self, why: str) -> Index:
        self.mended = why
        index = Index.fresh(self._index_path)
        self._catch_up(index)
        return index

    def _catch_up(self, index: Index) -> None:
        """Read what the index does not know yet."""
        end, rows = index.state.end, list[Row]()
        unreadable = 0
        for place, line in self._lines.after(end):
            row = _row(line)
            if row is not None:
                rows.append((bytes.fromhex(row["key"]), row["sample"], place, len(line)))
            elif line.strip():
                unreadable += 1
            end = place + len(line)
            if len(rows) >= _BATCH:
                index.add(rows, self._known(index.state, end, unreadable))
                rows, unreadable = [], 0
        if end > index.state.end:
            index.add(rows, self._known(index.state, end, unreadable))

    def _known(self, state: State, end: int, unreadable: int = 0) -> State:
        """The state of an index that knows the journal up to ``end``."""
        head = self._lines.read(0, min(end, _ENDS))
        begin = max(0, end - _ENDS)
        tail = self._lines.read(begin, end - begin)
        return replace(
            state,
            end=end,
            head=hashlib.sha256(head).hexdigest(),
            tail=hashlib.sha256(tail).hexdigest(),
            unreadable=state.unreadable + unreadable,
        )


def line_of(row: dict[str, Any]) -> bytes:
    """A row as a line of JSON. Text that UTF-8 cannot hold (half a surrogate pair) is escaped."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def _row(line: bytes) -> dict[str, Any] | None:
    """The answer in a line, None where there is none."""
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):  # no UTF-8 is a ValueError too
        return None
    if not isinstance(row, dict):
        return None
    key, sample = row.get("key"), row.get("sample")
    is_key = isinstance(key, str) and _KEY.fullmatch(key) is not None
    is_sample = isinstance(sample, int) and not isinstance(sample, bool) and sample >= 0
    return row if is_key and is_sample and isinstance(row.get("content"), str) else None
