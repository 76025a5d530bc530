"""What a finished run's folder says, in the lines that a person reads first."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def summary(folder: Path) -> str:
    """Held-out accuracy before and after with 95% intervals, benchmarks, and where the model is."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    lines = []
    for label, prefix in (("before", "heldout_before"), ("after", "heldout")):
        if f"{prefix}/accuracy" in metrics:
            lines.append(f"{label:<7}{_score(metrics, prefix)}")
    names = [
        key.split("/")[1]
        for key in metrics
        if key.startswith("benchmark/") and key.endswith("/accuracy")
    ]
    lines += [f"{name:<7} {_score(metrics, f'benchmark/{name}')}" for name in names]
    ending = "/strict/pass_at_1"
    tasks = [key.removesuffix(ending) for key in metrics if key.endswith(ending)]
    lines += [f"{prefix.partition('/')[2]:<7} {_passed(metrics, prefix)}" for prefix in tasks]
    if "eval_loss" in metrics:
        lines.append(
            f"loss   held-out {metrics['eval_loss']:.4f}, training {metrics['train_loss']:.4f}"
        )
    if "train_runtime" in metrics:
        lines.append(f"took   {metrics['train_runtime']:.0f} s of training{_parts(metrics)}")
    lines.append(f"model  {folder / 'model'}")
    return "\n".join(lines)


def _parts(metrics: dict[str, Any]) -> str:
    """Where a GRPO step's time went."""
    labels = {"generate": "generation", "reward": "rewards", "update": "updates"}
    shares = [
        f"{label} {metrics[f'time/{part}_share']:.1%}"
        for part, label in labels.items()
        if f"time/{part}_share" in metrics
    ]
    return f": {', '.join(shares)}" if shares else ""


def _passed(metrics: dict[str, Any], prefix: str) -> str:
    """One of LightEval's benchmarks."""
    low, high = (metrics.get(f"{prefix}/strict/pass_at_1_{end}") for end in ("low", "high"))
    between = f" [{low:.3f}, {high:.3f}]" if low is not None else ""  # one question has none
    lenient = metrics.get(f"{prefix}/lenient/pass_at_1", math.nan)
    return (
        f"pass@1 {metrics[f'{prefix}/strict/pass_at_1']:.3f}{between}, lenient {lenient:.3f}, "
        f"{metrics[f'{prefix}/questions']:.0f} questions x {metrics[f'{prefix}/samples']:.0f}"
    )


def _score(metrics: dict[str, Any], prefix: str) -> str:
    accuracy, low, high = (metrics[f"{prefix}/accuracy{end}"] for end in ("", "_low", "_high"))
    return (
        f"accuracy {accuracy:.3f} [{low:.3f}, {high:.3f}] on "
        f"{metrics[f'{prefix}/problems']:.0f} held-out problems, "
        f"{metrics[f'{prefix}/mean_tokens']:.1f} tokens an answer"
    )
