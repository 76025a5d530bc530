"""The lab's results as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from r1lab.lab.hacks import MARGIN
from r1lab.lab.rows import Rows
from r1lab.rewards.base import content_of

#: Characters of a completion's end, and of an id, that a table shows.
_TAIL, _ID = 48, 16
#: Seconds from which a row is worth a line in the list of slow ones.
_SLOW = 0.01


def scores(rows: Rows, found: Mapping[str, Any], count: int) -> None:
    """The matrix's first ``count`` rows, and what the whole of it says."""
    console = Console()
    names = list(found["rewards"])
    console.print(_matrix(rows, found, range(min(count, len(rows))), console.width))
    if len(rows) > count:
        console.print(f"{len(rows) - count} more rows (--rows {len(rows)} shows all)\n")
    console.print(_summary(found, names))
    for name, counts in found["counts"].items():
        listed = ", ".join(f"{what} {times}" for what, times in counts.items())
        console.print(Text(f"{name} counted: {listed}"))
    if len(names) > 1:
        console.print("correlation of rewards: Pearson's r (rows where both apply)")
        console.print(_correlations(found, names))
    apart = found["disagreements"]
    if apart["count"]:
        console.print(f"\nrows where rewards disagree on being right: {apart['count']}")
        console.print(_matrix(rows, found, apart["rows"][:count], console.width))
    if found.get("slowest"):
        slow = [item for item in found["slowest"]["rows"] if item["seconds"] >= _SLOW]
        said = f"{found['slowest']['timed']} rows were scored alone; "
        console.print(said + ("the slowest:" if slow else f"none took {_SLOW:g} s"))
        if slow:
            console.print(_slowest(rows, slow))
    console.print(
        f"{found['n']} rows, scored in {found['seconds']:.2f} s"
        f" ({found['n'] / max(found['seconds'], 1e-9):,.0f} a second)"
    )


def audit(found: Mapping[str, Any], count: int) -> None:
    """Shares by split, then the offenders with their row numbers."""
    console = Console()
    table = Table(title=f"golds of {found['data']}")
    for name in ("split", "rows", "golds", "parse", "equal themselves", "boxed"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for split, part in found["splits"].items():
        table.add_row(
            split,
            f"{part['rows']:,}",
            f"{part['golds']:,}",
            _share(part["parse"]),
            _share(part["verify_plain"]),
            _share(part["verify_boxed"]),
        )
    console.print(table)
    for split, part in found["splits"].items():
        for offenders in part["offenders"].values():
            if not offenders["count"]:
                continue
            console.print(f"\n{split}: {offenders['what']}: {offenders['count']}")
            for item in offenders["rows"][:count]:
                text = Text(f"  row {item['row']}: {tail(item['text'], 90, end=False)}")
                if "other" in item:
                    text.append(f" (as row {item['other']})")
                console.print(text)
            if offenders["count"] > count:
                console.print(f"  and {offenders['count'] - count} more (--rows, --json)")
    console.print(f"\nrows are counted from 0, as loaded; {found['seconds']:.1f} s")


def attacks(found: Mapping[str, Any]) -> None:
    """What each hack earns beside an honest answer, the best paid first."""
    console = Console()
    names = list(found["weights"])
    table = Table(title=f"mean over {found['problems']} problems of {found['data']}")
    table.add_column("what is played", min_width=24)
    for name in names:
        title = name.replace("_", "_\n") + f"\nx{found['weights'][name]:g}"
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for key, label in (("right", "an honest right answer"), ("wrong", "an honest wrong answer")):
        honest = found["honest"][key]
        table.add_row(
            label,
            *(number(honest["rewards"][name]) for name in names),
            number(honest["total"]),
            "",
            style="bold",
            end_section=key == "wrong",
        )
    for item in sorted(found["attacks"], key=lambda item: -(item["total"] or 0.0)):
        flag = Text("")
        if item["beats_right"]:
            flag = Text("like right", style="bold red")
        elif item["pays"]:
            flag = Text("pays", style="red")
        table.add_row(
            item["what"],
            *(number(item["rewards"][name]) for name in names),
            number(item["total"]),
            flag,
        )
    console.print(table)
    for line in found["notes"]:
        console.print(Text(line))
    paying = [item for item in found["attacks"] if item["pays"]]
    for item in paying:
        best = item["best"]
        gold = "" if best["gold"] is None else f", gold {tail(best['gold'], 20, end=False)}"
        said = f"{item['what']}: {number(best['total'])}{gold}: {tail(best['ends_in'], 40)}"
        console.print(Text(said), no_wrap=True, overflow="ellipsis")
    console.print(
        f"{len(paying)} of {len(found['attacks'])} hacks pay: they earn more than an honest wrong "
        f"answer, by over {MARGIN:.0%} of what being right adds; {found['seconds']:.1f} s"
    )


@contextmanager
def progress(what: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; yields what advances it."""
    if not shown or not sys.stderr.isatty():
        yield lambda done: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def number(value: float | None) -> str:
    """A value with at most three digits after the point; a dash for None."""
    if value is None:
        return "-"
    shown = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


def tail(text: str, width: int = _TAIL, end: bool = True) -> str:
    """One line of the text's end (or start), with what a terminal would act upon taken out."""
    part = text[-4 * width :] if end else text[: 4 * width]
    clean = " ".join("".join(c if c.isprintable() else " " for c in part).split())
    if len(clean) <= width:
        return clean
    return f"...{clean[3 - width :]}" if end else f"{clean[: width - 3]}..."


def _matrix(rows: Rows, found: Mapping[str, Any], indices: Sequence[int], width: int) -> Table:
    table = Table()
    names = list(found["rewards"])
    read = rows.read(indices)
    ids = any("id" in row for row in read)
    taken = sum(max(len(name), 6) + 3 for name in [*names, "total", "row"]) + 4
    taken += _ID + 3 if ids else 0
    table.add_column("row", justify="right", no_wrap=True)
    if ids:
        table.add_column("id", no_wrap=True)
    table.add_column("ends in")
    for name in [*names, "total"]:
        table.add_column(name, justify="right", no_wrap=True)
    for index, row in zip(indices, read, strict=True):
        table.add_row(
            str(index),
            *([Text(tail(str(row.get("id", "")), _ID))] if ids else []),
            Text(tail(content_of(row["completion"]), max(12, width - taken))),
            *(number(found["rewards"][name][index]) for name in names),
            number(found["total"][index]),
        )
    return table


def _summary(found: Mapping[str, Any], names: Sequence[str]) -> Table:
    table = Table()
    for name in ("reward", "weight", "mean", "std", "none", "dead groups", "seconds"):
        left = name == "reward"
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for name in [*names, "total"]:
        part = found["summary"][name]
        seconds = found["seconds_by_reward"].get(name)
        dead = part["zero_variance"]
        table.add_row(
            name,
            number(found["weights"].get(name)) if name in found["weights"] else "",
            number(part["mean"]),
            number(part["std"]),
            _share(part["none"]),
            "-" if dead is None else f"{_share(dead)} of {part['groups']}",
            "" if seconds is None else f"{seconds:.2f}",
        )
    return table


def _correlations(found: Mapping[str, Any], names: Sequence[str]) -> Table:
    pairs = {(item["a"], item["b"]): item for item in found["correlations"]}
    table = Table()
    table.add_column("")
    for name in names[1:]:
        table.add_column(name, justify="right")
    for i, a in enumerate(names[:-1]):
        cells = [""] * i
        for b in names[i + 1 :]:
            item = pairs[a, b]
            shown = "constant" if item["r"] is None else f"{item['r']:+.2f}"
            cells.append(f"{shown} ({item['n']})")
        table.add_row(a, *cells)
    return table


def _slowest(rows: Rows, slow: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in ("row", "seconds", "ends in", "counted"):
        table.add_column(name, justify="right" if name in ("row", "seconds") else "left")
    for item in slow:
        row = rows.read([item["row"]])[0]
        counted = [f"{r}: {w} {n}" for r, c in item["counts"].items() for w, n in c.items()]
        table.add_row(
            str(item["row"]),
            f"{item['seconds']:.3f}",
            Text(tail(content_of(row["completion"]))),
            ", ".join(counted),
        )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
