"""The engine node as TRL's fields: names that TRL has, and nothing that is lost on the way."""

from __future__ import annotations

import pytest

from r1lab.compose import compose, resolve
from r1lab.engines.training import OWNED, environment, server_gpus, trl_arguments
from r1lab.planning.trl_fields import trainer_fields
from r1lab.start import check

EVERYTHING = [
    "engine.tensor_parallel_size=2",
    "engine.gpu_memory_utilization=0.4",
    "engine.max_model_len=4096",
    "engine.importance_sampling_correction=true",
    "engine.importance_sampling_mode=token_truncate",
    "engine.importance_sampling_clip_max=2.5",
    "engine.importance_sampling_clip_min=0.5",
]


def engine(*overrides: str):
    return resolve(compose(overrides))["engine"]


def test_every_field_reaches_trl():
    chosen = trl_arguments(
        engine("engine=vllm_colocate", "engine.sleep_mode=true", *EVERYTHING), "grpo"
    )
    assert chosen == {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_tensor_parallel_size": 2,
        "vllm_gpu_memory_utilization": 0.4,
        "vllm_max_model_length": 4096,
        "vllm_enable_sleep_mode": True,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "token_truncate",
        "vllm_importance_sampling_clip_max": 2.5,
        "vllm_importance_sampling_clip_min": 0.5,
    }
    fields = trainer_fields("grpo")
    assert all(fields[name].accepts(value) for name, value in chosen.items())


@pytest.mark.parametrize("kind", ["auto", "transformers"])
def test_transformers_sets_none_of_them(kind):
    assert trl_arguments(engine(f"engine={kind}"), "grpo") == {}


def test_what_is_null_is_trls_own_default():
    assert trl_arguments(engine("engine=vllm"), "grpo") == {"use_vllm": True, "vllm_mode": "server"}
    assert trl_arguments(engine("engine=vllm"), "sft") == {}


def test_the_fields_are_refused_in_trainer_args_with_the_key_to_set():
    from r1lab.errors import ConfigError

    assert set(OWNED) <= set(trainer_fields("grpo"))
    with pytest.raises(ConfigError) as caught:
        check(resolve(compose(["trainer.args.use_vllm=true", "trainer.args.vllm_mode=server"])))
    fixes = {problem.key: problem.fix for problem in caught.value.problems}
    assert "engine=vllm_colocate" in fixes["trainer.args.use_vllm"]
    assert "engine=vllm_server" in fixes["trainer.args.vllm_mode"]


def test_a_servers_gpus_are_those_that_it_is_to_have():
    both = ("engine.tensor_parallel_size=2", "engine.data_parallel_size=3")
    assert server_gpus(engine("engine=vllm", *both)) == 6
    assert server_gpus(engine("engine=vllm")) == 1
    assert server_gpus(engine("engine=vllm", "engine.url=http://h:8000")) == 0
    assert server_gpus(engine("engine=vllm_colocate", both[0])) == 0


def test_vllm_inside_the_trainer_lets_it_reach_the_model():
    """Its engine in another process would keep the weights out of reach on a CPU."""
    node = engine("engine=vllm_colocate")
    assert environment(node, "cpu")["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment(node, "cuda")
    assert environment(engine("engine=auto"), "cpu") == {}


@pytest.mark.parametrize(
    "where", ["engine.url=http://other:1", "engine.port=9", "engine.start_timeout=5"]
)
def test_where_a_server_is_is_no_part_of_what_a_run_is(where):
    from r1lab.rundir import fingerprint

    here = fingerprint(resolve(compose(["engine=vllm"])))
    assert fingerprint(resolve(compose(["engine=vllm", where]))) == here
    split = fingerprint(resolve(compose(["engine=vllm", "engine.max_model_len=512"])))
    assert split != here
