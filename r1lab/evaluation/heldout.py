"""Sampled accuracy on held-out problems: what a user of the model would see, with an interval.

Greedy scores hide what training changed; a sample at the training temperature is what GRPO
improves. The interval is a bootstrap over problems (samples of one problem are no independent
evidence).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_RESAMPLES = 5000


@dataclass(frozen=True)
class Score:
    """One evaluation. Lengths are generated tokens, the end token included; ``low``/``high`` bound
    a 95% interval.
    """

    accuracy: float
    low: float
    high: float
    problems: int
    samples: int
    mean_tokens: float
    truncated: float
    unscored: int
    seconds: float

    def metrics(self, prefix: str) -> dict[str, float]:
        """Flat numbers under MLflow names: ``heldout/accuracy``, ``heldout/accuracy_low``, ..."""
        return {
            f"{prefix}/accuracy": self.accuracy,
            f"{prefix}/accuracy_low": self.low,
            f"{prefix}/accuracy_high": self.high,
            f"{prefix}/mean_tokens": self.mean_tokens,
            f"{prefix}/truncated": self.truncated,
            f"{prefix}/problems": float(self.problems),
            f"{prefix}/unscored": float(self.unscored),
        }


#: Answers to prompts, both as token ids: one to each, up to and with the end token if there is one.
Generate = Callable[[list[list[int]]], list[list[int]]]


def evaluate(
    generate: Generate,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    settings: dict[str, Any],
    scorer: Callable[..., Sequence[float | None]],
    seed: int,
    template_kwargs: Mapping[str, Any] | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> tuple[Score, list[dict[str, Any]]]:
    """Sample ``settings['samples']`` answers a problem and score them with ``scorer`` (1.0 is
    right).

    ``rows`` hold ``prompt`` (messages) and the columns that the scorer needs. ``generate`` answers
    for ``model``: see :func:`by_model`. The global random state is left as it was found, so that
    evaluating does not change the training that follows. Returns the score and one record an
    answer, on every one of ``world_size`` ranks, which share the work: all of them must call this.
    """
    import torch
    from accelerate.utils import gather_object

    start = time.perf_counter()
    count = len(rows) if settings["problems"] is None else min(len(rows), settings["problems"])
    total = count * settings["samples"]
    # As many on every rank: sharded weights are gathered by all of them together.
    rounds = math.ceil(total / world_size)
    mine = [min(turn * world_size + rank, total - 1) for turn in range(rounds)]
    picked = [dict(rows[position // settings["samples"]]) for position in mine]
    records: list[dict[str, Any]] = []
    devices = [model.device] if model.device.type == "cuda" else []
    training = model.training
    kwargs = template_kwargs or {}
    stop = set(stop_ids(model))
    model.eval()
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(seed + rank)
        for first in range(0, len(picked), settings["batch_size"]):
            batch = picked[first : first + settings["batch_size"]]
            tokens = generate(_prompt_ids(tokenizer, batch, kwargs))
            records += _records(tokenizer, batch, tokens, stop, scorer)
    model.train(training)
    placed = list(zip(mine, records, strict=True))
    found = dict(gather_object(placed) if world_size > 1 else placed)
    records = [found[position] for position in range(total)]
    for position, record in enumerate(records):
        record["problem"] = position // settings["samples"]
    return _score(records, count, settings["samples"], time.perf_counter() - start), records


def stop_ids(model: PreTrainedModel) -> list[int]:
    """The tokens that end a turn."""
    ends = model.generation_config.eos_token_id
    return list(ends) if isinstance(ends, list) else [ends]


def by_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
) -> Generate:
    """transformers' own generation; a temperature of 0 is greedy."""
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}

    def generate(prompts: list[list[int]]) -> list[list[int]]:
        # Generation goes on from the right end.
        encoded: Any = tokenizer.pad(
            {"input_ids": prompts}, padding=True, padding_side="left", return_tensors="pt"
        )
        # Only these two: some tokenizers add token types, which a decoder refuses.
        names = ("input_ids", "attention_mask")
        generated: Any = model.generate(
            **{name: encoded[name].to(model.device) for name in names},
            **sampling,
            max_new_tokens=max_new_tokens,
            repetition_penalty=1.0,
            use_cache=True,
        )
        stop = set(stop_ids(model))
        answers = generated[:, encoded["input_ids"].shape[1] :].tolist()
        return [_until_end(answer, stop)[0] for answer in answers]

    return generate


def _prompt_ids(
    tokenizer: PreTrainedTokenizerBase,
    batch: list[dict[str, Any]],
    template_kwargs: Mapping[str, Any],
) -> list[list[int]]:
    texts: Any = tokenizer.apply_chat_template(
        [row["prompt"] for row in batch],
        add_generation_prompt=True,
        tokenize=False,
        **template_kwargs,
    )
    # The template writes every special token itself.
    encoded: Any = tokenizer(texts, add_special_tokens=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _records(
    tokenizer: PreTrainedTokenizerBase,
    batch: list[dict[str, Any]],
    tokens: list[list[int]],
    stop: set[int],
    scorer: Callable[..., Sequence[float | None]],
) -> list[dict[str, Any]]:
    answers = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in tokens]
    completions = [[{"role": "assistant", "content": text}] for text in answers]
    names = [name for name in batch[0] if name not in ("prompt", "completion")]
    columns = {name: [row[name] for row in batch] for name in names}
    values = scorer(completions=completions, prompts=[row["prompt"] for row in batch], **columns)
    return [
        {
            "prompt": row["prompt"][-1]["content"],
            "completion": text,
            "solution": row.get("solution"),
            "correct": value,
            "tokens": len(ids),
            "truncated": ids[-1] not in stop if ids else True,
        }
        for row, text, value, ids in zip(batch, answers, values, tokens, strict=True)
    ]


def _until_end(ids: list[int], stop: set[int]) -> tuple[list[int], bool]:
    """Tokens up to and with the first end token, and whether there is one."""
    for position, token in enumerate(ids):
        if token in stop:
            return ids[: position + 1], True
    return ids, False


def _score(records: list[dict[str, Any]], problems: int, samples: int, seconds: float) -> Score:
    import numpy

    values: list[list[float]] = [[] for _ in range(problems)]
    for record in records:
        if record["correct"] is not None:
            values[record["problem"]].append(float(record["correct"]))
    means = numpy.array([numpy.mean(group) for group in values if group])
    low, high = interval(means)
    return Score(
        accuracy=float(means.mean()) if len(means) else float("nan"),
        low=low,
        high=high,
        problems=problems,
        samples=samples,
        mean_tokens=float(numpy.mean([record["tokens"] for record in records])),
        truncated=float(numpy.mean([record["truncated"] for record in records])),
        unscored=sum(record["correct"] is None for record in records),
        seconds=seconds,
    )


def interval(means: Any) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean of per-problem means (array of shape
    (problems,)).
    """
    import numpy
    from scipy.stats import bootstrap

    if len(means) < 2:
        return float("nan"), float("nan")
    if numpy.all(means == means[0]):
        # No spread to resample: the rule of three bounds the share of problems not seen to differ.
        margin = 3 / len(means)
        value = float(means[0])
        return max(0.0, value - margin), min(1.0, value + margin)
    found = bootstrap(
        (means,),
        numpy.mean,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=numpy.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def save(folder: Path, name: str, score: Score, records: list[dict[str, Any]]) -> tuple[Path, Path]:
    """Write ``NAME.json`` (the score) and ``NAME.parquet`` (every answer) into ``folder``."""
    import pandas

    folder.mkdir(parents=True, exist_ok=True)
    summary, table = folder / f"{name}.json", folder / f"{name}.parquet"
    pandas.DataFrame(records).to_parquet(table)
    # The score last and at once: a run that is killed here must not resume with half of it.
    scratch = summary.with_suffix(".tmp")
    scratch.write_text(json.dumps(asdict(score), indent=2) + "\n")
    scratch.replace(summary)
    return summary, table


def load_score(folder: Path, name: str) -> Score | None:
    """A score that :func:`save` wrote, None where there is no whole one."""
    try:
        return Score(**json.loads((folder / f"{name}.json").read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
