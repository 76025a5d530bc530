"""What ``model=X`` stands for: an option, a run and its checkpoints, a folder, a hub id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import rundir
from r1lab.errors import ConfigError
from r1lab.models import reference
from r1lab.models.load import resolve_id

RUN_ID = "0123456789abcdef" * 2


def whole(folder: Path, step: int | None = None) -> Path:
    """A model's folder by its files' names; with ``step`` a whole checkpoint's."""
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    if step is not None:
        (folder / "optimizer.pt").write_text("")
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def run(
    output: Path,
    name: str = "my_run",
    state: str = "finished",
    steps: tuple[int, ...] = (10, 20),
    callbacks: dict[str, Any] | None = None,
    trainer_state: dict[str, Any] | None = None,
) -> Path:
    folder = output / name
    for step in steps:
        whole(folder / f"checkpoint-{step}", step)
    if state == "finished":
        whole(folder / "model")
    folder.mkdir(parents=True, exist_ok=True)
    rundir.write_status(folder, state=state, run_id=RUN_ID)
    plan = {"config": {"callbacks": callbacks or {}}}
    (folder / "plan.json").write_text(json.dumps(plan))
    if trainer_state is not None:
        (folder / "trainer_state.json").write_text(json.dumps(trainer_state))
    return folder


def found(text: str, output: Path) -> str:
    return reference.locate(text, output).where


def refused(text: str, output: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        reference.locate(text, output)
    (problem,) = caught.value.problems
    assert problem.key == "model"
    return str(problem)


def test_a_run_by_its_name_its_path_or_its_mlflow_id_is_its_final_model(tmp_path, monkeypatch):
    folder = run(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    for text in ("my_run", "out/my_run", str(folder), "./out/my_run/", RUN_ID):
        assert found(text, tmp_path / "out") == str(folder / "model"), text
    assert reference.locate("my_run", tmp_path / "out").name == "my_run"


def test_a_run_s_checkpoints(tmp_path):
    folder = run(tmp_path)
    (folder / "checkpoint-20" / "optimizer.pt").unlink()  # cut off while it was saved
    assert found("my_run@last", tmp_path) == str(folder / "checkpoint-10")
    assert found("my_run@20", tmp_path) == str(folder / "checkpoint-20")
    assert reference.locate("my_run@10", tmp_path).name == "my_run-checkpoint-10"


def test_an_unfinished_run_has_no_final_model_and_says_what_it_has(tmp_path):
    run(tmp_path, state="killed")
    said = refused("my_run", tmp_path)
    assert "has no final model: the run is killed" in said
    assert "checkpoints at 10, 20: write model=my_run@20, or @last" in said
    run(tmp_path, "empty", state="running", steps=())
    assert "goes on with the run" in refused("empty", tmp_path)
    assert "has no whole checkpoint" in refused("empty@last", tmp_path)


def test_steps_and_words_that_name_no_checkpoint(tmp_path):
    run(tmp_path)
    assert "checkpoint-15 is not there" in refused("my_run@15", tmp_path)
    assert "write @last, @best or @STEP" in refused("my_run@newest", tmp_path)


def test_shards_are_no_model(tmp_path):
    folder = run(tmp_path, steps=(10,))
    (folder / "checkpoint-10" / "config.json").unlink()
    assert "holds shards of a distributed run" in refused("my_run@10", tmp_path)


def test_the_best_checkpoint_is_the_one_that_the_trainer_named(tmp_path):
    # By the path of the machine that trained it.
    state = {"best_model_checkpoint": "/elsewhere/my_run/checkpoint-10"}
    folder = run(tmp_path, trainer_state=state)
    assert found("my_run@best", tmp_path) == str(folder / "checkpoint-10")


@pytest.mark.parametrize(("mode", "step"), [("max", 10), ("min", 20)])
def test_else_it_is_best_by_the_metric_of_early_stop(tmp_path, mode, step):
    log = [{"step": at, "m": value} for at, value in [(5, 9.0), (10, 3.0), (15, 0.0), (19, 2.0)]]
    stop = {"early_stop": {"metric": "m", "mode": mode}}
    folder = run(tmp_path, callbacks=stop, trainer_state={"log_history": log})
    assert found("my_run@best", tmp_path) == str(folder / f"checkpoint-{step}")


def test_without_either_no_checkpoint_is_best(tmp_path):
    run(tmp_path, trainer_state={"log_history": []})
    assert "names no best checkpoint" in refused("my_run@best", tmp_path)
    stop = {"early_stop": {"metric": "m", "mode": "max"}}
    run(tmp_path, "other", callbacks=stop, trainer_state={"log_history": []})
    assert "no m was logged" in refused("other@best", tmp_path)


def test_a_folder_is_a_model_or_an_adapter(tmp_path):
    model = whole(tmp_path / "mine")
    assert reference.locate(str(model), tmp_path).name == "mine"
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert "the adapter in" in reference.locate(str(adapter), tmp_path).said
    (tmp_path / "neither").mkdir()
    assert "holds no config.json" in refused(str(tmp_path / "neither"), tmp_path)
    assert "is no run's folder" in refused(f"{model}@last", tmp_path)


def test_a_run_s_inner_folders_are_named_after_the_run(tmp_path):
    folder = run(tmp_path)
    assert reference.locate(str(folder / "checkpoint-10"), tmp_path).name == "my_run-checkpoint-10"


def test_hub_ids(tmp_path):
    plain = reference.locate("Qwen/Qwen3-0.6B", tmp_path)
    assert (plain.where, plain.name, plain.revision) == ("Qwen/Qwen3-0.6B",) * 2 + ("main",)
    assert reference.locate("Qwen/Qwen3-0.6B@abc", tmp_path).revision == "abc"
    whole(tmp_path / "Qwen" / "Qwen3-0.6B")  # what lies here comes first
    assert found("Qwen/Qwen3-0.6B", tmp_path).endswith("Qwen/Qwen3-0.6B")


def test_what_is_nothing_is_told_the_nearest(tmp_path):
    run(tmp_path)
    assert "did you mean my_run?" in refused("my_rum", tmp_path)
    assert "did you mean smollm2_135m?" in refused("smolm2_135m", tmp_path)
    for text in ("./gone", "a/b/c", "/no/where", "zzz"):
        assert "hub id (owner/name)" in refused(text, tmp_path)


def test_options_of_the_group_keep_their_files(tmp_path):
    config, stood_for = reference.compose(["model=smollm2_135m", f"output_dir={tmp_path}"])
    assert stood_for is None
    assert config["model"]["id"] == "r1lab:smollm2_135m"


def test_a_reference_becomes_the_model_node_with_what_else_was_said(tmp_path):
    folder = run(tmp_path)
    line = [
        "model='my_run'",
        f"output_dir={tmp_path}",
        "model.name=called",
        "model.chat_template=x",
    ]
    config, stood_for = reference.compose(line)
    node = config["model"]
    assert stood_for is not None and stood_for.where == node["id"] == str(folder / "model")
    assert (node["name"], node["chat_template"]) == ("called", "x")
    # Nothing of the group's default, model=tiny.
    assert (node["license"], node["recipe"], node["dtype"]) == (None, None, "auto")


def test_all_mistakes_of_a_line_come_together(tmp_path):
    with pytest.raises(ConfigError) as caught:
        reference.compose(["model=zzz", f"output_dir={tmp_path}", "engine.prot=1"])
    assert [problem.key for problem in caught.value.problems] == ["engine.prot", "model"]


def test_a_servable_model_is_a_folder_with_its_shape():
    config, _ = reference.compose(["model=tiny"])
    model = reference.servable(config["model"])
    assert (model.where, model.name, model.is_folder) == (resolve_id("r1lab:tiny"), "tiny", True)
    assert model.architecture is not None and model.architecture.num_attention_heads == 4


def test_an_id_that_is_an_empty_folder_is_refused(tmp_path):
    config, _ = reference.compose([f"model.id={tmp_path}"])
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        reference.servable(config["model"])
