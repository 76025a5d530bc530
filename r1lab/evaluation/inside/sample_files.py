"""What an evaluation leaves behind: a row an answer, and the settings that the scores depend on.

Both are written beside and moved, so a file of that name is whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_samples(rows: list[dict[str, Any]], path: Path) -> None:
    """Every answer, one a row."""
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.int64()
    schema = pyarrow.schema(
        {
            "task": text,
            "question_id": text,
            "question": text,
            "gold": pyarrow.list_(text),
            "sample": number,
            "text": text,
            "reasoning": text,
            "finish_reason": text,
            "completion_tokens": number,
            "strict": pyarrow.float64(),
            "extracted": text,
        }
    )
    scratch = path.with_suffix(".tmp")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), scratch)
    scratch.replace(path)


def write_json(value: dict[str, Any], path: Path) -> None:
    """The settings."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)
