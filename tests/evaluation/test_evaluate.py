"""``python -m r1lab evaluate``: mistakes, and the whole path with a fake of LightEval's side
(fake_lighteval.py) and a fake server; test_evaluate_runs.py has the real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from r1lab.evaluation import environment, measure
from r1lab.evaluation import evaluate as verb
from r1lab.evaluation.measure import Asked
from r1lab.launch.local import free_port
from tests.conftest import ROOT, Cli

FAKE = Path(__file__).with_name("fake_lighteval.py")


def mistakes(cli: Cli, *arguments: str) -> str:
    done = cli("evaluate", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert not (cli.folder / "outputs").exists()
    return done.stderr


def test_all_mistakes_are_told_together_and_nothing_starts(cli: Cli) -> None:
    said = mistakes(
        cli,
        *("model=tiny", "evaluate.temperature=-1", "trainer=sft", "seed=3", "engine.port=99999"),
    )
    assert "5 problems" in said, said
    for key in ("evaluate", "evaluate.temperature", "trainer", "seed", "engine.port"):
        assert f"  {key} = " in said, said
    assert "write 'evaluate=[NAME,...]', of: aime24, aime25_part1" in said


def test_names_that_are_nothing_are_told(cli: Cli) -> None:
    assert "did you mean tiny?" in mistakes(cli, "model=tinny", "evaluate=[aime24]")
    assert "did you mean math_500?" in mistakes(cli, "model=tiny", "evaluate=[math500]")


@pytest.fixture
def server() -> Iterator[str]:
    port = free_port()
    script = ROOT / "tests" / "engines" / "fake_server.py"
    process = subprocess.Popen([sys.executable, str(script), str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield f"http://127.0.0.1:{port}/v1"
    process.kill()
    process.wait()


Evaluated = Callable[..., int]


@pytest.fixture
def evaluated(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The verb, with this Python as LightEval's, and the fake as its script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "python", lambda say: Path(sys.executable))
    monkeypatch.setattr(Asked, "script", FAKE)
    monkeypatch.setattr(verb, "Asked", lambda *given: Asked(*given, script=FAKE))

    def run(*more: str, tasks: str = "aime24", as_json: bool = False) -> int:
        given = [f"engine.url={server}", f"evaluate=[{tasks}]", "evaluate.samples=2", *more]
        return verb.evaluate([*given, "evaluate.limit=4"], [], as_json, "python -m r1lab ...")

    return run


@pytest.mark.slow  # it makes an MLflow database
def test_scores_table_and_record(
    evaluated: Evaluated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(tasks="aime24,gsm8k") == 0
    shown = capsys.readouterr()
    assert "75.0% [" in shown.out
    folder = tmp_path / "outputs" / "evaluations" / "model" / "evaluation"
    assert "| aime24 | 4 x 2 | 75.0% [" in (folder / "table.md").read_text()
    settings = json.loads((folder / "aime24" / "settings.json").read_text())
    assert settings["engine"]["name"] == "external"
    assert settings["versions"]["r1lab"]

    from mlflow import MlflowClient

    run_id = json.loads((folder / "evaluation.json").read_text())["run_id"]
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["benchmark/aime24/strict/pass_at_1"] == 0.75
    kept = {file.path for file in client.list_artifacts(run_id, "evaluation/aime24")}
    assert "evaluation/aime24/samples.parquet" in kept


def test_the_same_line_again_asks_nothing_and_again_asks_beside(
    evaluated: Evaluated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = ("tracking.mlflow=false", "evaluate.temperature=0")
    evaluated(*quiet)
    capsys.readouterr()
    evaluated(*quiet, as_json=True)
    shown = capsys.readouterr()
    assert "all of it was answered before" in shown.err
    assert json.loads(shown.out)["scores"]["aime24"]["answers"]["asked"] == 8
    evaluated(*quiet, "evaluate.again=true")
    assert "aime24: the same 8 answers as in" in capsys.readouterr().err
    assert (tmp_path / "outputs" / "evaluations" / "model-2").is_dir()


def test_what_was_done_before_a_server_died_is_kept(
    evaluated: Evaluated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("R1LAB_FAKE", "half")
    with pytest.raises(verb.RunFailed, match="the server stopped answering"):
        evaluated("tracking.mlflow=false", tasks="aime24,gsm8k")
    said = capsys.readouterr().err
    assert "75.0% [" in said
    assert "the same line again goes on from there" in said
    folder = tmp_path / "outputs" / "evaluations" / "model" / "evaluation"
    assert (folder / "aime24" / "score.json").exists()
    assert not (folder / "gsm8k" / "score.json").exists()
    monkeypatch.delenv("R1LAB_FAKE")
    assert evaluated("tracking.mlflow=false", tasks="aime24,gsm8k") == 0
    assert json.loads((folder / "job.json").read_text())["tasks"].keys() == {"gsm8k"}


def test_a_name_that_the_server_does_not_have_is_told(evaluated: Evaluated) -> None:
    with pytest.raises(verb.RunFailed, match="has no model 'org/other'; it has: one"):
        evaluated("model=org/other", "tracking.mlflow=false")


def test_answers_that_cannot_fit_the_context_are_said_and_shortened(
    evaluated: Evaluated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measure, "context_of", lambda engine: 4096)
    evaluated("tracking.mlflow=false")
    assert "32768 tokens do not fit the model's context of 4096: 3072" in capsys.readouterr().err
