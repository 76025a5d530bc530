"""An answer as it grows: cut at a stop, told piece by piece, with its log-probabilities."""

from __future__ import annotations

from typing import Any

import pytest

from r1lab.engines.app.answer import Answer
from r1lab.engines.app.asked import Defaults, read
from r1lab.engines.app.sampling import Sampling
from tests.models.small import plain_tokenizer

TOKENIZER = plain_tokenizer()  # every byte is a token
END = TOKENIZER.eos_token_id


def tokens(text: str) -> list[int]:
    return TOKENIZER(text)["input_ids"]


def answer(chat: bool = True, sampling: Sampling | None = None, **fields: Any) -> Answer:
    what = {"messages": [{"role": "user", "content": "x"}]} if chat else {"prompt": "x"}
    asked = read({**what, **fields}, chat, Defaults(), "m")
    return Answer(TOKENIZER, asked, 0, sampling or Sampling(), [END])


def test_an_end_token_is_counted_but_is_no_text():
    made = answer()
    made.grow([*tokens("done"), END], True)
    assert (made.text, made.finish_reason, len(made.tokens)) == ("done", "stop", 5)


def test_without_one_the_answer_was_cut_for_its_length():
    made = answer()
    made.grow(tokens("and so"), True)
    assert made.choice()["finish_reason"] == "length"


@pytest.mark.parametrize("step", [1, 3, 100])
def test_it_ends_before_the_first_stop_and_counts_no_token_after_it(step):
    made = answer(stop=["STOP", "</a>"])
    whole = tokens("one </a> two STOP")
    for end in range(step, len(whole) + step, step):
        made.grow(whole[:end], end >= len(whole))
    assert (made.text, made.finish_reason) == ("one ", "stop")
    assert len(made.tokens) == len("one </a>")


def test_a_stream_tells_all_of_the_text_once_and_nothing_of_a_stop():
    made = answer(stream=True, stop=["</answer>"])
    whole = tokens("5 < 6 </answer> more")
    told = []
    for end in range(1, len(whole) + 1):
        made.grow(whole[:end], end == len(whole))
        told.append(made.fresh())
    assert "".join(told) == "5 < 6 "
    assert told[:2] == ["5", " "]  # as it comes
    assert told[2] == ""  # `<` may begin the stop


def test_a_stream_waits_for_whole_characters():
    made = answer(stream=True)
    whole = tokens("aé∫")
    told = []
    for end in range(1, len(whole) + 1):
        made.grow(whole[:end], end == len(whole))
        told.append(made.fresh())
    assert [piece for piece in told if piece] == ["a", "é", "∫"]


def test_half_a_character_at_the_end_is_told_as_it_is():
    made = answer(stream=True)
    made.grow(tokens("aé")[:2], True)
    assert made.fresh() == "a\N{REPLACEMENT CHARACTER}"


def drawn(values: list[float]) -> Sampling:
    best = [(tokens("a")[0], -0.1)]
    return Sampling(logprobs=1, drawn=[(value, best) for value in values])


def test_logprobs_of_a_chat():
    made = answer(sampling=drawn([-1.0, -2.0, -3.0]), logprobs=True, top_logprobs=1, stop=["b"])
    made.grow(tokens("abc"), True)
    (first, second) = made.choice()["logprobs"]["content"]  # the stop's token was drawn, `c` not
    assert (first["token"], first["logprob"], first["bytes"]) == ("a", -1.0, [97])
    assert first["top_logprobs"] == [{"token": "a", "logprob": -0.1, "bytes": [97]}]
    assert second["logprob"] == -2.0
    assert answer().choice()["logprobs"] is None


def test_logprobs_of_a_text():
    made = answer(False, drawn([-1.0, -2.0]), logprobs=1)
    made.grow(tokens("ab"), True)
    assert made.choice()["logprobs"] == {
        "tokens": ["a", "b"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"a": -0.1}, {"a": -0.1}],
        "text_offset": [0, 1],
    }
    assert made.logprobs(1) == {
        "tokens": ["b"],
        "token_logprobs": [-2.0],
        "top_logprobs": [{"a": -0.1}],
        "text_offset": [1],
    }


def test_a_piece_has_the_role_first_and_only_what_is_new():
    made = answer(stream=True)
    made.grow(tokens("ab"), False)
    assert made.piece(True, 0)["delta"] == {"role": "assistant", "content": "ab"}
    made.grow(tokens("abc"), True)
    last = made.piece(False, 2)
    assert last["delta"] == {"content": "c"}
    assert last["finish_reason"] == "length"
