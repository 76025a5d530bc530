"""Everything that can be known to be wrong before torch is imported.

:func:`validate` walks the resolved config once and returns all mistakes; it never stops at the
first. What needs the data or the model itself is checked by the worker, before training.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from r1lab import components, rundir
from r1lab.engines.check import check as check_engine
from r1lab.engines.training import OWNED as ENGINE_OWNED
from r1lab.errors import Problem, suggest
from r1lab.evaluation import settings as evaluation
from r1lab.planning.trl_fields import refusal, trainer_fields
from r1lab.rewards.base import needed_columns
from r1lab.trainers import dynamic_sampling

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "model.dtype": ("auto", "float32", "bfloat16", "float16"),
    "model.quantization": (None, "4bit", "8bit"),
    "model.peft.kind": ("none", "lora", "qlora"),
    "trainer.kind": ("grpo", "sft"),
    "hardware.device": ("auto", "cpu", "cuda"),
    "hardware.distributed": ("none", "ddp", "deepspeed", "fsdp"),
    "hardware.mixed_precision": ("auto", "no", "bf16", "fp16"),
    "log_level": ("debug", "info", "warning", "error"),
}
_AT_LEAST: dict[str, float] = {
    "seed": 0,
    "model.peft.r": 1,
    "model.peft.alpha": 1,
    "trainer.evaluation.samples": 1,
    "trainer.evaluation.batch_size": 1,
    "trainer.evaluation.problems": 1,
    "trainer.evaluation.max_new_tokens": 1,
    "trainer.evaluation.temperature": 0,
    "hardware.gpu_memory_gib": 1,
}
#: Fields of TRL's configs that another key of r1lab's decides; setting both would let one of them
#: lose.
OWNED = {
    **ENGINE_OWNED,
    "output_dir": "output_dir (and run_name)",
    "run_name": "run_name",
    "seed": "seed",
    "data_seed": "seed",
    "reward_weights": "rewards.<name>.weight",
    "report_to": "tracking.mlflow, tracking.wandb.enabled",
    "log_completions": "callbacks.completions.every_steps",
    "num_completions_to_print": "callbacks.completions.num_to_print",
    "log_unique_prompts": "callbacks.completions.unique_prompts",
    "resume_from_checkpoint": "resume",
    "deepspeed": "hardware=deepspeed_z2|deepspeed_z3",
    "fsdp": "hardware=fsdp",
    "fsdp_config": "hardware=fsdp",
    "use_cpu": "hardware=cpu",
    "bf16": "hardware.mixed_precision",
    "fp16": "hardware.mixed_precision",
    "push_to_hub": "hub.push",
    "hub_model_id": "hub.model_id",
    "hub_private_repo": "hub.private",
    "hub_revision": "hub.revision",
    "hub_strategy": "callbacks=[push_to_hub_revision]",
    "hub_token": "the environment's HF_TOKEN",
    "hub_always_push": "callbacks=[push_to_hub_revision]",
    "remove_unused_columns": "nothing: rewards need the data's columns",
    "model_init_kwargs": "model.dtype, model.attn_implementation, model.revision, ...",
    "chat_template_path": "model.chat_template",
    "eos_token": "model.eos_token",
    "pad_token": "model.pad_token",
    "trust_remote_code": "model.trust_remote_code",
    "shuffle_dataset": "data.shuffle",
    "train_sampling_strategy": "data.shuffle",
    "do_train": "the verb (train)",
    "do_eval": "trainer.evaluation.enabled",
    "do_predict": "trainer.evaluation.enabled",
    "log_level": "log_level",
}


def validate(config: dict[str, Any]) -> list[Problem]:
    """All errors of a resolved config; imports no torch and loads no data."""
    errors = _shell(config)
    errors += _trainer_args(config)
    errors += _model(config)
    rewards, found = check_rewards(config)
    errors += found
    errors += dynamic_sampling.check(config)
    for name, node in config["callbacks"].items():
        errors += components.check(f"callbacks.{name}", node)[1]
    source, found = components.check("data", config["data"])
    errors += found
    if source is not None:
        errors += check_data(config, source, rewards)
    for name, node in (config.get("benchmarks") or {}).items():
        errors += _benchmark(name, node)
    errors += evaluation.check_training(config)
    errors += check_engine(config["engine"], "train")
    errors += _hub(config)
    return errors


def lookup(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, None where a part of the path is missing."""
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _shell(config: dict[str, Any]) -> list[Problem]:
    problems = []
    for key, choices in _CHOICES.items():
        value = lookup(config, key)
        if value not in choices:
            shown = ["null" if choice is None else choice for choice in choices]
            problems.append(
                Problem(key, value, "is not a choice", f"choose one of: {', '.join(shown)}")
            )
    for key, low in _AT_LEAST.items():
        value = lookup(config, key)
        if value is not None and value < low:
            problems.append(Problem(key, value, f"is below {low:g}", f"give {low:g} or more"))
    top_p = lookup(config, "trainer.evaluation.top_p")
    if not 0 < top_p <= 1:
        problems.append(
            Problem(
                "trainer.evaluation.top_p", top_p, "is no probability", "give a number in (0, 1]"
            )
        )
    found = [rundir.check_writable(config["output_dir"]), rundir.check_resume(config["resume"])]
    if config["run_name"] is not None:
        found.append(rundir.check_name(str(config["run_name"])))
    problems += [problem for problem in found if problem]
    processes = config["hardware"]["processes"]
    if processes != "auto" and (
        isinstance(processes, bool) or not isinstance(processes, int) or processes < 1
    ):
        problems.append(
            Problem(
                "hardware.processes",
                processes,
                "is no number of processes",
                "give 1 or more, or auto",
            )
        )
    return problems


def _trainer_args(config: dict[str, Any]) -> list[Problem]:
    kind, args = config["trainer"]["kind"], config["trainer"]["args"]
    if kind not in ("grpo", "sft"):
        return []
    if not isinstance(args, dict):
        return [
            Problem(
                "trainer.args",
                args,
                "is not a mapping",
                "set its fields: trainer.args.max_steps=100",
            )
        ]
    fields = trainer_fields(kind)
    problems = []
    for name, value in args.items():
        key = f"trainer.args.{name}"
        if name in OWNED:
            problems.append(
                Problem(key, value, "is decided by another key", f"set {OWNED[name]} instead")
            )
        elif name not in fields:
            other = "sft" if kind == "grpo" else "grpo"
            where = f" (trainer={other} has it)" if name in trainer_fields(other) else ""
            message = (
                f"trl's {'GRPO' if kind == 'grpo' else 'SFT'}Config has no field {name!r}{where}"
            )
            problems.append(
                Problem(key, value, message, suggest(name, list(fields), "trainer.args."))
            )
        elif refused := refusal(kind, fields[name], value):
            problems.append(Problem(key, value, *refused))
    return problems


def _model(config: dict[str, Any]) -> list[Problem]:
    problems = []
    model = config["model"]
    template = model["chat_template"]
    if template is not None:
        path = Path(template).expanduser()
        if not path.is_file():
            problems.append(
                Problem(
                    "model.chat_template",
                    template,
                    "there is no such file",
                    "give the path of a .jinja file, or null",
                )
            )
    name = str(model["id"])
    if name.startswith(("/", "./", "../", "~")):
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            problems.append(
                Problem(
                    "model.id",
                    name,
                    "holds no config.json",
                    "give a folder that save_pretrained wrote, or a hub id",
                )
            )
    elif name.startswith("r1lab:"):
        if name not in ("r1lab:tiny", "r1lab:smollm2_135m"):
            problems.append(
                Problem("model.id", name, "is no model that ships with r1lab", "use model=tiny")
            )
    elif name.count("/") > 1 or not name.strip() or " " in name:
        problems.append(
            Problem(
                "model.id",
                name,
                "is neither a hub id (owner/name) nor an existing folder",
                "write ./folder for a local one",
            )
        )
    kind, quantization = model["peft"]["kind"], model["quantization"]
    if kind == "qlora" and quantization is None:
        problems.append(
            Problem(
                "model.peft.kind",
                kind,
                "needs a quantized base model",
                "set model.quantization=4bit, or model/peft=lora",
            )
        )
    if quantization in ("4bit", "8bit") and kind == "none":
        problems.append(
            Problem(
                "model.quantization",
                quantization,
                "a quantized model cannot be trained in full",
                "add model/peft=qlora, or set model.quantization=null",
            )
        )
    if model["from_scratch"] and (kind != "none" or quantization is not None):
        problems.append(
            Problem(
                "model.from_scratch",
                True,
                "random weights can be neither quantized nor adapted",
                "set model/peft=none model.quantization=null, or model.from_scratch=false",
            )
        )
    dropout = model["peft"]["dropout"]
    if not 0 <= dropout < 1:
        problems.append(
            Problem(
                "model.peft.dropout",
                dropout,
                "is no probability below 1",
                "give a number in [0, 1)",
            )
        )
    return problems


def check_rewards(config: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The rewards that could be built, by key, and what is wrong with the others."""
    nodes, kind = config["rewards"], config["trainer"]["kind"]
    if kind == "sft":
        if not nodes:
            return {}, []
        return {}, [
            Problem(
                "rewards",
                list(nodes),
                "supervised fine-tuning has no rewards",
                "leave rewards out, or train with trainer=grpo",
            )
        ]
    if not nodes:
        return {}, [
            Problem(
                "rewards",
                [],
                "GRPO has nothing to learn from without a reward",
                "write rewards=[accuracy,format]",
            )
        ]
    built, problems, weights = {}, [], []
    for name, node in nodes.items():
        reward, found = components.check(f"rewards.{name}", node, skip=("weight",))
        problems += found
        if isinstance(node, dict) and "_target_" in node:
            problem = _weight(name, node.get("weight"))
            if problem:
                problems.append(problem)
            else:
                weights.append(node["weight"])
        if reward is not None:
            built[name] = reward
    if weights and len(weights) == len(nodes) and not any(weights):
        problems.append(
            Problem(
                "rewards",
                dict.fromkeys(nodes, 0),
                "every weight is zero",
                "give one reward a positive weight",
            )
        )
    return built, problems


def _weight(name: str, weight: Any) -> Problem | None:
    key = f"rewards.{name}.weight"
    if isinstance(weight, list):
        return Problem(key, weight, "is a list: a reward has one weight", f"write {key}=1.0")
    if weight is None:
        return Problem(key, None, "is missing", f"write {key}=1.0 (+{key}=1.0 for one of your own)")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        return Problem(key, weight, "is not a number", f"write {key}=1.0")
    if weight < 0:
        return Problem(
            key,
            weight,
            "is negative, which would train the opposite",
            "give 0 or more; a penalty has negative values of its own",
        )
    return None


def check_data(config: dict[str, Any], source: Any, rewards: dict[str, Any]) -> list[Problem]:
    from r1lab.data.build import check_light

    wanted = {"messages"} if config["trainer"]["kind"] == "sft" else {"prompt"}
    for reward in rewards.values():
        wanted.update(needed_columns(reward))
    problems = list(check_light(source, wanted))
    provided = source.provides()
    if provided is not None and not problems:
        for name, reward in rewards.items():
            missing = [column for column in needed_columns(reward) if column not in provided]
            if missing:
                problems.append(
                    Problem(
                        f"rewards.{name}",
                        missing,
                        f"needs the column {', '.join(map(repr, missing))}, and the data has "
                        f"{', '.join(sorted(provided))}",
                        "name the column in data.columns, or choose another reward or other data",
                    )
                )
    return problems


def _benchmark(name: str, node: Any) -> list[Problem]:
    """A benchmark is found unusable now, not after the training."""
    from r1lab.data.build import check_light

    source, found = components.check("data", node)
    if source is not None:
        found = check_light(source, {"prompt", "solution"})
    return [
        Problem("trainer.benchmarks", name, f"{p.key}: {p.message}", p.fix, p.file) for p in found
    ]


def _hub(config: dict[str, Any]) -> list[Problem]:
    hub = config["hub"]
    asked = hub["push"] or hub["push_revision"] or "push_to_hub_revision" in config["callbacks"]
    model_id = hub["model_id"]
    if not asked:
        return []
    if not model_id:
        return [
            Problem(
                "hub.model_id",
                None,
                "is needed to push to the Hub",
                "write hub.model_id=you/model-name",
            )
        ]
    if str(model_id).count("/") > 1 or " " in str(model_id):
        return [
            Problem(
                "hub.model_id", model_id, "is no repository id", "write hub.model_id=you/model-name"
            )
        ]
    return []
