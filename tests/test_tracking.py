"""A run's record, read back through MLflow's own client from a real SQLite store."""

from __future__ import annotations

import json
import math
import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.tracking import DisabledTracker, Tracker

PROVENANCE = {
    "python": "3.11",
    "versions": {"trl": "1.16.0"},
    "git": {"commit": "c0ffee", "dirty": True, "diff": "+ a line\n"},
    "machine": {"host": "box"},
}
COMMAND = "python -m r1lab trainer=grpo"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module: making its tables takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def config(output: Path) -> dict[str, Any]:
    return {"seed": 1, "output_dir": str(output), "tracking": {"experiment": "unit"}}


@pytest.fixture
def client(output: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{output}/mlflow.db")


@pytest.fixture
def start(config: dict[str, Any], tmp_path: Path) -> Callable[..., Tracker]:
    def open_run(run_id: str | None = None, **more: Any) -> Tracker:
        return Tracker.open({**config, **more}, tmp_path, "a-run", run_id)

    return open_run


def read(client: MlflowClient, run_id: str, path: str, folder: Path) -> str:
    return Path(client.download_artifacts(run_id, path, str(folder))).read_text()


def test_a_whole_run_is_on_record(
    start: Callable[..., Tracker], client: MlflowClient, config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "plan.json").write_text('{"batch": 1}')
    long = "x" * 7000
    whole = {**config, "data": {"path": long}, "many": {f"k{i}": i for i in range(230)}}
    tracker = start()
    tracker.log_start(whole, PROVENANCE, COMMAND)
    tracker.log_metrics({"loss": 0.5, "pass@k:k=1&n=4": 0.25, "note": "text"}, step=1)
    tracker.log_metrics({"loss": 0.25, "reward": math.nan, "kl": None}, step=2)
    tracker.log_table([{"prompt": "p", "reward": 1.0}, {"prompt": "q", "x": [1]}], "t/step_1.json")
    tracker.finish("FINISHED")

    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED" and run.info.end_time
    assert run.info.run_name == "a-run"
    assert run.data.params["seed"] == "1" and run.data.params["many.k229"] == "229"
    assert run.data.params["data.path"].endswith("whole in config.yaml]")
    assert [p.value for p in client.get_metric_history(tracker.run_id, "loss")] == [0.5, 0.25]
    assert run.data.metrics["pass_at_k:k_1_n_4"] == 0.25
    assert run.data.metrics["nonfinite_metrics"] == 2 and "reward" not in run.data.metrics
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert run.data.tags["r1lab.command"] == COMMAND

    assert yaml.safe_load(read(client, tracker.run_id, "config.yaml", tmp_path)) == whole
    assert read(client, tracker.run_id, "code.diff", tmp_path) == "+ a line\n"
    assert json.loads(read(client, tracker.run_id, "plan.json", tmp_path)) == {"batch": 1}
    versions = json.loads(read(client, tracker.run_id, "versions.json", tmp_path))
    assert versions["versions"] == {"trl": "1.16.0"} and versions["git"]["commit"] == "c0ffee"
    table = json.loads(read(client, tracker.run_id, "t/step_1.json", tmp_path))
    assert table == {
        "columns": ["prompt", "reward", "x"],
        "data": [["p", 1.0, None], ["q", None, [1]]],
    }
    listed = json.loads(run.data.tags["mlflow.loggedArtifacts"])  # where MLflow's UI finds tables
    assert listed == [{"path": "t/step_1.json", "type": "table"}]


def test_artifacts_lie_beside_the_store_wherever_the_command_ran(
    start: Callable[..., Tracker],
    client: MlflowClient,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = start()
    tracker.finish("FINISHED")
    assert client.get_run(tracker.run_id).info.artifact_uri.startswith(
        f"file://{output}/mlartifacts/"
    )
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_how_a_run_ended(
    status: Any, start: Callable[..., Tracker], client: MlflowClient, tmp_path: Path
) -> None:
    tracker = start()
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.finish(status, "Traceback: boom" if status == "FAILED" else None)
    run = client.get_run(tracker.run_id)
    assert run.info.status == status and run.data.metrics == {"loss": 1.0}
    names = [artifact.path for artifact in client.list_artifacts(tracker.run_id)]
    assert ("traceback.txt" in names) == (status == "FAILED")


def test_a_resumed_run_goes_on_with_one_point_a_step(
    start: Callable[..., Tracker], client: MlflowClient, tmp_path: Path
) -> None:
    first = start()
    for step in range(1, 6):
        first.log_metrics({"loss": 1 / step, "step_time": 0.1}, step)
    first.flush()  # killed at step 5; the checkpoint is from step 3
    second = start(first.run_id)
    assert client.get_run(first.run_id).info.status == "RUNNING"
    for step in range(4, 8):
        second.log_metrics({"loss": 1 / step, "step_time": 0.2, "new": 1.0}, step)
    second.finish("FINISHED")

    points = client.get_metric_history(first.run_id, "loss")
    assert [(p.step, p.value) for p in points] == [(s, 1 / s) for s in range(1, 8)]
    times = {p.step: p.value for p in client.get_metric_history(first.run_id, "step_time")}
    assert len(client.get_metric_history(first.run_id, "step_time")) == 7
    assert times == {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.2, 5: 0.2, 6: 0.2, 7: 0.2}
    assert client.get_run(first.run_id).data.metrics == {
        "loss": 1 / 7,
        "step_time": 0.2,
        "new": 1.0,
    }
    lines = read(client, first.run_id, "replaced_metrics.jsonl", tmp_path / "..").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "step_time", "step": step, "before": 0.1, "after": 0.2} for step in (4, 5)
    ]


def test_the_last_value_is_the_new_one_when_the_last_step_is_repeated(
    start: Callable[..., Tracker], client: MlflowClient
) -> None:
    first = start()
    first.log_metrics({"accuracy": 0.9}, 10)
    first.flush()
    second = start(first.run_id)
    second.log_metrics({"accuracy": 0.8}, 10)
    second.log_metrics({"accuracy": 0.8, "train_loss": 1.0}, 10)  # the summary repeats it
    second.log_metrics({"train_loss": 1.0}, 10)
    second.finish("FINISHED")
    run = client.get_run(first.run_id)
    assert run.data.metrics == {"accuracy": 0.8, "train_loss": 1.0}
    for name in run.data.metrics:
        assert len(client.get_metric_history(first.run_id, name)) == 1


def test_a_changed_param_is_logged_beside_the_old_one(
    start: Callable[..., Tracker],
    client: MlflowClient,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = [(1, {}), (2, {"extra": 1}), (2, {}), (1, {})]
    run_id = None
    for seed, more in starts:
        tracker = start(run_id)
        tracker.log_start({**config, "seed": seed, **more}, PROVENANCE, COMMAND)
        tracker.flush()
        run_id = tracker.run_id
    tracker.finish("FINISHED")
    run = client.get_run(tracker.run_id)
    seeds = {key: value for key, value in run.data.params.items() if key.endswith("seed")}
    assert seeds == {"seed": "1", "resume_1/seed": "2", "resume_3/seed": "1"}
    assert run.data.params["extra"] == "1"
    assert run.data.tags["r1lab.resume_1.changed"] == "seed"
    assert "r1lab.resume_2.changed" not in run.data.tags
    assert run.data.tags["r1lab.starts"] == "4"
    assert "ERROR" not in {record.levelname for record in caplog.records}
    names = {artifact.path for artifact in client.list_artifacts(tracker.run_id)}
    assert {"config.yaml", "resume_1", "resume_2", "resume_3"} <= names


def test_a_run_that_the_store_lost_starts_anew_and_says_so(
    start: Callable[..., Tracker], client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    lost = "0" * 32
    tracker = start(lost)
    tracker.finish("FINISHED")
    assert tracker.run_id != lost
    assert client.get_run(tracker.run_id).data.tags["r1lab.previous_run_id"] == lost
    assert lost in caplog.text


def test_a_sweep_point_is_a_child_of_its_parent(
    start: Callable[..., Tracker], client: MlflowClient, config: dict[str, Any], tmp_path: Path
) -> None:
    parent = start()
    child = Tracker.open(config, tmp_path, "point-1", None, parent_run_id=parent.run_id)
    child.finish("FINISHED")
    parent.finish("FINISHED")
    tags = client.get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id


def test_a_model_is_registered_as_the_next_version(
    start: Callable[..., Tracker], client: MlflowClient, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    tracker = start()
    assert tracker.register(model, "tiny") == "1"
    assert tracker.register(model, "tiny") == "2"
    tracker.finish("FINISHED")
    version = client.get_model_version("tiny", "2")
    assert version.run_id == tracker.run_id
    assert client.list_artifacts(tracker.run_id, "model")[0].path == "model/config.json"


def test_a_dataset_is_an_input_with_its_fingerprint(
    start: Callable[..., Tracker], client: MlflowClient
) -> None:
    import datasets

    rows = [{"prompt": [{"role": "user", "content": "1+1"}], "solution": "2"}] * 3
    tracker = start()
    tracker.log_dataset_fingerprint("arithmetic", "abc123", datasets.Dataset.from_list(rows))
    tracker.log_dataset_fingerprint("arithmetic", "def456", context="test")
    tracker.finish("FINISHED")
    run = client.get_run(tracker.run_id)
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("arithmetic", "abc123")
    assert json.loads(entry.dataset.profile) == {"num_rows": 3}
    assert run.data.tags["data.test.fingerprint"] == "def456"


def test_many_tables_keep_the_latest_in_the_ui(
    start: Callable[..., Tracker], client: MlflowClient
) -> None:
    tracker = start()
    for step in range(150):
        tracker.log_table([{"a": step}], f"completions/step_{step:06d}.json")
    tracker.finish("FINISHED")
    listed = json.loads(client.get_run(tracker.run_id).data.tags["mlflow.loggedArtifacts"])
    assert listed[-1]["path"] == "completions/step_000149.json"
    assert len(client.list_artifacts(tracker.run_id, "completions")) == 150


def test_a_write_that_fails_is_tried_again(
    start: Callable[..., Tracker],
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = start()
    real, calls = tracker._client.log_batch, []

    def flaky(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("connection reset")
        return real(*args, **kwargs)

    monkeypatch.setattr(tracker._client, "log_batch", flaky)
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.log_metrics({"loss": 2.0}, 2)
    tracker.finish("FINISHED")
    assert "connection reset" in caplog.text
    assert len(client.get_metric_history(tracker.run_id, "loss")) == 2


def test_a_write_that_keeps_failing_is_not_swallowed(
    start: Callable[..., Tracker], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = start()

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(tracker._client, "log_batch", broken)
    tracker.log_metrics({"loss": 1.0}, 1)
    with pytest.raises(OSError, match="disk full"):
        tracker.finish("FAILED")
    assert client.get_run(tracker.run_id).info.status == "FAILED"


def test_mlflow_off_gives_the_same_interface_and_writes_nothing(tmp_path: Path) -> None:
    config = {"output_dir": str(tmp_path), "tracking": {"mlflow": False}}
    tracker = Tracker.open(config, tmp_path, "x", None)
    assert isinstance(tracker, DisabledTracker)
    tracker.log_start(config, PROVENANCE, COMMAND)
    tracker.log_metrics({"a": 1}, 1)
    tracker.log_table([], "t.json")
    tracker.log_text("t", "t.txt")
    tracker.log_artifact(tmp_path)
    tracker.set_tags({})
    tracker.log_dataset_fingerprint("a", "b")
    assert tracker.register(tmp_path, "m") == ""
    tracker.flush()
    tracker.finish("FAILED", "traceback")
    assert tracker.url is None and tracker.run_id == ""
    assert not list(tmp_path.iterdir())
    public = {name for name in vars(Tracker) if not name.startswith("_")} - {"open"}
    assert public <= set(vars(DisabledTracker))


def test_a_store_that_does_not_answer_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = {"tracking": {"uri": f"sqlite:///{tmp_path}/file/mlflow.db"}}
    with pytest.raises(PrerequisiteError, match=r"tracking\.uri"):
        Tracker.open(config, tmp_path, "x", None)
    config = {"tracking": {"uri": f"file://{tmp_path}/mlruns"}}
    with pytest.raises(PrerequisiteError, match=r"sqlite:///path/mlflow\.db"):
        Tracker.open(config, tmp_path, "x", None)


def test_a_deleted_experiment_is_named(start: Callable[..., Tracker], client: MlflowClient) -> None:
    start(tracking={"experiment": "gone"}).finish("FINISHED")
    found = client.get_experiment_by_name("gone")
    client.delete_experiment(found.experiment_id)
    with pytest.raises(ConfigError, match=r"tracking\.experiment.*deleted"):
        start(tracking={"experiment": "gone"})


def _open_and_log(output: str, name: str) -> None:
    tracker = Tracker.open({"output_dir": output}, Path(output), name, None)
    for step in range(20):
        tracker.log_metrics({"loss": float(step)}, step)
    tracker.finish("FINISHED")


@pytest.mark.slow
def test_processes_that_start_at_once_make_the_store_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_open_and_log, args=(str(tmp_path), f"r{i}")) for i in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=300)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        rows = connection.execute("SELECT name, status FROM runs").fetchall()
        points = connection.execute("SELECT COUNT(*) FROM metrics").fetchone()
    assert sorted(rows) == [(f"r{i}", "FINISHED") for i in range(3)]
    assert points == (60,)
