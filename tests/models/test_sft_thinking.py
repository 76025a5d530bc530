"""SFT on answers that think, with a template that throws the thinking away, says so."""

from __future__ import annotations

import logging

import pytest

from r1lab.models.load import Loaded
from r1lab.trainers import sft
from tests.models.small import published_template, tokenizer


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("template", "answer", "told"),
    [
        ("deepseek_r1_distill", "<think>\n2+2\n</think>\n4", True),
        ("deepseek_r1_distill", "4", False),
        ("qwen3", "<think>\n2+2\n</think>\n4", False),
    ],
)
def test_template_that_removes_thinking_is_warned_of(monkeypatch, caplog, template, answer, told):
    import trl
    from datasets import Dataset

    class Stopping:
        def __init__(self, **_):
            raise Stopped

    monkeypatch.setattr(trl, "SFTTrainer", Stopping)  # the warning comes before anything is built
    given = tokenizer(chat_template=published_template(template), bos_token="<|im_start|>")
    row = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": answer}]
    loaded = Loaded(model=None, tokenizer=given, prefill="", peft_config=None)
    with caplog.at_level(logging.WARNING, "r1lab"), pytest.raises(Stopped):
        sft.build(None, loaded, Dataset.from_dict({"messages": [row]}), None, [])
    assert ("will not learn to think" in caplog.text) is told
