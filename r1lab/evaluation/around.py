"""The evaluations around a training: the held-out split before and after it, the benchmarks after
it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab import targets
from r1lab.engines import rollouts
from r1lab.evaluation import heldout
from r1lab.evaluation.heldout import Score

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer

    from r1lab.data.build import DataBundle
    from r1lab.models.load import Loaded
    from r1lab.rewards.build import CheckedReward
    from r1lab.tracking import Tracker

log = logging.getLogger(__name__)


class Evaluator:
    """Samples answers of the model in training; every record goes to the run's folder and to
    MLflow.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        data: DataBundle,
        loaded: Loaded,
        trainer: Trainer,
        folder: Path,
        tracker: Tracker,
    ):
        self._config, self._loaded, self._trainer, self._tracker = config, loaded, trainer, tracker
        self._settings = dict(config["trainer"]["evaluation"])
        self._folder = folder / "evaluation"
        self._rows = self._held_out(data) if self._settings["enabled"] else None

        # Loaded now: a benchmark that cannot be had is found before the training, not after it.
        self._benchmarks = {
            name: self._benchmark(name, node) for name, node in config["benchmarks"].items()
        }

    def before(self, resumed: bool) -> Score | None:
        """The score that training starts from; a resumed run keeps the one it began with."""
        if self._rows is None or not self._settings["before"]:
            return None
        kept = self._kept("heldout_before")
        if kept is not None:
            return kept
        if resumed:
            log.warning(
                "no score from before the training is kept, and the model has trained since"
            )
            return None
        return self._evaluate("heldout_before", self._rows, step=0)

    def after(self) -> dict[str, float]:
        """The trained model's metrics: on the held-out split, SFT's loss there, every benchmark."""
        metrics: dict[str, float] = {}
        step = self._trainer.state.global_step
        if self._config["trainer"]["kind"] == "sft" and self._trainer.eval_dataset is not None:
            found = self._trainer.evaluate()
            self._trainer.save_metrics("eval", found)
            metrics |= {k: float(v) for k, v in found.items() if isinstance(v, int | float)}
        if self._rows is not None:
            metrics |= self._evaluate("heldout", self._rows, step).metrics("heldout")
        for name, rows in self._benchmarks.items():
            prefix = f"benchmark/{name}"
            metrics |= self._evaluate(f"benchmark_{name}", rows, step, prefix).metrics(prefix)
        return metrics

    def _kept(self, name: str) -> Score | None:
        """The score of an earlier start as rank 0 finds it: all ranks must agree on it."""
        from accelerate.utils import broadcast_object_list

        found = [heldout.load_score(self._folder, name)]
        if self._trainer.accelerator.num_processes > 1:
            broadcast_object_list(found)
        return found[0]

    def _evaluate(self, name: str, rows: Dataset, step: int, prefix: str | None = None) -> Score:
        accelerator = self._trainer.accelerator
        trained = self._config["trainer"]["args"].get("max_completion_length")
        recipe = self._config["model"]["recipe"]["grpo"]["max_completion_length"]
        longest = self._settings["max_new_tokens"] or trained or recipe
        scorer = scorer_for(rows, self._config["rewards"], self._loaded.prefill)
        assert scorer is not None  # rows that nothing can score are no evaluation's
        with self._generator(longest) as (generate, model):
            score, records = heldout.evaluate(
                generate,
                model,
                self._loaded.tokenizer,
                rows,
                self._settings,
                scorer,
                self._config["seed"],
                self._loaded.template_kwargs,
                accelerator.process_index,
                accelerator.num_processes,
            )
        if not accelerator.is_main_process:
            return score
        for file in heldout.save(self._folder, name, score, records):
            self._tracker.log_artifact(file, "evaluation")
        self._tracker.log_metrics(score.metrics(prefix or name.removesuffix("_before")), step)
        log.info(
            "%s: accuracy %.3f [%.3f, %.3f] over %d problems x %d, %.1f tokens, %.0f%% cut, %.1f s",
            name,
            score.accuracy,
            score.low,
            score.high,
            score.problems,
            score.samples,
            score.mean_tokens,
            100 * score.truncated,
            score.seconds,
        )
        return score

    @contextmanager
    def _generator(self, longest: int) -> Iterator[tuple[heldout.Generate, Any]]:
        """What generates in the training answers here as well, and the model that it answers for.

        ``longest`` is the most tokens of an answer.
        """
        sampling = (self._settings["temperature"], self._settings["top_p"], longest)
        if getattr(self._trainer, "use_vllm", False):
            rollouts.push_weights(self._trainer)
            model = self._trainer.accelerator.unwrap_model(self._trainer.model_wrapped)
            yield (lambda prompts: rollouts.sample(self._trainer, prompts, *sampling)), model
            return
        from trl.models.utils import unwrap_model_for_generation

        # Shards of the weights (ZeRO-3) are gathered for the whole evaluation.
        with unwrap_model_for_generation(
            self._trainer.model_wrapped,
            self._trainer.accelerator,
            gradient_checkpointing_kwargs=self._trainer.args.gradient_checkpointing_kwargs,
        ) as model:
            yield heldout.by_model(model, self._loaded.tokenizer, *sampling), model

    def _held_out(self, data: DataBundle) -> Dataset | None:
        """The test rows with prompt and solution; for SFT they are read again in that form."""
        if data.test is not None and self._config["trainer"]["kind"] == "grpo":
            if scorer_for(data.test, self._config["rewards"], "") is None:
                log.warning(
                    "no sampled evaluation: nothing says which answers to the test split are right"
                )
                return None
            return data.test
        if data.test is None:
            return None
        from r1lab.data.build import build_data

        # As the data's files mean it: `messages` may be there instead of a prompt.
        columns = data.report["source"]["columns"]
        source = replace(targets.build(self._config["data"]), columns=columns)
        if not (source.column("solution") and any(map(source.column, ("prompt", "messages")))):
            log.info("no sampled evaluation: the data names no prompt and solution columns")
            return None
        conversations = not source.column("prompt")
        if conversations:
            # What was learned is the conversation as it is, so that is how the model is asked. One
            # without a gold was learned as well.
            source = replace(source, system_prompt=None, bad_rows="drop")
        again = build_data(source, "grpo", need_solution=True)
        carved = "test" not in data.report["rows_loaded"]
        if carved and again.report["rows"] != data.report["rows"]:
            # Rows that one form drops and the other keeps would move the split: train would leak
            # into test.
            log.warning(
                "no sampled evaluation: as problems, the data splits differently than for SFT"
            )
            return None
        return first_of_each(again.test) if conversations and again.test else again.test

    def _benchmark(self, name: str, node: Mapping[str, Any]) -> Dataset:
        from r1lab.data.build import build_data

        bundle = build_data(targets.build(node), "grpo", need_solution=True)
        if bundle.test is None:
            log.warning("benchmark %s has no test split: its training rows are used", name)
        return bundle.test if bundle.test is not None else bundle.train


def first_of_each(rows: Dataset) -> Dataset:
    """The rows without those whose prompt came before: several answers to a problem are one."""
    seen: set[str] = set()
    kept = []
    for number, prompt in enumerate(rows["prompt"]):
        text = json.dumps(prompt)
        if text not in seen:
            seen.add(text)
            kept.append(number)
    return rows.select(kept)


def scorer_for(
    rows: Dataset, rewards: Mapping[str, Any], prefill: str
) -> Callable[..., list[float | None]] | None:
    """What says whether an answer to these rows is right, or ``None`` where nothing can.

    In order: the task's own scorer where rows carry one, the verifier where the run's rewards read
    a mathematical ``solution``, the first of the run's rewards that knows full marks, the verifier.
    """
    from r1lab.rewards.base import needed_columns
    from r1lab.rewards.build import construct_reward

    def shipped(name: str) -> CheckedReward:
        module = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        return construct_reward("scorer", {"_target_": f"r1lab.rewards.{module}.{name}"}, prefill)

    columns = set(rows.column_names)
    if "reasoning_gym_entry" in columns:
        return shipped("ReasoningGym")
    built = [construct_reward(name, node, prefill) for name, node in rewards.items()]
    if not ("solution" in columns and any(reward.reads_math for reward in built)):
        for reward in built:
            if reward.full_marks is not None and columns.issuperset(needed_columns(reward)):
                return partial(_whole, reward, reward.full_marks)
    return shipped("Accuracy") if "solution" in columns else None


def _whole(reward: Callable[..., Any], full: float, **columns: Any) -> list[float | None]:
    """1 for full marks, 0 for less: accuracy counts no half answers."""
    return [None if value is None else float(value >= full) for value in reward(**columns)]
