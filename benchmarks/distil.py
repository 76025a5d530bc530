"""Distil the tiny model for several seeds: GRPO makes a teacher, a fresh one learns from it.

    python benchmarks/distil.py --seeds 1 2 3

For each seed: a teacher, by the README's default line; four answers of its to each of 1,000
problems, and of those a right one a problem, by ``generate``; and a student, the tiny model as it
ships, trained on them by SFT. All three models are asked the same 512 problems, which neither
training nor generation has: the untrained model and the teacher by the teacher's run, the student
by ``trainer.benchmarks``. Prints a markdown table with 95% bootstrap intervals over problems in the
rows, and t intervals over seeds in the last. What is finished is read, not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.curve import t_interval, train

GENERATE = [
    *("engine=transformers", "hardware=cpu", "data=arithmetic"),
    *("generate.limit=1000", "generate.num_generations=4", "generate.max_new_tokens=96"),
    *("generate.temperature=1", "generate.test_size=0.1"),
]
#: The loss of the answers alone: the prompts are not the student's to write. Two epochs.
STUDENT = [
    *("trainer=sft", "data=local", "trainer.args.assistant_only_loss=true"),
    *("trainer.args.max_steps=30", "trainer.benchmarks=[data/arithmetic]"),
]


def generate(folder: Path, seed: int, teacher: Path) -> dict[str, Any]:
    """What ``generate`` with the teacher's answers says at the end, and ``wall``, its seconds."""
    kept = folder / "generations" / f"seed{seed}.json"
    if not kept.is_file():
        start = time.perf_counter()
        line = [*GENERATE, f"model={teacher}", f"generate.seed={seed}"]
        line += [f"output_dir={folder}", f"generate.name=seed{seed}"]
        command = [sys.executable, "-m", "r1lab", "generate", "--json", *line]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        found = json.loads(said) | {"wall": time.perf_counter() - start}
        kept.write_text(json.dumps(found, indent=2) + "\n")
    found = json.loads(kept.read_text())
    assert isinstance(found, dict)
    return found


def row(folder: Path, seed: int) -> tuple[list[str], list[float]]:
    """A seed's cells, and its accuracies: untrained, teacher's, student's."""
    teacher = train(folder / "teacher", seed)
    made = generate(folder, seed, teacher)
    student = train(folder / "student", seed, [*STUDENT, f"data.path={made['data']}"])
    of_teacher, of_student = (
        json.loads((run / "metrics.json").read_text()) for run in (teacher, student)
    )
    scores = [
        (of_teacher, "heldout_before"),
        (of_teacher, "heldout"),
        (of_student, "benchmark/arithmetic"),
    ]
    cells = [str(seed)]
    for found, name in scores:
        assert found[f"{name}/problems"] == 512
        value, low, high = (found[f"{name}/accuracy{end}"] for end in ("", "_low", "_high"))
        cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
    asked = made["asked"]
    cells.append(f"{asked['right'] / asked['samples']:.1%} of {asked['samples']:,}")
    cells.append(str(made["rows"]["train"]))
    tokens = (f"{found[f'{name}/mean_tokens']:.0f}" for found, name in (scores[0], scores[-1]))
    cells.append(" to ".join(tokens))
    walls = [float((run / "wall.txt").read_text()) for run in (teacher, student)]
    cells.append(f"{walls[0]:.0f} + {made['wall']:.0f} + {walls[1]:.0f}")
    return cells, [found[f"{name}/accuracy"] for found, name in scores]


def table(folder: Path, seeds: list[int]) -> str:
    """Markdown rows by seed, then the mean over seeds with its 95% t interval."""
    titles = ["seed", "untrained", "teacher", "student", "answers right", "rows to train on"]
    titles += ["tokens", "wall, s"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    accuracies = []
    for seed in seeds:
        cells, values = row(folder, seed)
        accuracies.append(values)
        lines.append(f"| {' | '.join(cells)} |")
    means = [f"{numpy.mean(each):.3f} {t_interval(each)}" for each in zip(*accuracies, strict=True)]
    lines.append(f"| mean | {' | '.join(means)} | | | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("outputs/distil"))
    given = parser.parse_args()
    print(table(given.folder.absolute(), given.seeds))


if __name__ == "__main__":
    main()
