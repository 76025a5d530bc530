"""Where an answer begins and ends, for tokenizers and templates as people publish them."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from r1lab.errors import ConfigError
from r1lab.models.load import load
from r1lab.models.turns import (
    align,
    closes_thinking,
    embedding_rows,
    keeps_thinking,
    prefill,
    turn_end,
)
from tests.models.small import (
    model_folder,
    node,
    plain_tokenizer,
    published_template,
    tokenizer,
)

DEEPSEEK_END = "<｜end▁of▁sentence｜>"


def deepseek(**changes):
    found = tokenizer(**changes)
    found.add_special_tokens({"eos_token": DEEPSEEK_END, "bos_token": "<｜begin▁of▁sentence｜>"})
    found.chat_template = published_template("deepseek_r1_distill")
    return found


def eos_of(loaded):
    """EOS as the tokenizer, the config and the generation config each have it."""
    ends = loaded.model.generation_config.eos_token_id
    return (
        loaded.tokenizer.eos_token,
        loaded.model.config.eos_token_id,
        ends[0] if isinstance(ends, list) else ends,
    )


def test_eos_is_what_the_template_ends_a_turn_with(tmp_path):
    given = tokenizer(eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    loaded = load(node(id=str(model_folder(tmp_path, given))), "cpu")
    end = given.convert_tokens_to_ids("<|im_end|>")
    assert eos_of(loaded) == ("<|im_end|>", end, end)
    assert loaded.tokenizer.pad_token == "<|endoftext|>"
    assert any("<|endoftext|>" in note and "<|im_end|>" in note for note in loaded.notes)


def test_smollm2s_gguf_trap_is_mended(tmp_path):
    """transformers reads that GGUF's EOS as the token that opens a turn, and finds no pad."""
    given = tokenizer(eos_token="<|im_start|>", pad_token=None)
    opening = given.convert_tokens_to_ids("<|im_start|>")
    folder = model_folder(tmp_path, given, {"eos_token_id": opening}, eos_token_id=opening)
    loaded = load(node(id=str(folder)), "cpu")
    end = given.convert_tokens_to_ids("<|im_end|>")
    assert eos_of(loaded) == ("<|im_end|>", end, end)
    ends = loaded.model.generation_config.eos_token_id
    assert opening not in (ends if isinstance(ends, list) else [ends])
    assert loaded.tokenizer.pad_token_id not in (None, end, opening)
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id


def test_the_models_other_ends_are_kept(tmp_path):
    given = tokenizer()
    end, other = given.eos_token_id, given.convert_tokens_to_ids("<|endoftext|>")
    folder = model_folder(tmp_path, given, {"eos_token_id": [other, end]})
    assert load(node(id=str(folder)), "cpu").model.generation_config.eos_token_id == [end, other]


@pytest.mark.parametrize("pad", [None, "<|im_end|>"])
def test_missing_pad_or_pad_that_is_eos_becomes_a_spare_token(tmp_path, pad):
    loaded = load(node(id=str(model_folder(tmp_path, tokenizer(pad_token=pad)))), "cpu")
    assert loaded.tokenizer.pad_token == "<|endoftext|>"
    assert loaded.model.generation_config.pad_token_id == loaded.tokenizer.pad_token_id


def test_no_spare_token_leaves_eos_as_pad():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    given = plain_tokenizer()
    given.chat_template = "{% for m in messages %}{{ m.content }}<eos>{% endfor %}"
    shape = Qwen2Config(vocab_size=300, hidden_size=32, num_hidden_layers=1, intermediate_size=32)
    align(Qwen2ForCausalLM(shape), given, node())
    assert given.pad_token == given.eos_token == "<eos>"


def test_eos_and_pad_named_in_the_config_win(tmp_path, caplog):
    folder = model_folder(tmp_path, tokenizer())
    with caplog.at_level(logging.WARNING, "r1lab"):
        loaded = load(
            node(id=str(folder), eos_token="<|endoftext|>", pad_token="<|im_start|>"), "cpu"
        )
    assert loaded.tokenizer.eos_token == "<|endoftext|>"
    assert loaded.tokenizer.pad_token == "<|im_start|>"
    assert "answers may not end" in caplog.text  # the template writes <|im_end|>


@pytest.mark.parametrize("key", ["eos_token", "pad_token"])
@pytest.mark.parametrize("value", ["<|no_such|>", "two tokens"])
def test_a_name_that_is_no_token_is_an_error(tmp_path, key, value):
    with pytest.raises(ConfigError) as caught:
        load(node(**{key: value}), "cpu")
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == (f"model.{key}", value)


def test_a_name_that_only_unk_stands_for_is_an_error(tmp_path):
    """With an unknown token in the vocabulary, any text encodes to one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "hi": 1, "[END]": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    given = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token="[END]")
    folder = model_folder(tmp_path, given)
    with pytest.raises(ConfigError, match=r"model\.eos_token"):
        load(node(id=str(folder), eos_token="nothing"), "cpu")


def test_without_a_template_chatml_is_used_and_its_tokens_are_whole(tmp_path):
    given = plain_tokenizer()
    loaded = load(node(id=str(model_folder(tmp_path, given))), "cpu")
    end = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert eos_of(loaded) == ("<|im_end|>", end, end)
    assert loaded.tokenizer.encode("<|im_end|>", add_special_tokens=False) == [end]
    assert loaded.model.get_input_embeddings().weight.shape[0] == len(loaded.tokenizer)
    assert loaded.model.get_output_embeddings().weight.shape[0] == len(loaded.tokenizer)
    assert loaded.model.config.vocab_size == len(loaded.tokenizer)
    assert turn_end(loaded.tokenizer) == "<|im_end|>"
    # <eos> stays an end: it is what the base model ends a text with.
    loaded.model(**loaded.tokenizer("<|im_start|>hi<|im_end|>", return_tensors="pt"))


def test_chatml_on_a_vocabulary_that_has_its_tokens_changes_no_embedding(tmp_path):
    given = tokenizer(chat_template=None)
    loaded = load(node(id=str(model_folder(tmp_path, given))), "cpu")
    assert loaded.model.get_input_embeddings().weight.shape[0] == len(given)
    assert loaded.tokenizer.eos_token == "<|im_end|>"


def test_adapters_on_new_chatml_tokens_are_refused_unless_embeddings_train(tmp_path):
    folder = str(model_folder(tmp_path, plain_tokenizer()))
    with pytest.raises(ConfigError, match=r"model\.peft\.modules_to_save"):
        load(node(id=folder, peft={"kind": "lora"}), "cpu")
    peft = {"kind": "lora", "modules_to_save": ["embed_tokens", "lm_head"]}
    assert load(node(id=folder, peft=peft), "cpu").peft_config is not None


def test_template_from_a_file(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|endoftext|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}"
    )
    loaded = load(node(chat_template=str(path)), "cpu")
    assert loaded.tokenizer.eos_token == "<|endoftext|>"
    assert loaded.prefill == "<think>\n"


def test_template_that_does_not_render_is_one_error(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}\n{{ m.content }")
    with pytest.raises(ConfigError) as caught:
        load(node(chat_template=str(path)), "cpu")
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("model.chat_template", str(path))


def test_template_that_ends_in_no_token_is_warned_of(tmp_path, caplog):
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}###{% endfor %}")
    with caplog.at_level(logging.WARNING, "r1lab"):
        load(node(chat_template=str(path)), "cpu")
    assert "answers may not end" in caplog.text


@pytest.mark.parametrize(
    ("name", "kwargs", "begins", "closes"),
    [
        ("deepseek_r1_distill", {}, "<think>\n", False),
        ("qwen3", {}, "", False),
        ("qwen3", {"enable_thinking": True}, "", False),
        ("qwen3", {"enable_thinking": False}, "", True),
        ("qwen3_instruct_2507", {}, "", False),
        ("qwen3_5_think", {}, "<think>\n", False),
        ("qwen3_5_think", {"enable_thinking": False}, "", True),
        ("qwen3_5_nothink", {}, "", True),
        ("qwen3_5_nothink", {"enable_thinking": True}, "<think>\n", False),
        ("qwen2_5", {}, "", False),
        ("llama3", {}, "", False),
    ],
)
def test_prefill_of_published_templates(name, kwargs, begins, closes):
    given = tokenizer(chat_template=published_template(name), bos_token="<|im_start|>")
    assert prefill(given, kwargs) == begins
    assert closes_thinking(given, kwargs) is closes


def test_deepseeks_template_ends_and_drops_thinking():
    assert turn_end(deepseek()) == DEEPSEEK_END
    assert not keeps_thinking(deepseek())
    assert keeps_thinking(tokenizer())
    assert keeps_thinking(tokenizer(chat_template=published_template("qwen3")))


def test_prefill_reaches_the_rewards_and_what_scores_held_out_answers(tmp_path):
    from datasets import Dataset

    from r1lab.evaluation.around import scorer_for
    from r1lab.rewards.build import build_rewards

    loaded = load(node(id=str(model_folder(tmp_path, deepseek()))), "cpu")
    assert loaded.prefill == "<think>\n"
    nodes = {"format": {"_target_": "r1lab.rewards.format.Format"}}
    answer = ["so it is\n</think>\n<answer>4</answer>"]
    assert build_rewards(nodes, loaded.prefill)[0][0](answer) == [1.0]
    assert build_rewards(nodes)[0][0](answer) == [0.0]
    rows = Dataset.from_dict({"prompt": ["?"], "solution": ["4"]})
    scorer = scorer_for(rows, {}, loaded.prefill)
    assert scorer(completions=["\\boxed{4}\n</think>\n4"], prompts=["?"], solution=["4"]) == [1.0]
    hidden = ["\\boxed{4} and I never stop thinking"]
    assert scorer(completions=hidden, prompts=["?"], solution=["4"]) == [0.0]


def test_rows_of_embeddings_that_zero3_has_emptied():
    """DeepSpeed keeps the shape aside; by the emptied weight, every model would be cut."""
    weight = torch.nn.Parameter(torch.empty(0))
    embeddings = SimpleNamespace(weight=weight)
    model = SimpleNamespace(get_input_embeddings=lambda: embeddings)
    assert embedding_rows(model) == 0
    weight.ds_shape = torch.Size([397, 128])
    assert embedding_rows(model) == 397
