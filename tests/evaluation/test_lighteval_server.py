"""What becomes of an evaluation whose process, server or data fails it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.evaluation import generated
from tests.evaluation.lighteval_process import Served, command, environ, job, run, serving

pytestmark = pytest.mark.evaluation

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
        # as if the machine had died with it, in the middle of a line
        with (tmp_path / "out" / "answers.jsonl").open("ab") as file:
            file.write(b'{"key": "abc", "content": "half of')
        survived = len(kept(tmp_path / "out"))
        assert 40 <= survived < 100

        before = len(server.requests())
        again = run(given)
        assert again.code == 0, again.log
        assert len(server.requests()) - before == 100 - survived
        event = again.task("aime24")
        assert (event["kept"], event["asked"]) == (survived, 100 - survived)
        assert "cut last line" in again.of("warning")[0]["message"]
        # Only what was on its way when the process died was asked for a second time.
        assert len(asked(server)) == 100
        assert sum(asked(server).values()) - 100 <= 4

        frame = pandas.read_parquet(tmp_path / "out" / "aime24" / "samples.parquet")
        third = run(given)
        assert sum(asked(server).values()) == before + 100 - survived
        assert third.task("aime24")["asked"] == 0
        same = pandas.read_parquet(tmp_path / "out" / "aime24" / "samples.parquet")
        pandas.testing.assert_frame_equal(frame, same)


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


def test_answers_of_16_tokens_are_said_to_be_cut(aime, tmp_path):
    tasks, _ = aime
    tasks = {"aime24": tasks["aime24"] | {"max_new_tokens": 16, "samples": 2}}
    with serving(tmp_path / "server", {"": ["so " * 20 + r"\boxed{43}"]}) as server:
        done = run(job(server.url, tmp_path / "out", tasks))
    assert done.code == 0, done.log
    event = done.task("aime24")
    assert (event["truncated"], event["unanswered"], event["mean_tokens"]) == (1, 1, 16)
    frame = pandas.read_parquet(tmp_path / "out" / "aime24" / "samples.parquet")
    assert set(frame["finish_reason"]) == {"length"}


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"base_url": "http://127.0.0.1:9/v1", "startup_timeout_s": 1}, "no server answers at"),
        ({"timeout_s": 1}, "did not answer a request within 1 s"),
        ({"name": "other"}, "has no model 'other'"),
    ],
)
def test_a_server_that_is_not_there_or_not_the_one_is_said(aime, tmp_path, server, said):
    tasks, table = aime
    with serving(tmp_path / "server", table, "--delay", "20") as running:
        given = job(running.url, tmp_path / "out", tasks)
        given["model"] = {"name": server.get("name", "table")}
        given["server"] |= {key: value for key, value in server.items() if key != "name"}
        done = run(given)
    assert done.code == 3
    assert said in done.error()["message"] and done.error()["fix"]


def test_a_request_that_the_server_refuses_is_not_repeated(aime, tmp_path):
    tasks, table = aime
    with serving(tmp_path / "server", table, "--refuse", "1000", "400") as server:
        done = run(job(server.url, tmp_path / "out", tasks, server={"concurrency": 1}))
        assert len(server.requests()) == 1
    assert (done.code, done.error()["kind"]) == (3, "server")
    assert "not now" in done.error()["message"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "does not exist"),
        ("", "has no rows"),
        ('{"problem": "?"}\n', "row 1 of .* has no 'answer'; it has: problem"),
        ("{\n", "cannot be read"),
    ],
)
def test_data_that_cannot_be_used_is_said_before_anything_is_asked(tmp_path, rows, said):
    if rows is not None:
        (tmp_path / "train.jsonl").write_text(rows)
    path = tmp_path / "train.jsonl"
    with serving(tmp_path / "server", {"": ["?"]}) as server:
        done = run(job(server.url, tmp_path / "out", {"aime24": {"data": str(path)}}))
        assert server.requests() == []
    assert (done.code, done.error()["kind"]) == (2, "data")
    assert re.search(said, done.error()["message"])


def test_without_a_network_the_hub_is_said_to_be_away(tmp_path):
    given = job("http://127.0.0.1:9/v1", tmp_path / "out", {"aime24": {}})
    done = run(given, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert (done.code, done.error()["kind"]) == (2, "data")
    assert "HuggingFaceH4/aime_2024 cannot be had" in done.error()["message"]
    assert "evaluate.data_dir" in done.error()["fix"]
