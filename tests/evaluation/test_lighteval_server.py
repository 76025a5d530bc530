"""What becomes of an evaluation whose process, server or data fails it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.evaluation import generated
from tests.evaluation.lighteval_process import (
    Done,
    Served,
    command,
    environ,
    job,
    run,
    run_all,
    serving,
)

# Importing LightEval takes ten seconds of a processor, and minutes of a busy machine.
pytestmark = [pytest.mark.evaluation, pytest.mark.timeout(1800)]

QUESTIONS, SAMPLES = 10, 10


@pytest.fixture(scope="module")
def aime(tmp_path_factory) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A hundred answers to get, of which half are right, and the table that gives them."""
    folder = tmp_path_factory.mktemp("aime")
    rows = generated.write("aime24", folder, QUESTIONS)
    table = {
        generated.question(row): [generated.right("aime24", row), r"So it is $\boxed{1}$."]
        for row in rows
    }
    return {"aime24": {"data": str(folder), "samples": SAMPLES}}, table


def kept(output: Path) -> list[dict[str, Any]]:
    file = output / "answers.jsonl"
    whole = file.read_bytes().rpartition(b"\n")[0] if file.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def asked(server: Served) -> Counter[tuple[str, int]]:
    """How often each answer was asked for: no two of one question have the same seed."""
    return Counter((r["messages"][0]["content"], r["seed"]) for r in server.requests())


def test_kill_9_in_the_middle_and_nothing_is_asked_twice(aime, tmp_path):
    tasks, table = aime
    with serving(tmp_path / "server", table, "--delay", "0.05") as server:
        given = job(server.url, tmp_path / "out", tasks, server={"concurrency": 4})
        process = subprocess.Popen(command(given), env=environ(), stderr=subprocess.PIPE)
        until = time.monotonic() + 300
        while len(kept(tmp_path / "out")) < 40 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.5)  # the server still writes down what was on its way
        # as if the machine had died with it, in the middle of a line
        with (tmp_path / "out" / "answers.jsonl").open("ab") as file:
            file.write(b'{"key": "abc", "content": "half of')
        survived = len(kept(tmp_path / "out"))
        assert 40 <= survived < 100

        before = len(server.requests())
        done = run_all({"again": given, "once more": given})
        again, third = done["again"], done["once more"]
        assert again.code == 0, again.log
        event = again.task("aime24")
        assert (event["kept"], event["asked"]) == (survived, 100 - survived)
        assert "cut last line" in again.of("warning")[0]["message"]
        event = third.task("aime24")
        assert (event["kept"], event["asked"], event["score"]) == (100, 0, 0.5)
        assert len(server.requests()) - before == 100 - survived
        # Only what was on its way when the process died was asked for a second time.
        assert len(asked(server)) == 100
        assert sum(asked(server).values()) - 100 <= 4


def test_a_server_that_dies_is_one_error_and_the_next_one_goes_on(aime, tmp_path):
    tasks, table = aime
    with serving(tmp_path / "first", table, "--die-after", "30") as server:
        done = run(job(server.url, tmp_path / "out", tasks))
    assert done.code == 3
    error = done.error()
    assert error["kind"] == "server"
    answered = len(kept(tmp_path / "out"))
    assert "stopped answering" in error["message"]
    assert f"{answered} of 100 answers are kept" in error["message"]
    assert "Traceback" not in done.log

    # Another server, elsewhere, that is first too busy: it says so, and for how long.
    with serving(tmp_path / "second", table, "--refuse", "3", "429") as server:
        done = run(job(server.url, tmp_path / "out", tasks))
        assert done.code == 0, done.log
        event = done.task("aime24")
        assert (event["kept"], event["asked"], event["retried"]) == (answered, 100 - answered, 3)
        assert len(server.requests()) == 100 - answered + 3


def ctrl_c_ignored() -> None:
    """As a shell starts `command &`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_stop_is_one_line_and_keeps_what_was_answered(aime, tmp_path):
    tasks, table = aime
    with serving(tmp_path / "server", table, "--delay", "0.2") as server:
        # Two at once: ten seconds in all, so that the signal comes amid them on a busy machine too.
        given = job(server.url, tmp_path / "out", tasks, server={"concurrency": 2})
        process = subprocess.Popen(
            command(given),
            env=environ(),
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=ctrl_c_ignored,
        )
        until = time.monotonic() + 300
        while len(kept(tmp_path / "out")) < 10 and time.monotonic() < until:
            time.sleep(0.02)
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == 130
    assert json.loads(said.splitlines()[-1])["kind"] == "interrupted"
    assert "Traceback" not in said
    assert 10 <= len(kept(tmp_path / "out")) < 100


@pytest.fixture(scope="module")
def faults(aime, tmp_path_factory) -> tuple[dict[str, Done], dict[str, Served], Path]:
    """Jobs that cannot end well, by what is wrong with each."""
    tasks, table = aime
    folder = tmp_path_factory.mktemp("faults")
    cut = {"aime24": tasks["aime24"] | {"max_new_tokens": 16, "samples": 2}}
    with ExitStack() as running:

        def serve(name: str, table: dict[str, list[Any]], *options: str) -> Served:
            return running.enter_context(serving(folder / name, table, *options))

        servers = {
            "cut": serve("cut", {"": ["so " * 20 + r"\boxed{43}"]}),
            "refusing": serve("refusing", table, "--refuse", "1000", "400"),
            "slow": serve("slow", table, "--delay", "20"),
        }
        slow = servers["slow"].url
        jobs = {
            "cut": job(servers["cut"].url, folder / "out1", cut),
            "refused": job(servers["refusing"].url, folder / "out2", tasks),
            "late": job(slow, folder / "out3", tasks, server={"timeout_s": 1}),
            "other": job(slow, folder / "out4", tasks) | {"model": {"name": "other"}},
            "away": job("http://127.0.0.1:9/v1", folder / "out5", tasks),
            "unknown": job(slow, folder / "out6", {"aime42": {}}),
            "columns": job(slow, folder / "out7", {"math_500": tasks["aime24"]}),
            "hub": job(slow, folder / "out8", tasks | {"gsm8k": {}}),
        }
        jobs["refused"]["server"]["concurrency"] = 1
        jobs["away"]["server"]["startup_timeout_s"] = 1
        done = run_all(jobs, HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hub"))
    return done, servers, folder


def test_answers_of_16_tokens_are_said_to_be_cut(faults):
    done, _, folder = faults
    assert done["cut"].code == 0, done["cut"].log
    event = done["cut"].task("aime24")
    assert (event["truncated"], event["unanswered"], event["mean_tokens"]) == (1, 1, 16)
    frame = pandas.read_parquet(folder / "out1" / "aime24" / "samples.parquet")
    assert set(frame["finish_reason"]) == {"length"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("away", r"no server answers at http://127\.0\.0\.1:9/v1"),
        ("late", r"did not answer a request within 1 s; 0 of 100 answers are kept"),
        ("other", r"has no model 'other'"),
        ("refused", r"refused: .*not now"),
    ],
)
def test_a_server_that_cannot_be_used_is_said(faults, name, said):
    done = faults[0][name]
    assert (done.code, done.error()["kind"]) == (3, "server")
    assert re.search(said, done.error()["message"]), done.error()
    assert done.error()["fix"] and "Traceback" not in done.log


def test_a_request_that_is_refused_is_not_repeated(faults):
    assert len(faults[1]["refusing"].requests()) == 1


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("unknown", "job", r"tasks\.aime42 is no benchmark"),
        ("columns", "data", r"row 1 of .* has no 'solution'; it has: id, problem, answer"),
        ("hub", "data", r"openai/gsm8k cannot be had from the Hugging Face hub"),
    ],
)
def test_a_job_that_cannot_be_done_asks_nothing(faults, name, kind, said):
    done = faults[0][name]
    assert (done.code, done.error()["kind"]) == (2, kind)
    assert re.search(said, done.error()["message"]), done.error()
    assert done.error()["fix"] and done.of("progress") == []
