"""A sweep's results: a row for each configuration, its seeds taken together, the best first."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.secrets import redact_text
from r1lab.sweep import points, state
from r1lab.sweep.folder import read_sweep
from r1lab.sweep.points import Point

if TYPE_CHECKING:
    from rich.table import Table

CONFIDENCE = 0.95


def statuses(folder: Path) -> dict[Point, dict[str, Any]]:
    """Every point of a sweep with its state as it really is."""
    scheduler = (read_sweep(folder) or {}).get("scheduler")
    found = points.read_points(folder)
    jobs = state.job_states(found, scheduler)
    return {point: state.current(point, scheduler, jobs) for point in found}


def rows(folder: Path, found: dict[Point, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The results: ``settings`` (what was swept, as written), ``objective`` (the mean over seeds),
    ``low`` and ``high`` (a 95% t interval of that mean, from two seeds on), ``n``, ``seeds``,
    ``state``, ``jobs`` (a scheduler's ids), ``runs`` (folders).
    """
    found = statuses(folder) if found is None else found
    facts = read_sweep(folder) or {}
    varied = _varied(found)
    groups: dict[str, list[Point]] = {}
    for point in found:
        groups.setdefault(point.group, []).append(point)
    table = [_row(members, found, varied) for members in groups.values()]
    largest = facts.get("direction", "maximize") != "minimize"

    def rank(row: dict[str, Any]) -> tuple[bool, float]:
        value = row["objective"]
        return (value is None, 0.0 if value is None else -value if largest else value)

    return sorted(table, key=rank)


def interval(values: list[float]) -> tuple[float, float, float | None, float | None]:
    """(mean, standard error, low, high) of seeds' results: Student's t, for they are few."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan, None, None
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    from scipy import stats

    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * error
    return mean, error, mean - half, mean + half


def write(folder: Path, table: list[dict[str, Any]], objective: str) -> None:
    """``results.csv`` and ``results.md`` into the sweep's folder."""
    flat = [flatten(row, objective) for row in table]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    (folder / "results.csv").write_text(text.getvalue())
    lines = [names, ["---"] * len(names)]
    lines += [[_shown(row.get(name)).replace("|", "\\|") for name in names] for row in flat]
    marked = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (folder / "results.md").write_text(marked)


def flatten(row: dict[str, Any], objective: str) -> dict[str, Any]:
    """A row for CSV, Markdown and MLflow: settings as columns, the objective by its name."""
    return {
        **row["settings"],
        objective: row["objective"],
        "low": row["low"],
        "high": row["high"],
        "n": row["n"],
        "state": row["state"],
        **({"job": " ".join(row["jobs"])} if row["jobs"] else {}),
        "run": " ".join(Path(run).name for run in row["runs"]),
    }


def render(table: list[dict[str, Any]], objective: str, title: str) -> Table:
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    names = list(dict.fromkeys(name for row in table for name in row["settings"]))
    for name in short(names):
        shown.add_column(name, overflow="fold")
    several = any(row["low"] is not None for row in table)
    for name in (objective, *(["95%"] if several else []), "n"):
        shown.add_column(name, justify="right")
    shown.add_column("state", overflow="fold")
    submitted = any(row["jobs"] for row in table)
    if submitted:
        shown.add_column("job", overflow="fold")
    for row in table:
        span = "" if row["low"] is None else f"[{row['low']:.4g}, {row['high']:.4g}]"
        cells = [row["settings"].get(name, "") for name in names]
        cells += [_shown(row["objective"]), *([span] if several else []), str(row["n"])]
        cells += [row["state"], *([" ".join(row["jobs"])] if submitted else [])]
        shown.add_row(*(cell.replace("[", "\\[") for cell in cells))
    return shown


def short(names: list[str]) -> list[str]:
    """The last part of each dotted key, or all of it where that would be ambiguous."""
    last = [name.rpartition(".")[2] for name in names]
    times = Counter(last)
    return [part if times[part] == 1 else name for part, name in zip(last, names, strict=True)]


def _row(
    members: list[Point], found: dict[Point, dict[str, Any]], varied: list[str]
) -> dict[str, Any]:
    states = Counter(found[point]["state"] for point in members)
    values = [found[point].get("objective") for point in members]
    numbers = [float(value) for value in values if value is not None]
    mean, _, low, high = interval(numbers) if numbers else (None, None, None, None)
    given = dict(map(_pair, members[0].overrides))
    one = len(states) == 1
    said = next(iter(states)) if one else ", ".join(f"{n} {name}" for name, n in states.items())
    return {
        "settings": {name: redact_text(given[name]) for name in varied if name in given},
        "objective": mean,
        "low": low,
        "high": high,
        "n": len(numbers),
        "seeds": [point.seed for point in members if point.seed is not None],
        "state": said,
        "jobs": [str(job) for point in members if (job := found[point].get("job_id"))],
        "runs": [run for point in members if (run := found[point].get("run_dir"))],
    }


def _varied(found: Iterable[Point]) -> list[str]:
    """The keys whose values tell the points apart: what is swept first, then whatever differs
    between the lines that this folder has seen.
    """
    first = [_pair(item)[0] for point in found for item in point.settings]
    values: dict[str, set[str]] = {}
    for point in found:
        for name, value in map(_pair, point.overrides):
            values.setdefault(name, set()).add(value)
    others = [name for name, seen in values.items() if len(seen) > 1]
    return list(dict.fromkeys([*first, *others]))


def _pair(override: str) -> tuple[str, str]:
    name, _, value = override.partition("=")
    return name, value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
