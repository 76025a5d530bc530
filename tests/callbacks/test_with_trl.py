"""The callbacks on TRL's own GRPOTrainer with a real MLflow store: what TRL fills, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from r1lab.callbacks.base import RunContext
from r1lab.callbacks.completions import Completions
from r1lab.callbacks.early_stop import EarlyStop
from r1lab.callbacks.metrics import Metrics
from r1lab.tracking import Tracker
from tests.callbacks.fakes import Counting

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


class Digits(Counting):
    """1 for a completion with a digit; every prompt with a 7 is not applicable, and counted."""

    __name__ = "digits"

    def __call__(self, prompts: Any, completions: Any, **kwargs: Any) -> list[float | None]:
        values: list[float | None] = []
        for prompt, completion in zip(prompts, completions, strict=True):
            if "7" in prompt[-1]["content"]:
                self.counts["unparseable"] += 1
                values.append(None)
            else:
                values.append(float(any(c.isdigit() for c in completion[0]["content"])))
        return values


@pytest.fixture(scope="module")
def model_and_tokenizer() -> Any:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = ["<pad>", "<eos>", *"0123456789+= abcdefghijklmnopqrstuvwxyz"]
    raw = Tokenizer(models.WordLevel({c: i for i, c in enumerate(letters)}, unk_token="a"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(letters),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    return Qwen2ForCausalLM(config), tokenizer


def test_a_grpo_run_with_all_of_them(
    model_and_tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets
    from trl import GRPOConfig, GRPOTrainer

    model, tokenizer = model_and_tokenizer
    rows = [{"prompt": [{"role": "user", "content": f"{i}+1="}]} for i in range(8)]
    data = datasets.Dataset.from_list(rows)
    args = GRPOConfig(
        output_dir=str(tmp_path / "trainer"),
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        num_generations=4,
        max_completion_length=6,
        max_steps=6,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        seed=0,
    )
    reward = Digits()
    trainer = GRPOTrainer(
        model, reward, args, train_dataset=data, eval_dataset=data, processing_class=tokenizer
    )
    config = {"output_dir": str(tmp_path), "tracking": {}}
    tracker = Tracker.open(config, tmp_path, "grpo", None)
    stop = EarlyStop("digits_seen_steps", patience=1)
    callbacks = [Metrics(), Completions(every_steps=2, unique_prompts=False), stop]
    for callback in callbacks:
        callback.run = RunContext(tmp_path, tracker, config, trainer, tokenizer)  # type: ignore[attr-defined]
        trainer.add_callback(callback)
    trainer.train()
    tracker.finish("FINISHED")

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("loss", "reward", "rewards/digits/mean", "eval_reward"):
        assert client.get_metric_history(tracker.run_id, name), name
    tags = client.get_run(tracker.run_id).data.tags
    assert len(json.loads(tags["mlflow.loggedArtifacts"])) == 3
    assert [p.step for p in client.get_metric_history(tracker.run_id, "loss")] == [1, 2, 3, 4, 5, 6]
    folder = client.download_artifacts(tracker.run_id, "completions", str(tmp_path))
    files = sorted(path.name for path in Path(folder).iterdir())
    assert files == ["step_000002.json", "step_000004.json", "step_000006.json"]
    for name in files:
        table = json.loads((Path(folder) / name).read_text())
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        assert len(rows) == 8  # the step's own batch, not the evaluation's
        for row in rows:
            applicable = "7" not in row["prompt"]
            digit = any(c.isdigit() for c in row["completion"])
            assert row["reward/digits"] == (float(digit) if applicable else None)
            assert row["reward"] == row["reward/digits"]
    assert client.get_metric_history(tracker.run_id, "eval_reward/digits/unparseable")
    out = capsys.readouterr().out
    assert "step 6/6  loss" in out and "{'loss'" not in out
