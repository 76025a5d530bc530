"""``rewards score``: a file or a run's completions, scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1lab.lab import show, stats
from r1lab.lab.command import Request, check_rewards, composed, emit, warn
from r1lab.lab.lengths import Lengths
from r1lab.lab.rows import FileRows, Rows
from r1lab.lab.scoring import Scores, score
from r1lab.lab.slowest import slowest
from r1lab.rewards.build import CheckedReward, build_rewards

SHOWN = 20
#: Rows that a list in the JSON object holds at most; all are counted.
LISTED = 100


def run(request: Request) -> int:
    """Score, and print the object or the tables."""
    target = Path(request.files[0]).expanduser()
    if request.files[0] != "-" and (target.is_dir() or target.suffix == ".parquet"):
        from r1lab.lab import logged

        rows, config, prefill = logged.open_run(target, request)
        default_model = False
    else:
        config = composed(request, check_rewards)
        rows, prefill = FileRows(request.files[0]), ""
        default_model = not any(item.startswith("model") for item in request.overrides)
    prefill = request.values.get("--prefill", prefill)

    def build() -> tuple[list[CheckedReward], list[float]]:
        return build_rewards(config["rewards"], prefill)

    rewards, weights = build()
    for reward in rewards:
        reward.prepare()
    lengths = Lengths(config["model"], default_model)
    with show.progress("scoring", len(rows), shown=len(rows.batches()) > 1) as advance:
        scores = score(rows, rewards, weights, lengths, advance)
    if config["trainer"]["args"].get("multi_objective_aggregation") == "normalize_then_sum":
        scores.warnings.append("total is the plain weighted sum, before normalize_then_sum")
    slow = None
    count = request.number("--slowest", 0 if request.json else 5)
    if count:
        slow = slowest(rows, lambda: build()[0], lengths, count)
    found = report(rows, rewards, weights, scores)
    if slow is not None:
        found["slowest"] = slow
    for warning in scores.warnings:
        warn(warning)
    if request.json:
        emit(found)
    else:
        show.scores(rows, found, request.number("--rows", SHOWN))
    rows.close()
    return 0


def report(
    rows: Rows, rewards: Sequence[CheckedReward], weights: Sequence[float], scores: Scores
) -> dict[str, Any]:
    """The object that ``--json`` prints, and that the tables show."""
    apart = stats.disagreements(scores.rewards, stats.judges(rewards))
    return {
        "n": len(rows),
        "seconds": scores.seconds,
        "rewards": scores.rewards,
        "total": scores.total,
        "counts": scores.counts,
        "weights": dict(zip(scores.rewards, weights, strict=True)),
        "seconds_by_reward": scores.by_reward,
        "summary": {
            name: stats.summary(values, rows.group)
            for name, values in [*scores.rewards.items(), ("total", scores.total)]
        },
        "correlations": stats.correlations(scores.rewards),
        "disagreements": {"count": len(apart), "rows": apart[:LISTED]},
        "warnings": scores.warnings,
    }
