"""Mistakes in an ``engine`` node, found before anything starts."""

from __future__ import annotations

import pytest

from r1lab.engines.check import check
from tests.engines.nodes import node


def keys(verb: str, **fields: object) -> list[str]:
    return [problem.key.removeprefix("engine.") for problem in check(node(**fields), verb)]


@pytest.mark.parametrize("verb", ["train", "plan", "serve", "evaluate", "generate"])
def test_the_shipped_options_are_right(verb):
    for kind in ("auto", "transformers", "vllm_server"):
        assert keys(verb, kind=kind) == []


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("port", 0, 8000),
        ("port", 65536, 65535),
        ("tensor_parallel_size", 0, 2),
        ("data_parallel_size", -1, 2),
        ("max_model_len", 0, 1),
        ("start_timeout", 0.0, 1.0),
        ("start_timeout", float("nan"), 5.0),
        ("gpu_memory_utilization", 1.5, 1.0),
        ("gpu_memory_utilization", 0.0, 0.1),
        ("dtype", "int8", "bfloat16"),
        ("host", "", "0.0.0.0"),
        ("host", "http://x", "::1"),
        ("args", [1], {"max_num_seqs": 4}),
    ],
)
def test_values_out_of_range(field, wrong, right):
    assert keys("serve", kind="vllm_server", **{field: wrong}) == [field]
    assert keys("serve", kind="vllm_server", **{field: right}) == []


def test_what_corrects_training_is_checked_there():
    assert keys("train", kind="vllm_colocate", importance_sampling_mode="x") == [
        "importance_sampling_mode"
    ]
    clip = {"importance_sampling_clip_min": 0.5, "importance_sampling_clip_max": 0.2}
    assert keys("train", kind="vllm_colocate", **clip) == ["importance_sampling_clip_min"]
    assert keys("train", kind="vllm_colocate", importance_sampling_clip_max=2.0) == []


@pytest.mark.parametrize(
    ("verb", "kind", "fields"),
    [
        ("serve", "vllm_server", {"sleep_mode": True}),
        ("serve", "vllm_server", {"importance_sampling_correction": False}),
        ("serve", "transformers", {"tensor_parallel_size": 2}),
        ("serve", "transformers", {"enforce_eager": True}),
        ("evaluate", "transformers", {"args": {"max_num_seqs": 4}}),
        ("train", "transformers", {"max_model_len": 100}),
        ("train", "auto", {"dtype": "bfloat16"}),
        ("train", "vllm_colocate", {"port": 8000}),
        ("train", "vllm_colocate", {"data_parallel_size": 2}),
        ("train", "vllm_server", {"sleep_mode": True}),
    ],
)
def test_a_field_that_nothing_would_read_is_an_error(verb, kind, fields):
    assert keys(verb, kind=kind, **fields) == list(fields)


def test_what_is_about_gpus_is_an_error_on_a_cpu():
    fields = {"gpu_memory_utilization": 0.5, "tensor_parallel_size": 2, "data_parallel_size": 1}
    found = check(node(kind="vllm_server", **fields), "serve", "cpu")
    assert [problem.key for problem in found] == [
        "engine.gpu_memory_utilization",
        "engine.tensor_parallel_size",
    ]
    assert check(node(kind="vllm_server", **fields), "serve", "cuda") == []


def test_one_gpu_is_what_every_engine_has():
    assert keys("serve", kind="transformers", tensor_parallel_size=1, data_parallel_size=1) == []


def test_of_a_server_that_runs_already_only_the_way_there_is_ours_to_say():
    url = {"url": "http://host:8000/v1"}
    assert keys("evaluate", **url, start_timeout=5.0) == []
    assert keys("train", kind="vllm_server", **url) == []
    assert keys("evaluate", **url, port=8000, args={"seed": 1}) == ["port", "args"]
    assert keys("evaluate", url="host:8000") == ["url"]


def test_serving_starts_a_server_of_its_own():
    assert keys("serve", url="http://host:8000/v1") == ["url"]
    assert keys("serve", kind="vllm_colocate") == ["kind"]
    assert keys("serve", kind="vlm") == ["kind"]


def test_arguments_that_other_keys_decide_are_refused_with_the_key():
    (one, two) = check(node(args={"served-model-name": "x", "max_model_len": 3}), "serve")
    assert (one.key, one.fix) == ("engine.args.served-model-name", "set model.name instead")
    assert (two.key, two.fix) == ("engine.args.max_model_len", "set engine.max_model_len instead")
