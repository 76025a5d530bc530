"""A generation that is killed, stopped, and served badly: nothing lost, nothing asked twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli
from tests.generation.generating import (
    letters,
    meanwhile,
    rows,
    samples,
    wait_until,
    write_prompts,
)
from tests.generation.serving import Served, serving
from tests.running import runs

ASKS = Path(__file__).with_name("ask_all.py")
#: In flight at most, in ask_all.py and in the lines here.
MOST = 16


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def exactly(folder: Path, prompts: int, n: int) -> None:
    """Each sample stands in the journal once."""
    found = samples(folder)
    assert set(found.values()) == {1}, "doubled"
    assert len(found) == prompts * n, "lost"
    assert Counter(sample for _, sample in found) == dict.fromkeys(range(n), prompts)


def answered(server: Served) -> Counter[int]:
    """How often each request was answered, by its seed."""
    return Counter(row["seed"] for row in server.requests())


@pytest.mark.slow
def test_kill_9_at_fifty_moments(tmp_path):
    """Some before it asks, most amid answers; and a tenth of the requests fails."""
    prompts, n, kills = 300, 4, 50
    drawn = random.Random(7)
    write_prompts(tmp_path / "prompts.jsonl", prompts)
    folder = tmp_path / "generation"
    faults = ("--error-rate", "0.1", "--latency", "0.03", "--slots", "12", "--words", "60")
    killed = amid = 0
    with serving(tmp_path, *faults) as server:
        line = [sys.executable, str(ASKS), server.url, "prompts.jsonl", str(folder), str(n)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        while killed < kills:
            process = subprocess.Popen(
                line,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            begin, before = time.monotonic(), lines(server.log)
            # Its share of the answers, so that something is left for the last.
            share = drawn.uniform(0, 2 * prompts * n * 0.9 / kills)
            late = drawn.uniform(0.0, 0.8) if drawn.random() < 0.15 else 1000.0
            while (
                process.poll() is None
                and lines(server.log) - before < share
                and time.monotonic() - begin < late
            ):
                time.sleep(0.002)
            time.sleep(drawn.uniform(0, 0.03))
            if process.poll() is not None:
                assert process.stderr
                assert process.returncode == 0, process.stderr.read()
                break
            process.kill()
            process.communicate()
            killed += 1
            amid += lines(server.log) > before
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        times = answered(server)
    assert killed == kills and amid > 30, (killed, amid)
    exactly(folder, prompts, n)
    assert letters(folder) == []
    assert len(times) == prompts * n, "each sample was asked with a seed of its own"
    again = times.total() - prompts * n
    assert again <= amid * MOST, "more was asked again than what was in flight"
    print(f"{killed} kills, {amid} of them amid answers; {again} answers were asked again")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["kept"] + last["answered"] == prompts * n and last["answered"] > 0


LINE = (
    *("generate", "data=local", "data.path=prompts.jsonl", "generate.num_generations=4"),
    *("generate.seed=1", "generate.name=one", "generate.max_concurrency=16", "steps=[verify]"),
)


@pytest.mark.slow
def test_the_command_is_killed_and_the_same_line_goes_on(cli: Cli):
    write_prompts(cli.folder / "prompts.jsonl", 60)
    folder = cli.folder / "outputs" / "generations" / "one"
    faults = ("--error-rate", "0.1", "--latency", "0.2", "--slots", "12")
    with serving(cli.folder, *faults) as server:
        line = (*LINE, f"generate.base_url={server.url}")
        for kill in range(3):
            process = cli.start(*line)
            before = lines(server.log)
            wait_until(lambda before=before: lines(server.log) > before + 30)
            process.kill()
            process.communicate()
            assert not (folder / "data").exists(), kill
        done = cli(*line)
        assert done.returncode == 0, done.stderr
        times = answered(server)
    exactly(folder, 60, 4)
    assert len(rows(folder / "data")) == 240
    assert times.total() - 240 <= 3 * MOST
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["answers/samples"] == 240


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_it_and_the_same_line_goes_on(cli: Cli, how: signal.Signals):
    write_prompts(cli.folder / "prompts.jsonl", 60)
    folder = cli.folder / "outputs" / "generations" / "one"
    with serving(cli.folder, "--latency", "0.2", "--slots", "8") as server:
        line = (*LINE, f"generate.base_url={server.url}")
        process = cli.start(*line)
        wait_until(lambda: lines(server.log) > 40)
        process.send_signal(how)
        begin = time.monotonic()
        said, _ = process.communicate(timeout=60)
        assert time.monotonic() - begin < 10
        assert process.returncode == 130, said
        assert said.splitlines()[-1] == (
            "stopped; what was answered is kept, and the same line again goes on from there"
        )
        assert "Traceback" not in said and "rror" not in said
        (run,) = runs(cli.folder)
        assert run.info.status == "KILLED"
        kept = sum(samples(folder).values())
        assert 40 <= kept < 240
        done = cli(*line, "--json")
        assert done.returncode == 0, done.stderr
        assert answered(server).total() - 240 <= MOST
    assert json.loads(done.stdout)["kept"] == kept
    exactly(folder, 60, 4)
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_a_server_that_restarts_hangs_lies_and_closes_at_once(generate, tmp_path):
    prompts, n = 150, 4
    write_prompts(generate.folder / "prompts.jsonl", prompts)
    faults = (
        *("--latency", "0.1", "--slots", "8", "--error-rate", "0.08", "--busy-rate", "0.04"),
        *("--garbage-rate", "0.05", "--close-rate", "0.05", "--hang-rate", "0.01"),
    )
    restarts = 0
    with serving(tmp_path / "mortal", *faults) as mortal:
        generate.served = mortal

        def restart() -> None:
            nonlocal restarts
            for step in range(1, 5):
                wait_until(lambda step=step: len(mortal.requests()) > step * 100)
                mortal.stop()
                time.sleep(0.3 * step)
                mortal.restart()
                restarts += 1

        with meanwhile(restart):
            made = generate(
                *("generate.name=one", f"generate.num_generations={n}", "generate.seed=1"),
                *("generate.timeout=2", "generate.retries=20", "generate.max_concurrency=16"),
            )
        times = answered(mortal)
    assert restarts == 4
    exactly(Path(made["folder"]), prompts, n)
    assert made["rows"] == {"train": prompts * n} and made["dead_letters"] == 0
    wanted = {"http_500", "busy", "garbage", "closed", "timeout", "connect"}
    assert wanted <= made["errors"].keys(), made["errors"]
    # What is answered and cut off on the way, or by the server's end, is asked again.
    assert len(times) == prompts * n and times.total() - prompts * n <= 4 * MOST
