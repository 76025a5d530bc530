"""LightEval's own results files as answers that can be compared."""

from __future__ import annotations

import json
import math

import pytest

from r1lab.errors import ConfigError
from r1lab.evaluation import evaluations, lighteval_results, statistics
from tests.evaluation import answered

TABLE = answered.rows([[1, 0], [1, 1], [0, 0]])


def test_a_results_file_is_read_with_its_details(tmp_path):
    file = answered.write_lighteval(tmp_path, TABLE)
    found = lighteval_results.read(file)["aime24"]
    assert statistics.question_means(found.scores["strict"]).tolist() == [0.5, 1, 0]
    assert found.texts[1].tolist() == ["It is \\boxed{2}.", "It is \\boxed{2}."]
    assert found.golds == ["1", "2", "3"]
    assert math.isnan(found.truncated[0, 0])  # LightEval does not say
    assert found.settings["sampling"] == {
        **{"temperature": 0.6, "top_p": 0.95, "seed": 42},
        **{"max_new_tokens": 100, "n": 2},  # the task's, where the model names none
    }
    assert found.settings["model"]["name"] == "org/base"


def test_the_folder_of_a_run_by_lighteval_does_as_well(tmp_path):
    answered.write_lighteval(tmp_path, TABLE)
    assert list(evaluations.find(tmp_path)) == ["aime24"]
    answered.write_lighteval(tmp_path, TABLE, model="org/other")
    with pytest.raises(ConfigError, match=r"(?s)several results.*org/base"):
        evaluations.find(tmp_path)


def test_details_may_lie_beside_the_file_as_on_the_hub(tmp_path):
    file = answered.write_lighteval(tmp_path / "out", TABLE)
    (tmp_path / "hub").mkdir()
    moved = file.rename(tmp_path / "hub" / file.name)
    stamp = file.stem.removeprefix("results_")
    (tmp_path / "out/details/org/base" / stamp).rename(tmp_path / "hub" / stamp)
    assert list(lighteval_results.read(moved)) == ["aime24"]


@pytest.mark.parametrize(
    "name", ["aime24|0", "r1lab_aime24|0", "lighteval|aime24|0", "custom|aime24|0|0"]
)
def test_a_task_has_one_name(name):
    assert lighteval_results.task_name(name) == "aime24"


def test_a_subset_is_part_of_the_name():
    assert lighteval_results.task_name("lighteval|gpqa:diamond|0") == "gpqa_diamond"


def test_questions_of_the_same_words_are_two(tmp_path):
    twice = [row | {"question": "What?"} for row in TABLE]
    found = lighteval_results.read(answered.write_lighteval(tmp_path, twice))["aime24"]
    assert len(set(found.ids)) == 3


def test_one_of_several_metrics_is_chosen(tmp_path):
    metrics = {"pass@k:k=1": [1.0, 0.5, 0.0], "em": [0.0, 0.0, 0.0]}
    file = answered.write_lighteval(tmp_path, TABLE, **metrics)
    with pytest.raises(ConfigError, match=r"--metric, of: em, pass@k:k=1"):
        lighteval_results.read(file)
    with pytest.raises(ConfigError, match=r"did you mean pass@k:k=1"):
        lighteval_results.read(file, "pass@k")
    found = lighteval_results.read(file, "pass@k:k=1")["aime24"]
    assert found.scores["strict"].tolist() == [[1, 1], [0.5, 0.5], [0, 0]]


def test_means_alone_cannot_be_compared(tmp_path):
    file = answered.write_lighteval(tmp_path, TABLE)
    for parquet in tmp_path.rglob("*.parquet"):
        parquet.unlink()
    with pytest.raises(ConfigError, match="--save-details"):
        lighteval_results.read(file)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"results": {}})])
def test_another_file_is_said_to_be_none(tmp_path, text):
    file = tmp_path / "results_x.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"results_x\.json"):
        lighteval_results.read(file)
