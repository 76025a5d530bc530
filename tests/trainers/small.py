"""A GRPO trainer of r1lab's on a model of a few kilobytes that writes random letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1lab.models.load import Loaded
from r1lab.trainers import grpo

LETTERS = ["<pad>", "<eos>", *"0123456789+= abcdefghijklmnopqrstuvwxyz"]
GENERATIONS = 4


def loaded() -> Loaded:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    raw = Tokenizer(models.WordLevel({c: i for i, c in enumerate(LETTERS)}, unk_token="a"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="<eos>",
        chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(LETTERS),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    return Loaded(Qwen2ForCausalLM(config), tokenizer, "", None)


def settings(folder: Path, **options: Any) -> Any:
    from trl import GRPOConfig

    defaults = {
        "per_device_train_batch_size": 16,
        "num_generations": GENERATIONS,
        "max_completion_length": 6,
        "max_steps": 2,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        "seed": 0,
    }
    return GRPOConfig(output_dir=str(folder), **defaults | options)


def trainer(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    rewards: Sequence[Callable[..., Any]],
    dynamic: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """``dynamic``: what differs from the defaults of `trainer.dynamic_sampling`, None for off."""
    import datasets

    on = {"enabled": dynamic is not None, "max_rounds": 10, "reward": None, **(dynamic or {})}
    args = settings(folder, **options)
    data = datasets.Dataset.from_list(list(rows))
    return grpo.build(args, loaded(), data, None, rewards, [], on)
