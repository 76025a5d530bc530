"""Tables of answers as arrays: order, gaps, and tables that are none."""

from __future__ import annotations

import math

import numpy
import pandas
import pytest

from r1lab.errors import ConfigError
from r1lab.evaluation import samples
from tests.evaluation import answered


def test_a_written_evaluation_is_read(tmp_path):
    table = answered.rows([[1, 0], [1, None]])
    table[1] |= {"finish_reason": "length", "completion_tokens": None}
    base = answered.write(tmp_path, table)
    found = samples.read(base / "evaluation" / "aime24")
    assert (found.task, found.ids, found.golds) == ("aime24", ["q1", "q2"], ["1", "2"])
    assert found.questions == ["What is 1?", "What is 2?"]
    assert found.scores["strict"][0].tolist() == [1, 0]
    assert math.isnan(found.scores["lenient"][1, 1])
    assert found.truncated.tolist() == [[0, 1], [0, 0]]
    assert math.isnan(found.tokens[0, 1])
    assert found.settings["sampling"]["temperature"] == 0.6


def test_rows_may_come_in_any_order_and_number():
    table = pandas.DataFrame(answered.rows([[1, 0, 0], [0], [1, 1]]))
    mixed = table.iloc[[5, 2, 0, 3, 1, 4]]
    found = samples.from_table(mixed)
    assert found.ids == ["q3", "q1", "q2"]
    assert found.scores["strict"][1].tolist() == [1, 0, 0]
    assert found.texts[2].tolist() == ["It is \\boxed{3}.", None, None]
    assert found.most == 3


def test_what_is_not_known_is_nan():
    table = pandas.DataFrame(answered.rows([[1], [0]]))
    found = samples.from_table(
        table.drop(columns=["finish_reason", "completion_tokens", "lenient"])
    )
    assert numpy.isnan(found.truncated).all()
    assert numpy.isnan(found.tokens).all()
    assert list(found.scores) == ["strict"]


def test_several_golds_are_one_line():
    table = pandas.DataFrame([answered.row(1, 0, 1, gold=["1", "one"])])
    assert samples.from_table(table).golds == ["1 or one"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="question_id"), "question_id"),
        (lambda table: table.drop(columns=["strict", "lenient"]), "strict"),
        (lambda table: table.assign(sample=0), "sample 0 of question q1 twice"),
        (lambda table: table.head(0), "holds no answer"),
    ],
)
def test_what_is_no_table_of_answers_is_said(change, said):
    table = pandas.DataFrame(answered.rows([[1, 0]]))
    with pytest.raises(ConfigError, match=said):
        samples.from_table(change(table))


def test_files_that_cannot_be_read_are_named(tmp_path):
    base = answered.write(tmp_path, answered.rows([[1]]))
    folder = base / "evaluation" / "aime24"
    (folder / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match=r"settings\.json.*no JSON"):
        samples.read(folder)
    (folder / "samples.parquet").write_text("no parquet")
    with pytest.raises(ConfigError, match=r"samples\.parquet.*no table"):
        samples.read(folder)
