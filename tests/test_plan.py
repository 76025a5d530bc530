"""What ``plan`` says about a run: from composed configs, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO

import pytest

from r1lab.compose import compose, resolve
from r1lab.plan import Plan, make_plan, render, resolve_hardware, training_rows
from r1lab.planning import advice
from r1lab.planning.reward_balance import reward_balance
from r1lab.planning.trl_fields import trainer_fields

NUM_EPOCHS = "trainer.args.num_train_epochs"
MAX_100 = "trainer.args.max_steps=100"
ONE_DEVICE = (
    "hardware.processes=1",
    "trainer.args.steps_per_generation=6",
    "trainer.args.num_generations=2",
    "trainer.args.num_train_epochs=9",
)
BIG = ("model=qwen2_5_7b", "hardware=deepspeed_z3")


def plan(*overrides: str) -> Plan:
    return make_plan(resolve(compose(overrides)))


def keys(problems):
    return [problem.key for problem in problems]


def test_default_run_is_clean_and_counted():
    made = plan("trainer=grpo", "rewards=[accuracy,cosine]", "hardware=cpu")
    assert (made.errors, made.warnings) == ([], [])
    assert made.batch["rows"] > 0
    assert made.batch["optimizer_steps"] > 0
    json.dumps({"batch": made.batch, "memory": made.memory})


def test_reads_the_shipped_models_config_not_the_network():
    made = plan("model=qwen2_5_7b", "data=gsm8k", "hardware=deepspeed_z3")
    assert made.memory["parameters"] == 7_615_616_512
    assert made.batch["rows"] is None
    assert made.batch["optimizer_steps"] is None
    assert made.errors == []


def test_plan_imports_nothing_heavy():
    code = (
        "import sys; from r1lab.compose import compose, resolve;"
        "from r1lab.plan import make_plan, render;"
        "make_plan(resolve(compose(['model=qwen2_5_7b'])));"
        "heavy = {'torch', 'transformers', 'trl', 'mlflow', 'datasets', 'pandas', 'peft'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("overrides", "key", "fix"),
    [
        (["trainer.args.num_generations=1"], "trainer.args.num_generations", "2 or more"),
        (["trainer.args.num_generations=7"], "trainer.args.num_generations", "num_generations=8"),
        (["trainer.args.temperature=0"], "trainer.args.temperature", "temperature=1.0"),
        (["trainer.args.max_steps=0"], "trainer.args.max_steps", "-1"),
        (["trainer.args.num_train_epochs=0"], "trainer.args.num_train_epochs", "above 0"),
        (["trainer.args.learning_rate=0"], "trainer.args.learning_rate", "1e-6"),
        (["model.quantization=4bit"], "model.quantization", "qlora"),
        (["model/peft=qlora", "model.quantization=null"], "model.peft.kind", "4bit"),
        (
            ["model/peft=lora", "model.peft.target_modules=[q_proj,qate_proj]"],
            "model.peft.target_modules",
            "gate_proj",
        ),
        (
            ["model/peft=lora", "model.peft.target_modules=[lm_head]"],
            "model.peft.target_modules",
            "remove",
        ),
        (
            ["trainer.args.sync_ref_model=true", "trainer.args.beta=0"],
            "trainer.args.sync_ref_model",
            "beta",
        ),
        (["trainer.args.auto_find_batch_size=true"], "trainer.args.auto_find_batch_size", "false"),
        (
            [
                "trainer.args.load_best_model_at_end=true",
                "trainer.args.eval_strategy=steps",
                "trainer.args.eval_steps=30",
                "trainer.args.save_steps=50",
                "trainer.args.per_device_eval_batch_size=16",
            ],
            "trainer.args.save_steps",
            "save_steps=60",
        ),
    ],
)
def test_errors(overrides, key, fix):
    made = plan(*BIG, *overrides)
    found = {problem.key: problem for problem in made.errors}
    assert key in found, keys(made.errors)
    assert fix in found[key].fix


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["trainer.args.max_completion_length=131072"], "trainer.args.max_completion_length"),
        (["trainer=sft", "trainer.args.max_length=200000"], "trainer.args.max_length"),
        (["callbacks=[early_stop]"], "callbacks"),
        (["trainer.args.learning_rate=1e-3"], "trainer.args.learning_rate"),
        (["trainer=sft", "trainer.args.learning_rate=2"], "trainer.args.learning_rate"),
        (["trainer.args.temperature=0.1"], "trainer.args.temperature"),
        (["hardware.gpu_memory_gib=24"], "hardware.gpu_memory_gib"),
        (["trainer.args.max_steps=20"], "trainer.args.save_steps"),
        (
            ["trainer.args.max_steps=20", "trainer.args.logging_steps=50"],
            "trainer.args.logging_steps",
        ),
        (["trainer/algo=gspo"], "trainer.args.importance_sampling_level"),
        (["trainer/algo=gspo", "trainer.args.loss_type=dapo"], "trainer.args.loss_type"),
        (["trainer/algo=cispo", "trainer.args.epsilon_high=0.28"], "trainer.args.epsilon_high"),
        (["trainer.dynamic_sampling.reward=accuracy"], "trainer.dynamic_sampling.reward"),
        (["trainer.args.use_cache=true"], "trainer.args.use_cache"),
        (["trainer.args.max_steps=9", "trainer.args.num_train_epochs=2"], NUM_EPOCHS),
        (["trainer.args.save_only_model=true"], "trainer.args.save_only_model"),
        (["trainer.args.ignore_data_skip=true"], "trainer.args.ignore_data_skip"),
        (["hardware.distributed=none", "hardware.offload=true"], "hardware.offload"),
        (["rewards=[format]"], "rewards"),
        (["rewards=[accuracy,format]", "rewards.format.weight=2"], "rewards"),
    ],
)
def test_warnings(overrides, key):
    made = plan(*BIG, *overrides)
    assert key in keys(made.warnings)
    assert key not in keys(made.errors)


@pytest.mark.parametrize(
    ("overrides", "fix"),
    [
        # accumulation 4: a generation of 16 micro-steps lasts 4 optimizer steps
        (["trainer.args.steps_per_generation=16"], "save_steps=48"),
        (["trainer.args.num_iterations=3"], "save_steps=51"),
        (["trainer.args.steps_per_generation=6", "trainer.args.save_steps=1"], "save_steps=3"),
        (["trainer.args.generation_batch_size=2048", "trainer.args.save_steps=5"], "save_steps=4"),
        (["trainer.args.num_iterations=3", "trainer.args.save_steps=0.1", MAX_100], "save_steps=9"),
        # epochs of 2 steps, the second one short: step 3 is amid a generation, an epoch's end not
        (
            ["data=arithmetic", "data.train_size=48", *ONE_DEVICE, "trainer.args.save_steps=3"],
            "save_strategy=epoch",
        ),
    ],
)
def test_checkpoints_amid_a_generation_are_noticed(overrides, fix):
    found = {problem.key: problem for problem in plan(*BIG, *overrides).warnings}
    assert fix in found["trainer.args.save_steps"].fix


def test_checkpoints_at_the_end_of_a_short_epoch_are_whole():
    made = plan(
        *BIG, "data=arithmetic", "data.train_size=48", *ONE_DEVICE, "trainer.args.save_steps=2"
    )
    assert "trainer.args.save_steps" not in keys(made.warnings)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["trainer=sft", "data=mixture_of_thoughts"],
        ["trainer.args.max_steps=2"],
        ["model/peft=lora", "trainer.args.learning_rate=2e-4"],
        ["trainer/algo=gspo", "trainer.args.steps_per_generation=16", "trainer.args.save_steps=48"],
        ["trainer.args.save_strategy=epoch", "trainer.args.steps_per_generation=16"],
        ["trainer=sft", "trainer.args.save_steps=7", "data=mixture_of_thoughts"],
        ["trainer/algo=cispo"],
        ["rewards=[accuracy,format]"],
        ["hardware.gpu_memory_gib=80"],
        ["model.peft.kind=lora", "model.peft.target_modules=all-linear"],
    ],
)
def test_sound_runs_get_no_advice(overrides):
    made = plan(*BIG, *overrides)
    assert (made.errors, made.warnings) == ([], [])


@pytest.mark.parametrize(
    ("overrides", "key", "is_error"),
    [
        (["model/peft=qlora"], "model.quantization", True),
        (["model.attn_implementation=flash_attention_2"], "model.attn_implementation", True),
        (["hardware.mixed_precision=bf16"], "hardware.mixed_precision", False),
        (["model.dtype=bfloat16"], "model.dtype", False),
    ],
)
def test_on_a_cpu(overrides, key, is_error, monkeypatch):
    monkeypatch.setattr(advice, "cpu_has_bf16", lambda: False)
    made = plan("model=qwen2_5_0_5b", "hardware=cpu", *overrides)
    assert key in keys(made.errors if is_error else made.warnings)


def test_bf16_beside_float32_weights_is_fine_on_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr(advice, "cpu_has_bf16", lambda: True)
    half = ("model.dtype=bfloat16", "hardware.mixed_precision=bf16")
    made = plan("model=qwen2_5_0_5b", "hardware=cpu", *half)
    found = keys(made.warnings)
    assert "model.dtype" in found
    assert "hardware.mixed_precision" not in found


def test_rounds_of_dynamic_sampling_are_in_what_is_generated_at_most():
    line = ("model=qwen2_5_7b", "hardware=deepspeed_z3", "hardware.gpu=h100", "data=arithmetic")
    once = plan(*line, "trainer/algo=dapo", "trainer.dynamic_sampling.enabled=false")
    more = plan(*line, "trainer/algo=dapo", "trainer.dynamic_sampling.max_rounds=4")
    assert more.batch["generated_tokens_max"] == 5 * once.batch["generated_tokens_max"]
    assert more.batch["trained_tokens_max"] == once.batch["trained_tokens_max"]
    assert more.cost["hours"] == once.cost["hours"]
    (added,) = set(more.cost["assumptions"]) - set(once.cost["assumptions"])
    assert "dynamic sampling adds up to 4" in added


def test_all_errors_come_together():
    made = plan(
        *BIG,
        "trainer.args.num_generations=1",
        "trainer.args.temperature=0",
        "trainer.args.max_steps=0",
        "model.quantization=8bit",
    )
    assert set(keys(made.errors)) == {
        "trainer.args.num_generations",
        "trainer.args.temperature",
        "trainer.args.max_steps",
        "model.quantization",
    }


def test_arguments_of_the_wrong_type_are_validations_business():
    made = plan(
        *BIG,
        "trainer.args.learning_rate=abc",
        "trainer.args.num_generations=many",
        "trainer.args.no_such_field=1",
        "model.arch=nonsense",
    )
    assert made.errors == []
    assert made.memory["total"] is None


def test_unreadable_model_config_is_an_error_not_a_crash(tmp_path):
    (tmp_path / "config.json").write_text("{broken")
    made = plan(f"model.id={tmp_path}")
    assert "model.id" in keys(made.errors)


def test_unknown_trainer_kind_plans_nothing():
    config = resolve(compose([]))
    config["trainer"]["kind"] = "ppo"
    assert make_plan(config) == Plan()


def test_rows_where_the_config_tells_them():
    assert training_rows({"train_size": 100}) == 100
    assert training_rows({"train_size": 100, "max_train": 10}) == 10
    assert training_rows({"max_train": 10}) is None  # how many there are is not known
    assert training_rows({"train_size": "many"}) is None


def test_processes_are_counted_on_this_machine_when_auto(monkeypatch):
    monkeypatch.setattr("r1lab.hardware.gpu_count", lambda: 4)
    monkeypatch.setattr("r1lab.hardware.torch_has_cuda", lambda: True)
    several = resolve_hardware({"device": "auto", "processes": "auto", "distributed": "ddp"})
    assert (several["device"], several["processes"]) == ("cuda", 4)
    alone = resolve_hardware({"device": "auto", "processes": "auto", "distributed": "none"})
    assert alone["processes"] == 1


def reward(file, **node):
    return {"_target_": f"r1lab.rewards.{file}.Anything", "weight": 1.0, **node}


def test_reward_balance_stays_silent_about_rewards_it_does_not_know():
    mine = {"_target_": "mypackage.Mine", "weight": 1.0}
    assert reward_balance({"format": reward("format"), "mine": mine}) == []
    assert reward_balance({"format": reward("format")})
    assert reward_balance({"accuracy": reward("accuracy"), "format": reward("format")}) == []
    cosine = reward("cosine", max_value_correct=1.0, max_value_wrong=-0.5)
    assert reward_balance({"cosine": cosine, "format": reward("format")}) == []
    assert reward_balance({"cosine": cosine, "format": reward("format", weight=2.0)})
    assert reward_balance({"accuracy": reward("accuracy", weight=0.0), "f": reward("format")})
    assert reward_balance({"repetition_penalty": reward("repetition_penalty")}) == []


def test_render_fits_eighty_columns_and_says_everything():
    from rich.console import Console

    overrides = [*BIG, "trainer.args.num_generations=7", "hardware.gpu_memory_gib=24"]
    config = resolve(compose(overrides))
    out = StringIO()
    Console(file=out, width=80).print(render(make_plan(config), config))
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for part in ("Run", "Batch", "Memory a device", "KV cache", "Warnings (1)", "Errors (1)"):
        assert part in text
    assert "7,615,616,512" in text
    assert "trainer.args.num_generations = 7" in text
    assert "[/" not in text


ODD = [0, -1, -0.5, None, 10**9, float("nan"), float("inf"), "x", True, [], ["x"], {}, {"a": 1}]


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_odd_values_never_crash_the_plan(kind):
    """Validation reports them; the plan must live to report what else is wrong."""
    config = resolve(compose(["model=qwen2_5_0_5b", f"trainer={kind}"]))
    plain = dict(config["trainer"]["args"])
    for name in trainer_fields(kind):
        for value in ODD:
            config["trainer"]["args"] = {**plain, name: value}
            made = make_plan(config)
            json.dumps([made.batch, made.memory], allow_nan=False)
    config["trainer"]["args"] = plain
    for group, names in {
        "hardware": ("processes",),  # the others have a type in the schema
        "model": ("arch",),
        "data": ("train_size", "max_train"),
    }.items():
        node = dict(config[group])
        for name in names:
            for value in ODD:
                config[group] = {**node, name: value}
                make_plan(config)
        config[group] = node
    for value in ODD:
        config["rewards"] = {"odd": value, "odder": {"weight": value}}
        make_plan(config)


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_numbers_must_be_finite(value):
    assert "trainer.args.num_train_epochs" in keys(
        plan(*BIG, f"trainer.args.num_train_epochs={value[1:]}").errors
    )


def test_a_fresh_policy_has_no_reference_in_the_folder_of_its_shape():
    """TRL would take the folder's own weights for the policy's beginning."""
    found = {problem.key: problem for problem in plan("model.from_scratch=true").errors}
    assert "beta=0.04" in found["model.from_scratch"].message
    assert plan("model.from_scratch=true", "trainer.args.beta=0").errors == []
