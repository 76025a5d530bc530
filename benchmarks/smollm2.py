"""Train the pretrained SmolLM2 on one-digit sums with several seeds, and print what it gained.

    make smollm2
    python benchmarks/smollm2.py --seeds 1 2 3

Runs ``experiment=smollm2_sums``, the committed one, once for each seed; words after ``--`` are
added to its command (``-- hardware=single_gpu``). Prints a markdown table of held-out accuracy
before and after, and the gain. A row's intervals are 95% bootstrap intervals over the held-out
problems; the gain's pairs each problem with itself. The last row's are 95% t intervals over the
seeds. Runs that are finished are read, not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.curve import t_interval, train
from r1lab.evaluation.heldout import interval

COMMAND = ["experiment=smollm2_sums"]


def problem_means(run: Path, name: str) -> Any:
    """The share of right answers to each held-out problem, in the order of the problems."""
    rows = pandas.read_parquet(run / "evaluation" / f"{name}.parquet")
    return rows.groupby("problem")["correct"].mean().sort_index().to_numpy()


def table(runs: dict[int, Path]) -> str:
    """Markdown rows by seed, then the mean over seeds."""
    titles = "seed, accuracy before, accuracy after, gain, tokens before, tokens after, wall (s)"
    lines = [f"| {titles.replace(', ', ' | ')} |", "|---|---|---|---|---|---|---|"]
    means: dict[str, list[float]] = {"before": [], "after": [], "gain": []}
    for seed, run in runs.items():
        before, after = (problem_means(run, name) for name in ("heldout_before", "heldout"))
        found = json.loads((run / "metrics.json").read_text())
        cells = [str(seed)]
        for name, values in (("before", before), ("after", after), ("gain", after - before)):
            low, high = interval(values)
            means[name].append(float(values.mean()))
            cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}]")
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
    parser.add_argument("overrides", nargs="*", help="added to the command, after --")
    given = parser.parse_args()
    command = [*COMMAND, *given.overrides]
    folder = given.folder.absolute()
    runs = {seed: train(folder, seed, command) for seed in given.seeds}
    print(table(runs))


if __name__ == "__main__":
    main()
