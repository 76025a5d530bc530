"""What a training's engine cannot do is said before anything is loaded."""

from __future__ import annotations

import json

import pytest

from r1lab.compose import compose, resolve
from r1lab.engines import installed
from r1lab.plan import Plan, make_plan

GPUS = ("model=qwen2_5_7b", "data=gsm8k", "hardware=ddp")


def plan(*overrides: str) -> Plan:
    return make_plan(resolve(compose(overrides)))


def by_key(problems):
    return {problem.key: problem for problem in problems}


@pytest.mark.parametrize(
    ("overrides", "key", "fix"),
    [
        (["engine=vllm_colocate", "trainer=sft"], "engine.kind", "trainer=grpo"),
        (["engine=vllm_colocate", "engine.max_model_len=96"], "engine.max_model_len", "96"),
        (["hardware=cpu", "engine=vllm", "engine.url=http://h:8000"], "engine.url", "starts one"),
        (
            ["hardware=cpu", "engine=vllm_colocate", "engine.sleep_mode=true"],
            "engine.sleep_mode",
            "",
        ),
        (
            ["hardware=cpu", "engine=vllm", "engine.tensor_parallel_size=2"],
            "engine.tensor_parallel_size",
            "leave it out",
        ),
        ([*GPUS, "engine=vllm_colocate", "engine.tensor_parallel_size=3"], None, "1, 2, 4"),
    ],
)
def test_errors(overrides, key, fix):
    found = by_key(plan(*overrides).errors)
    problem = found[key or "engine.tensor_parallel_size"]
    assert fix in problem.fix


def test_heads_too_small_for_vllm_on_a_cpu(tmp_path):
    shape = {"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
    shape |= {"vocab_size": 400, "max_position_embeddings": 512}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    found = by_key(plan("hardware=cpu", "engine=vllm_colocate", f"model.id={tmp_path}").errors)
    assert "the model's are 16" in found["engine.kind"].message


def test_transformers_needs_no_word(monkeypatch):
    monkeypatch.setattr(installed, "vllm", lambda: None)
    for engine in ("auto", "transformers"):
        assert by_key(plan(f"engine={engine}").warnings).keys() & {"engine.kind"} == set()


def test_a_missing_vllm_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setattr(installed, "vllm", lambda: None)
    made = plan(*GPUS, "engine=vllm_colocate")
    assert made.errors == []  # it may be planned for another machine
    problem = by_key(made.warnings)["engine.kind"]
    assert problem.fix == "pip install 'r1lab[vllm]'"


@pytest.mark.parametrize(("version", "known"), [("0.21.9", 0), ("0.22.0", 1), ("0.32.0", 0)])
def test_releases_that_trl_does_not_know(monkeypatch, version, known):
    monkeypatch.setattr(installed, "vllm", lambda: installed.Vllm(version, "cuda"))
    warnings = [p for p in plan(*GPUS, "engine=vllm_colocate").warnings if version in p.message]
    assert len(warnings) == 1 - known


def test_an_adapters_dropout_makes_the_engine_and_the_trainer_differ():
    lora = (*GPUS, "engine=vllm_colocate", "model/peft=lora")
    assert "model.peft.dropout" in by_key(plan(*lora).warnings)
    assert "model.peft.dropout" not in by_key(plan(*lora, "model.peft.dropout=0").warnings)
    quiet = plan(*lora, "trainer.args.disable_dropout=true")
    assert "model.peft.dropout" not in by_key(quiet.warnings)
