"""Every benchmark a job: submitit's local executor stands in for Slurm, a fake for LightEval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from r1lab.errors import ConfigError
from r1lab.evaluation import jobs

pytest.importorskip("submitit")


class Executor:
    """A fake of submitit's: what it was told, and jobs that are never run."""

    made: ClassVar[list[Executor]] = []

    def __init__(self, folder: Path, cluster: str, **limits: Any) -> None:
        self.folder, self.cluster, self.limits = folder, cluster, limits
        self.parameters: list[dict[str, Any]] = []
        self.jobs: list[jobs.BenchmarkJob] = []
        self.made.append(self)

    def update_parameters(self, **given: Any) -> None:
        self.parameters.append(given)

    def submit(self, job: jobs.BenchmarkJob) -> Any:
        self.jobs.append(job)

        class Job:
            job_id = str(len(self.jobs))

            class paths:
                stdout = "log"

        return Job()


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Executor]:
    import submitit

    Executor.made = []
    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    return Executor


LINE = [
    *("model=tiny", "evaluate=[aime24,gsm8k]", "evaluate.tasks.aime24.samples=2"),
    *("evaluate.limit=3", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=long"),
]


def test_each_job_is_the_same_command_for_one_benchmark(
    executor: type[Executor], tmp_path: Path
) -> None:
    node = jobs.launcher(LINE, [])
    assert jobs.wanted(LINE) and not jobs.wanted(LINE[:3])
    jobs.submit(node, LINE, ["conf"], ["aime24", "gsm8k"], tmp_path, gpus=2)
    (made,) = executor.made
    assert (made.cluster, made.folder) == ("slurm", tmp_path / "jobs" / "%j")
    common = ["evaluate", "--config-dir", "conf", "model=tiny", "evaluate.limit=3"]
    assert [job.arguments for job in made.jobs] == [
        [*common, "evaluate.tasks.aime24.samples=2", "evaluate=[aime24]"],
        [*common, "evaluate=[gsm8k]"],
    ]
    first, second = made.parameters
    assert (first["name"], second["name"]) == ("evaluate-aime24", "evaluate-gsm8k")
    assert (first["slurm_partition"], first["gpus_per_node"], first["tasks_per_node"]) == (
        "long",
        2,
        1,
    )
    assert first["slurm_setup"][0].startswith("export PYTHONPATH=")


def test_the_launchers_own_gpus_come_first(executor: type[Executor], tmp_path: Path) -> None:
    node = jobs.launcher([*LINE, "hydra.launcher.gpus_per_node=4"], [])
    jobs.submit(node, LINE, [], ["aime24"], tmp_path, gpus=None)
    assert executor.made[0].parameters[0]["gpus_per_node"] == 4


def test_a_refusal_of_the_scheduler_is_the_users_to_mend(
    executor: type[Executor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Executor, job: Any) -> None:
        raise RuntimeError("sbatch: error: invalid partition specified: long")

    monkeypatch.setattr(executor, "submit", refuse)
    with pytest.raises(ConfigError, match="invalid partition specified: long"):
        jobs.submit(jobs.launcher(LINE, []), LINE, [], ["aime24"], tmp_path, None)


def test_a_job_that_fails_raises_and_one_that_is_preempted_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = jobs.BenchmarkJob(["evaluate", "evaluate=[nothing]"], str(tmp_path))
    with pytest.raises(jobs.RunFailed, match="exit code 2"):
        job()
    again = job.checkpoint()
    assert again.function is job


def test_what_failed_is_said_by_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    class Job:
        job_id = "7"

        class paths:
            stdout = "log"

        def __init__(self, error: Exception | None) -> None:
            self.error = error

        def done(self) -> bool:
            return True

        def exception(self) -> Exception | None:
            return self.error

    failed = jobs.wait({"aime24": Job(None), "gsm8k": Job(RuntimeError("x"))})
    assert failed == {"gsm8k": "job 7: see log"}
    assert "aime24: job 7 finished" in capsys.readouterr().out


def test_the_jobs_machines_must_be_named(cli: Any) -> None:
    done = cli("evaluate", "model=tiny", "evaluate=[aime24]", "hydra/launcher=submitit_slurm")
    assert done.returncode == 2
    assert "hardware.device = 'auto': would be this machine's" in done.stderr
    assert json.dumps(done.stdout) == '""'
