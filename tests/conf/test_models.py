"""Every shipped model: composes, is only its diff, and has the shape that its makers published."""

from functools import cache

import pytest

from r1lab.compose import compose, resolve
from r1lab.groups import group_options
from r1lab.planning.architecture import read_architecture

#: Parameters as the Hub counts them in each repository's safetensors (a tied head once).
PUBLISHED = {
    "smollm2_135m": 134_515_008,
    "smollm2_135m_instruct": 134_515_008,
    "smollm2_360m_instruct": 361_821_120,
    "smollm2_1_7b_instruct": 1_711_376_384,
    "qwen2_5_0_5b": 494_032_768,
    "qwen2_5_0_5b_instruct": 494_032_768,
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen2_5_1_5b_instruct": 1_543_714_304,
    "qwen2_5_7b": 7_615_616_512,
    "qwen2_5_7b_instruct": 7_615_616_512,
    "qwen2_5_32b": 32_763_876_352,
    "qwen2_5_math_1_5b": 1_543_714_304,
    "qwen2_5_math_1_5b_instruct": 1_543_714_304,
    "qwen2_5_math_7b": 7_615_616_512,
    "qwen2_5_math_7b_instruct": 7_615_616_512,
    "qwen2_5_math_7b_rope_300k": 7_615_616_512,
    "qwen2_5_coder_7b_instruct": 7_615_616_512,
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
    "r1_distill_qwen_1_5b": 1_777_088_000,
    "r1_distill_qwen_7b": 7_615_616_512,
    "llama3_2_1b_instruct": 1_235_814_400,
    "llama3_1_8b_instruct": 8_030_261_248,
}
CONTEXT = {
    "qwen2_5_math_7b": 4096,
    "qwen2_5_math_1_5b_instruct": 4096,
    "qwen2_5_math_7b_rope_300k": 32768,
    "qwen2_5_7b_instruct": 32768,
    "r1_distill_qwen_7b": 131072,
    "qwen3_8b": 40960,
    "smollm2_135m": 8192,
    "llama3_1_8b_instruct": 131072,
}


@cache
def model(*overrides: str):
    return resolve(compose(overrides))["model"]


@pytest.fixture(autouse=True)
def no_hub_cache(monkeypatch, tmp_path):
    """Shapes come from the YAML, not from what this machine happens to have downloaded."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))


def test_no_model_is_left_unchecked():
    assert set(group_options("model")) == {*PUBLISHED, "tiny"}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_size(name):
    node = model(f"model={name}")
    assert node["name"] == name
    assert node["peft"]["kind"] == "none"
    arch = read_architecture(node)
    assert arch is not None
    assert arch.parameters() == PUBLISHED[name]
    assert arch.hidden_size % arch.num_attention_heads == 0
    assert arch.num_attention_heads % arch.num_key_value_heads == 0


@pytest.mark.parametrize("name", sorted(CONTEXT))
def test_context(name):
    arch = read_architecture(model(f"model={name}"))
    assert arch is not None
    assert arch.max_position_embeddings == CONTEXT[name]


def test_ids_are_distinct():
    ids = [model(f"model={name}")["id"] for name in (*PUBLISHED, "tiny")]
    assert len(set(ids)) == len(ids)


def test_adapters_are_chosen_beside_the_model():
    lora = model("model=qwen3_4b", "model/peft=lora")
    assert (lora["peft"]["kind"], lora["quantization"]) == ("lora", None)
    assert lora["peft"]["r"] == 16
    qlora = model("model=qwen3_4b", "model/peft=qlora", "model.peft.r=8")
    assert (qlora["peft"]["kind"], qlora["quantization"]) == ("qlora", "4bit")
    assert qlora["peft"]["r"] == 8
    assert qlora["id"] == "Qwen/Qwen3-4B"


def test_nothing_runs_a_models_own_code_unasked():
    for name in (*PUBLISHED, "tiny"):
        assert model(f"model={name}")["trust_remote_code"] is False
