"""An adapter and its base as one model: the same answers, made once, made anew when it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.models.merge import is_adapter, merged
from tests.models.small import model_folder, tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("R1LAB_CACHE", str(tmp_path / "cache"))


def adapter(folder: Path, base: Path, **options: Any) -> Any:
    """A saved adapter that changes what its base says, and the model it belongs to."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM", **options
    )
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "modules_to_save" in name:
                weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model.eval()


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([[5, 6, 7, 8]])).logits


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("options", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}])
def test_the_merged_model_says_what_base_and_adapter_say(tmp_path, tied, options):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = model_folder(tmp_path / "base", tokenizer(), tie_word_embeddings=tied)
    whole = adapter(tmp_path / "adapter", base, **options)
    folder = merged((tmp_path / "adapter").absolute())
    assert not is_adapter(folder)
    found = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.allclose(logits(found), logits(whole), atol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(base)
    assert not torch.allclose(logits(found), logits(plain), atol=1e-2)
    # It ends a turn where the adapter's tokenizer does, and writes its template.
    kept = AutoTokenizer.from_pretrained(folder)
    assert kept.chat_template == tokenizer().chat_template
    assert found.generation_config.eos_token_id == kept.eos_token_id


@pytest.mark.slow
def test_it_is_made_once_and_anew_when_the_adapter_changes(tmp_path):
    base = model_folder(tmp_path / "base", tokenizer())
    adapter(tmp_path / "adapter", base)
    first = merged(tmp_path / "adapter")
    made = (first / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "adapter" / "optimizer.pt").write_text("a checkpoint's")
    assert merged(tmp_path / "adapter") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    adapter(tmp_path / "adapter", base, lora_alpha=32)
    assert merged(tmp_path / "adapter") != first


@pytest.mark.slow
def test_a_base_that_is_gone_is_said(tmp_path):
    folder = tmp_path / "adapter"
    adapter(folder, model_folder(tmp_path / "base", tokenizer()))
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "gone")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"could not be merged(.|\n)*base_model_name_or_path"):
        merged(folder)
