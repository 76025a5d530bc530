"""Loading: what the config asks for is what comes, errors name the key, saving loses nothing."""

from __future__ import annotations

import json
import time

import pytest

from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.models.load import load
from tests.models.small import model_folder, node, published_template, tokenizer


def problem_of(caught):
    (problem,) = caught.value.problems
    return problem


def test_saved_model_comes_back_as_it_was_and_stops(tmp_path):
    import torch

    given = tokenizer(eos_token="<|endoftext|>", pad_token=None)
    first = load(node(id=str(model_folder(tmp_path / "a", given))), "cpu")
    first.model.save_pretrained(tmp_path / "b")
    first.tokenizer.save_pretrained(tmp_path / "b")
    again = load(node(id=str(tmp_path / "b")), "cpu")
    assert again.notes == []  # nothing is left to mend
    for name in ("eos_token", "pad_token", "chat_template"):
        assert getattr(again.tokenizer, name) == getattr(first.tokenizer, name)
    before, after = (m.model.generation_config.to_diff_dict() for m in (first, again))
    assert before == after
    # A model that writes only the end token writes it once.
    end = again.tokenizer.eos_token_id
    again.model.lm_head = torch.nn.Linear(32, len(again.tokenizer))
    with torch.no_grad():
        again.model.lm_head.weight.zero_()
        again.model.lm_head.bias.zero_()[end] = 9.0
    ids = again.tokenizer("hi", return_tensors="pt")
    out = again.model.generate(**ids, do_sample=False, max_new_tokens=20)[0]
    assert out[ids["input_ids"].shape[1] :].tolist() == [end]


def test_several_ends_survive_saving(tmp_path):
    """A generation config marked as derived is rebuilt by transformers, without the second end."""
    given = tokenizer()
    end, other = given.eos_token_id, given.convert_tokens_to_ids("<|endoftext|>")
    folder = model_folder(
        tmp_path / "a", given, {"eos_token_id": [other, end], "_from_model_config": True}
    )
    loaded = load(node(id=str(folder)), "cpu")
    loaded.model.save_pretrained(tmp_path / "b")
    kept = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert kept["eos_token_id"] == [end, other]
    assert not kept.get("_from_model_config")


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6}),
        ({"early_stopping": True, "length_penalty": 2.0}, {}),
    ],
)
def test_generation_config_that_could_not_be_saved_is_mended_before_training(
    tmp_path, generation, expected
):
    folder = model_folder(tmp_path / "a", tokenizer(), generation)
    loaded = load(node(id=str(folder)), "cpu")
    loaded.model.save_pretrained(tmp_path / "b")
    kept = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert kept["eos_token_id"] == loaded.tokenizer.eos_token_id
    assert expected.items() <= kept.items()
    assert any("could not be saved" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("asked", "saved", "expected"),
    [
        ("auto", "bfloat16", "float32"),  # bfloat16 is slow on a CPU, and rounds updates away
        ("float32", "bfloat16", "float32"),
        ("bfloat16", "float32", "bfloat16"),
        ("float16", "float32", "float16"),
    ],
)
def test_dtype_on_a_cpu(tmp_path, asked, saved, expected):
    folder = model_folder(tmp_path, tokenizer(), dtype=saved)
    loaded = load(node(id=str(folder), dtype=asked), "cpu")
    assert str(loaded.model.dtype) == f"torch.{expected}"


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_attention_implementation_is_used(kind):
    assert load(node(attn_implementation=kind), "cpu").model.config._attn_implementation == kind


def test_attention_that_is_not_installed_names_its_key():
    pytest.importorskip("torch")
    with pytest.raises(ConfigError) as caught:
        load(node(attn_implementation="flash_attention_2"), "cpu")
    assert problem_of(caught).key == "model.attn_implementation"


def test_use_cache_is_as_asked():
    assert load(node(), "cpu").model.config.use_cache is True
    assert load(node(use_cache=False), "cpu").model.config.use_cache is False


def test_a_models_own_code_is_not_run_unasked(tmp_path):
    ran = tmp_path / "ran"
    folder = model_folder(tmp_path / "m", tokenizer())
    shape = json.loads((folder / "config.json").read_text())
    shape |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine: pass\n")
    with pytest.raises(ConfigError) as caught:
        load(node(id=str(folder)), "cpu")
    assert problem_of(caught).key == "model.trust_remote_code"
    assert not ran.exists()


def test_relative_folder_is_taken_as_an_id(tmp_path, monkeypatch):
    model_folder(tmp_path / "m", tokenizer())
    monkeypatch.chdir(tmp_path)
    assert load(node(id="./m"), "cpu").model.config.hidden_size == 32
    assert load(node(id="m"), "cpu").model.config.hidden_size == 32


@pytest.mark.parametrize("id", ["nobody/nothing", "/no/such/folder"])
def test_an_id_that_is_nowhere_is_one_error(id):
    with pytest.raises(ConfigError) as caught:
        load(node(id=id), "cpu")
    assert (problem_of(caught).key, problem_of(caught).value) == ("model.id", id)


def test_unreachable_hub_is_said_at_once(monkeypatch):
    """Unmended, transformers retries for a minute, a line a try."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"model\.id"):
        load(node(id="nobody/nothing"), "cpu")
    assert time.monotonic() - start < 15
    assert constants.HF_HUB_OFFLINE is False  # a push after training tries anew


def test_broken_weights_are_one_error(tmp_path):
    folder = model_folder(tmp_path, tokenizer())
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match=r"model\.id"):
        load(node(id=str(folder)), "cpu")


def test_from_scratch_is_random_seeded_and_of_the_same_shape():
    import torch

    def weights(**changes):
        torch.manual_seed(3)
        loaded = load(node(**changes), "cpu")
        return loaded, loaded.model.get_input_embeddings().weight.detach().clone()

    shipped, kept = weights()
    fresh, one = weights(from_scratch=True)
    _, two = weights(from_scratch=True)
    assert torch.equal(one, two)
    assert one.shape == kept.shape and not torch.equal(one, kept)
    assert fresh.model.config.eos_token_id == shipped.model.config.eos_token_id
    assert fresh.tokenizer.eos_token == shipped.tokenizer.eos_token
    half, _ = weights(from_scratch=True, dtype="bfloat16")
    assert half.model.dtype is torch.bfloat16


@pytest.mark.parametrize("kwargs", [{"enable_thinking": True}, '{"enable_thinking": true}'])
def test_template_arguments_decide_the_prefill(tmp_path, kwargs):
    given = tokenizer(chat_template=published_template("qwen3_5_nothink"))
    folder = model_folder(tmp_path, given)
    assert load(node(id=str(folder)), "cpu").prefill == ""
    loaded = load(node(id=str(folder)), "cpu", kwargs)
    assert loaded.prefill == "<think>\n"
    assert loaded.template_kwargs == {"enable_thinking": True}


def test_quantization_without_a_gpu_says_so():
    with pytest.raises(PrerequisiteError, match=r"model\.quantization"):
        load(node(quantization="4bit"), "cpu")


def test_each_process_quantizes_onto_its_own_gpu(monkeypatch, tmp_path):
    """A fake for what no GPU is at hand to show: where bitsandbytes is told to put the weights."""
    import transformers

    from r1lab.models import load as module

    class Enough(Exception):
        pass

    def from_pretrained(where, **options):
        raise Enough(options["device_map"])

    monkeypatch.setattr(module, "_quantization", lambda kind, device: None)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Enough) as caught:
        load(node(quantization="4bit", peft={**node()["peft"], "kind": "qlora"}), "cuda")
    assert caught.value.args == ({"": 1},)
