"""Results as they come: a JSON file that is whole after every row, and tables at the end."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

DRY_RUN = "dry run on the CPU: numbers are not results"
PACKAGES = (
    *("torch", "transformers", "trl", "accelerate", "peft", "datasets", "triton", "mlflow"),
    *("flash-attn", "liger-kernel", "vllm"),
)
UNITS = {
    "tflops": "10^12 floating-point operations a second",
    "tokens_per_s": "real tokens trained (sft) or generated (grpo) a second of the whole step",
    "generated_tokens_per_s": "tokens a second of generation alone",
    "updated_tokens_per_s": "prompt and answer tokens a second of forward and backward alone",
    "ratio": "tokens_per_s over the baseline's in the same round, median; above 1 is faster",
    "low, high": "95% bootstrap interval of that median, over rounds",
    "mfu": "model FLOPs a second over the best measured matrix product, a share",
    "padding": "share of the tokens given to the model that are padding",
    "generate_s, reward_s, update_s, rest_s": "seconds of a step, medians; rest: optimizer and log",
    "peak_gib": "most that torch had allocated; of plan's estimate the CUDA context is left out",
}


class Record:
    """Rows by section, in ``path`` after every one of them."""

    def __init__(self, path: Path, facts: dict[str, Any]):
        self.path = path
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.facts = facts
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def add(self, section: str, row: dict[str, Any]) -> None:
        """Keep the row, and say it: an interrupted run has shown what it had."""
        self.rows.setdefault(section, []).append(row)
        self._write()
        print(f"{section}: {_line(row)}", flush=True)

    def _write(self) -> None:
        whole = {**self.facts, "units": UNITS, **self.rows}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(whole, indent=2, default=str) + "\n")
        os.replace(part, self.path)

    def failed(self) -> list[str]:
        """What makes the exit code 1: failed checks, and measurements that broke."""
        bad = [f"check {row['check']}" for row in self.rows.get("checks", []) if not row["passed"]]
        return bad + [row["what"] for row in self.rows.get("broken", [])]


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _line(row: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in row.items() if value is not None)


def _short(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


#: Section: title, columns of the table and the rows' keys.
TABLES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "ceiling": (
        "Matrix products",
        (("size", "size"), ("dtype", "dtype"), ("TFLOP/s", "tflops")),
    ),
    "checks": (
        "Checks (relative differences of the first step)",
        (
            *(("check", "check"), ("loss", "loss_difference"), ("at most", "loss_tolerance")),
            *(("gradients", "gradient_difference"), ("at most", "gradient_tolerance")),
            *(("passed", "passed"), ("why", "reason")),
        ),
    ),
    "sft": (
        "SFT",
        (
            *(("shape", "shape"), ("weights", "weights"), ("what", "what"), ("against", "against")),
            *(("tokens/s", "tokens_per_s"), ("MFU", "mfu"), ("padding", "padding")),
            *(("ratio", "ratio"), ("low", "low"), ("high", "high"), ("valid", "valid")),
        ),
    ),
    "grpo": (
        "GRPO",
        (
            *(("shape", "shape"), ("what", "what"), ("against", "against")),
            *(("tokens/s", "tokens_per_s"), ("of generate", "generated_tokens_per_s")),
            *(("generate s", "generate_s"), ("reward s", "reward_s"), ("update s", "update_s")),
            *(("rest s", "rest_s"), ("ratio", "ratio"), ("low", "low"), ("high", "high")),
            ("valid", "valid"),
        ),
    ),
    "memory": (
        "Peak memory of one process, GiB",
        (
            *(("shape", "shape"), ("trainer", "trainer"), ("what", "what"), ("peak", "peak_gib")),
            *(("plan low", "plan_low_gib"), ("plan high", "plan_high_gib")),
            *(("peak is", "verdict"), ("why", "reason")),
        ),
    ),
    "broken": ("Broken", (("what", "what"), ("why", "reason"))),
    "skipped": ("Not measured", (("what", "what"), ("why", "reason"))),
}


def show(record: Record, title: str) -> None:
    """Print every section as a table, the device and the versions above them."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    console.rule(title)
    for name, (caption, columns) in TABLES.items():
        rows = record.rows.get(name)
        if not rows:
            continue
        table = Table(title=caption, title_justify="left")
        for heading, key in columns:
            number = isinstance(next((r[key] for r in rows if r.get(key) is not None), ""), float)
            table.add_column(heading, justify="right" if number else "left")
        for row in rows:
            table.add_row(*_cells(row, [key for _, key in columns]))
        console.print(table)


def _cells(row: dict[str, Any], keys: Sequence[str]) -> list[str]:
    return ["" if row.get(key) is None else _short(row[key]) for key in keys]
