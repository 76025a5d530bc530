"""How each request's next token is drawn: its own temperature, filters and seed, in one batch.

transformers' continuous batching samples every request of a batch with the settings of the first
one. So the draw is made here, in the place of its logits processors, a row a request: what is
returned leaves one token to choose. Log-probabilities are those of the model's own distribution,
before temperature and filters, as vLLM reports them.

The draw is ``argmax(p / e)`` with ``e`` from an exponential distribution (the exponential race, or
Gumbel-max trick): it has the distribution ``p``, and takes nothing but the row's own generator, so
a seeded request draws the same numbers whoever shares its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
)

#: Tokens among which a cut is looked for before all are sorted.
_HEAD = 1024


@dataclass
class Sampling:
    """One answer's settings, and what is collected while it is drawn.

    ``temperature`` 0 takes the likeliest token; ``top_k`` 0 and ``top_p`` 1 keep all. ``logprobs``
    is how many of the likeliest tokens are recorded beside the drawn one; None records nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    logprobs: int | None = None
    #: Of each drawn token: its log-probability, and (token, log-probability) of the likeliest.
    drawn: list[tuple[float, list[tuple[int, float]]]] = field(default_factory=list)
    generator: torch.Generator | None = None


class Sampler(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Draws the next token of every request in a batch, by its ``sampling``."""

    supported_kwargs: ClassVar[dict[str, type]] = {"sampling": Sampling}
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._rows: list[Sampling] = []

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Note whose rows come next. What goes through the tensor is not used."""
        self._rows = [
            request.state.logit_processor_kwargs["sampling"] for request in requests_with_new_token
        ]
        return torch.zeros(len(self._rows), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """``scores`` of shape (rows, vocabulary) -> the same with all but one token at -inf."""
        rows = self._rows
        # Without new tokens there is a row of padding.
        token = torch.zeros(scores.size(0), dtype=torch.long, device=scores.device)
        if rows:
            token[: len(rows)] = draw(scores[: len(rows)], rows)
            _record(scores, token, rows)
        return torch.full_like(scores, -math.inf).scatter_(1, token[:, None], 0.0)


def draw(scores: torch.Tensor, rows: list[Sampling]) -> torch.Tensor:
    """One token for each row of ``scores`` (rows, vocabulary)."""
    greedy = [row.temperature == 0 for row in rows]
    if all(greedy):
        return scores.argmax(dim=-1)
    # Subtracting the largest first, so that a small temperature overflows nothing.
    scaled = scores - scores.amax(dim=-1, keepdim=True)
    scaled = scaled / _column([row.temperature or 1.0 for row in rows], scores)
    probs = _filtered(scaled.softmax(dim=-1), rows)
    noise = torch.empty_like(probs)
    for index, row in enumerate(rows):
        if row.temperature > 0:
            noise[index].exponential_(generator=_generator(row, scores.device))
        else:
            noise[index] = 1.0  # the likeliest token wins
    noise.clamp_min_(torch.finfo(noise.dtype).tiny)  # 0 / 0 would win
    return (probs / noise).argmax(dim=-1)


def _filtered(probs: torch.Tensor, rows: list[Sampling]) -> torch.Tensor:
    """``probs`` with what ``top_k``, ``top_p`` and ``min_p`` leave out at 0, in vLLM's order."""
    cut = [index for index, row in enumerate(rows) if row.top_k > 0 or row.top_p < 1]
    if cut:
        probs[cut] = _top(probs[cut], [rows[index] for index in cut])
    if any(row.min_p > 0 for row in rows):
        least = probs.amax(dim=-1, keepdim=True) * _column([row.min_p for row in rows], probs)
        probs = probs * (probs >= least)
    return probs


def _top(probs: torch.Tensor, rows: list[Sampling]) -> torch.Tensor:
    """The ``top_k`` likeliest tokens of each row, and of these the likeliest that fill ``top_p``.

    Nearly always they are among the first thousand, whose selection takes a fraction of the time of
    sorting a vocabulary; where they are not, all are sorted.
    """
    size = probs.size(-1)
    top_k = _column([min(row.top_k or size, size) for row in rows], probs)
    top_p = _column([row.top_p for row in rows], probs)
    for head in (min(_HEAD, size), size):
        ordered, order = probs.topk(head, dim=-1)
        ranks = torch.arange(head, device=probs.device)[None]
        ordered = ordered * (ranks < top_k)
        reached = ordered.cumsum(dim=-1)
        whole = torch.where(top_k <= head, reached[:, -1:], 1.0)  # what top_p is a share of
        if head == size or bool(((top_k <= head) | (reached[:, -1:] >= top_p)).all()):
            break
    # A token stays where those before it do not fill top_p yet: the first always does.
    kept = (reached - ordered < top_p * whole) | (top_p >= 1) | (ranks == 0)
    return torch.zeros_like(probs).scatter_(1, order, ordered * kept)


def _column(values: list[Any], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, device=like.device)[:, None]


def _generator(row: Sampling, device: torch.device) -> torch.Generator:
    if row.generator is None:
        row.generator = torch.Generator(device)
        if row.seed is None:
            row.generator.seed()
        else:
            row.generator.manual_seed(row.seed % 2**63)
    return row.generator


def _record(scores: torch.Tensor, tokens: torch.Tensor, rows: list[Sampling]) -> None:
    wanted = [index for index, row in enumerate(rows) if row.logprobs is not None]
    if not wanted:
        return
    table = scores[wanted].log_softmax(dim=-1)
    most = max(rows[index].logprobs or 0 for index in wanted)
    values, ids = table.topk(most, dim=-1) if most else (table[:, :0], table[:, :0].long())
    drawn = table.gather(1, tokens[wanted][:, None])[:, 0].tolist()
    likeliest = zip(ids.tolist(), values.tolist(), strict=True)
    for index, logprob, (best_ids, best_values) in zip(wanted, drawn, likeliest, strict=True):
        count = rows[index].logprobs or 0
        best = zip(best_ids[:count], best_values[:count], strict=True)
        rows[index].drawn.append((logprob, list(best)))
