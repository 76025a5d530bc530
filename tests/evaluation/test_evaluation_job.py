"""The job file: what it may say, and what a mistake in it is answered with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.evaluation.inside.evaluation_job import JobError, read_job

SMALLEST: dict[str, Any] = {
    "tasks": {"aime24": {}},
    "model": {"name": "m"},
    "server": {"base_url": "http://localhost:1/v1"},
    "output": "out",
}


def write(folder: Path, job: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def test_the_smallest_job_has_the_published_sampling(tmp_path):
    job = read_job(write(tmp_path, SMALLEST))
    assert (job.sampling.temperature, job.sampling.top_p) == (0.6, 0.95)
    assert job.tasks["aime24"].samples is None  # the task table's
    assert job.output == Path("out")


def test_paths_and_settings_are_read(tmp_path):
    given = SMALLEST | {"journal": "j.jsonl", "settings": {"engine": "vllm"}}
    given["tasks"] = {"aime24": {"data": "rows", "samples": 2, "limit": None}, "gsm8k": None}
    job = read_job(write(tmp_path, given))
    assert (job.tasks["aime24"].data, job.journal) == (Path("rows"), Path("j.jsonl"))
    assert job.settings == {"engine": "vllm"}
    assert job.tasks["gsm8k"].data is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda job: job.pop("model"), "model is missing"),
        (lambda job: job["model"].pop("name"), r"model\.name is missing"),
        (lambda job: job.update(tasks={}), "tasks is empty"),
        (lambda job: job["server"].update(base_ulr="x"), r"server\.base_ulr is unknown"),
        (lambda job: job["tasks"]["aime24"].update(samples=0), r"aime24\.samples = 0"),
        (lambda job: job["tasks"]["aime24"].update(limit=1.5), r"aime24\.limit = 1\.5"),
        (lambda job: job["tasks"]["aime24"].update(prompt="{question}"), "has no {problem}"),
        (lambda job: job["server"].update(concurrency=0), r"server\.concurrency = 0"),
        (lambda job: job.update(model="m"), "model is no mapping"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, said):
    job = copy.deepcopy(SMALLEST)
    change(job)
    with pytest.raises(JobError, match=said) as raised:
        read_job(write(tmp_path, job))
    assert raised.value.fix


def test_what_is_no_json_is_said(tmp_path):
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(JobError, match="cannot be read"):
        read_job(tmp_path / "job.json")
