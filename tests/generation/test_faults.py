"""A generation and one fault of its server each: what is said, what is kept, how it goes on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generation.generating import (
    Generations,
    letters,
    meanwhile,
    rows,
    samples,
    wait_until,
    write_prompts,
)
from tests.generation.serving import serving
from tests.generation.small_disk import small_file_system

NAMED = "generate.name=one"


def folder(generate: Generations) -> Path:
    return generate.folder / "outputs" / "generations" / "one"


def exactly(generate: Generations, prompts: int, n: int) -> None:
    """Each prompt has its samples in the journal, once, and is in the data with them."""
    found = samples(folder(generate))
    assert set(found.values()) == {1} and len(found) == prompts * n
    assert {sample for _, sample in found} == set(range(n))
    assert len({key for key, _ in found}) == prompts
    assert len(rows(folder(generate) / "data")) == prompts * n


@pytest.mark.slow
def test_a_tenth_of_errors_costs_no_sample(generate):
    write_prompts(generate.folder / "prompts.jsonl", 40)
    generate.served.control(error_rate=0.1)
    made = generate(NAMED, "generate.num_generations=2", "generate.seed=1")
    exactly(generate, 40, 2)
    assert made["errors"].keys() == {"http_500"} and made["dead_letters"] == 0
    assert len([row for row in generate.asked if row["fate"] == "answered"]) == 80


def test_a_refused_prompt_is_a_letter_until_it_is_answered(generate):
    generate.served.control(refuse="is 3 + 4")
    line = (NAMED, "generate.num_generations=2")
    made = generate(*line)
    assert made["dead_letters"] == 2 and made["rows"] == {"train": 10}
    path = folder(generate) / "dead_letters.jsonl"
    assert f"r1lab: warning: 2 samples failed for good ({path} says why)" in generate.said
    found = letters(folder(generate))
    assert [(row["sample"], row["kind"], row["attempts"]) for row in found] == [
        (0, "refused", 1),
        (1, "refused", 1),
    ]
    assert {row["row"] for row in found} == {3}
    assert "HTTP 400: no is 3 + 4 here" in found[0]["reason"]
    assert "2 refused" in (folder(generate) / "data" / "README.md").read_text()

    assert generate(*line)["dead_letters"] == 2  # asked again, refused again
    assert generate.prompts() == {"What is 3 + 4?": 2} and len(letters(folder(generate))) == 2
    generate.served.control(refuse="")
    assert generate(*line)["dead_letters"] == 0
    assert generate.prompts() == {"What is 3 + 4?": 2} and letters(folder(generate)) == []
    exactly(generate, 6, 2)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_can_get_past_is_told_at_once(generate, status):
    write_prompts(generate.folder / "prompts.jsonl", 100)
    generate.served.control(status=status)
    generate(NAMED, "generate.input_batch_size=4", code=1)
    assert f"HTTP {status}" in generate.said and generate.said.count("    fix: ") == 1
    assert len(generate.asked) <= 8
    assert letters(folder(generate)) == []
    assert not (folder(generate) / "data").exists()


@pytest.mark.slow
def test_a_server_with_a_key_says_so(generate, tmp_path, monkeypatch):
    with serving(tmp_path / "locked", "--api-key", "sesame") as locked:
        generate.served = locked
        generate(NAMED, code=1)
        assert "wants an API key: set R1LAB_API_KEY" in generate.said
        monkeypatch.setenv("R1LAB_API_KEY", "sesame")
        generate(NAMED)
    exactly(generate, 6, 1)
    everything = [path for path in generate.folder.rglob("*") if path.is_file()]
    assert not [path for path in everything if b"sesame" in path.read_bytes()]


def test_an_address_of_something_else_is_told(generate):
    generate(f"generate.base_url={generate.served.url}/other", code=1)
    assert "has no /v1/models" in generate.said


def test_when_all_fail_it_stops_after_fifty(generate):
    write_prompts(generate.folder / "prompts.jsonl", 300)
    generate.served.control(error_rate=1.0)
    generate(NAMED, "generate.retries=0", code=1)
    assert "the last 50 requests failed for good, and none was answered" in generate.said
    assert "the engine stumbled" in generate.said
    assert 50 <= len(letters(folder(generate))) < 150
    assert not (folder(generate) / "data").exists()
    generate.served.control(error_rate=0.0)
    generate(NAMED)
    exactly(generate, 300, 1)
    assert letters(folder(generate)) == []


@pytest.mark.slow
def test_a_server_that_is_away_for_too_long_ends_it_and_the_same_line_goes_on(generate, tmp_path):
    write_prompts(generate.folder / "prompts.jsonl", 60)
    with serving(tmp_path / "mortal", "--latency", "0.05", "--slots", "4") as mortal:
        generate.served = mortal

        def kill() -> None:
            wait_until(lambda: len(mortal.requests()) >= 20)
            mortal.stop()

        begin = time.monotonic()
        with meanwhile(kill):
            generate(NAMED, "generate.server_timeout=1", code=1)
        assert time.monotonic() - begin < 20
        errors = [line for line in generate.said.splitlines() if line.startswith("r1lab: ")]
        assert len(errors) == 1 and "answered nobody for 1 s" in errors[0], generate.said
        kept = sum(samples(folder(generate)).values())
        assert 16 <= kept < 60 and letters(folder(generate)) == []
        mortal.restart()
        made = generate(NAMED)
        assert made["kept"] == kept and made["answered"] == 60 - kept
    exactly(generate, 60, 1)


@pytest.mark.slow
def test_a_server_that_comes_later_is_waited_for(generate, tmp_path):
    with serving(tmp_path / "late") as late:
        late.stop()
        generate.served = late

        def come() -> None:
            time.sleep(1.0)
            late.restart()

        with meanwhile(come):
            generate(NAMED)
        exactly(generate, 6, 1)
        late.stop()
        generate("generate.name=two", "engine.start_timeout=1", code=1)
    assert f"did not answer at {late.url} within 1 s" in generate.said


@pytest.mark.slow
def test_another_model_at_the_same_address_is_another_generation(generate, tmp_path):
    with serving(tmp_path / "changing", "--latency", "0.05") as changing:
        generate.served = changing
        generate(NAMED, "generate.limit=3")
        changing.control(model="other")
        generate(NAMED, code=2)
    assert "has 'other' now, and 'tiny' answered before" in generate.said
    assert "which is another generation" in generate.said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    with small_file_system(tmp_path / "small", "256k") as folder:
        yield folder


def test_a_full_disk_is_said_and_gone_on_from(generate, small_disk):
    write_prompts(generate.folder / "prompts.jsonl", 300)
    generate.served.control(words=100)
    line = (NAMED, f"output_dir={small_disk}")
    generate(*line, code=1)
    path = small_disk / "generations" / "one" / "journal.jsonl"
    assert f"r1lab: {path} cannot be written: the disk" in generate.said
    assert "    fix: make room; the same line again goes on from there" in generate.said
    kept = sum(samples(path.parent).values())
    assert 50 < kept < 300
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    made = generate(*line)
    assert made["answered"] == 300 - kept
    assert sum(samples(path.parent).values()) == len(rows(made["data"])) == 300


@pytest.mark.slow
def test_no_room_for_the_data_is_said_and_the_answers_are_kept(generate, small_disk):
    write_prompts(generate.folder / "prompts.jsonl", 60)
    line = (NAMED, f"output_dir={small_disk}")
    generate(*line)
    room = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * room.f_bavail * room.f_frsize)
    generate(*line, "generate.format=raw", code=1)
    assert "r1lab: the disk is full: " in generate.said and "fix: make room" in generate.said
    (small_disk / "ballast").unlink()
    assert generate(*line, "generate.format=raw")["rows"] == {"train": 60}
    assert generate.asked == []
