"""GRPO: TRL's trainer, with more to see: where a step's time went, which rewards gave no signal,
and the completions with the columns that their rewards were computed from."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from r1lab.rewards.base import needed_columns
from r1lab.trainers.arguments import arguments
from r1lab.trainers.dynamic_sampling import DynamicSampling, check_columns

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer
    from trl import GRPOConfig

    from r1lab.models.load import Loaded


#: Characters of a column's value in the table of completions: test cases can be megabytes.
MAX_VALUE_CHARS = 20_000


def frac_zero_std(values: Sequence[float], group_size: int) -> float:
    """The share of groups whose completions all got the same from a reward (NaN: not applicable).

    Such a group teaches nothing of what this reward is for. A group of which fewer than two
    completions got a value counts as one.
    """
    groups = [values[i : i + group_size] for i in range(0, len(values), group_size)]
    same = sum(len({v for v in group if not math.isnan(v)}) < 2 for group in groups)
    return same / len(groups)


def shortened(value: Any) -> Any:
    """The value, or a note of its length in its place where it is too long for a table."""
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        return f"[{len(value)} characters, not logged]"
    return value


def config(plan: dict[str, Any], weights: Sequence[float]) -> GRPOConfig:
    """TRL's config. Making it before the model tells transformers and accelerate how the processes
    share the weights (ZeRO-3 loads them in parts)."""
    from trl import GRPOConfig

    return GRPOConfig(
        **arguments(plan),
        reward_weights=list(weights),
        shuffle_dataset=plan["config"]["data"].get("shuffle", True),
    )


def build(
    args: GRPOConfig,
    loaded: Loaded,
    train: Dataset,
    test: Dataset | None,
    rewards: Sequence[Callable[..., Any]],
    callbacks: Sequence[Any],
    dynamic_sampling: dict[str, Any],
) -> Trainer:
    """A ``trl.GRPOTrainer``. ``rewards`` are in the order of the weights in ``args``;
    ``dynamic_sampling`` is `trainer.dynamic_sampling`."""
    import torch
    from trl import GRPOTrainer

    sampling = None
    if dynamic_sampling["enabled"]:
        check_columns(train.column_names)
        sampling = DynamicSampling(dynamic_sampling["max_rounds"], dynamic_sampling["reward"])

    class TimedGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
        """Adds to TRL's metrics: where a step's seconds went (`time/generate_s`, `time/reward_s`,
        and `time/update_s`, which is all the rest: log-probabilities, loss, backward), and by
        reward the share of groups in which it told no completion from another
        (`rewards/NAME/frac_zero_std`). Adds the columns that the rewards read, and each
        completion's length in tokens, to its table of completions. With dynamic sampling, batches
        are filled first (:mod:`r1lab.trainers.dynamic_sampling`)."""

        _spent = 0.0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            #: Seconds that training spent on each part, in all.
            self.seconds: defaultdict[str, float] = defaultdict(float)
            #: The same of the batch that is being made.
            self._parts: defaultdict[str, float] = defaultdict(float)
            super().__init__(*args, **kwargs)

        def _timed(self, name: str, seconds: float) -> None:
            mode = "train" if self.model.training else "eval"
            self._metrics[mode][f"time/{name}_s"].append(seconds)
            if mode == "train":
                self.seconds[name] += seconds

        def _part(self, name: str, seconds: float) -> None:
            self._spent += seconds
            self._parts[name] += seconds

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
            if sampling is None or not self.model.training:
                batch = super()._generate_and_score_completions(inputs)
            else:
                with sampling.filled(self, inputs) as rows:
                    batch = super()._generate_and_score_completions(rows)
            for name, seconds in self._parts.items():
                self._timed(name, seconds)
            self._parts.clear()
            return batch

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return super()._generate(*args, **kwargs)
            finally:
                self._part("generate", time.perf_counter() - start)

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            if sampling is not None and sampling.batch is not None:
                return sampling.generated()
            return super()._generate_single_turn(*args, **kwargs)

        def _score(self, *args: Any) -> Any:
            """TRL's rewards, timed."""
            start = time.perf_counter()
            try:
                return super()._calculate_rewards(*args)
            finally:
                self._part("reward", time.perf_counter() - start)

        def _calculate_rewards(
            self,
            inputs: list[dict[str, Any]],
            prompts: list[Any],
            completions: list[Any],
            completion_ids_list: list[list[int]],
        ) -> Any:
            if sampling is not None and sampling.batch is not None:
                values = sampling.rewards(self)
            else:
                values = self._score(inputs, prompts, completions, completion_ids_list)
            mode = "train" if self.model.training else "eval"
            size = self.num_generations if mode == "train" else self.num_generations_eval
            for name, column in zip(self.reward_func_names, values.T.tolist(), strict=True):
                self._metrics[mode][f"rewards/{name}/frac_zero_std"].append(
                    frac_zero_std(column, size)
                )
            for column in read:
                self._log_completion_extra(column, [shortened(row[column]) for row in inputs])
            self._log_completion_extra("completion_tokens", list(map(len, completion_ids_list)))
            return values

        def _get_train_sampler(self, dataset: Dataset | None = None) -> Any:
            sampler = super()._get_train_sampler(dataset)

            def set_epoch(epoch: int) -> None:
                """Draw what earlier epochs drew: TRL resumes in the first one's order."""
                if sampler.shuffle:
                    sampler.generator.manual_seed(sampler.seed)
                    for _ in range(epoch):
                        torch.randperm(sampler.num_samples, generator=sampler.generator)

            sampler.set_epoch = set_epoch
            return sampler

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """The card is :mod:`r1lab.record.card`'s: TRL's own knows neither data nor rewards."""

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            start, self._spent = time.perf_counter(), 0.0
            loss = super().training_step(*args, **kwargs)
            if loss.device.type == "cuda":  # else the backward pass is still on its way
                torch.cuda.synchronize(loss.device)
            self._timed("update", time.perf_counter() - start - self._spent)
            return loss

    read = [
        name
        for name in dict.fromkeys(column for reward in rewards for column in needed_columns(reward))
        if name in train.column_names
    ]
    return TimedGRPOTrainer(
        model=loaded.model,
        reward_funcs=list(rewards),
        args=args,
        train_dataset=train,
        eval_dataset=test if args.eval_strategy != "no" else None,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
        peft_config=loaded.peft_config,
    )
