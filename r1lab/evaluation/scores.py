"""From the sampled answers of a benchmark to its scores: ours beside LightEval's, with intervals.

``strict`` is the benchmark's own parser, ``lenient`` r1lab's verifier: their difference is format,
not skill. Golds that the verifier cannot parse have no lenient score, and are counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCORE = "score.json"
#: Answers that the verifier gets at a time.
_BATCH = 2048
#: Shares of answers from which a score says little about the model.
_MANY_CUT, _MANY_SILENT = 0.05, 0.2


def add_lenient(file: Path, answers: str) -> float:
    """Complete the column ``lenient`` of a ``samples.parquet``; the seconds that it took.

    ``answers``: ``math``, or ``choice`` for golds that are letters of options.
    """
    import pandas

    begin = time.monotonic()
    rows = pandas.read_parquet(file)
    texts = [str(text or "") for text in rows["text"]]
    golds = [_golds(gold) for gold in rows["gold"]]
    judge = _by_letter if answers == "choice" else _by_verifier
    rows["lenient"] = pandas.array(judge(texts, golds), dtype="Float64").astype("float64")
    fresh = file.with_suffix(".tmp")
    rows.to_parquet(fresh)
    fresh.replace(file)
    return time.monotonic() - begin


def _golds(gold: Any) -> list[str]:
    """One answer may be right in several forms."""
    return [gold] if isinstance(gold, str) else [str(one) for one in gold]


def _by_verifier(texts: Sequence[str], golds: Sequence[list[str]]) -> list[float | None]:
    from r1lab.verify.verifier import get_verifier

    verifier = get_verifier()
    pairs = [(place, text, gold) for place, text in enumerate(texts) for gold in golds[place]]
    found: list[float | None] = [None] * len(texts)
    for first in range(0, len(pairs), _BATCH):
        batch = pairs[first : first + _BATCH]
        verdicts = verifier.verify_batch([(text, gold) for _, text, gold in batch])
        for (place, _, _), verdict in zip(batch, verdicts, strict=True):
            if verdict.correct is not None:
                found[place] = max(found[place] or 0.0, float(verdict.correct))
    return found


def _by_letter(texts: Sequence[str], golds: Sequence[list[str]]) -> list[float | None]:
    from r1lab.rewards.multiple_choice import MultipleChoice

    reward = MultipleChoice()
    return [reward.value(text, gold[0]) for text, gold in zip(texts, golds, strict=True)]


def score(folder: Path, answers: str, max_new_tokens: int) -> tuple[dict[str, float], list[str]]:
    """The metrics of a benchmark's answers (see :class:`r1lab.evaluation.summary.Summary`), and
    what their reader must be warned of.

    Answers that the verifier finds equal vote together.
    """
    import pandas

    from r1lab.evaluation import samples, summary, voting

    found = samples.read(folder)
    labels = voting.group_answers(found.texts, voting.readers()[answers])
    cut = found.tokens[found.truncated == 1]
    longest = float(cut.max()) if len(cut) else math.nan
    metrics = summary.summarize(found, labels).metrics()
    # What the benchmark's parser does not read; ours takes a lone line for an answer.
    read = pandas.read_parquet(folder / samples.TABLE, columns=["extracted"])["extracted"]
    metrics["no_answer"] = float(read.isna().mean())
    return metrics, _warnings(metrics, longest, max_new_tokens)


def _warnings(metrics: dict[str, float], longest: float, most: int) -> list[str]:
    """``longest``: tokens of the longest answer that was cut; ``most`` were asked for."""
    warnings = []
    if longest < 0.9 * most:
        warnings.append(
            f"answers were cut at {longest:.0f} tokens, though {most} were asked for: the server "
            "has a limit of its own (engine.max_model_len, the model's context, or a server that "
            "does not read max_tokens), and the score says nothing about the model"
        )
    elif metrics.get("truncated", 0) >= _MANY_CUT:
        warnings.append(
            f"{metrics['truncated']:.0%} of the answers were cut at {most} tokens: the score is a "
            "lower bound (a larger evaluate.max_new_tokens shows by how much)"
        )
    if metrics["no_answer"] >= _MANY_SILENT:
        warnings.append(
            f"in {metrics['no_answer']:.0%} of the answers the benchmark's parser found none: see "
            "samples.parquet (is it the right chat template?)"
        )
    if metrics["lenient/unjudged"]:
        warnings.append(
            f"{metrics['lenient/unjudged']:.0f} answers have no lenient score: their gold does not "
            "parse"
        )
    return warnings


def write(
    folder: Path,
    metrics: dict[str, float],
    warnings: list[str],
    seconds: dict[str, float],
    counts: dict[str, int],
) -> None:
    """``score.json``, the last file of a task: where it is, the task is done.

    ``counts``: answers that were ``asked`` for, and ``kept`` from an earlier start.
    """
    found = {"metrics": metrics, "warnings": warnings, "seconds": seconds, "answers": counts}
    text = json.dumps(found, indent=2)
    fresh = folder / f".{SCORE}"
    fresh.write_text(text + "\n")
    fresh.replace(folder / SCORE)


def read(folder: Path) -> dict[str, Any] | None:
    """What :func:`write` wrote; None where the task is not done."""
    try:
        found = json.loads((folder / SCORE).read_text())
    except FileNotFoundError:
        return None
    return dict(found)


def metric_names(task: str, metrics: dict[str, float], prefix: str) -> dict[str, float]:
    """The metrics under the names that MLflow gets: ``benchmark/aime24/strict/pass_at_1``."""
    return {f"{prefix}/{task}/{name}": value for name, value in metrics.items()}
