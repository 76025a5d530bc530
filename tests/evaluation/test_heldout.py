"""Sampled accuracy with the real tiny model: reproducible, harmless to training, honest."""

from __future__ import annotations

import math
import random

import pytest

from r1lab.evaluation import heldout
from r1lab.evaluation.heldout import by_model, evaluate, interval, load_score, save
from r1lab.rewards.build import construct_reward
from tests.models.small import node

SETTINGS = {"problems": 16, "samples": 1, "temperature": 1.0, "top_p": 1.0, "batch_size": 8}


@pytest.fixture(scope="module")
def tiny():
    from r1lab.models.load import load

    return load(node(), "cpu")


@pytest.fixture(scope="module")
def rows():
    from r1lab.data.arithmetic_source import Arithmetic
    from r1lab.data.build import build_data

    source = Arithmetic(train_size=8, test_size=24, system_prompt=None)
    found = build_data(source, "grpo", need_solution=True).test
    assert found is not None
    return found


def verified(completions, solution, **columns):
    reward = construct_reward("scorer", {"_target_": "r1lab.rewards.accuracy.Accuracy"})
    return reward(completions=completions, solution=solution)


def run(tiny, rows, seed=1, scorer=verified, longest=96, **settings):
    given = {**SETTINGS, **settings}
    return evaluated(tiny.model, tiny.tokenizer, rows, given, longest, scorer, seed)


def evaluated(model, tokenizer, rows, settings, longest, scorer, seed, kwargs=None):
    generate = by_model(model, tokenizer, settings["temperature"], settings["top_p"], longest)
    return evaluate(generate, model, tokenizer, rows, settings, scorer, seed, kwargs)


def answers(records):
    return [record["completion"] for record in records]


def test_random_states_are_left_as_they_were(tiny, rows):
    import numpy
    import torch

    def states():
        return random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()

    torch.manual_seed(5)
    before = states()
    tiny.model.train()
    run(tiny, rows)
    assert states() == before
    assert tiny.model.training
    tiny.model.eval()


def test_the_seed_decides_the_answers_whatever_came_before(tiny, rows):
    import torch

    torch.manual_seed(1)
    first = answers(run(tiny, rows, seed=7)[1])
    torch.manual_seed(2)
    assert answers(run(tiny, rows, seed=7)[1]) == first
    assert answers(run(tiny, rows, seed=8)[1]) != first


def test_temperature_0_is_greedy_in_any_batch(tiny, rows):
    one = answers(run(tiny, rows, temperature=0, seed=1, batch_size=1)[1])
    assert answers(run(tiny, rows, temperature=0, seed=2, batch_size=5)[1]) == one
    assert answers(run(tiny, rows, temperature=0, seed=3, batch_size=16)[1]) == one


def test_score_adds_up_and_lengths_count_the_end_token(tiny, rows):
    score, records = run(tiny, rows)
    assert len(records) == score.problems == 16
    assert score.accuracy == sum(r["correct"] for r in records) / 16
    assert score.accuracy > 0 and score.low <= score.accuracy <= score.high
    assert score.mean_tokens == sum(r["tokens"] for r in records) / 16
    for record in records:
        if not record["truncated"]:
            # The tiny model's text is one token a character at most, and the end token is one more.
            text = tiny.tokenizer.encode(record["completion"], add_special_tokens=False)
            assert record["tokens"] == len(text) + 1


def test_share_of_cut_answers(tiny, rows):
    score, records = run(tiny, rows, longest=2)
    assert score.truncated == 1.0
    assert {record["tokens"] for record in records} == {2}
    assert run(tiny, rows, longest=96)[0].truncated < 1.0


def test_unscored_answers_are_counted_and_left_out(tiny, rows):
    def half(completions, **columns):
        return [None if i % 2 else 1.0 for i in range(len(completions))]

    score, _ = run(tiny, rows, scorer=half)
    assert (score.unscored, score.accuracy) == (8, 1.0)
    score, _ = run(tiny, rows, scorer=lambda completions, **c: [None] * len(completions))
    assert score.unscored == 16
    assert math.isnan(score.accuracy) and math.isnan(score.low)


def test_samples_of_a_problem_are_no_independent_evidence(tiny, rows):
    """The same answers, judged problem by problem: more samples must not shrink the interval."""

    def by_problem(completions, solution, **columns):
        return [float(rows["solution"].index(s) % 2) for s in solution]

    once = run(tiny, rows, scorer=by_problem, longest=2)[0]
    score, records = run(tiny, rows, scorer=by_problem, longest=2, samples=4)
    assert len(records) == 64 and score.problems == 16 and score.samples == 4
    assert [r["problem"] for r in records[:8]] == [0] * 4 + [1] * 4
    assert (score.accuracy, score.low, score.high) == (once.accuracy, once.low, once.high)


def test_all_rows_when_fewer_than_asked_or_null(tiny, rows):
    assert run(tiny, rows, problems=1000, longest=2)[0].problems == 24
    assert run(tiny, rows, problems=None, longest=2)[0].problems == 24


def test_template_arguments_reach_the_prompt(tiny, rows):
    """With another template, greedy answers differ: the arguments are used, not dropped."""
    kept = tiny.tokenizer.chat_template
    tiny.tokenizer.chat_template = "{% if quiet %}" + "{# nothing #}" + "{% else %}" + kept
    tiny.tokenizer.chat_template += "{% endif %}{% if quiet %}?{% endif %}"
    try:
        given = {**SETTINGS, "temperature": 0}
        arguments = (tiny.model, tiny.tokenizer, rows, given, 24, verified, 1)
        plain = answers(evaluated(*arguments)[1])
        quiet = answers(evaluated(*arguments, {"quiet": True})[1])
    finally:
        tiny.tokenizer.chat_template = kept
    assert len(set(quiet)) == 1 and len(set(plain)) > 1


@pytest.mark.slow
def test_interval_covers_what_it_says():
    """95% nominal; 256 problems at 0.3, as a held-out evaluation has."""
    import numpy

    random_ = numpy.random.default_rng(0)
    trials = 400
    inside = 0
    for _ in range(trials):
        low, high = interval((random_.random(256) < 0.3).astype(float))
        inside += low <= 0.3 <= high
    assert 0.92 <= inside / trials <= 0.97


def test_interval_with_nothing_to_resample():
    import numpy

    assert interval(numpy.zeros(100)) == (0.0, pytest.approx(0.03))
    assert interval(numpy.ones(100)) == (pytest.approx(0.97), 1.0)
    assert all(math.isnan(bound) for bound in interval(numpy.ones(1)))


def test_kept_score_comes_back_and_a_half_written_one_does_not(tiny, rows, tmp_path, monkeypatch):
    score, records = run(tiny, rows, longest=2)
    assert load_score(tmp_path, "x") is None
    save(tmp_path, "x", score, records)
    assert load_score(tmp_path, "x") == score
    # A kill between the two files leaves no score, or the whole one; never half of it.
    other = tmp_path / "killed"

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(heldout.json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        save(other, "x", score, records)
    assert load_score(other, "x") is None
    (tmp_path / "x.json").write_text('{"accuracy": 0.')
    assert load_score(tmp_path, "x") is None


@pytest.mark.parametrize("kind", ["plain", "wrapped"])
def test_adapters_are_evaluated_too(rows, kind):
    from peft import LoraConfig, get_peft_model

    from r1lab.models.load import load

    loaded = load(node(peft={"kind": "lora", "target_modules": ["q_proj"]}), "cpu")
    given = {**SETTINGS, "temperature": 0}
    arguments = (loaded.tokenizer, rows, given, 96, verified, 1)
    before = answers(evaluated(loaded.model, *arguments)[1])
    model = loaded.model
    if kind == "wrapped":
        assert isinstance(loaded.peft_config, LoraConfig)
        model = get_peft_model(model, loaded.peft_config)
    assert answers(evaluated(model, *arguments)[1]) == before  # a fresh adapter changes nothing
