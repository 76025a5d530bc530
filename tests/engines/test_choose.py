"""From the config to an engine: which one, and how its GPUs are used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from r1lab.engines import choose, installed
from r1lab.engines.external import ExternalServer
from r1lab.engines.installed import Vllm
from r1lab.engines.transformers import TransformersServer
from r1lab.engines.vllm import VLLMServer
from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.models.load import resolve_id
from r1lab.models.reference import Servable
from r1lab.planning.architecture import from_config
from tests.engines.nodes import node

CPU = {"device": "cpu", "processes": 1}
#: The shape of Qwen2.5-7B: 28 heads, 4 key-value heads, 14.2 GiB in bfloat16.
SEVEN_B = from_config(
    {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    "test",
)


def model(**changes):
    fields = {
        "where": resolve_id("r1lab:tiny"),
        "name": "m",
        "revision": "main",
        "trust_remote_code": False,
        "chat_template": None,
        "architecture": None,
    }
    return Servable(**{**fields, **changes})


def gpus(count, memory=None):
    return {"device": "cuda", "processes": count, "gpu_memory_gib": memory}


def made(engine, places=CPU, visible=0, **changes):
    return choose.make(engine, model(**changes), places, Path("log"), visible=visible, verb="serve")


@pytest.fixture
def with_vllm(monkeypatch):
    """As if vLLM were installed, for ``device``: no machine here has CUDA."""

    def pretend(device):
        monkeypatch.setattr(installed, "vllm", lambda: device and Vllm("0.31.0", device))

    return pretend


def test_auto_is_vllm_where_it_is_installed_for_the_device(with_vllm):
    for there, device, kind in [
        (None, "cpu", TransformersServer),
        ("cpu", "cpu", VLLMServer),
        ("cuda", "cuda", VLLMServer),
        ("cpu", "cuda", TransformersServer),
    ]:
        with_vllm(there)
        places = CPU if device == "cpu" else gpus(1)
        assert type(made(node(), places, visible=1)) is kind


def test_auto_leaves_heads_that_vllm_has_no_attention_for_to_transformers(with_vllm):
    with_vllm("cpu")
    assert SEVEN_B is not None
    narrow = replace(SEVEN_B, head_dim=16)
    assert type(made(node(), architecture=narrow)) is TransformersServer
    assert type(made(node(), architecture=SEVEN_B)) is VLLMServer


def test_a_url_is_used_as_it_is(with_vllm):
    assert type(made(node(url="http://host:1"))) is ExternalServer


def test_auto_without_vllm_refuses_what_only_vllm_reads(with_vllm):
    with_vllm(None)
    with pytest.raises(ConfigError) as caught:
        made(node(args={"max_num_seqs": 4}))
    assert [problem.key for problem in caught.value.problems] == ["engine.args"]


def test_what_the_model_node_says_reaches_vllm(with_vllm):
    with_vllm("cpu")
    command = made(node(), trust_remote_code=True, chat_template="/t.jinja").command()
    assert "--trust-remote-code" in command
    assert command[command.index("--chat-template") + 1] == "/t.jinja"
    assert "--revision" not in command  # a folder has none


@pytest.mark.parametrize(
    ("fields", "count", "memory", "split", "copies"),
    [
        ({}, 1, 80, 1, 1),
        ({}, 8, 80, 1, 8),
        ({}, 8, None, 1, 8),
        ({}, 8, 16, 2, 4),  # 14.2 GiB do not fit the 10.8 that weights may take of 16
        ({"dtype": "float32"}, 8, 16, 4, 2),
        ({"tensor_parallel_size": 4}, 8, 80, 4, 2),
        ({"tensor_parallel_size": 4}, 1, 80, 4, 1),
        ({"data_parallel_size": 2}, 8, 80, 1, 2),
    ],
)
def test_gpus_hold_as_many_copies_as_fit(fields, count, memory, split, copies):
    found = choose.sizes(node(**fields), gpus(count, memory), SEVEN_B)
    assert (found.tensor_parallel, found.data_parallel) == (split, copies)


def test_a_cpu_is_one():
    assert choose.sizes(node(), CPU, SEVEN_B).gpus == 1


def test_heads_that_cannot_be_divided_are_an_error():
    with pytest.raises(ConfigError, match="attention heads"):
        choose.sizes(node(tensor_parallel_size=3), gpus(8), SEVEN_B)


def test_a_model_that_wants_more_gpus_says_how_many():
    with pytest.raises(ConfigError, match=r"14 GiB of weights want 4 GPUs of 8 GiB"):
        choose.sizes(node(), gpus(2, 8), SEVEN_B)


def test_gpus_that_are_not_there_are_said(with_vllm):
    with_vllm("cuda")
    with pytest.raises(PrerequisiteError, match=r"6 GPUs is missing.*2 x 4.*shows 2"):
        made(node(tensor_parallel_size=2), gpus(8), visible=2)
