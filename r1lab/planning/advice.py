"""What a good colleague would say about a run before it starts: errors and warnings, with the fix.

An error is what TRL, transformers or PEFT would refuse after loading the model, or what trains
nothing; a warning is what runs and is probably not meant. Batch sizes are geometry's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from r1lab.errors import Problem, suggest
from r1lab.hardware import cpu_has_bf16
from r1lab.planning.architecture import Architecture
from r1lab.planning.geometry import Arguments
from r1lab.planning.memory import PROMPT_TOKENS
from r1lab.planning.resuming import check_schedule
from r1lab.planning.reward_balance import reward_balance
from r1lab.schema import DynamicSampling

#: Learning rates outside are rarely meant, by (trainer, with adapters): full GRPO runs use 1e-7 to
#: 5e-5 (open-r1: 1e-6 to 2e-5), SFT 1e-6 to 2e-4, adapters about ten times more.
USUAL_RATES = {
    ("grpo", False): (1e-8, 1e-4),
    ("grpo", True): (1e-7, 1e-3),
    ("sft", False): (1e-7, 5e-4),
    ("sft", True): (1e-6, 5e-3),
}
#: Models below this size want higher rates; the ranges above say nothing about them.
SMALL_MODEL = 50_000_000
#: Optimizer steps from which a run without a checkpoint on its way deserves a word.
WORTH_SAVING = 20


@dataclass
class Findings:
    """Collected errors and warnings."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, key: str, value: Any, message: str, fix: str) -> None:
        self.errors.append(Problem(key, value, message, fix))

    def warn(self, key: str, value: Any, message: str, fix: str) -> None:
        self.warnings.append(Problem(key, value, message, fix))


def advise(
    config: Mapping[str, Any],
    args: Arguments,
    batch: Mapping[str, Any],
    arch: Architecture | None,
    hardware: Mapping[str, Any],
) -> Findings:
    """Everything there is to say about this run, apart from batch geometry and memory."""
    found = Findings()
    model = config["model"]
    _lengths(found, args, arch)
    _adapters(found, model, arch)
    _precision(found, model, args, hardware)
    _schedule(found, args, batch, model, arch)
    found.warnings += check_schedule(args, batch)
    if args.kind == "grpo":
        _sampling(found, args)
        _objective(found, args, batch)
        if model.get("from_scratch") and args["beta"]:
            found.error(
                "model.from_scratch",
                True,
                "the KL's reference would be the weights of model.id: TRL loads it from there, and "
                f"the policy begins with others (trainer.args.beta={args['beta']:g})",
                "set trainer.args.beta=0, or train with trainer=sft first",
            )
        _dynamic_sampling(found, config["trainer"].get("dynamic_sampling") or {})
        listed = config.get("callbacks") or {}
        # An empty list says none on purpose; another one has replaced GRPO's default.
        if listed and "completions" not in listed:
            fix = f"write callbacks=[completions,{','.join(listed)}]"
            found.warn("callbacks", list(listed), "the completions are in no table of MLflow", fix)
        found.warnings += reward_balance(config.get("rewards") or {})
    return found


def _lengths(found: Findings, args: Arguments, arch: Architecture | None) -> None:
    name = "max_completion_length" if args.kind == "grpo" else "max_length"
    length = args[name]
    if arch is None or not isinstance(length, int):
        return
    context = arch.max_position_embeddings
    prompt = PROMPT_TOKENS[0] if args.kind == "grpo" else 0
    if length + prompt > context:
        with_prompt = f" with a prompt of {prompt}" if prompt else ""
        found.warn(
            f"trainer.args.{name}",
            length,
            f"{length} tokens{with_prompt} do not fit the model's context of {context}",
            f"set trainer.args.{name}={max(context - (PROMPT_TOKENS[1] if prompt else 0), 1)}"
            if context > PROMPT_TOKENS[1]
            else f"set trainer.args.{name} below {context - prompt}",
        )


def _adapters(found: Findings, model: Mapping[str, Any], arch: Architecture | None) -> None:
    peft = model.get("peft") or {}
    kind, quantization = peft.get("kind", "none"), model.get("quantization")
    if quantization and kind == "none":
        found.error(
            "model.quantization",
            quantization,
            "quantized weights cannot be trained themselves, only adapters over them",
            "set model/peft=qlora (or model.quantization=null)",
        )
    if kind == "qlora" and not quantization:
        found.error(
            "model.peft.kind",
            kind,
            "needs a quantized base model",
            "set model.quantization=4bit (or model/peft=lora)",
        )
    targets = peft.get("target_modules")
    if kind == "none" or arch is None or not isinstance(targets, list | tuple):
        return
    known = [*arch.linear_shapes(), "embed_tokens"]
    for target in targets:
        name = str(target).rsplit(".", 1)[-1]
        if name == "lm_head":
            found.error(
                "model.peft.target_modules",
                target,
                "TRL scores with the head's own weight, so an adapter on it would never be trained",
                "remove lm_head",
            )
        elif name not in known:
            found.error(
                "model.peft.target_modules",
                target,
                f"{arch.model_type} has no such module",
                suggest(name, known),
            )


def _precision(
    found: Findings, model: Mapping[str, Any], args: Arguments, hardware: Mapping[str, Any]
) -> None:
    if hardware.get("device") != "cpu":
        return
    choose = "choose a hardware with a GPU"
    if model.get("quantization"):
        found.error(
            "model.quantization",
            model["quantization"],
            "needs a GPU, and this run is on the CPU",
            f"set model.quantization=null, or {choose}",
        )
    if model.get("attn_implementation") == "flash_attention_2":
        found.error(
            "model.attn_implementation",
            "flash_attention_2",
            "needs a GPU, and this run is on the CPU",
            f"set model.attn_implementation=sdpa, or {choose}",
        )
    half = {
        "trainer.args.bf16": args["bf16"] if args.given("bf16") else None,
        "trainer.args.fp16": args["fp16"] or None,
        "hardware.mixed_precision": {"bf16": "bf16", "fp16": "fp16"}.get(
            str(hardware.get("mixed_precision"))
        ),
        "model.dtype": {"bfloat16": "bfloat16", "float16": "float16"}.get(str(model.get("dtype"))),
    }
    if half["hardware.mixed_precision"] == "bf16" and cpu_has_bf16():
        del half["hardware.mixed_precision"]  # float32 weights, products in bf16: that pays
    for key, value in half.items():
        if value:
            found.warn(
                key,
                value,
                "16-bit arithmetic on a CPU is slower than float32 on most, and less exact",
                "use float32 (hardware.mixed_precision=no, model.dtype=float32)",
            )


def _schedule(
    found: Findings,
    args: Arguments,
    batch: Mapping[str, Any],
    model: Mapping[str, Any],
    arch: Architecture | None,
) -> None:
    if args["max_steps"] == 0:
        found.error(
            "trainer.args.max_steps", 0, "trains nothing", "set a number above 0, or -1 for epochs"
        )
    elif args["max_steps"] < 0 and args["num_train_epochs"] <= 0:
        found.error(
            "trainer.args.num_train_epochs",
            args["num_train_epochs"],
            "trains nothing",
            "set a number above 0, or max_steps",
        )
    recipe = ((model.get("recipe") or {}).get(args.kind) or {}).get("num_train_epochs")
    epochs = args["num_train_epochs"]
    if args["max_steps"] > 0 and args.given("num_train_epochs") and epochs != recipe:
        found.warn(
            "trainer.args.num_train_epochs",
            epochs,
            f"is ignored: max_steps={args['max_steps']} ends the run",
            "set trainer.args.max_steps=-1 to train for epochs",
        )
    _learning_rate(found, args, model, arch)
    if args["logging_strategy"] == "steps" and args["logging_steps"] <= 0:
        found.error(
            "trainer.args.logging_steps",
            args["logging_steps"],
            "transformers refuses to log every 0 steps",
            "set 1 (or trainer.args.logging_strategy=no)",
        )
    steps = batch.get("optimizer_steps")
    if steps and args["logging_steps"] > steps:
        found.warn(
            "trainer.args.logging_steps",
            args["logging_steps"],
            f"the run has {steps} steps, so no metric is logged before its end",
            "set trainer.args.logging_steps=1",
        )
    never_saves = args["save_strategy"] == "steps" and args["save_steps"] > (steps or 0)
    if steps and steps >= WORTH_SAVING and never_saves:
        found.warn(
            "trainer.args.save_steps",
            args["save_steps"],
            f"the run has {steps} steps: an interruption loses all of it",
            f"set trainer.args.save_steps={max(steps // 4, 1)}",
        )
    if args["load_best_model_at_end"]:
        every = args["eval_steps"] or args["logging_steps"]
        stepwise = args["save_strategy"] == args["eval_strategy"] == "steps"
        if args["save_strategy"] != args["eval_strategy"] and args["save_strategy"] != "best":
            found.error(
                "trainer.args.save_strategy",
                args["save_strategy"],
                "load_best_model_at_end needs a checkpoint wherever an evaluation is",
                f"set trainer.args.save_strategy={args['eval_strategy']}",
            )
        elif stepwise and every >= 1 and args["save_steps"] % every:
            whole = max(round(args["save_steps"] / every), 1) * every
            found.error(
                "trainer.args.save_steps",
                args["save_steps"],
                f"is not a multiple of eval_steps ({every:g}), which load_best_model_at_end needs",
                f"set trainer.args.save_steps={whole:g}",
            )
    if args["use_cache"] and args["gradient_checkpointing"]:
        found.warn(
            "trainer.args.use_cache",
            True,
            "is ignored with gradient checkpointing, which recomputes what the cache would hold",
            "set trainer.args.use_cache=false (model.use_cache is what the saved model gets)",
        )


def _learning_rate(
    found: Findings, args: Arguments, model: Mapping[str, Any], arch: Architecture | None
) -> None:
    rate = args["learning_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        return  # its type is an error that validation reports
    if rate <= 0:
        found.error("trainer.args.learning_rate", rate, "must be above 0", "set about 1e-6")
        return
    if arch is None or arch.parameters() < SMALL_MODEL:
        return
    adapters = (model.get("peft") or {}).get("kind", "none") != "none"
    low, high = USUAL_RATES[(args.kind, adapters)]
    if not low <= rate <= high:
        what = "adapters" if adapters else "all weights"
        found.warn(
            "trainer.args.learning_rate",
            rate,
            f"is outside the usual {low:g} to {high:g} for {args.kind} of {what}",
            f"check the exponent; {'1e-6' if args.kind == 'grpo' else '2e-5'} is a start",
        )


def _sampling(found: Findings, args: Arguments) -> None:
    temperature = args["temperature"]
    if temperature <= 0:
        found.error(
            "trainer.args.temperature",
            temperature,
            f"makes all {args['num_generations']} completions of a prompt the same: no advantage, "
            "no learning (and TRL divides by it)",
            "set trainer.args.temperature=1.0",
        )
    elif temperature < 0.3:
        found.warn(
            "trainer.args.temperature",
            temperature,
            "gives nearly equal completions, so most groups have no advantage to learn from",
            "set 0.7 to 1.0",
        )


def _objective(found: Findings, args: Arguments, batch: Mapping[str, Any]) -> None:
    if args["auto_find_batch_size"]:
        found.error(
            "trainer.args.auto_find_batch_size",
            True,
            "could halve a batch in the middle of a group of completions; TRL refuses it",
            "set it to false and lower per_device_train_batch_size",
        )
    if args["sync_ref_model"] and not args["beta"]:
        found.error(
            "trainer.args.sync_ref_model",
            True,
            "there is no reference model while beta is 0",
            "set trainer.args.sync_ref_model=false or beta above 0",
        )
    sequence = args["importance_sampling_level"] == "sequence"
    if sequence and args["loss_type"] in ("bnpo", "dr_grpo", "dapo", "cispo"):
        found.warn(
            "trainer.args.loss_type",
            args["loss_type"],
            "weights every answer by its length, which is not GSPO's objective",
            "set trainer.args.loss_type=grpo (trainer/algo=gspo)",
        )
    per_generation = batch.get("steps_per_generation")
    off_policy = args["num_iterations"] > 1 or (
        per_generation and per_generation > args["gradient_accumulation_steps"]
    )
    if sequence and per_generation and not off_policy:
        found.warn(
            "trainer.args.importance_sampling_level",
            "sequence",
            "one update a generation keeps every ratio at 1, so GSPO's clipping never acts",
            "set trainer.args.steps_per_generation to "
            f"{4 * args['gradient_accumulation_steps']} (the paper's 4 updates a generation)",
        )
    high = args["epsilon_high"]
    if args["loss_type"] == "cispo" and (high is None or high < 1):
        found.warn(
            "trainer.args.epsilon_high",
            high,
            "bounds the importance weight itself in CISPO: below 1 it shrinks every update",
            "set trainer.args.epsilon_high=5.0",
        )


def _dynamic_sampling(found: Findings, settings: Mapping[str, Any]) -> None:
    unset = vars(DynamicSampling())
    for name in () if settings.get("enabled") else ("max_rounds", "reward"):
        value = settings.get(name, unset[name])
        if value != unset[name]:
            found.warn(
                f"trainer.dynamic_sampling.{name}",
                value,
                "is ignored while dynamic sampling is off",
                "set trainer.dynamic_sampling.enabled=true (trainer/algo=dapo)",
            )
