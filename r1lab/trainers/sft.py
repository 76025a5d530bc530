"""Supervised fine-tuning: TRL's trainer on messages, or on a prompt and its completion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1lab.models.turns import keeps_thinking
from r1lab.trainers.arguments import arguments

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer
    from trl import SFTConfig

    from r1lab.models.load import Loaded

log = logging.getLogger(__name__)


def config(plan: dict[str, Any]) -> SFTConfig:
    """TRL's config; rows that are ordered (``data.shuffle=false``) stay so. Made before the model,
    as :func:`r1lab.trainers.grpo.config` is."""
    from trl import SFTConfig

    settings = arguments(plan)
    if not plan["config"]["data"].get("shuffle", True):
        settings["train_sampling_strategy"] = "sequential"
    return SFTConfig(**settings)


def build(
    args: SFTConfig,
    loaded: Loaded,
    train: Dataset,
    test: Dataset | None,
    callbacks: Sequence[Any],
) -> Trainer:
    """A ``trl.SFTTrainer``."""
    from trl import SFTTrainer

    class CardlessSFTTrainer(SFTTrainer):  # type: ignore[misc]
        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """The card is :mod:`r1lab.record.card`'s: TRL's own knows neither data nor rewards."""

    if _has_thinking(train) and not keeps_thinking(loaded.tokenizer):
        log.warning(
            "the data's answers think, but the chat template removes what stands before </think>: "
            "the model will not learn to think (give model.chat_template one that keeps it)"
        )
    return CardlessSFTTrainer(
        model=loaded.model,
        args=args,
        train_dataset=train,
        eval_dataset=test,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
        peft_config=loaded.peft_config,
    )


def _has_thinking(rows: Dataset) -> bool:
    """Whether any of the first answers holds a think block."""
    return any("</think>" in str(row) for row in rows.select(range(min(len(rows), 100))))
