"""The worker's straight line: data, model, rewards, trainer; train, save, evaluate, register."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab import targets
from r1lab.callbacks.base import RunContext
from r1lab.callbacks.stop import agree
from r1lab.data.build import DataBundle, build_data
from r1lab.engines.rollouts import rollouts
from r1lab.evaluation.around import Evaluator
from r1lab.evaluation.heldout import stop_ids
from r1lab.launch.ranks import from_environment
from r1lab.launch.strategy import check_strategy, prepare
from r1lab.models.load import Loaded, load
from r1lab.rewards.base import needed_columns
from r1lab.rewards.build import build_rewards
from r1lab.tracking import DisabledTracker, Tracker

if TYPE_CHECKING:
    from transformers import Trainer

    from r1lab.worker import StopRequest

log = logging.getLogger(__name__)


def run(plan: dict[str, Any], stop: StopRequest) -> bool:
    """Carry out one plan; False when it was stopped before its training was done.

    Raises R1labError for what the user can mend; anything else is a bug.
    """
    from accelerate import PartialState
    from transformers import set_seed

    config, facts = plan["config"], plan["run"]
    folder = Path(facts["dir"])
    first = from_environment().is_first
    tracker = (
        Tracker.open(config, folder, facts["name"], facts["run_id"])
        if first
        else DisabledTracker()  # every rank would write the same
    )
    prepare(config["hardware"], facts["device"])
    set_seed(config["seed"])

    rewards, weights = build_rewards(config["rewards"])
    for reward in rewards:
        reward.prepare()
    settings = _settings(plan, weights)
    with PartialState().local_main_process_first():  # one downloads, the others find it cached
        data = _data(config, rewards)
    for split, rows in (("train", data.train), ("test", data.test)):
        if rows is not None:
            name = str(config["data"].get("name", "data"))
            tracker.log_dataset_fingerprint(name, data.report["fingerprint"][split], rows, split)
    tracker.log_text(json.dumps(data.report, indent=2, default=str), "data_report.json")
    loaded = load(
        config["model"], facts["device"], config["trainer"]["args"].get("chat_template_kwargs")
    )
    for reward in rewards:
        reward.prefill = loaded.prefill
    callbacks = _callbacks(plan, stop)
    with rollouts(config, facts["device"], loaded.model, stop_ids(loaded.model)):
        trainer = _trainer(settings, config, loaded, data, rewards, callbacks)
    check_strategy(trainer.accelerator, config["hardware"])
    context = RunContext(
        run_dir=folder, tracker=tracker, config=config, trainer=trainer, tokenizer=loaded.tokenizer
    )
    for callback in callbacks:
        callback.run = context

    evaluator = Evaluator(config, data, loaded, trainer, folder, tracker)
    before = evaluator.before(resumed=facts["checkpoint"] is not None)
    if agree(stop, trainer.accelerator):
        return False
    _say_start(plan, data, loaded)
    result = trainer.train(resume_from_checkpoint=facts["checkpoint"])
    if trainer.state.global_step < trainer.state.max_steps and stop.agreed:
        tracker.flush()
        return False

    metrics = {**result.metrics, **_mean_loss(trainer), **_time_shares(trainer)}
    metrics["train_samples"] = len(data.train)
    model_dir = _save(trainer, loaded, config, folder, metrics)
    final = {
        **_plain(metrics),
        **(before.metrics("heldout_before") if before else {}),
        **evaluator.after(),
    }
    trainer.accelerator.wait_for_everyone()
    if not first:
        return True
    (folder / "metrics.json").write_text(json.dumps(final, indent=2) + "\n")
    tracker.log_metrics(final, trainer.state.global_step)
    _publish(plan, data, final, model_dir, tracker)
    tracker.flush()
    return True


def _data(config: dict[str, Any], rewards: Sequence[Any]) -> DataBundle:
    """The rows, with everything that is wrong with them said before the model is loaded."""
    from r1lab.verify.verifier import get_verifier

    kind = config["trainer"]["kind"]
    source = targets.build(config["data"])
    need = {column for reward in rewards for column in needed_columns(reward)}
    judged = kind == "grpo" and "solution" in need
    verified = judged and any(reward.reads_math for reward in rewards)
    parses = get_verifier().parses_batch if verified else None
    data = build_data(source, kind, need_solution=judged, parses=parses, need=need)
    for split, rows in data.report["rows"].items():
        log.info("data: %s, %s split, %d rows", source.name, split, rows)
    for said in data.report["notes"]:
        log.info("data: %s", said)
    for split, dropped in data.report["dropped"].items():
        log.warning("data: dropped from %s: %s", split, dropped)
    for warning in data.report["warnings"]:
        log.warning("data: %s", warning)
    return data


def _callbacks(plan: dict[str, Any], stop: StopRequest) -> list[Any]:
    from r1lab.callbacks.metrics import Metrics
    from r1lab.callbacks.push_to_hub_revision import PushToHubRevision
    from r1lab.callbacks.shares import Shares
    from r1lab.callbacks.stop import Stop
    from r1lab.callbacks.universal import OwnSteps

    config = plan["config"]
    listed = [targets.build(node) for node in config["callbacks"].values()]
    if config["hub"]["push_revision"] and not any(
        isinstance(item, PushToHubRevision) for item in listed
    ):
        listed.append(PushToHubRevision())
    if config["hardware"]["distributed"] in ("deepspeed", "fsdp"):
        listed.append(Shares())
    if plan["run"]["deepspeed_file"]:  # the checkpoint was made with another number of processes
        listed.append(OwnSteps())
    return [Metrics(), Stop(stop), *listed]


def _settings(plan: dict[str, Any], weights: Sequence[float]) -> Any:
    """The trainer's config, which also joins this process to the others."""
    if plan["config"]["trainer"]["kind"] == "sft":
        from r1lab.trainers import sft

        return sft.config(plan)
    from r1lab.trainers import grpo

    return grpo.config(plan, weights)


def _trainer(
    settings: Any,
    config: dict[str, Any],
    loaded: Loaded,
    data: DataBundle,
    rewards: Sequence[Callable[..., Any]],
    callbacks: Sequence[Any],
) -> Trainer:
    if config["trainer"]["kind"] == "sft":
        from r1lab.trainers import sft

        return sft.build(settings, loaded, data.train, data.test, callbacks)
    from r1lab.trainers import grpo

    dynamic_sampling = config["trainer"]["dynamic_sampling"]
    return grpo.build(settings, loaded, data.train, data.test, rewards, callbacks, dynamic_sampling)


def _say_start(plan: dict[str, Any], data: DataBundle, loaded: Loaded) -> None:
    import torch
    from accelerate import PartialState

    # Under ZeRO-3 a parameter's own size is 0, and what it has when it is gathered is `ds_numel`.
    parameters = sum(getattr(p, "ds_numel", p.numel()) for p in loaded.model.parameters())
    held_out = len(data.test) if data.test is not None else 0
    log.info(
        "process 0 of %d on %s, %d threads, 16-bit: %s; %.3g M parameters; "
        "%d training rows, %d held out",
        PartialState().num_processes,
        plan["run"]["device"],
        torch.get_num_threads(),
        plan["config"]["hardware"]["mixed_precision"],
        parameters / 1e6,
        len(data.train),
        held_out,
    )


def _save(
    trainer: Trainer, loaded: Loaded, config: dict[str, Any], folder: Path, metrics: dict[str, Any]
) -> Path:
    """Write the state, and ``model/``: weights, tokenizer, generation config, use_cache."""
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    target = folder / "model"
    model = trainer.accelerator.unwrap_model(trainer.model)
    # Training with gradient checkpointing turned it off.
    model.config.use_cache = config["model"]["use_cache"]
    trainer.save_model(str(target))  # by all ranks: shards are gathered
    if not trainer.is_world_process_zero():
        return target
    loaded.tokenizer.save_pretrained(target)
    model.generation_config.save_pretrained(target)
    log.info("saved %s", target)
    return target


def _mean_loss(trainer: Trainer) -> dict[str, float]:
    """The mean of all logged losses: the trainer's own leaves out the steps before a resume."""
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {"train_loss": sum(losses) / len(losses)} if losses else {}


def _time_shares(trainer: Trainer) -> dict[str, float]:
    """The shares of this start's training time that GRPO spent on generation, rewards, updates."""
    seconds = getattr(trainer, "seconds", {})
    total = sum(seconds.values())
    return {f"time/{part}_share": spent / total for part, spent in seconds.items()}


def _publish(
    plan: dict[str, Any],
    data: DataBundle,
    metrics: dict[str, Any],
    model_dir: Path,
    tracker: Tracker,
) -> None:
    """Write the model card, register the model in MLflow, push to the Hub if that was asked."""
    from r1lab import hub
    from r1lab.record.card import write_card
    from r1lab.record.provenance import collect

    config, facts = plan["config"], plan["run"]
    card = write_card(
        model_dir,
        config=config,
        command=facts["command"],
        provenance=collect(),
        metrics=_with_intervals(metrics),
        data=data.report,
        run={"run": facts["name"], "MLflow run": facts["run_id"]},
    )
    tracker.log_artifact(card)
    tracker.log_artifact(model_dir.parent / "metrics.json")
    if config["tracking"]["register"] and config["tracking"]["mlflow"]:
        name = f"r1lab-{config['model']['name']}-{config['data'].get('name', 'data')}"
        version = tracker.register(model_dir, name)
        log.info("registered as %s version %s", name, version)
    if config["hub"]["push"]:
        url = hub.push_folder(
            model_dir, config["hub"], f"{facts['name']}: final model", run_id=facts["run_id"]
        )
        log.info("pushed to %s", url)


def _with_intervals(metrics: dict[str, Any]) -> dict[str, Any]:
    """``x_low`` and ``x_high`` folded into ``x``, as the model card shows them."""
    folded: dict[str, Any] = {}
    for name, value in metrics.items():
        if name.endswith(("_low", "_high")):
            continue
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        if low is None:
            folded[name] = value
            continue
        count = metrics.get(f"{name.rpartition('/')[0]}/problems")
        folded[name] = {"value": value, "low": low, "high": high, "n": count}
    return folded


def _plain(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
