"""``generate`` with an engine of its own: started where something is missing, and stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Cli
from tests.engines.running import requires_vllm

ASKS = ["data=arithmetic", "generate.limit=12", "generate.max_new_tokens=64", "steps=[]"]
TINY = ["model=tiny", "hardware=cpu", "engine=transformers", *ASKS, "generate.format=raw"]


def generate(cli: Cli, *arguments: str) -> dict[str, Any]:
    done = cli("generate", "--json", *arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answers(folder: str) -> list[tuple[str, int]]:
    lines = (Path(folder) / "journal.jsonl").read_text().splitlines()
    return [(row["key"], row["sample"]) for row in map(json.loads, lines)]


def engines(cli: Cli) -> set[int]:
    """The servers that were started in this test's folder, and run."""
    found = set()
    for process in psutil.process_iter():
        try:
            line, where = " ".join(process.cmdline()), process.cwd()
        except psutil.Error:  # it has just ended
            continue
        ours = "r1lab.engines.app" in line or "vllm.entrypoints" in line
        if ours and where == str(cli.folder):
            found.add(process.pid)
    return found


@pytest.mark.slow
def test_the_engine_lives_as_long_as_something_is_missing(cli: Cli) -> None:
    first = generate(cli, *TINY, "generate.num_generations=2", "generate.seed=1")
    assert first["answered"] == len(set(answers(first["folder"]))) == 24
    assert not engines(cli)
    started = len(list((cli.folder / "outputs" / "generations" / "servers").iterdir()))
    # More samples: the two that are there stay.
    more = generate(cli, *TINY, "generate.num_generations=3", "generate.seed=1")
    assert (more["folder"], more["kept"], more["answered"]) == (first["folder"], 24, 12)
    # All there: no engine is started for it.
    again = generate(cli, *TINY, "generate.num_generations=3", "generate.seed=1")
    assert (again["kept"], again["answered"]) == (36, 0)
    servers = cli.folder / "outputs" / "generations" / "servers"
    assert len(list(servers.iterdir())) == started + 1
    # The same prompts and seeds, another folder: the same answers.
    other = generate(
        cli, *TINY, "generate.num_generations=2", "generate.seed=1", "generate.name=other"
    )
    kept = [json.loads(line) for line in (Path(first["folder"]) / "journal.jsonl").open()]
    fresh = [json.loads(line) for line in (Path(other["folder"]) / "journal.jsonl").open()]
    texts = {(row["key"], row["sample"]): row["content"] for row in kept}
    same = [texts[row["key"], row["sample"]] == row["content"] for row in fresh]
    assert sum(same) >= 0.9 * len(same)  # batches round differently


@pytest.mark.slow
def test_an_engine_that_dies_ends_it_and_the_next_goes_on(cli: Cli) -> None:
    asks = [*TINY, "generate.num_generations=40", "generate.seed=1"]
    process = cli.start("generate", *asks)
    journal = None
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = list((cli.folder / "outputs" / "generations").glob("*/journal.jsonl"))
        if found and found[0].read_text().count("\n") > 20:
            journal = found[0]
            break
        time.sleep(0.05)
    assert journal is not None
    for pid in engines(cli):
        os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "transformers" in said and "the same line again goes on" in said
    assert "Traceback" not in said
    before = set(answers(str(journal.parent)))
    assert 20 < len(before) < 480
    last = generate(cli, *asks)
    assert last["kept"] == len(before)
    assert len(answers(last["folder"])) == len(set(answers(last["folder"]))) == 480


@pytest.mark.engine
@requires_vllm
def test_vllm_answers_and_is_gone_afterwards(cli: Cli) -> None:
    asks = [
        *("model=smollm2_135m", "hardware=cpu", "engine=vllm", "engine.enforce_eager=true"),
        *("engine.max_model_len=512", *ASKS, "generate.format=raw", "generate.num_generations=2"),
    ]
    done = generate(cli, *asks)
    assert len(set(answers(done["folder"]))) == done["answered"] == 24
    assert done["asked"]["tokens"]["max"] <= 64
    kept = json.loads((Path(done["folder"]) / "generation.json").read_text())
    assert kept["model"] == "smollm2_135m"
    assert not engines(cli)
