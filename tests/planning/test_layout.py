"""Ranks and GPUs of a run, and what vLLM would refuse of them."""

import pytest

from r1lab.planning.architecture import from_config
from r1lab.planning.geometry import Arguments
from r1lab.planning.layout import check_vllm, layout

TENSOR_PARALLEL = "engine.tensor_parallel_size"


def heads(queries, shared):
    shape = {
        "model_type": "llama",
        "hidden_size": 128 * queries,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": queries,
        "num_key_value_heads": shared,
        "vocab_size": 1000,
    }
    return from_config(shape, "test")


def hardware(**changes):
    node = {"device": "cuda", "distributed": "ddp", "processes": 8, "nodes": 1}
    return {**node, **changes}


def vllm(**args):
    return Arguments("grpo", {"use_vllm": True, **args})


def test_ranks_go_machine_by_machine():
    table = layout(Arguments("sft", {}), hardware(nodes=3, processes=4), {})
    assert table["ranks"] == [[0, 3], [4, 7], [8, 11]]
    assert (table["world_size"], table["data_parallel"], table["tensor_parallel"]) == (12, 12, 1)
    assert (table["training_gpus"], table["vllm_gpus"], table["gpus"]) == (12, 0, 12)


def test_a_cpu_has_processes_and_no_gpus():
    table = layout(Arguments("sft", {}), hardware(device="cpu", processes=2), {})
    assert (table["world_size"], table["gpus"]) == (2, 0)


def test_sharding_is_named_with_what_it_is_over():
    node = hardware(distributed="deepspeed", zero_stage=3, nodes=2, offload=True)
    text = layout(Arguments("sft", {}), node, {})["sharding"]
    assert text == "DeepSpeed ZeRO-3 over 16, offloaded to the CPU"


def test_colocated_vllm_shares_the_trainings_gpus():
    table = layout(vllm(vllm_tensor_parallel_size=4), hardware(nodes=2), {"kind": "vllm_colocate"})
    assert table["vllm"] == {"mode": "colocate", "tensor_parallel": 4, "replicas": 4}
    assert (table["training_gpus"], table["vllm_gpus"], table["gpus"]) == (16, 0, 16)


def test_a_servers_gpus_are_told_apart_and_summed_up():
    args = vllm(vllm_mode="server", vllm_tensor_parallel_size=2)
    engine = {"kind": "vllm_server", "tensor_parallel_size": 2, "data_parallel_size": 4}
    table = layout(args, hardware(nodes=2), engine)
    assert table["vllm"] == {"mode": "server", "tensor_parallel": 2, "replicas": 4}
    assert (table["training_gpus"], table["vllm_gpus"], table["gpus"]) == (16, 8, 24)
    one_copy = layout(args, hardware(), engine | {"data_parallel_size": None})
    assert (one_copy["vllm_gpus"], one_copy["gpus"]) == (2, 10)
    elsewhere = layout(args, hardware(), engine | {"url": "http://10.0.0.7:8000"})
    assert (elsewhere["vllm_gpus"], elsewhere["gpus"]) == (0, 8)


def problems(args, arch=None, **changes):
    errors, warnings = check_vllm(args, hardware(**changes), arch)
    return {p.key: p for p in errors}, {p.key: p for p in warnings}


def test_tensor_parallel_must_divide_the_processes_that_share_their_gpus():
    errors, _ = problems(vllm(vllm_tensor_parallel_size=3))
    assert f"{TENSOR_PARALLEL}=2" in errors[TENSOR_PARALLEL].fix
    assert problems(vllm(vllm_tensor_parallel_size=3, vllm_mode="server")) == ({}, {})
    assert problems(vllm(vllm_tensor_parallel_size=4)) == ({}, {})


def test_a_model_split_over_machines_is_slow():
    _, warnings = problems(vllm(vllm_tensor_parallel_size=8), nodes=4, processes=4)
    assert "at most 4" in warnings[TENSOR_PARALLEL].fix


@pytest.mark.parametrize(
    ("queries", "shared", "split", "fits"),
    [
        (28, 4, 4, True),
        (28, 4, 8, False),  # 28 heads
        (28, 4, 7, False),  # 4 key-value heads over 7 GPUs
        (14, 2, 2, True),
        (14, 2, 14, True),  # each key-value head on 7 GPUs
        (12, 2, 4, True),  # each key-value head on 2 GPUs
        (12, 12, 8, False),
        (32, 8, 16, True),
    ],
)
def test_every_gpu_gets_whole_heads(queries, shared, split, fits):
    args = vllm(vllm_mode="server", vllm_tensor_parallel_size=split)
    errors, _ = problems(args, heads(queries, shared))
    assert (errors == {}) == fits
    if not fits:
        assert "choose one of: 1, 2" in errors[TENSOR_PARALLEL].fix
