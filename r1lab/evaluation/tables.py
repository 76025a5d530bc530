"""Scores as a table for a person, in the terminal and in Markdown for a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


_WIDTH = 120


def show(found: Mapping[str, dict[str, Any]], file: IO[str]) -> None:
    """Print ``found``, which is what :func:`r1lab.evaluation.scores.read` gives for each task: the
    scores, where the time went, and what to be warned of.
    """
    from rich.console import Console

    console = Console(file=file)
    console.width = max(console.width, _WIDTH)  # numbers that are cut off are worse than long lines
    console.print(terminal(found))
    for task, one in found.items():
        spent = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in one["seconds"].items())
        counts = one["answers"]
        kept = f", {counts['kept']} kept from before" if counts["kept"] else ""
        print(f"{task}: {counts['asked']} answers asked{kept}; {spent}", file=file)
    for task, one in found.items():
        for warning in one["warnings"]:
            print(f"r1lab: warning: {task}: {warning}", file=file)
    file.flush()


def terminal(found: Mapping[str, dict[str, Any]]) -> Table:
    """The scores alone."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, each in zip(_HEAD, ("left", *("right",) * (len(_HEAD) - 1)), strict=True):
        table.add_column(name, justify=each, no_wrap=True)  # type: ignore[arg-type]
    for task, one in found.items():
        table.add_row(task, *_cells(one["metrics"]))
    return table


def markdown(found: Mapping[str, dict[str, Any]], note: str) -> str:
    """A table with 95% intervals, and below it ``note``: how the scores were made."""
    lines = [f"| {' | '.join(_HEAD)} |", f"| --- |{' ---: |' * (len(_HEAD) - 1)}"]
    lines += [f"| {' | '.join([task, *_cells(one['metrics'])])} |" for task, one in found.items()]
    return "\n".join([*lines, "", note, ""])


_HEAD = (
    *("benchmark", "n", "pass@1 (strict)", "lenient", "pass@k", "maj@k"),
    *("truncated", "no answer", "tokens"),
)


def _cells(metrics: Mapping[str, float]) -> list[str]:
    most = int(metrics["samples"])
    several = [f"strict/{name}_at_{most}" for name in ("pass", "majority")]
    return [
        f"{metrics['questions']:.0f} x {most}",
        _interval(metrics, "strict/pass_at_1"),
        _interval(metrics, "lenient/pass_at_1"),
        *(f"{_percent(metrics, name)} (k={most})" if most > 1 else "-" for name in several),
        _percent(metrics, "truncated"),
        _percent(metrics, "no_answer"),
        f"{metrics['mean_tokens']:.0f}" if "mean_tokens" in metrics else "-",
    ]


def _interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    if low is None or high is None:  # one question
        return _percent(metrics, name)
    return f"{_percent(metrics, name)} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(metrics: Mapping[str, float], name: str) -> str:
    """What nothing is known of has no metric."""
    return f"{100 * metrics[name]:.1f}%" if name in metrics else "-"
