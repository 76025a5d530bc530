"""What must be alike before scores are compared, and what may differ."""

from __future__ import annotations

import pytest

from r1lab.evaluation.same_settings import differing
from tests.evaluation.answered import SETTINGS


def changed(part, **values):
    whole = SETTINGS[part]
    return {**SETTINGS, part: {**whole, **values} if isinstance(whole, dict) else values["to"]}


def test_the_same_settings_do_not_differ():
    assert differing(SETTINGS, SETTINGS) == ({}, [])


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("sampling", {"temperature": 1.0}),
        ("sampling", {"seed": 1}),
        ("sampling", {"n": 64}),
        ("sampling", {"extra": {"top_k": 20}}),  # and none on the other side
        ("prompt", {"template": "{problem}"}),
        ("prompt", {"system_prompt": "Think."}),
        ("engine", {"name": "transformers"}),
        ("engine", {"max_model_len": 8192}),
        ("data", {"fingerprint": "d2"}),
        ("model", {"chat_template": "t2"}),
        ("versions", {"r1lab": "0.2.0"}),
        ("lighteval", {"to": "0.12.0"}),
        ("task_version", {"to": 2}),
    ],
)
def test_how_the_questions_are_asked_and_judged_decides(part, values):
    found, unknown = differing(SETTINGS, changed(part, **values))
    assert len(found) == 1
    assert next(iter(found)).startswith(part)
    assert unknown == []


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("model", {"name": "trained", "weights": "w2"}),
        ("data", {"source": "/elsewhere"}),
        ("versions", {"mlflow": "3.18.0"}),
        ("command", {"to": "another line"}),
    ],
)
def test_whose_answers_they_are_does_not(part, values):
    assert differing(SETTINGS, changed(part, **values)) == ({}, [])


def test_both_values_are_told():
    found, _ = differing(SETTINGS, changed("sampling", temperature=0.0))
    assert found == {"sampling.temperature": (0.6, 0.0)}


def test_what_one_did_not_record_is_no_difference():
    less = {name: part for name, part in SETTINGS.items() if name not in ("engine", "lighteval")}
    found, unknown = differing(SETTINGS, less)
    assert found == {}
    assert unknown == ["engine.max_model_len", "engine.name", "lighteval"]


def test_lighteval_records_less_and_what_it_does_counts():
    foreign = {"recorded_by": "LightEval", "sampling": {"temperature": 0.7, "top_p": 0.95}}
    found, unknown = differing(SETTINGS, foreign)
    assert found == {"sampling.temperature": (0.6, 0.7)}
    assert "sampling.seed" in unknown
