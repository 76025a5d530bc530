"""The article's pipeline on distilabel: its parameters, its samples in our journal, its end."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.generation import distilabel_client
from r1lab.generation.client import Counts, GenerationFailed
from r1lab.generation.distilabel_client import LOG, build_distilabel_pipeline, run
from r1lab.generation.request import Answer, Request, Sampling, key_of, seed_of
from tests.generation.serving import Served, serving

ROOT = Path(__file__).resolve().parents[2]
SAMPLING = Sampling(max_new_tokens=64, seed=3, extra={"top_k": 20})

needs_distilabel = pytest.mark.skipif(
    importlib.util.find_spec("distilabel") is None
    and os.environ.get("R1LAB_REQUIRE_DISTILABEL") != "1",
    reason="needs distilabel: pip install 'r1lab[distilabel]'",
)


class Journal:
    """What was handed on, in order."""

    def __init__(self) -> None:
        self.kept: list[tuple[Request, Answer]] = []
        self.dead: list[tuple[Request, str, str, int]] = []

    def add(self, request: Request, answer: Answer, **facts: Any) -> bool:
        self.kept.append((request, answer))
        return True

    def bury(self, request: Request, reason: str, kind: str, attempts: int) -> None:
        self.dead.append((request, reason, kind, attempts))

    def samples(self) -> list[tuple[int, int]]:
        return sorted((request.row, request.sample) for request, _ in self.kept)


def requests(prompts: int, samples: Iterable[int] = (0, 1)) -> list[Request]:
    found = []
    for row in range(prompts):
        messages = [
            {"role": "system", "content": f"Be brief, {row}."},
            {"role": "user", "content": f"What is {row} + 1? é"},
        ]
        key = key_of("tiny", SAMPLING, messages)
        for sample in samples:
            seed = seed_of(SAMPLING, messages, sample)
            found.append(Request(key, sample, row, messages, seed))
    return found


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def ask(tmp_path, journal, monkeypatch) -> Iterator[Callable[..., Counts]]:
    """``run`` with what is the same in all tests; afterwards nothing of it is left."""
    # Short: Ray's sockets are below it.
    temporary = Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = tmp_path / "generation"

    def ask(served: Served, asked: Iterable[Request | None], **changes: Any) -> Counts:
        settings: dict[str, Any] = {
            "model": "tiny",
            "base_url": served.url,
            "sampling": SAMPLING,
            "folder": folder,
            "input_batch_size": 8,
        }
        return run(asked, journal, journal.bury, **{**settings, **changes})

    try:
        yield ask
        assert running(str(folder), str(temporary)) == []
        assert list(temporary.iterdir()) == []
        assert [path.name for path in folder.iterdir()] == [LOG]
    finally:
        shutil.rmtree(temporary)


def running(*marks: str) -> list[str]:
    """Command lines of the processes that have one of these in theirs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it ended since it was listed
            if any(mark in line for mark in marks):
                found.append(line.replace("\0", " "))
    return found


def test_distilabel_that_is_missing_is_named_with_the_command(tmp_path, journal, monkeypatch):
    monkeypatch.setitem(sys.modules, "distilabel", None)
    fix = r"distilabel is missing.*\n.*pip install 'r1lab\[distilabel\]'"
    with pytest.raises(PrerequisiteError, match=fix):
        build_distilabel_pipeline("tiny")
    with pytest.raises(PrerequisiteError, match=fix):
        run(
            requests(1),
            journal,
            journal.bury,
            model="tiny",
            base_url="http://localhost:1/v1",
            sampling=SAMPLING,
            folder=tmp_path,
        )


@needs_distilabel
@pytest.mark.slow
def test_every_sample_comes_once_and_was_asked_for_as_we_ask(ask, journal, tmp_path):
    asked = requests(20)
    with serving(
        tmp_path, "--reasoning", "reasoning_content", "--refuse", "Be brief, 7."
    ) as served:
        counts = ask(served, [None, *asked, None])
        received = served.requests()
    # The prompt that the server refuses is known by its system prompt: all messages are sent.
    assert journal.samples() == [
        (row, sample) for row in range(20) if row != 7 for sample in (0, 1)
    ]
    assert counts.answered == 38 and counts.dead == 2
    assert counts.completion_tokens == sum(a.completion_tokens or 0 for _, a in journal.kept) > 0
    for request, reason, kind, attempts in journal.dead:
        assert request.row == 7 and kind == "refused" and attempts == 1
        assert "HTTP 400" in reason and "no Be brief, 7. here" in reason
    request, answer = next(kept for kept in journal.kept if kept[0].row == 3)
    assert request in asked
    assert answer.content.endswith("The answer is \\boxed{4}.")
    assert answer.reasoning and answer.reasoning.startswith("I think of ")
    assert (answer.finish_reason, answer.truncated, answer.seconds > 0) == ("stop", False, True)
    assert (answer.prompt_tokens, answer.completion_tokens) == (6, 12)
    one = next(row for row in received if row["seed"] == request.seed)
    for name in ("fate", "time"):
        one.pop(name)
    # temperature, top_p and n are not sent: the server's own hold, and it may ignore n.
    assert one == {
        "model": "tiny",
        "prompt": "What is 3 + 1? é",
        "max_tokens": 64,
        "seed": request.seed,
        "top_k": 20,
    }


@needs_distilabel
@pytest.mark.slow
def test_failures_cost_their_samples_alone_and_only_these_are_asked_again(ask, journal, tmp_path):
    asked = requests(24)
    faults = ("--error-rate", "0.15", "--garbage-rate", "0.05", "--close-rate", "0.05")
    with serving(tmp_path, *faults) as served:
        ask(served, asked)
        dead = {(request.row, request.sample) for request, *_ in journal.dead}
        assert 0 < len(dead) < len(asked) / 2
        assert len(journal.kept) == len(asked) - len(dead)
        kinds = {kind for _, _, kind, _ in journal.dead}
        assert "http_500" in kinds
        served.control(error_rate=0.0, garbage_rate=0.0, close_rate=0.0)
        before = len(served.requests(None))
        ask(served, [r for r in asked if (r.row, r.sample) in dead])
        assert len(served.requests(None)) - before == len(dead)
    assert journal.samples() == [(request.row, request.sample) for request in asked]
    by_sample = {(request.row, request.sample): request.seed for request, _ in journal.kept}
    assert by_sample == {(request.row, request.sample): request.seed for request in asked}


@needs_distilabel
def test_a_pipeline_that_never_ends_is_left_when_all_has_come(ask, journal, monkeypatch):
    monkeypatch.setattr(distilabel_client, "_WORKER", "tests.generation.endless_worker")
    began = time.monotonic()
    ask(SimpleNamespace(url="http://127.0.0.1:9/v1"), requests(3))
    assert journal.samples() == [(row, sample) for row in range(3) for sample in (0, 1)]
    assert journal.dead == [] and time.monotonic() - began < 60


@needs_distilabel
@pytest.mark.slow
def test_retries_are_made(ask, journal, tmp_path):
    with serving(tmp_path, "--error-rate", "0.3", "--garbage-rate", "0.2") as served:
        ask(served, requests(12), retries=8)
    assert len(journal.kept) == 24 and journal.dead == []


@needs_distilabel
@pytest.mark.slow
def test_a_server_that_knows_no_such_model_ends_it(ask, journal, tmp_path):
    with (
        serving(tmp_path) as served,
        pytest.raises(GenerationFailed, match=r"HTTP 404.*huge.*\n    fix: see generate\.model"),
    ):
        ask(served, requests(12), model="huge")
    assert journal.kept == journal.dead == []


@needs_distilabel
@pytest.mark.slow
def test_a_server_of_ours_that_ends_is_said(ask, tmp_path):
    with (
        serving(tmp_path, "--hang-rate", "1") as served,
        pytest.raises(GenerationFailed, match="vllm was killed by SIGKILL"),
    ):
        ask(served, requests(2), gone=lambda: "vllm was killed by SIGKILL")


@needs_distilabel
@pytest.mark.slow
def test_ctrl_c_keeps_what_came_and_leaves_no_process(ask, journal, tmp_path):
    stopped: list[list[str]] = []

    def stop(counts: Counts) -> None:
        if counts.answered >= 32 and not stopped:
            stopped.append(running(str(tmp_path / "generation")))
            raise KeyboardInterrupt

    asked = requests(200)
    with serving(tmp_path, "--latency", "0.2") as served:
        with pytest.raises(KeyboardInterrupt):
            ask(served, asked, progress=stop)
        assert len(stopped[0]) > 2, "these are looked for afterwards"
        kept = len(journal.kept)
        assert 32 <= kept < len(asked)
        left = [r for r in asked if (r.row, r.sample) not in set(journal.samples())]
        ask(served, left, input_batch_size=64)
    assert journal.samples() == [(request.row, request.sample) for request in asked]


@needs_distilabel
@pytest.mark.slow
def test_two_replicas_run_on_ray(ask, journal, tmp_path):
    asked = requests(40, range(3))
    with serving(tmp_path, "--latency", "0.2") as served:
        counts = ask(served, asked, client_replicas=2)
    assert counts.answered == len(asked) and journal.dead == []
    assert journal.samples() == [(request.row, request.sample) for request in asked]
    log = (tmp_path / "generation" / LOG).read_text()
    assert "Ray nodes" in log and "replica ID: 0" in log and "replica ID: 1" in log


PIPELINE = """
import json, sys
from r1lab.generation.distilabel_client import build_distilabel_pipeline

url, cache = sys.argv[1:]
pipeline = build_distilabel_pipeline(
    "tiny", url, prompt_column="question", prompt_template="Solve: {{ instruction }}",
    temperature=0.6, top_p=0.95, num_generations=3, input_batch_size=4, retries=2, ray=False,
    cache_dir=cache,
)
rows = [{"question": f"{n} + {n}"} for n in range(10)]
made = pipeline.run(dataset=rows, dataset_batch_size=8, use_cache=False)
print(json.dumps(made["default"]["train"].to_list(), default=str), file=sys.stderr)
"""


@needs_distilabel
@pytest.mark.slow
def test_the_articles_pipeline_runs_by_itself(tmp_path):
    """As those do who have a script around it."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "ignore"}
    with serving(tmp_path) as served:
        done = subprocess.run(
            [sys.executable, "-c", PIPELINE, served.url, str(tmp_path / "cache")],
            env={**os.environ, **offline},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        received = served.requests()
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stderr.splitlines()[-1])
    assert [row["question"] for row in rows] == [f"{n} + {n}" for n in range(10)]
    for number, row in enumerate(rows):
        assert len(row["generation"]) == 3
        assert all(text.endswith(f"\\boxed{{{2 * number}}}.") for text in row["generation"])
        assert row["llm_text_generation_0_finish_reason"] == ["stop"] * 3
    assert sorted({row["prompt"] for row in received}) == [f"Solve: {n} + {n}" for n in range(10)]
    assert {(row["temperature"], row["top_p"], row["max_tokens"]) for row in received} == {
        (0.6, 0.95, 8192)
    }


@needs_distilabel
@pytest.mark.slow
def test_the_pipeline_has_the_articles_defaults_and_takes_its_parameters():
    def step(**parameters: Any) -> Any:
        pipeline = build_distilabel_pipeline("tiny", **parameters)
        (name,) = pipeline.dag
        return type(pipeline).__name__, pipeline.dag.get_step(name)["step"]

    kind, text = step()
    assert kind == "RayPipeline"
    assert (text.template, text.input_mappings) == ("{{ instruction }}", {})
    assert (text.num_generations, text.group_generations, text.input_batch_size) == (1, True, 64)
    assert text.resources.replicas == 1
    assert str(text.llm.base_url) == "http://localhost:8000/v1"
    assert (text.llm.timeout, text.llm.max_retries) == (900, 0)
    assert text.llm.generation_kwargs == {"max_new_tokens": 8192}

    kind, text = step(
        prompt_column="problem",
        client_replicas=3,
        timeout=7.5,
        retries=4,
        temperature=0.0,
        ray=False,
    )
    assert kind == "Pipeline"
    assert text.input_mappings == {"instruction": "problem"} and text.resources.replicas == 3
    assert (text.llm.timeout, text.llm.max_retries) == (8, 4)
    assert text.llm.generation_kwargs == {"max_new_tokens": 8192, "temperature": 0.0}
