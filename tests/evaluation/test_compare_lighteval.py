"""What LightEval itself writes can be compared with what r1lab keeps of the same answers."""

from __future__ import annotations

import pytest

from r1lab.evaluation import evaluations
from r1lab.evaluation.compare import Options, compare
from tests.evaluation import generated
from tests.evaluation.lighteval_process import job, run, serving

pytestmark = pytest.mark.evaluation


def test_lightevals_files_hold_the_same_answers_and_scores(tmp_path):
    rows = generated.write("math_500", tmp_path / "data", 4)
    table = {row["problem"]: [generated.right("math_500", row)] for row in rows[:3]}
    with serving(tmp_path / "server", {"": ["No idea."], **table}) as server:
        tasks = {"math_500": {"data": str(tmp_path / "data"), "samples": 2}}
        done = run(job(server.url, tmp_path / "out", tasks))
    assert done.code == 0, done.log
    ours = evaluations.find(tmp_path / "out")
    theirs = evaluations.find(tmp_path / "out/math_500/lighteval")
    (task,) = compare(ours, theirs, Options())
    assert task.differing == {}
    assert (task.questions, task.samples, task.same_texts) == (4, (2, 2), 8)
    strict = task.scores["strict"]
    assert strict.first.value == strict.second.value == 0.75
    assert strict.difference.differing == 0
