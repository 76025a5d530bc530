"""open-r1's recipes as experiments: the values that its users know, planned without errors."""

import pytest

from r1lab.compose import compose, resolve
from r1lab.plan import make_plan

RECIPES = {
    "openr1_distill_7b": {
        "id": "open-r1/Qwen2.5-Math-7B-RoPE-300k",
        "learning_rate": 4e-5,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
        "warmup_steps": 0.03,
        "num_train_epochs": 5,
        "max_length": 32768,
        "use_liger_kernel": True,
        "sequences_per_step": 128,
    },
    "olympiccoder_7b": {
        "id": "Qwen/Qwen2.5-Coder-7B-Instruct",
        "learning_rate": 1e-5,
        "lr_scheduler_type": "cosine_with_min_lr",
        "num_train_epochs": 10,
        "max_length": 32768,
        "sequences_per_step": 128,
    },
    "grpo_demo_qwen2_5_1_5b": {
        "id": "Qwen/Qwen2.5-1.5B-Instruct",
        "learning_rate": 2e-5,
        "num_generations": 16,
        "max_completion_length": 1024,
        "completions_per_step": 512,
        "prompts_per_step": 32,
    },
    "grpo_demo_r1_distill_qwen_1_5b": {
        "id": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        "learning_rate": 1e-6,
        "temperature": 0.7,
        "max_completion_length": 2048,
        "completions_per_step": 512,
    },
    "codeforces_grpo_qwen2_5_coder_7b": {
        "id": "Qwen/Qwen2.5-Coder-7B-Instruct",
        "learning_rate": 1e-6,
        "loss_type": "dr_grpo",
        "beta": 0.0,
        "scale_rewards": "none",
        "temperature": 0.7,
        "mask_truncated_completions": True,
        "max_completion_length": 8192,
        "num_generations": 16,
    },
    "simple_rl_qwen2_5_math_7b": {
        "id": "Qwen/Qwen2.5-Math-7B",
        "learning_rate": 3e-6,
        "num_generations": 7,
        "completions_per_step": 896,
        "prompts_per_step": 128,
    },
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe(name):
    config = resolve(compose([f"experiment={name}"]))
    made = make_plan(config)
    assert made.errors == []
    have = {**config["trainer"]["args"], **made.batch, "id": config["model"]["id"]}
    assert {key: have.get(key) for key in RECIPES[name]} == RECIPES[name]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_command_line_still_wins(name):
    config = resolve(compose([f"experiment={name}", "trainer.args.learning_rate=3e-7", "seed=7"]))
    assert config["trainer"]["args"]["learning_rate"] == 3e-7
    assert config["seed"] == 7
