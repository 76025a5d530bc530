"""Readers of jsonl, json and csv that know which line is wrong.

They are ours, and not those of ``datasets``, whose errors name a byte offset or a column type: a
user wants the line. A reader goes on after a bad line, so that all of them are reported at once.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Bad = tuple[int, str]  # line (from 1), what is wrong


def read_rows(file: Path, kind: str, limit: int | None = None) -> tuple[list[Row], list[Bad]]:
    """Return the rows and the bad lines of a text file; with ``limit``, of its first bytes only."""
    rows: list[Row] = []
    bad: list[Bad] = []
    for line, row in iterate(file, kind, limit):
        if isinstance(row, dict):
            rows.append(row)
        else:
            bad.append((line, row))
    return rows, bad


def iterate(file: Path, kind: str, limit: int | None = None) -> Iterator[tuple[int, Row | str]]:
    """Yield each row, or what is wrong with it, and its line. Only json is read as a whole."""
    return {"jsonl": _jsonl, "json": _json, "csv": _csv}[kind](file, limit)


def _jsonl(file: Path, limit: int | None) -> Iterator[tuple[int, Row | str]]:
    read = 0
    with file.open("rb") as stream:
        for line, data in enumerate(stream, 1):
            read += len(data)
            try:
                text = data.decode("utf-8-sig" if line == 1 else "utf-8").strip()
                if text:
                    row = json.loads(text)
                    yield line, row if isinstance(row, dict) else f"is no object: {text[:60]}"
            except UnicodeDecodeError as error:
                yield line, f"is not UTF-8 ({error.reason} at byte {error.start + 1} of the line)"
            except json.JSONDecodeError as error:
                yield line, f"is not JSON ({error.msg} at column {error.colno}): {text[:60]}"
            except RecursionError:
                yield line, "is nested too deeply"
            if limit is not None and read >= limit:
                return


def _json(file: Path, limit: int | None) -> Iterator[tuple[int, Row | str]]:
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        lines = " (one object a line? then set format=jsonl)" if error.msg == "Extra data" else ""
        yield error.lineno, f"is not JSON ({error.msg} at column {error.colno}){lines}"
        return
    except UnicodeDecodeError as error:
        yield 1, f"is not UTF-8 ({error.reason} at byte {error.start + 1} of the file)"
        return
    if not isinstance(content, list):
        yield 1, f"holds one {type(content).__name__}, where a list of objects is expected"
        return
    for index, row in enumerate(content):
        yield index + 1, row if isinstance(row, dict) else f"element {index} is no object"


def _csv(file: Path, limit: int | None) -> Iterator[tuple[int, Row | str]]:
    csv.field_size_limit(sys.maxsize)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(_bounded(stream, limit), strict=True)
        header: list[str] = []
        try:
            for record in reader:
                if not header:
                    header = record
                elif len(record) == len(header):
                    yield reader.line_num, dict(zip(header, record, strict=True))
                elif record:
                    yield reader.line_num, f"has {len(record)} fields, the header {len(header)}"
        except csv.Error as error:
            if limit is None or not str(error).startswith("unexpected end"):
                yield reader.line_num, f"is not CSV ({error})"
        except UnicodeDecodeError as error:
            yield reader.line_num + 1, f"or one soon after is not UTF-8 ({error.reason})"


def _bounded(stream: Iterator[str], limit: int | None) -> Iterator[str]:
    read = 0
    for line in stream:
        yield line
        read += len(line)
        if limit is not None and read >= limit:
            return
