"""The verb ``generate`` against a server: what each option does shows in what that server was asked
or in what is made of its answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import hub
from r1lab.generation import clients
from tests.fake_hub import FakeHub
from tests.generation.generating import letters, rows, samples
from tests.generation.serving import serving
from tests.running import artifacts, client


def test_how_prompts_are_asked(generate):
    asked = [{"question": f"Name {n}.", "about": f"topic {n}"} for n in range(5)]
    text = "".join(json.dumps(row) + "\n" for row in asked)
    (generate.folder / "held_out.jsonl").write_text(text)
    (generate.folder / "prompts.jsonl").write_text(text.replace("Name", "Count"))
    made = generate(
        *("data.test_path=held_out.jsonl", "generate.split=test", "generate.limit=2"),
        *("data.columns.prompt=question", "data.columns.solution=null", "generate.model=tiny"),
        'generate.prompt_template="On {{ about }}: {{ instruction }}"',
        *("generate.temperature=0.6", "generate.top_p=0.95", "generate.max_new_tokens=5"),
        *("generate.num_generations=3", "generate.seed=7", "generate.extra.top_k=20"),
    )
    assert generate.prompts() == {"On topic 0: Name 0.": 3, "On topic 1: Name 1.": 3}
    seeds = {row.pop("seed") for row in generate.asked}
    assert len(seeds) == 6 and all(0 <= seed < 2**31 for seed in seeds)
    sent = {"model": "tiny", "temperature": 0.6, "top_p": 0.95, "max_tokens": 5, "top_k": 20}
    for row in generate.asked:
        assert {k: row[k] for k in row if k not in ("fate", "time", "prompt")} == sent
    assert (made["prompts"], made["answered"], made["asked"]["samples"]) == (2, 6, 6)
    assert made["asked"]["finish_reasons"] == {"length": 6}
    (found,) = {tuple(turn["role"] for turn in row["messages"]) for row in rows(made["data"])}
    assert found == ("system", "user", "assistant")


@pytest.mark.slow
def test_what_is_not_set_is_not_sent(generate):
    generate("generate.limit=1", "data.system_prompt=null")
    (asked,) = generate.asked
    assert asked.keys() == {"fate", "time", "prompt", "model", "max_tokens"}
    assert asked["max_tokens"] == 8192


def test_the_same_line_again_asks_nothing(generate, tmp_path):
    with serving(tmp_path / "mortal") as mortal:
        generate.served = mortal
        made = generate("generate.num_generations=2")
        assert sum(generate.prompts().values()) == 12
        before = rows(made["data"])
        mortal.stop()
        again = generate("generate.num_generations=2")
    assert "asks    nothing: every sample is there" in generate.said
    assert (again["kept"], again["answered"]) == (12, 0)
    assert again["data"] == made["data"] and rows(again["data"]) == before


def test_only_new_samples_and_new_prompts_are_asked(generate):
    few = generate("generate.num_generations=2", "generate.limit=4")
    more = generate("generate.num_generations=3")
    assert more["folder"] == few["folder"]
    assert sorted(generate.prompts().values()) == [1, 1, 1, 1, 3, 3]
    assert (more["kept"], more["answered"]) == (8, 10)
    assert len(rows(few["data"])) == 8 and len(rows(more["data"])) == 18
    fewer = generate("generate.num_generations=1")
    assert generate.asked == [] and len(rows(fewer["data"])) == 6
    assert set(samples(few["folder"]).values()) == {1}


@pytest.mark.slow
def test_another_way_of_asking_is_another_generation(generate):
    one = generate("generate.temperature=0.5", "generate.limit=1")
    other = generate("generate.temperature=0.6", "generate.limit=1")
    assert len(generate.asked) == 1 and other["folder"] != one["folder"]
    generate("generate.name=mine", "generate.limit=1", "generate.temperature=0.7")
    generate("generate.name=mine", "generate.limit=1", "generate.temperature=0.8", code=2)
    assert "outputs/generations/mine was asked with another temperature" in generate.said
    assert "fix: choose another name" in generate.said


def test_other_steps_make_other_data_and_ask_nothing(generate):
    first = generate("generate.num_generations=2", "generate.seed=1")
    second = generate("generate.num_generations=2", "generate.seed=1", "steps=[verify,choose]")
    assert generate.asked == []
    assert Path(second["data"]).name == "data-2" and Path(first["data"]).name == "data"
    assert (len(rows(first["data"])), len(rows(second["data"]))) == (12, 6)
    assert [row["step"] for row in second["steps"]] == ["(answers)", "verify", "choose"]
    assert "was made otherwise and stays; this goes to data-2" in generate.said


@pytest.mark.slow
def test_without_asking_there_is_what_is_there(generate):
    generate("generate.ask=false", code=1)
    assert "r1lab: there is no answer to make data of\n    fix: leave generate.ask" in generate.said
    generate("generate.limit=3")
    made = generate("generate.ask=false")
    assert generate.asked == [] and len(rows(made["data"])) == 3
    assert made["prompts"] == 6 and made["steps"][0]["prompts_out"] == 3
    assert "answered" not in made


@pytest.mark.slow
def test_what_the_result_looks_like_and_where_it_is(generate):
    made = generate(
        *("generate.format=prompt_solution", "generate.keep_columns=[topic]", "generate.name=sums"),
        *("generate.test_size=2", "generate.output=made/here", "generate.num_generations=2"),
    )
    assert made["data"] == str(generate.folder / "made" / "here")
    assert made["rows"] == {"train": 4, "test": 2}
    train, test = rows(made["data"]), rows(made["data"], "test")
    assert {row["topic"] for row in [*train, *test]} == {"t0", "t1", "t2"}
    assert sorted(int(row["solution"]) for row in [*train, *test]) == [1, 3, 5, 7, 9, 11]
    assert {(row["asked"], row["samples"], row["model"]) for row in train} == {(2, 2, "tiny")}
    assert Path(made["folder"]) == generate.folder / "outputs" / "generations" / "sums"
    assert made["train"] == f"python -m r1lab trainer=grpo data=local data.path={made['data']}"
    assert (Path(made["data"]) / "README.md").is_file()
    raw = generate("generate.format=raw", "generate.name=sums", "generate.num_generations=2")
    assert generate.asked == [] and raw["train"] is None
    assert {len(row["generations"]) for row in rows(raw["data"])} == {2}


def test_reasoning_beside_the_answer_is_kept_in_its_tags(generate):
    generate.served.control(reasoning="reasoning_content")
    made = generate("generate.limit=1")
    text = rows(made["data"])[0]["messages"][-1]["content"]
    assert text.startswith("<think>\nI think of ") and "\n</think>\n\n" in text
    (line,) = (Path(made["folder"]) / "journal.jsonl").read_text().splitlines()
    answer = json.loads(line)
    assert answer["reasoning"].startswith("I think of") and "<think>" not in answer["content"]
    facts = {k: answer[k] for k in ("finish_reason", "prompt_tokens", "completion_tokens")}
    assert facts == {"finish_reason": "stop", "prompt_tokens": 5, "completion_tokens": 12}
    assert answer["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("most", [16, 2])
def test_so_many_are_in_flight_at_first_and_at_most(generate, most):
    generate.served.control(latency=0.25)
    generate("generate.input_batch_size=4", f"generate.max_concurrency={most}")
    first = min(row["time"] for row in generate.asked)
    at_first = [row for row in generate.asked if row["time"] < first + 0.15]
    assert len(at_first) == min(4, most)


def test_the_line_that_trains_asks_as_the_teacher_was_asked(generate):
    made = generate("generate.limit=2", "data.system_prompt=null")
    assert made["train"].endswith(f"data.path={made['data']} data.system_prompt=null")
    assert made["train"] in (Path(made["data"]) / "README.md").read_text()


def test_a_step_that_drops_nearly_everything_is_said(generate):
    rows = [{"prompt": f"What is {n} + 1?", "solution": str(n + 1 + (n > 0))} for n in range(20)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (generate.folder / "prompts.jsonl").write_text(lines)
    generate("steps=[verify]")
    assert "warning: verify left 1 of 20 prompts: right: 1, wrong: 19" in generate.said


def test_no_more_is_asked_for_than_the_model_has_room_for(generate):
    generate.served.control(max_model_len=2048)
    line = ("generate.limit=2", "generate.name=short")
    assert generate(*line)["answered"] == 2
    assert "8192 new tokens (generate.max_new_tokens) do not fit" in generate.said
    assert {row["max_tokens"] for row in generate.asked} == {1536}
    # It is the same generation: nothing is asked again.
    assert generate(*line)["kept"] == 2 and generate.asked == []


def test_a_request_is_given_up_after_its_tries_and_asked_again_next_time(generate):
    generate.served.control(error_rate=1.0)
    line = ("generate.limit=1", "generate.retries=1", "generate.name=one")
    generate(*line, code=1)
    assert [row["fate"] for row in generate.asked] == ["error", "error"]
    assert "1 samples failed for good" in generate.said
    assert "fix: dead_letters.jsonl says why they failed" in generate.said
    folder = generate.folder / "outputs" / "generations" / "one"
    (letter,) = letters(folder)
    assert (letter["kind"], letter["attempts"], letter["sample"]) == ("http_500", 2, 0)
    assert "the engine stumbled" in letter["reason"]
    generate.served.control(error_rate=0.0)
    assert generate(*line)["dead_letters"] == 0
    assert letters(folder) == []


@pytest.mark.slow
def test_an_answer_that_takes_too_long_is_given_up(generate):
    generate.served.control(hang_rate=1.0)
    generate("generate.limit=1", "generate.retries=0", "generate.timeout=0.2", code=1)
    assert "1 error (1 timeout), 1 failed for good" in generate.said


@pytest.mark.slow
def test_the_clients_replicas_are_processes(generate, monkeypatch):
    made: list[tuple[Any, ...]] = []

    def make(client: str, replicas: int, **settings: Any) -> Any:
        made.append((client, replicas, settings["timeout_s"]))
        return clients.Asker(**settings)

    monkeypatch.setattr(clients, "make", make)
    generate("generate.limit=1", "generate.client_replicas=3", "generate.client=ray")
    generate("generate.limit=2", "generate.timeout=30")
    assert made == [("ray", 3, 900.0), ("async", 1, 30.0)]


@pytest.mark.slow
@pytest.mark.parametrize("client", ["async", "ray", "distilabel"])
def test_each_client_fills_the_same_journal(generate, client):
    pytest.importorskip(client if client != "async" else "openai")
    line = ("generate.num_generations=2", "generate.seed=3", "generate.client_replicas=2")
    made = generate(*line, f"generate.client={client}")
    assert set(generate.prompts().values()) == {2} and len(generate.prompts()) == 6
    assert len(samples(made["folder"])) == 12
    generate(*line, "generate.client=async")
    assert generate.asked == []


def test_the_data_is_pushed_where_it_is_asked(generate, monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr(hub, "connect", lambda *given: fake)
    made = generate("generate.hub_id=me/sums", "generate.private=false", "generate.limit=2")
    assert made["pushed"].startswith("https://fake.hub/me/sums")
    assert fake.private == {"me/sums": False}
    assert {"train.parquet", "README.md"} <= fake.repos["me/sums"]["main"].keys()
    fake.repos["me/other"] = {"main": {"precious.txt": b"", ".gitattributes": b""}}
    fake.commits["me/other", "main"] = ["mine"]
    generate("generate.hub_id=me/other", "generate.limit=3", code=2)
    assert generate.asked == [] and "already has 1 files" in generate.said


@pytest.mark.slow
def test_a_folder_in_use_is_told(generate):
    from r1lab.generation.journal import Journal

    made = generate("generate.limit=1")
    with Journal(Path(made["folder"])):
        generate("generate.limit=1", code=1)
    assert "is in use by" in generate.said


@pytest.mark.slow
def test_damage_to_the_journal_is_said_and_asked_again(generate):
    made = generate("generate.num_generations=2")
    path = Path(made["folder"]) / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b'{"not an": "answer"}\n'
    path.write_bytes(b"".join(lines)[:-10])
    again = generate("generate.num_generations=2")
    assert "bytes of a cut last line" in generate.said
    assert "1 lines of" in generate.said and "hold no answer" in generate.said
    assert (again["kept"], again["answered"]) == (10, 2)
    assert len(rows(again["data"])) == 12


@pytest.mark.slow
def test_repeated_prompts_are_asked_once(generate):
    text = (generate.folder / "prompts.jsonl").read_text()
    (generate.folder / "prompts.jsonl").write_text(text + text)
    assert generate()["prompts"] == 6
    assert set(generate.prompts().values()) == {1}
    assert "6 rows repeat a prompt, which is asked once" in generate.said


@pytest.mark.slow  # it makes an MLflow database
def test_what_mlflow_holds_of_it(generate):
    generate.served.control(wrong_rate=0.5)
    line = ("tracking.mlflow=true", "generate.num_generations=2", "generate.seed=1")
    steps = "steps=[verify]"
    made = generate(*line, steps)
    run = client(generate.folder).get_run(made["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["generate.num_generations"] == "2"
    assert run.data.params["data.path"] == "prompts.jsonl"
    assert run.data.metrics["answers/prompts"] == 6
    assert run.data.metrics["answers/samples"] == 12
    assert run.data.metrics["data/samples"] == made["kept_samples"] < 12
    assert run.data.metrics["answers/accuracy"] == made["kept_samples"] / 12
    for name in ("answers_per_second", "completion_tokens_per_second", "in_flight", "limit"):
        assert f"generation/{name}" in run.data.metrics
    assert run.data.tags["r1lab.data"] == made["data"]
    kept = artifacts(generate.folder, made["run_id"])
    assert {"data/README.md", "steps.json"} <= kept
    again = generate(*line, steps, "generate.limit=3")
    assert again["run_id"] == made["run_id"], "one run a generation"
    generate.served.control(wrong_rate=0.0)
