"""Run the default command for several seeds and draw accuracy and length over the steps.

    python benchmarks/curve.py --seeds 1 2 3 --output docs/thinking.png

Prints a markdown table of held-out accuracy before and after with its 95% interval, and the mean
over seeds with a t interval. Needs matplotlib (the extra ``plots``). Runs that are finished are
read, not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy
from scipy import stats

COMMAND = ["trainer=grpo", "rewards=[accuracy,cosine]"]


def train(folder: Path, seed: int, command: Sequence[str] = COMMAND) -> Path:
    """The folder of the run that ``command`` makes with ``seed``, trained unless it is there
    already; ``wall.txt`` keeps the whole process's seconds.
    """
    run = folder / f"seed{seed}"
    if not (run / "metrics.json").is_file():
        start = time.perf_counter()
        line = [*command, f"seed={seed}", f"output_dir={folder}", f"run_name=seed{seed}"]
        subprocess.run([sys.executable, "-m", "r1lab", *line], check=True)
        (run / "wall.txt").write_text(f"{time.perf_counter() - start:.1f}")
    return run


def curves(run: Path) -> dict[str, list[float]]:
    """Training accuracy and completion length at each step, as the trainer logged them."""
    rows = json.loads((run / "trainer_state.json").read_text())["log_history"]
    steps = [row for row in rows if "rewards/accuracy/mean" in row]
    return {
        "step": [row["step"] for row in steps],
        "accuracy": [row["rewards/accuracy/mean"] for row in steps],
        "length": [row["completions/mean_length"] for row in steps],
    }


def table(runs: dict[int, Path]) -> str:
    """Markdown rows by seed, then the mean over seeds with its 95% t interval."""
    lines = [
        "| seed | accuracy before | accuracy after | tokens before | tokens after | wall, s |",
        "|---|---|---|---|---|---|",
    ]
    ends: dict[str, list[float]] = {"heldout_before": [], "heldout": []}
    for seed, run in runs.items():
        found = json.loads((run / "metrics.json").read_text())
        cells = [str(seed)]
        for name in ends:
            value, low, high = (found[f"{name}/accuracy{end}"] for end in ("", "_low", "_high"))
            ends[name].append(value)
            cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
        cells += [f"{found[f'{name}/mean_tokens']:.1f}" for name in ends]
        cells.append(f"{float((run / 'wall.txt').read_text()):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    means = [f"{numpy.mean(ends[name]):.3f} {t_interval(ends[name])}" for name in ends]
    lines.append(f"| mean | {means[0]} | {means[1]} | | | |")
    return "\n".join(lines)


def t_interval(values: Sequence[float]) -> str:
    """The 95% t interval of the mean over seeds, as text; empty for one seed."""
    if len(values) < 2:
        return ""
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=numpy.mean(values), scale=stats.sem(values)
    )
    return f"[{low:.3f}, {high:.3f}]"


def draw(runs: dict[int, Path], output: Path) -> None:
    """Two panels over the steps, a line a seed: sampled training accuracy, and tokens a
    completion.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), dpi=130)
    for seed, run in runs.items():
        rows = curves(run)
        left.plot(rows["step"], rows["accuracy"], label=f"seed {seed}", linewidth=1.5)
        right.plot(rows["step"], rows["length"], linewidth=1.5)
    left.set(title="accuracy of sampled answers", xlabel="GRPO step", ylim=(0, 1.02))
    right.set(title="tokens in an answer", xlabel="GRPO step")
    right.set_ylim(bottom=0)
    left.legend(frameon=False, loc="lower right")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("outputs/curve"))
    parser.add_argument("--output", type=Path, default=Path("docs/thinking.png"))
    given = parser.parse_args()
    runs = {seed: train(given.folder.absolute(), seed) for seed in given.seeds}
    print(table(runs))
    draw(runs, given.output)


if __name__ == "__main__":
    main()
