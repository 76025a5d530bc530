"""Pages of the docs whose end is generated: everything below a line that says so."""

from __future__ import annotations

import sys
from pathlib import Path


def write_below(page: Path, begin: str, text: str, command: str) -> int:
    """Replace what stands below the line ``begin``; with ``--check`` on the command line only
    compare, and name the ``command`` that writes it. Returns the exit code.
    """
    before = page.read_text(encoding="utf-8")
    head, mark, _ = before.partition(begin)
    if not mark:
        print(f"{page} has no line {begin!r}", file=sys.stderr)
        return 1
    after = f"{head}{mark}\n\n{text}"
    if "--check" in sys.argv[1:]:
        if after != before:
            print(f"{page} is not current: run `{command}`", file=sys.stderr)
        return int(after != before)
    page.write_text(after, encoding="utf-8")
    return 0
