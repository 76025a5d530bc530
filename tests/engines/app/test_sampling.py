"""Each row of a batch is drawn by its own settings, and reported as the model gave it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from r1lab.engines.app.sampling import Sampler, Sampling, _filtered, draw

PROBS = torch.tensor([0.5, 0.3, 0.15, 0.05])


def frequencies(count: int = 4000, **settings: float) -> torch.Tensor:
    """How often each token is drawn from ``PROBS``."""
    row = Sampling(seed=0, **settings)
    tokens = draw(PROBS.log().expand(count, -1), [row] * count)
    return torch.bincount(tokens, minlength=4) / count


def close(found: torch.Tensor, expected: list[float]) -> bool:
    # Five standard errors of 4000 draws are 0.04.
    return bool(torch.allclose(found, torch.tensor(expected, dtype=torch.float), atol=0.04))


def test_tokens_come_as_often_as_the_model_says():
    assert close(frequencies(), PROBS.tolist())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [0.685, 0.247, 0.062, 0.007]),  # p^2, normalised
        ({"temperature": 1e-4}, [1, 0, 0, 0]),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.7}, [0.625, 0.375, 0, 0]),  # the token that passes 0.7 is kept
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"min_p": 0.4}, [0.625, 0.375, 0, 0]),  # at least 0.4 of the likeliest
        ({"top_k": 3, "top_p": 0.8}, [0.625, 0.375, 0, 0]),  # 0.84 of what top_k left
    ],
)
def test_settings(settings, expected):
    found = frequencies(**settings)
    assert close(found, expected)
    assert (found[torch.tensor(expected) == 0] == 0).all()


@pytest.mark.parametrize("temperature", [0.2, 5.0])  # few tokens fill top_p, and most of them
def test_a_large_vocabulary_is_cut_where_sorting_would_cut_it(temperature):
    scores = torch.randn(4, 5000, generator=torch.Generator().manual_seed(2)) / temperature
    probs = scores.softmax(-1)
    rows = [Sampling(top_p=0.9), Sampling(top_k=2000, top_p=0.8), Sampling(top_k=7), Sampling()]
    found = _filtered(probs.clone(), rows)
    for row, before, after in zip(rows, probs, found, strict=True):
        ordered = before.sort(descending=True).values[: row.top_k or None]
        filled = (ordered.cumsum(0) / ordered.sum() < row.top_p).sum() + 1
        count = min(int(filled), len(ordered)) if row.top_p < 1 else len(ordered)
        assert abs(int((after > 0).sum()) - count) <= 1  # the sum's last digit
        assert torch.equal(after[after > 0], before[after > 0])


def test_a_seed_draws_the_same_whoever_shares_the_batch():
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))

    def drawn(*others: Sampling) -> list[int]:
        row = Sampling(seed=7)
        rows = [row, *others]
        return [int(draw(scores[: len(rows)], rows)[0]) for _ in range(20)]

    alone = drawn()
    assert drawn(Sampling(temperature=0), Sampling(top_k=3, seed=9)) == alone
    assert len(set(alone)) > 5
    assert drawn(Sampling()) == alone


def test_without_a_seed_draws_differ():
    scores = torch.zeros(1, 1000)
    assert len({int(draw(scores, [Sampling()])[0]) for _ in range(5)}) > 1


def batch(*rows: Sampling) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(state=SimpleNamespace(logit_processor_kwargs={"sampling": row}))
        for row in rows
    ]


def test_what_is_left_is_the_drawn_token_and_its_logprob_is_the_models():
    sampler = Sampler()
    hot = Sampling(temperature=2.0, top_k=1, logprobs=2)
    silent = Sampling(temperature=0)
    argument = sampler.prepare_tensor_args(batch(hot, silent))
    left = sampler(PROBS.log().expand(2, -1).clone(), argument)
    assert left.argmax(-1).tolist() == [0, 0]
    assert torch.isinf(left[:, 1:]).all()
    ((logprob, best),) = hot.drawn
    # Of the distribution as it was: temperature and top_k do not show.
    assert logprob == pytest.approx(torch.tensor(0.5).log().item())
    assert [token for token, _ in best] == [0, 1]
    assert best[1][1] == pytest.approx(torch.tensor(0.3).log().item())
    assert silent.drawn == []
