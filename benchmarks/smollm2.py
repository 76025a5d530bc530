"""Train the pretrained SmolLM2 on one-digit sums with several seeds, and show what it gained.

    make smollm2
    python benchmarks/smollm2.py --seeds 1 2 3 --output docs/smollm2.png

Runs ``experiment=smollm2_sums``, the committed one, once for each seed; words after ``--`` are
added to its command (``-- hardware=single_gpu``). Draws the curves, and prints a markdown table of
held-out accuracy before and after, and the gain. A row's intervals are 95% bootstrap intervals over
the held-out problems; the gain's pairs each problem with itself. The last row's are 95% t intervals
over the seeds. Two columns take the gain apart. "Before, last number" counts an answer as right
that only mentions the result last, and so sets aside what is learned about the form. Of a + b and
b + a one may be trained on and the other held out: "after, new pairs" has the sums of which neither
was. Runs that are finished are read, not repeated. Needs matplotlib (the extra ``plots``).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.curve import draw, t_interval, train
from r1lab import targets
from r1lab.evaluation.heldout import interval

COMMAND = ["experiment=smollm2_sums"]


def operands(question: str) -> frozenset[str]:
    """The numbers of a question, in no order."""
    return frozenset(re.findall(r"\d+", question))


def by_problem(run: Path, name: str) -> Any:
    """The share of right answers to each held-out problem: a Series indexed by question."""
    rows = pandas.read_parquet(run / "evaluation" / f"{name}.parquet")
    return rows.groupby("prompt", sort=False)["correct"].mean()


def last_number(run: Path, name: str) -> Any:
    """As :func:`by_problem`, where the last number of an answer decides, wherever it stands."""
    rows = pandas.read_parquet(run / "evaluation" / f"{name}.parquet")
    ends = [(re.findall(r"\d+", text) or [None])[-1] for text in rows["completion"]]
    return rows.assign(right=rows["solution"] == ends).groupby("prompt", sort=False)["right"].mean()


def new_pairs(run: Path, scores: Any) -> Any:
    """The ``scores`` of questions whose operands no training problem has, in either order."""
    data = json.loads((run / "plan.json").read_text())["config"]["data"]
    trained = {operands(text) for text in targets.build(data).load()["train"]["question"]}
    return scores[[operands(question) not in trained for question in scores.index]]


def table(runs: dict[int, Path]) -> str:
    """Markdown rows by seed, then the mean over seeds."""
    titles = ["seed", "before", "after", "gain", "before, last number", "after, new pairs"]
    titles += ["tokens before", "tokens after", "wall, s"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    means: dict[str, list[float]] = {title: [] for title in titles[1:6]}
    for seed, run in runs.items():
        before, after = by_problem(run, "heldout_before"), by_problem(run, "heldout")
        cells = [str(seed)]
        columns = [before, after, after - before, last_number(run, "heldout_before")]
        columns.append(new_pairs(run, after))
        for title, scores in zip(means, columns, strict=True):
            low, high = interval(scores.to_numpy())
            means[title].append(float(scores.mean()))
            cells.append(f"{scores.mean():.3f} [{low:.3f}, {high:.3f}]")
        found = json.loads((run / "metrics.json").read_text())
        cells += [f"{found[f'{name}/mean_tokens']:.1f}" for name in ("heldout_before", "heldout")]
        cells.append(f"{float((run / 'wall.txt').read_text()):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    ends = [f"{numpy.mean(values):.3f} {t_interval(values)}" for values in means.values()]
    lines.append(f"| mean | {' | '.join(ends)} | | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("outputs/smollm2_sums"))
    parser.add_argument("--output", type=Path, default=Path("docs/smollm2.png"))
    parser.add_argument("overrides", nargs="*", help="added to the command, after --")
    given = parser.parse_args()
    command = [*COMMAND, *given.overrides]
    folder = given.folder.absolute()
    runs = {seed: train(folder, seed, command) for seed in given.seeds}
    print(table(runs))
    draw(runs, given.output)


if __name__ == "__main__":
    main()
