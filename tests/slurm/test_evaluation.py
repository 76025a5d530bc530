"""Benchmarks as jobs of a real Slurm, each with an engine and a LightEval of its own."""

from __future__ import annotations

import pandas
import pytest

from tests.evaluation import generated
from tests.evaluation.lighteval_process import interpreter
from tests.slurm.test_sweeps import _in_slurm, run

pytestmark = [pytest.mark.launch, pytest.mark.evaluation]
__all__ = ["_in_slurm"]

LINE = [
    *("evaluate", "model=tiny", "engine=transformers", "hardware=cpu"),
    *("evaluate=[gsm8k,amc23]", "evaluate.data_dir=data", "evaluate.samples=2"),
    *("evaluate.max_new_tokens=48", "hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=4"),
]


def test_each_benchmark_is_a_job_and_the_table_is_of_all(cli, slurm):
    interpreter()
    generated.write("gsm8k", cli.folder / "data" / "gsm8k", 3)
    generated.write("amc23", cli.folder / "data" / "amc23", 3)
    done = run(cli, slurm, *LINE)
    assert done.returncode == 0, done.stdout
    for name in ("gsm8k", "amc23"):
        (answers,) = (cli.folder / "outputs" / "evaluations").rglob(f"{name}/samples.parquet")
        assert len(pandas.read_parquet(answers)) == 6
        assert f"{name}: job" in done.stdout and f"\n{name} " in done.stdout  # its row
    assert not slurm("squeue", "--noheader").strip()
