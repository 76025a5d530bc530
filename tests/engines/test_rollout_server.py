"""The server of a training's rollouts: what it is started with, and what is refused."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from r1lab.compose import compose, resolve
from r1lab.engines import installed, rollout_server
from r1lab.errors import ConfigError, RunFailed
from r1lab.launch import engine_machine


@pytest.fixture(autouse=True)
def _vllm(monkeypatch):
    """As if it were installed: nothing is started here."""
    monkeypatch.setattr(
        "r1lab.engines.vllm.require_vllm",
        lambda why, otherwise, device=None: installed.Vllm("0.31.0", device or "cpu"),
    )


def server(tmp_path: Path, device: str, *overrides: str, checkpoint: Path | None = None) -> Any:
    config = resolve(compose(["engine=vllm", *overrides]))
    log = tmp_path / "server.log"
    return rollout_server.own_server(config, device, log, checkpoint, first_gpu=4)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_on_gpus_it_takes_weights_over_nccl_on_gpus_of_its_own(tmp_path):
    made = server(tmp_path, "cuda", "engine.tensor_parallel_size=2")
    assert json.loads(option(made.command(), "--weight-transfer-config")) == {"backend": "nccl"}
    assert option(made.command(), "--logprobs-mode") == "processed_logprobs"
    assert made.environment()["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert made.environment()["VLLM_SERVER_DEV_MODE"] == "1"


def test_on_a_cpu_it_takes_them_from_a_folder(tmp_path):
    command = server(tmp_path, "cpu").command()
    assert option(command, "--worker-extension-cls").endswith("CpuWeights")
    assert "--weight-transfer-config" not in command


def test_a_resumed_run_serves_its_checkpoint_where_that_has_the_weights(tmp_path):
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    adapter = server(tmp_path, "cpu", checkpoint=checkpoint)  # an adapter's, or one in shards
    assert option(adapter.command(), "--model").endswith("tiny")
    (checkpoint / "model.safetensors").touch()
    whole = server(tmp_path, "cpu", checkpoint=checkpoint)
    assert option(whole.command(), "--model") == str(checkpoint)


def test_random_weights_are_in_no_file(tmp_path):
    command = server(tmp_path, "cpu", "model.from_scratch=true").command()
    assert option(command, "--load-format") == "dummy"


def test_the_network_needs_a_key_which_no_command_line_shows(tmp_path, monkeypatch):
    assert server(tmp_path, "cpu").api_key is None
    monkeypatch.delenv("R1LAB_API_KEY", raising=False)
    made = server(tmp_path, "cpu", "engine.host=0.0.0.0")
    assert len(made.api_key) > 20
    assert made.environment()["VLLM_API_KEY"] == made.api_key
    assert made.api_key not in " ".join(made.command())


@contextmanager
def answering(answers: dict[str, Any]) -> Any:
    """A server that answers GETs from a table, 404 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = answers.get(self.path.split("?")[0])
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *args):
            pass

    served = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{served.server_port}"
    finally:
        served.shutdown()
        served.server_close()


def listing(name: str) -> dict[str, Any]:
    return {"data": [{"id": name, "root": f"/models/{name}"}]}


def test_a_server_without_its_development_endpoints_takes_no_weights():
    with answering({"/v1/models": listing("tiny")}) as url, pytest.raises(ConfigError) as caught:
        rollout_server.check_given(url, "r1lab/tiny")
    assert "VLLM_SERVER_DEV_MODE=1" in str(caught.value)


def test_a_server_of_another_model_is_refused():
    answers = {"/v1/models": listing("Qwen2.5-7B"), "/server_info": {}}
    with answering(answers) as url:
        rollout_server.check_given(url, "Qwen/Qwen2.5-7B")
        with pytest.raises(ConfigError) as caught:
            rollout_server.check_given(url, "Qwen/Qwen2.5-1.5B")
    assert "serves" in str(caught.value) and "Qwen2.5-7B" in str(caught.value)


def test_a_machine_of_the_job_says_where_its_server_is_or_why_there_is_none(tmp_path):
    file = tmp_path / "engine-7-0.json"
    with pytest.raises(RunFailed, match="within 0 s"):
        engine_machine.find(file, timeout=0)
    file.write_text('{"url": "http://n2:8000", "key": "k"}')
    assert engine_machine.find(file, timeout=0)["url"] == "http://n2:8000"
    assert engine_machine.failure(file) is None
    file.write_text('{"error": "vLLM 0.31.0 was killed by SIGKILL"}')
    assert "SIGKILL" in str(engine_machine.failure(file))
    with pytest.raises(RunFailed, match="SIGKILL"):
        engine_machine.find(file, timeout=0)


def test_the_last_machine_of_a_job_has_no_ranks(monkeypatch):
    class Environment:
        num_nodes, num_tasks = 3, 12

    config = resolve(compose(["engine=vllm"]))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert engine_machine.training_tasks(config, Environment()) == 8
    given = resolve(compose(["engine=vllm", "engine.url=http://h:1"]))
    assert engine_machine.training_tasks(given, Environment()) == 12
    monkeypatch.delenv("SLURM_JOB_ID")  # submitit's own jobs, on one machine
    assert engine_machine.training_tasks(config, Environment()) == 12
