"""Finding evaluations: of a run, in a folder, or by LightEval itself."""

from __future__ import annotations

from pathlib import Path

from r1lab.errors import ConfigError, Problem
from r1lab.evaluation import lighteval_results, samples
from r1lab.evaluation.samples import Samples


def find(path: Path, metric: str | None = None) -> dict[str, Samples]:
    """The answers to every benchmark there, by task.

    ``path`` is a run's folder, an evaluation's, a benchmark's in one, a results file of LightEval's
    or a folder with one of them.
    """
    if path.is_file():
        return lighteval_results.read(path, metric)
    if not path.is_dir():
        raise _nothing(path, "there is no such file or folder", "give a run's folder")
    for pattern in ("", "*/", "evaluation/*/"):
        tables = sorted(path.glob(pattern + samples.TABLE))
        if tables:
            found = [samples.read(table.parent) for table in tables]
            return {one.task: one for one in found}
    written = sorted({*path.glob("results_*.json"), *path.glob("results/**/results_*.json")})
    if len(written) == 1:
        return lighteval_results.read(written[0], metric)
    if written:
        listed = "\n      ".join(map(str, written))
        raise _nothing(path, "holds several results of LightEval's", f"name one:\n      {listed}")
    others = sorted(folder.parent for folder in path.glob("evaluations/*/evaluation"))
    fix = f"python -m r1lab evaluate model={path} 'evaluate=[...]'"
    if others:
        fix = f"name one: {', '.join(map(str, others))}"
    raise _nothing(path, "holds no evaluation", fix)


def _nothing(path: Path, said: str, fix: str) -> ConfigError:
    return ConfigError(Problem("compare", str(path), said, fix))
