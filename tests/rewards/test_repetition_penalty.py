from __future__ import annotations

import importlib
import math
import pickle

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError
from r1lab.rewards.repetition_penalty import RepetitionPenalty


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("this this this this this", -0.75),
        ("this is a this is a test", -1 / 3),
        ("This THIS this tHis this", -0.75),
        ("every word is another one", 0.0),
        ("word", 0.0),
        ("", 0.0),
        (" \n ", 0.0),
    ],
)
def test_values(text: str, value: float) -> None:
    message = [{"role": "assistant", "content": text}]
    values = RepetitionPenalty(ngram_size=2)([text, message])
    assert values == [pytest.approx(value)] * 2
    assert not any(v == 0 and math.copysign(1, v) < 0 for v in values if v is not None)


def test_scaled_by_the_penalty_and_blind_to_the_prefill() -> None:
    reward = RepetitionPenalty(ngram_size=1, max_penalty=-0.5)
    reward.prefill = "go go go go"
    assert reward(["go go", "go on"]) == [-0.25, 0.0]
    assert RepetitionPenalty(max_penalty=0)(["a a a a a"]) == [0.0]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"max_penalty": 0.5}, "max_penalty"),
        ({"max_penalty": None}, "max_penalty"),
        ({"ngram_size": 0}, "ngram_size"),
        ({"ngram_size": 2.0}, "ngram_size"),
        ({"language": "fr"}, "language"),
        ({"segmenter": "jieba"}, "segmenter"),  # for Chinese only
        ({"language": "zh", "segmenter": "words"}, "segmenter"),
    ],
)
def test_bad_parameters_are_named(parameters: dict, named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        RepetitionPenalty(**parameters)
    assert caught.value.parameter == named
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "size", "penalty", "value"),
    [
        # open-r1's own tests
        ("this is a test", 3, -0.5, 0.0),
        ("test test test test", 3, -0.5, -0.25),
        ("this is a this is a test", 3, -2.0, -0.4),
        ("two words", 3, -1.0, 0.0),
        ("three different words", 3, -1.0, 0.0),
        ("word word word word", 3, -1.0, -0.5),
        ("one two one two", 3, -1.0, 0.0),
        ("A B C A B C", 3, -1.0, -0.25),
        ("A B C A B C E F G A B C A B C", 3, -1.0, -5 / 13),
    ],
)
@pytest.mark.parametrize("compat", [None, "open_r1"])
def test_open_r1s_values(text: str, size: int, penalty: float, value: float, compat: str) -> None:
    reward = RepetitionPenalty(size, penalty, compat=compat)  # type: ignore[arg-type]
    assert reward([text]) == [pytest.approx(value)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们来计算", ["我", "们", "来", "计", "算"]),
        ("设 x=12, 那么 Step 3。", ["设", "x", "12", "那", "么", "step", "3"]),
        ("，。！", []),
    ],
)
def test_chinese_is_split_into_characters_and_foreign_words(text: str, words: list[str]) -> None:
    assert RepetitionPenalty(language="zh").words(text) == words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("我们我们我们", -0.6),  # 我们 们我 我们 们我 我们: 2 of 5 differ
        ("我们来计算", 0.0),
        ("我", 0.0),
        ("", 0.0),
    ],
)
def test_chinese_by_characters(text: str, value: float) -> None:
    assert RepetitionPenalty(2, language="zh")([text]) == [pytest.approx(value)]


def test_chinese_by_words() -> None:
    pytest.importorskip("jieba", reason="an optional package")
    text = "我们来计算面积，我们来计算面积 Hello"
    words = ["我们", "来", "计算", "面积", "我们", "来", "计算", "面积", "hello"]
    reward = RepetitionPenalty(2, language="zh", segmenter="jieba")
    reward.prepare()
    assert reward.words(text) == words
    assert reward([text]) == [pytest.approx(-3 / 8)]
    # open-r1 keeps case, white space and punctuation: 3 of 10 pairs are repeats.
    theirs = RepetitionPenalty(2, language="zh", compat="open_r1")
    assert theirs.words(text) == [*words[:4], "，", *words[4:8], " ", "Hello"]
    assert theirs([text, ""]) == [pytest.approx(-0.3), 0.0]


def test_a_missing_segmenter_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    reward = RepetitionPenalty(language="zh", segmenter="jieba")  # constructing stays light
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(PrerequisiteError, match="jieba"):
        reward.prepare()
    RepetitionPenalty(language="zh").prepare()


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(RepetitionPenalty(1)))(["a a"]) == [-0.5]
